package service

import (
	"context"
	"errors"
	"slices"
	"time"

	"gantry"
	"gantry/internal/store"
	"gantry/internal/wire/ecsapi"
)

// This file is services whose deployment controller is EXTERNAL. Each of their task
// sets is kept as a service of its own would be: with its share of the desired count,
// from its one revision, without deployments. Who creates, scales and deletes task sets
// decides how a service gets from one revision to the next.

// LookAtTaskSet narrows a look at a service to one of its task sets: what is decided
// about it is decided as for a service that wants the task set's share of the tasks.
func LookAtTaskSet(look Look, set *gantry.TaskSet) Look {
	s := *look.Service
	s.DesiredCount = set.Desired(s.DesiredCount)
	s.Configuration, s.Rebalancing = nil, ecsapi.AvailabilityZoneRebalancingDisabled
	if set.Draining {
		s.Status = gantry.ServiceDraining
	}
	state := stateOf(look.History, set)
	whole := look.History
	look.Service = &s
	look.Deployment = &gantry.Deployment{
		Cluster: s.Cluster, Service: s.Name, Status: ecsapi.ServiceDeploymentStatusSuccessful, Target: state.Rollout, CreatedAt: set.CreatedAt,
	}
	look.History = &gantry.ServiceHistory{Cluster: s.Cluster, Service: s.Name, Version: whole.Version, Events: whole.Events,
		Told: state.Told, Unplaced: state.Unplaced, TaskSets: whole.TaskSets}
	look.Tasks = slices.DeleteFunc(slices.Clone(look.Tasks), func(t *gantry.Task) bool { return t.Revision() != set.ID })
	return look
}

// stateOf is what is remembered of a task set; a new one has run nothing yet.
func stateOf(h *gantry.ServiceHistory, set *gantry.TaskSet) gantry.TaskSetState {
	if i := slices.IndexFunc(h.TaskSets, func(s gantry.TaskSetState) bool { return s.ID == set.ID }); i >= 0 {
		return h.TaskSets[i]
	}
	return gantry.TaskSetState{ID: set.ID, Rollout: gantry.Rollout{
		Revision: set.ID, State: ecsapi.DeploymentRolloutStateCompleted, StartedAt: set.CreatedAt, UpdatedAt: set.CreatedAt,
	}}
}

// setState is what is to be remembered of a task set, within a history that may be changed.
func setState(h *gantry.ServiceHistory, set *gantry.TaskSet) *gantry.TaskSetState {
	i := slices.IndexFunc(h.TaskSets, func(s gantry.TaskSetState) bool { return s.ID == set.ID })
	if i < 0 {
		h.TaskSets = append(h.TaskSets, stateOf(h, set))
		i = len(h.TaskSets) - 1
	}
	return &h.TaskSets[i]
}

// unplaced is where a history has why the decision's tasks have no place.
func (d *decision) unplaced(h *gantry.ServiceHistory) **gantry.Unplaced {
	if d.set == nil {
		return &h.Unplaced
	}
	return &setState(h, d.set).Unplaced
}

// reconcileTaskSets takes the next step of each task set. A DRAINING service whose last
// one has gone becomes INACTIVE.
func (c *Controller) reconcileTaskSets(ctx context.Context, key string) (again time.Duration, err error) {
	var ids []gantry.RevisionID
	for set := range store.TaskSets.All(c.Store.View(), key+"/") {
		ids = append(ids, set.ID)
	}
	for _, id := range ids {
		next, failed := c.step(ctx, key, id)
		err = errors.Join(err, failed) // the others are not to suffer for it
		if next > 0 && (again == 0 || next < again) {
			again = next
		}
	}
	if len(ids) > 0 || err != nil {
		return again, err
	}
	_, err = c.Store.Update(ctx, func(tx *store.Tx) error {
		s, ok := store.Services.Get(tx, key)
		if !ok || s.Status != gantry.ServiceDraining {
			return nil
		}
		for range store.TaskSets.All(tx, key+"/") {
			return nil
		}
		next := *s
		next.Status, next.InactiveAt = gantry.ServiceInactive, c.now()
		store.Services.Put(tx, &next)
		return nil
	})
	return 0, err
}

// decideTaskSet writes what was decided about a task set: what is remembered of it, in
// the history of its service, and its end.
func (c *Controller) decideTaskSet(tx *store.Tx, d decision, now time.Time) decision {
	wrote := d.plan
	wrote.Starts = nil
	if wrote.Empty() {
		return d // the starts write for themselves
	}
	history, ok := store.ServiceHistories.Get(tx, d.row.Key())
	if !ok {
		history = &gantry.ServiceHistory{Cluster: d.row.Cluster, Service: d.row.Name}
	}
	history = cloneHistory(history)
	RememberTaskSet(history, d.set, &d.plan)
	if d.plan.Status == gantry.ServiceInactive {
		store.TaskSets.Delete(tx, d.set.Key())
	}
	Record(history, eventsOf(d.set, d.plan.Events), now, c.NewUUID)
	history.Version++
	d.version = history.Version
	store.ServiceHistories.Put(tx, history)
	return d
}

// RememberTaskSet puts down what a plan for a task set has to be remembered by.
func RememberTaskSet(h *gantry.ServiceHistory, set *gantry.TaskSet, plan *Plan) {
	if plan.Status == gantry.ServiceInactive {
		h.TaskSets = slices.DeleteFunc(h.TaskSets, func(s gantry.TaskSetState) bool { return s.ID == set.ID })
		return
	}
	state := setState(h, set)
	if plan.Deployment != nil {
		state.Rollout = plan.Deployment.Target
	}
	if plan.History != nil {
		state.Told, state.Unplaced = plan.History.Told, plan.History.Unplaced
	}
}

// eventsOf are a plan's events as those of a task set.
func eventsOf(set *gantry.TaskSet, events []Event) []Event {
	out := slices.Clone(events)
	for i := range out {
		out[i].TaskSet = set.ID
		if out[i].Name == SteadyState {
			out[i].Name = TaskSetSteadyState
		}
	}
	return out
}

// Counts are how many tasks of a task set there are to be and are.
type Counts struct {
	Desired, Running, Pending int
	// Steady says that all that are to be run, are healthy, and that there are no others.
	Steady bool
}

// CountsOf counts the tasks of a task set among those of its service.
func CountsOf(s *gantry.Service, h *gantry.ServiceHistory, set *gantry.TaskSet, tasks []*gantry.Task) Counts {
	c := Counts{Desired: set.Desired(s.DesiredCount)}
	leaving := 0
	for _, t := range tasks {
		switch {
		case t.Revision() != set.ID || t.LastStatus == gantry.Stopped:
		case t.DesiredStatus == gantry.Stopped:
			leaving++
			if t.LastStatus == gantry.Running {
				c.Running++
			}
		case t.LastStatus == gantry.Running:
			c.Running++
		default:
			c.Pending++
		}
	}
	// That they are healthy is for the scheduler to say, who told it.
	told := slices.ContainsFunc(stateOf(h, set).Told, func(t gantry.Told) bool { return t.Cause == textSteady })
	c.Steady = told && !set.Draining && c.Running == c.Desired && c.Pending+leaving == 0
	return c
}
