package service

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"gantry"
	"gantry/internal/ledger"
	"gantry/internal/placement"
	"gantry/internal/store"
	"gantry/internal/wire/ecsapi"
)

// The tags by which ECS, where it is to manage tags, names cluster and service.
const (
	managedTagCluster = "aws:ecs:clusterName"
	managedTagService = "aws:ecs:serviceName"
)

// batch is what the new tasks of a service revision have in common.
func (c *Controller) batch(r store.Reader, look *Look, revision gantry.RevisionID) (ledger.Batch, error) {
	s := look.Service
	from, ok := store.ServiceRevisions.Get(r, s.Key()+"/"+string(revision))
	if !ok {
		return ledger.Batch{}, fmt.Errorf("its revision %s is not there", revision)
	}
	d, ok := store.Definitions.Get(r, string(from.Definition))
	if !ok {
		return ledger.Batch{}, fmt.Errorf("task definition %s is not there", from.Definition)
	}
	return ledger.Batch{
		Definition: d,
		Task: gantry.Task{
			Cluster: s.Cluster, LaunchType: from.LaunchType, Group: gantry.ServiceGroup(string(s.Name)), StartedBy: revision.StartedBy(),
			LastStatus: gantry.Pending, DesiredStatus: gantry.Running, Version: 1,
			Tags: taskTags(s, d), EnableExecuteCommand: s.EnableExecuteCommand, CreatedAt: c.now(),
		},
		NewContainerID: c.NewUUID,
		Constraints:    s.Constraints, Strategies: strategies(s), Seed: c.NewSeed(),
	}, nil
}

// taskTags are the tags of a service's new tasks.
func taskTags(s *gantry.Service, d *gantry.Definition) []ecsapi.Tag {
	var tags []ecsapi.Tag
	switch s.PropagateTags {
	case ecsapi.PropagateTagsService:
		tags = slices.Clone(s.Tags)
	case ecsapi.PropagateTagsTaskDefinition:
		tags = slices.Clone(d.Tags)
	}
	if s.EnableManagedTags {
		tags = append(tags, ecsapi.Tag{Key: new(managedTagCluster), Value: new(string(s.Cluster))},
			ecsapi.Tag{Key: new(managedTagService), Value: new(string(s.Name))})
	}
	return tags
}

// start starts tasks, as many as have a place, and remembers why others have none. It
// ends with errStale if the service or what was decided about it has changed since.
func (c *Controller) start(ctx context.Context, d *decision, s Start) error {
	b, err := c.batch(c.Store.View(), &d.look, s.Revision)
	if err != nil {
		return err
	}
	b.Constraints, b.Averse = append(slices.Clip(b.Constraints), within(s.Zone)...), s.Averse
	for at := 0; at < s.Count; at += d.look.Changes {
		n := min(d.look.Changes, s.Count-at)
		b.IDs, b.On = make([]gantry.TaskID, n), nil
		for i := range b.IDs {
			b.IDs[i] = c.NewTaskID()
		}
		if s.On != nil {
			b.On = s.On[at : at+n]
		}
		if s.Providers != nil {
			// One that is to move to another zone does not wait for it.
			b.Providers, b.Waits = s.Providers[at:at+n], s.Zone == ""
		}
		b.With = func(tx *store.Tx, tasks []*gantry.Task) error { return c.started(tx, d, s, tasks, n) }
		version := d.version
		launched, err := c.Ledger.Launch(ctx, b)
		if errors.Is(err, ledger.ErrTooManyWait) {
			return c.unplaced(ctx, d, s, gantry.Unplaced{Message: textTooManyWait})
		}
		if err != nil {
			return err
		}
		if len(launched.Tasks) > 0 {
			d.version = version + 1
		}
		if len(launched.Tasks) < n {
			r := refusalOf(launched)
			return c.unplaced(ctx, d, s, gantry.Unplaced{Message: r.Event(), Full: lacksRoom(r)})
		}
	}
	return nil
}

// within are the placement constraints that keep tasks in an availability zone; none for "".
func within(zone string) []ecsapi.PlacementConstraint {
	if zone == "" {
		return nil
	}
	return []ecsapi.PlacementConstraint{{
		Type:       ecsapi.PlacementConstraintTypeMemberOf,
		Expression: new(fmt.Sprintf("attribute:%s == '%s'", gantry.AttributeZone, zone)),
	}}
}

// fits reports whether one task of a start would have a place now.
func (c *Controller) fits(look *Look, s Start) bool {
	b, err := c.batch(c.Store.View(), look, s.Revision)
	if err != nil {
		return true // the start will tell
	}
	b.Constraints = append(slices.Clip(b.Constraints), within(s.Zone)...)
	b.IDs, b.Providers = []gantry.TaskID{c.NewTaskID()}, s.Providers[:min(1, len(s.Providers))]
	if len(b.Providers) == 0 {
		b.Providers = nil
	}
	fits, err := c.Ledger.Fits(b)
	return fits || err != nil
}

// started goes with the tasks into their transaction: it makes sure that nothing has
// been decided since, tells that they were started, and that all of wanted have a place.
func (c *Controller) started(tx *store.Tx, d *decision, s Start, tasks []*gantry.Task, wanted int) error {
	history, err := c.unchanged(tx, d)
	if err != nil {
		return err
	}
	var ids []gantry.TaskID
	for _, t := range tasks {
		ids = append(ids, t.ID)
	}
	if u := *d.unplaced(history); u != nil && len(ids) == wanted && s.Zone == "" && (u.Revision == s.Revision || !d.plan.asks(u.Revision)) {
		*d.unplaced(history) = nil
	}
	told := Started(s, ids)
	if d.set != nil {
		told.TaskSet = d.set.ID
	}
	Record(history, []Event{told}, c.now(), c.NewUUID)
	store.ServiceHistories.Put(tx, history)
	return nil
}

// unchanged gives the history to be written with the next decision, unless the service
// is not as the decision saw it.
func (c *Controller) unchanged(tx *store.Tx, d *decision) (*gantry.ServiceHistory, error) {
	now, ok := store.Services.Get(tx, d.look.Service.Key())
	if !ok || now != d.row {
		return nil, errStale
	}
	if d.set != nil {
		if set, ok := store.TaskSets.Get(tx, d.set.Key()); !ok || set != d.set {
			return nil, errStale
		}
	}
	seen, ok := store.ServiceHistories.Get(tx, now.Key())
	if !ok {
		seen = &gantry.ServiceHistory{Cluster: now.Cluster, Service: now.Name}
	}
	if seen.Version != d.version {
		return nil, errStale
	}
	next := cloneHistory(seen)
	next.Version++
	return next, nil
}

// unplaced remembers why tasks have no place: the next plan tells it, and makes room
// where it may. Saying the same again writes nothing.
func (c *Controller) unplaced(ctx context.Context, d *decision, s Start, why gantry.Unplaced) error {
	why.Revision, why.At = s.Revision, c.now()
	_, err := c.Store.Update(ctx, func(tx *store.Tx) error {
		history, err := c.unchanged(tx, d)
		if err != nil {
			return err
		}
		switch u := *d.unplaced(history); {
		case s.Zone != "":
			if history.Rebalance == nil || history.Rebalance.GivenUp {
				return nil
			}
			history.Rebalance.GivenUp = true
		case u != nil && u.Revision == why.Revision && u.Full == why.Full && u.Message == why.Message:
			return nil
		case u != nil && u.Revision != why.Revision && d.plan.asks(u.Revision):
			return nil // one of them is told; taking turns would never end
		default:
			*d.unplaced(history) = &why
		}
		store.ServiceHistories.Put(tx, history)
		return nil
	})
	return err
}

// asks reports whether a plan starts tasks of a revision.
func (p *Plan) asks(revision gantry.RevisionID) bool {
	return slices.ContainsFunc(p.Starts, func(s Start) bool { return s.Revision == revision && s.Zone == "" })
}

// refusalOf says why a batch did not find all its places.
func refusalOf(l ledger.Launched) *placement.Refusal {
	if l.Refusal != nil {
		return l.Refusal
	}
	r := &placement.Refusal{Instances: len(l.Refused), Counts: map[placement.Reason]int{}}
	for _, e := range l.Refused {
		if len(e.Lacks) > 0 { // else the instance is gone
			r.Counts[e.Reason()]++
			r.Closest = append(r.Closest, e)
		}
	}
	return r
}

// lacksRoom reports whether some instance lacks nothing but what stopping a task may
// give back.
func lacksRoom(r *placement.Refusal) bool {
	return slices.ContainsFunc(r.Closest, func(e placement.Examined) bool {
		return !slices.ContainsFunc(e.Lacks, func(l placement.Lack) bool {
			switch l.Reason {
			case placement.ReasonInactive, placement.ReasonAgent, placement.ReasonAttribute, placement.ReasonMemberOf:
				return true
			}
			return false
		})
	})
}
