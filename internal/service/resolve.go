package service

import (
	"slices"

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
// resolved one task, as long as no other is about to tell.
func (p *planner) first(s Start) Start {
	if !p.resolving(s.Revision) {
		return s
	}
	s.Count = min(s.Count, 1)
	if slices.ContainsFunc(p.members, func(m *member) bool { return m.Revision() == s.Revision && !m.gone && !p.look.Silent[m.Instance] }) {
		s.Count = 0
	}
	if s.On != nil {
		s.On = s.On[:s.Count]
	}
	return s
}
