package provisioning

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
	"gantry/internal/placement"
	"gantry/internal/store"
	"gantry/internal/wire/ecsapi"
)

// A Controller gives waiting tasks their places, and failed ones their retries.
type Controller struct {
	Store    *store.Store
	Ledger   *ledger.Ledger
	Settings Settings
	Now      func() time.Time
	// NewTaskID, NewUUID and NewSeed make what has to be unique or random.
	NewTaskID func() gantry.TaskID
	NewUUID   func() string
	NewSeed   func() uint64
	Log       *slog.Logger
}

// workers is how many clusters and retries are worked on at once: they wait for the store.
const workers = 4

// Run works until ctx ends, on the server that leads: places are given in order.
func (c *Controller) Run(ctx context.Context) error {
	return loop.Loop{Name: "provisioning", Wakes: c.wakes, Reconcile: c.Reconcile, Workers: workers, Leader: c.Store, Log: c.Log}.Run(ctx)
}

// The kinds of keys: "line/<cluster>" for those who wait in a cluster, "retry/<task key>"
// for a task that failed, and everyLine for all clusters.
const (
	lineKey   = "line/"
	retryKey  = "retry/"
	everyLine = "lines"
)

// Keys says what a change makes worth a look.
func Keys(c store.Change) []string {
	if before, t, ok := store.Tasks.Of(c); ok {
		switch {
		case t == nil:
			return nil
		case t.Waits():
			return []string{lineKey + string(t.Cluster)}
		case t.LastStatus == gantry.Stopped && MayRetry(t):
			return []string{lineKey + string(t.Cluster), retryKey + c.Key}
		case t.LastStatus == gantry.Stopped && (before == nil || before.LastStatus != gantry.Stopped):
			return []string{lineKey + string(t.Cluster)} // it left room
		}
		return nil
	}
	if before, i, ok := store.Instances.Of(c); ok {
		if i == nil {
			i = before
		}
		return []string{lineKey + string(i.Cluster)}
	}
	if before, now, ok := store.Connections.Of(c); ok && now != nil && (before == nil || before.Connected != now.Connected) {
		return []string{lineKey + string(now.Cluster)}
	}
	if _, s, ok := store.Services.Of(c); ok && s != nil {
		return []string{lineKey + string(s.Cluster)} // its constraints may be others now
	}
	if _, _, ok := store.CapacityProviders.Of(c); ok {
		return []string{everyLine}
	}
	return nil
}

// wakes are those of the store, those of all lines being one for each cluster.
func (c *Controller) wakes(ctx context.Context) iter.Seq[string] {
	return func(yield func(string) bool) {
		for key := range c.Store.Wakes(ctx, Keys) {
			if key != everyLine {
				if !yield(key) {
					return
				}
				continue
			}
			for k := range store.Clusters.All(c.Store.View(), "") {
				if !yield(lineKey + string(k.Name)) {
					return
				}
			}
		}
	}
}

// Reconcile takes the next step for a key, if any is due.
func (c *Controller) Reconcile(ctx context.Context, key string) (again time.Duration, err error) {
	if cluster, ok := strings.CutPrefix(key, lineKey); ok {
		if again, err = c.serve(ctx, gantry.ClusterName(cluster)); err != nil {
			return 0, fmt.Errorf("tasks that wait in cluster %s: %w", cluster, err)
		}
		return again, nil
	}
	if task, ok := strings.CutPrefix(key, retryKey); ok {
		if err := c.retry(ctx, task); err != nil {
			return 0, fmt.Errorf("start task %s again: %w", task, err)
		}
	}
	return 0, nil
}

// serve tries those who wait in a cluster until a round places nobody: a task that was
// placed may be what another one's constraints ask for. Then it stops those whose time
// is over.
func (c *Controller) serve(ctx context.Context, cluster gantry.ClusterName) (again time.Duration, err error) {
	for {
		look := c.look(cluster)
		if len(look.Waiting) == 0 {
			return 0, nil
		}
		plan := MakePlan(c.now(), look, c.Settings)
		refusals, placed, err := c.try(ctx, plan.Tries)
		if placed > 0 {
			continue
		}
		if err != nil {
			return 0, err
		}
		for _, over := range plan.Over {
			if err := c.giveUp(ctx, cluster, over, refusals[over.Kind]); err != nil {
				return 0, err
			}
		}
		return plan.Again, nil
	}
}

// look sees those who wait in a cluster.
func (c *Controller) look(cluster gantry.ClusterName) Look {
	snap, look := c.Store.View(), Look{Empty: map[string]bool{}}
	for t := range store.TasksByStatus.All(snap, string(cluster)+"/"+string(gantry.Provisioning)) {
		if !t.Waits() {
			continue
		}
		look.Waiting = append(look.Waiting, t)
		if p := t.CapacityProvider; p != "" {
			if _, seen := look.Empty[p]; !seen {
				look.Empty[p] = empty(snap, cluster, p)
			}
		}
	}
	return look
}

// empty reports whether a capacity provider has no container instance.
func empty(snap *store.Snapshot, cluster gantry.ClusterName, provider string) bool {
	p, ok := store.CapacityProviders.Get(snap, provider)
	if !ok {
		return true
	}
	for i := range store.Instances.All(snap, string(cluster)+"/") {
		if i.Status != gantry.InstanceInactive && p.Owns(i) {
			return false
		}
	}
	return true
}

// try carries out the tries of a plan, and says how many tasks found a place, and why
// kinds of tasks found none.
func (c *Controller) try(ctx context.Context, tries []Try) (refusals map[string]*placement.Refusal, placed int, err error) {
	refusals = map[string]*placement.Refusal{}
	var errs []error
	for _, t := range tries {
		if refusals[t.Kind] != nil {
			continue
		}
		n, refusal, err := c.Ledger.Seat(ctx, t.Tasks, c.NewSeed())
		if err != nil {
			errs = append(errs, err) // which must not hold up the others
			continue
		}
		placed += n
		if refusal != nil {
			refusals[t.Kind] = refusal
		}
	}
	return refusals, placed, errors.Join(errs...)
}

// maxReason bounds a stoppedReason, in bytes, as reports of agents are bounded.
const maxReason = 1024

// giveUp asks a task to stop that has waited long enough, if it still waits.
func (c *Controller) giveUp(ctx context.Context, cluster gantry.ClusterName, over Over, refusal *placement.Refusal) error {
	reason := over.Reason
	if over.Explain && refusal != nil {
		reason += " " + refusal.String()
	}
	if len(reason) > maxReason {
		reason = strings.ToValidUTF8(reason[:maxReason], "")
	}
	_, err := c.Store.Update(ctx, func(tx *store.Tx) error {
		return store.Tasks.Change(tx, string(cluster)+"/"+string(over.Task), func(t *gantry.Task) error {
			if !t.Waits() {
				return nil
			}
			t.DesiredStatus, t.StoppingAt = gantry.Stopped, c.now()
			t.StopCode, t.StoppedReason = ecsapi.TaskStopCodeTaskFailedToStart, reason
			t.Version++
			return nil
		})
	})
	if errors.Is(err, store.ErrAbsent) {
		return nil
	}
	return err
}

// retry starts a failed task again, once: both are written together.
func (c *Controller) retry(ctx context.Context, key string) error {
	_, err := c.Store.Update(ctx, func(tx *store.Tx) error {
		t, ok := store.Tasks.Get(tx, key)
		if !ok || !MayRetry(t) {
			return nil
		}
		if k, ok := store.Clusters.Get(tx, string(t.Cluster)); !ok || k.Status != gantry.Active {
			return nil // nothing is started there any more
		}
		again, ok := ledger.Again(tx, t, c.NewTaskID(), c.NewUUID)
		if !ok {
			return nil
		}
		Retry(again, t, c.now(), c.Settings)
		store.Tasks.Put(tx, again)
		return store.Tasks.Change(tx, key, func(t *gantry.Task) error { t.RetriedBy = again.ID; return nil })
	})
	return err
}

// now is the time as records have it.
func (c *Controller) now() time.Time { return c.Now().UTC().Truncate(time.Millisecond) }
