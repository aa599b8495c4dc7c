package service

import (
	"slices"
	"time"

	"gantry"
)

// This file is the consistency of versions: the tags of a revision's images are resolved
// to digests once, by its first task, and all others are made from the same images. They
// wait until it has told.

// mostAttempts is how many tasks may fail to find out what a revision's tags mean. The
// others are then started all the same, as on ECS, each with what the tag means then.
const mostAttempts = 3

// resolving reports whether it is still to be found out what a revision's tags mean. A
// task that runs without having told is one of an agent that never will.
func (p *planner) resolving(revision gantry.RevisionID) bool {
	if !p.look.Unresolved[revision] {
		return false
	}
	if r := p.rollout(); r.Revision == revision && (r.Ran || r.FailedTasks >= mostAttempts) {
		return false
	}
	return !slices.ContainsFunc(p.look.Tasks, func(t *gantry.Task) bool { return t.Revision() == revision && !t.StartedAt.IsZero() })
}

// first is as much of a start as may be carried out now: of a revision whose tags are not
// resolved one task, as long as no other is about to tell. One that waits for a capacity
// provider may have to for long: one of another provider goes ahead.
func (p *planner) first(s Start) Start {
	if !p.resolving(s.Revision) {
		return s
	}
	waits, at := map[string]bool{}, 0
	for _, m := range p.members {
		switch {
		case m.Revision() != s.Revision || m.gone || p.look.Silent[m.Instance]:
		case m.Waits():
			waits[m.CapacityProvider] = true
		default:
			s.Count = 0
		}
	}
	if s.Providers != nil {
		if at = slices.IndexFunc(s.Providers, func(provider string) bool { return !waits[provider] }); at < 0 {
			s.Count, at = 0, 0
		}
		s.Providers = s.Providers[at:]
	}
	s.Count = min(s.Count, 1)
	if s.On != nil {
		s.On = p.oneOf(s.On)[:s.Count]
	}
	return s
}

// nextHost is for how long a daemon is tried on one container instance that has no room
// before it is tried on the next.
const nextHost = time.Second

// oneOf is one of the container instances that a daemon is to start on: the first, or, while
// it is known that not all have room, each in its turn.
func (p *planner) oneOf(on []gantry.InstanceID) []gantry.InstanceID {
	if p.history.Unplaced == nil || len(on) == 0 {
		return on
	}
	p.again(p.now.Add(nextHost))
	turn := int(p.now.UnixMilli()/nextHost.Milliseconds()) % len(on)
	return on[turn : turn+1]
}
