package service

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"strings"
	"time"

	"gantry"
	"gantry/internal/ledger"
	"gantry/internal/loop"
	"gantry/internal/store"
	"gantry/internal/wire/ecsapi"
)

// Alarms tells which of some CloudWatch alarms is in ALARM; "" for none of them.
type Alarms interface {
	InAlarm(names []string) string
}

// A Controller looks at services and carries plans out.
type Controller struct {
	Store    *store.Store
	Ledger   *ledger.Ledger
	Settings Settings
	Alarms   Alarms // nil where there are none yet: no deployment has an alarm then
	Now      func() time.Time
	// NewTaskID, NewUUID and NewSeed make what has to be unique or random.
	NewTaskID func() gantry.TaskID
	NewUUID   func() string
	NewSeed   func() uint64
	Log       *slog.Logger

	pace pace
}

// workers is how many services are worked on at once: they mostly wait for the store.
const workers = 8

// Run keeps all services until ctx ends, on the server that leads.
func (c *Controller) Run(ctx context.Context) error {
	return loop.Loop{Name: "service", Wakes: c.wakes, Reconcile: c.Reconcile, Workers: workers, Leader: c.Store, Log: c.Log}.Run(ctx)
}

// everyService stands before a cluster's name in a key that means all of its services.
const everyService = "*/"

// lessOn begins the keys of container instances on which a task has ended: those of
// a DRAINING one are followed by its daemons, which are the last to leave.
const lessOn = "-/"

// Keys says which services a change concerns: "<cluster>/<service>", "*/<cluster>"
// for all of a cluster's, or "-/<cluster>/<instance>" where a task has left.
func Keys(c store.Change) []string {
	if _, _, ok := store.Services.Of(c); ok {
		return []string{c.Key}
	}
	if before, set, ok := store.TaskSets.Of(c); ok {
		if set == nil {
			set = before
		}
		return []string{string(set.Cluster) + "/" + string(set.Service)}
	}
	if _, after, ok := store.Deployments.Of(c); ok && after != nil {
		return []string{string(after.Cluster) + "/" + string(after.Service)}
	}
	if before, after, ok := store.ServiceHistories.Of(c); ok && after != nil && (before == nil || !sameHistory(before, after)) {
		return []string{c.Key}
	}
	if before, t, ok := store.Tasks.Of(c); ok && t != nil {
		var keys []string
		if t.Revision() != "" {
			keys = append(keys, string(t.Cluster)+"/"+t.Group.Service())
		}
		if t.LastStatus == gantry.Stopped && t.Instance != "" && before != nil && before.LastStatus != gantry.Stopped {
			keys = append(keys, lessOn+string(t.Cluster)+"/"+string(t.Instance))
		}
		return keys
	}
	if before, i, ok := store.Instances.Of(c); ok {
		if i == nil {
			i = before
		}
		return []string{everyService + string(i.Cluster)}
	}
	if before, now, ok := store.Connections.Of(c); ok && now != nil && (before == nil || before.Connected != now.Connected || before.Loss != now.Loss) {
		return []string{everyService + string(now.Cluster)}
	}
	return nil
}

// wakes are those of the store, a cluster's being those of its services.
func (c *Controller) wakes(ctx context.Context) iter.Seq[string] {
	return func(yield func(string) bool) {
		for key := range c.Store.Wakes(ctx, Keys) {
			if instance, ok := strings.CutPrefix(key, lessOn); ok {
				for _, daemon := range c.daemonsOn(instance) {
					if !yield(daemon) {
						return
					}
				}
				continue
			}
			cluster, all := strings.CutPrefix(key, everyService)
			if !all {
				if !yield(key) {
					return
				}
				continue
			}
			for s := range store.Services.All(c.Store.View(), cluster+"/") {
				if !yield(s.Key()) {
					return
				}
			}
		}
	}
}

// daemonsOn are the DAEMON services that have to look at a container instance on which
// a task has ended: none unless it is DRAINING.
func (c *Controller) daemonsOn(instance string) (keys []string) {
	snap := c.Store.View()
	i, ok := store.Instances.Get(snap, instance)
	if !ok || i.Status != ecsapi.ContainerInstanceStatusDraining {
		return nil
	}
	for s := range store.Services.All(snap, string(i.Cluster)+"/") {
		if s.Scheduling == ecsapi.SchedulingStrategyDaemon {
			keys = append(keys, s.Key())
		}
	}
	return keys
}

// errStale says that the service is not as the plan saw it.
var errStale = errors.New("the service has changed meanwhile")

// Reconcile takes the next step for a service, if any is due.
func (c *Controller) Reconcile(ctx context.Context, key string) (again time.Duration, err error) {
	if rest := c.pace.wait(key, c.Now()); rest > 0 {
		return rest, nil
	}
	if s, ok := store.Services.Get(c.Store.View(), key); ok && s.HasTaskSets() {
		again, err = c.reconcileTaskSets(ctx, key)
	} else {
		again, err = c.step(ctx, key, "")
	}
	if err != nil {
		return 0, fmt.Errorf("service %s: %w", key, err)
	}
	return again, nil
}

// step takes the next step for a service, or for one of its task sets where one is named.
func (c *Controller) step(ctx context.Context, key string, set gantry.RevisionID) (again time.Duration, err error) {
	var d decision
	var took time.Duration
	_, err = c.Store.Update(ctx, func(tx *store.Tx) error {
		began := c.Now()
		d, err = c.decide(tx, key, set)
		took = c.Now().Sub(began)
		return err
	})
	if err != nil {
		return 0, err
	}
	if d.plan.small(d.look.Changes) {
		c.pace.rest(key, c.Now(), took)
	}
	for _, s := range d.plan.Starts {
		switch err := c.start(ctx, &d, s); {
		case errors.Is(err, errStale):
			return time.Millisecond, nil
		case err != nil:
			return 0, fmt.Errorf("start %d tasks: %w", s.Count, err)
		}
	}
	return d.plan.Again, nil
}

// A decision is a plan that is written but for its starts, and what it was made from.
type decision struct {
	look Look
	plan Plan
	// row is the service as it lies in the store, and set the task set; nil where the
	// decision is about the whole service.
	row *gantry.Service
	set *gantry.TaskSet
	// version is the history's since: it is another one if somebody else decided.
	version int64
}

// decide looks at a service, plans, and writes everything but the starts.
func (c *Controller) decide(tx *store.Tx, key string, id gantry.RevisionID) (decision, error) {
	var set *gantry.TaskSet
	if id != "" {
		var ok bool
		if set, ok = store.TaskSets.Get(tx, key+"/"+string(id)); !ok {
			return decision{}, nil
		}
	}
	look, ok, err := c.look(tx, key, set)
	if err != nil || !ok {
		return decision{}, err
	}
	now := c.now()
	d := decision{look: look, plan: MakePlan(now, look, c.Settings), version: look.History.Version, set: set}
	d.row, _ = store.Services.Get(tx, key)
	for _, s := range d.plan.Stops {
		if err := change(tx, look, s.Task, func(t *gantry.Task) { stopTask(t, s, now) }); err != nil {
			return decision{}, err
		}
	}
	for _, id := range d.plan.Reckon {
		if err := change(tx, look, id, func(t *gantry.Task) { t.Reckoned = true }); err != nil {
			return decision{}, err
		}
	}
	if set != nil {
		return c.decideTaskSet(tx, d, now), nil
	}
	if d.plan.Deployment != nil {
		store.Deployments.Put(tx, d.plan.Deployment)
	}
	if d.plan.Status != "" {
		next := *look.Service
		next.Status = d.plan.Status
		if next.Status == gantry.ServiceInactive {
			next.InactiveAt = now
		}
		store.Services.Put(tx, &next)
	}
	wrote := d.plan
	wrote.Starts = nil
	if wrote.Empty() {
		return d, nil // the starts write for themselves
	}
	history := d.plan.History
	if history == nil {
		history = cloneHistory(look.History)
	}
	Record(history, d.plan.Events, now, c.NewUUID)
	history.Version++
	d.version = history.Version
	store.ServiceHistories.Put(tx, history)
	return d, nil
}

func change(tx *store.Tx, look Look, id gantry.TaskID, f func(*gantry.Task)) error {
	return store.Tasks.Change(tx, string(look.Service.Cluster)+"/"+string(id), func(t *gantry.Task) error { f(t); return nil })
}

// stopTask has a task stopped, by whoever has it.
func stopTask(t *gantry.Task, s Stop, now time.Time) {
	t.DesiredStatus, t.StoppingAt = gantry.Stopped, now
	t.StopCode, t.StoppedReason = s.Code, s.Reason
	t.Version++
}

// now is the time as records have it.
func (c *Controller) now() time.Time { return c.Now().UTC().Truncate(time.Millisecond) }
