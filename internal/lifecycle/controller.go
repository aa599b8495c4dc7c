package lifecycle

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"strings"
	"time"

	"gantry"
	"gantry/internal/ledger"
	"gantry/internal/loop"
	"gantry/internal/store"
)

const (
	// sweepEvery is how often what has ended is looked through.
	sweepEvery = time.Minute
	// maxForgotten bounds how many rows one transaction of a sweep removes, so
	// that others do not wait behind it.
	maxForgotten = 200
)

// sweepKey is the key that is looked at again and again.
const sweepKey = "sweep"

// A Controller ends and forgets.
type Controller struct {
	Store  *store.Store
	Limits Limits
	Now    func() time.Time
	Log    *slog.Logger
}

// Keys says what a change makes worth a look: "task/<key>", "instance/<key>", "sweep".
func Keys(c store.Change) []string {
	if _, t, ok := store.Tasks.Of(c); ok {
		if t != nil && t.Instance == "" && t.DesiredStatus == gantry.Stopped && t.LastStatus != gantry.Stopped {
			return []string{"task/" + c.Key}
		}
		return nil
	}
	if _, i, ok := store.Instances.Of(c); ok && (i == nil || i.Status == gantry.InstanceInactive) {
		return []string{"instance/" + c.Key}
	}
	if before, d, ok := store.Definitions.Of(c); ok && before != nil && d != nil && d.Status == gantry.DeleteInProgress {
		return []string{sweepKey}
	}
	return nil
}

// Run takes every step that is due until ctx ends.
func (c *Controller) Run(ctx context.Context) error {
	return loop.Loop{Name: "lifecycle", Wakes: c.wakes, Reconcile: c.Reconcile, Workers: workers, Log: c.Log}.Run(ctx)
}

// workers is how many keys are worked on at once: they wait for the store only,
// which takes their updates in one transaction.
const workers = 4

// wakes begins with the sweep, which then asks for itself.
func (c *Controller) wakes(ctx context.Context) iter.Seq[string] {
	return func(yield func(string) bool) {
		if !yield(sweepKey) {
			return
		}
		c.Store.Wakes(ctx, Keys)(yield)
	}
}

// Reconcile takes the next step for a key, if any is due.
func (c *Controller) Reconcile(ctx context.Context, key string) (again time.Duration, err error) {
	kind, name, _ := strings.Cut(key, "/")
	switch kind {
	case "task":
		return 0, c.end(ctx, name)
	case "instance":
		return 0, c.endAll(ctx, name)
	case sweepKey:
		return sweepEvery, c.sweep(ctx)
	}
	return 0, nil
}

// endAll ends the tasks of a container instance that is gone.
func (c *Controller) endAll(ctx context.Context, instance string) error {
	var living []string
	for t := range store.TasksByInstance.All(c.Store.View(), instance) {
		if t.LastStatus != gantry.Stopped {
			living = append(living, t.Key())
		}
	}
	for _, key := range living {
		if err := c.end(ctx, key); err != nil {
			return err
		}
	}
	return nil
}

// end ends a task if no agent will report on it.
func (c *Controller) end(ctx context.Context, key string) error {
	_, err := c.Store.Update(ctx, func(tx *store.Tx) error {
		t, ok := store.Tasks.Get(tx, key)
		if !ok {
			return nil
		}
		var instance *gantry.Instance
		if t.Instance != "" {
			instance, _ = store.Instances.Get(tx, string(t.Cluster)+"/"+string(t.Instance))
		}
		if e := EndOf(t, instance); e != nil {
			Stop(tx, t, *e, c.Now())
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("end task %s: %w", key, err)
	}
	return nil
}

// Stop writes a task's ending, and gives back what the task took on its instance.
func Stop(tx *store.Tx, t *gantry.Task, e Ending, now time.Time) {
	store.Tasks.Put(tx, End(t, e, now.UTC().Truncate(time.Millisecond)))
	ledger.Release(tx, t)
}
