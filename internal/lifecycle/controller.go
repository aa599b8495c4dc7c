package lifecycle

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"slices"
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
	// Loss is when silent agents are given up.
	Loss LossRule
	Now  func() time.Time
	Log  *slog.Logger // nil where nothing is to be told

	began time.Time // when Run was called, by the clock that never jumps
	vigil Vigil     // belongs to the silence key: one look at a time
}

// Keys says what a change makes worth a look: "task/<key>", "instance/<key>", "silence", "sweep".
func Keys(c store.Change) []string {
	if before, t, ok := store.Tasks.Of(c); ok {
		if t != nil && t.DesiredStatus == gantry.Stopped && t.LastStatus != gantry.Stopped &&
			(t.Instance == "" || before == nil || before.DesiredStatus != gantry.Stopped) {
			return []string{"task/" + c.Key}
		}
		return nil
	}
	if before, i, ok := store.Instances.Of(c); ok {
		switch {
		case i == nil || i.Status == gantry.InstanceInactive:
			return []string{"instance/" + c.Key, silenceKey}
		case before == nil || before.Status != i.Status:
			return []string{silenceKey}
		}
		return nil
	}
	if before, conn, ok := store.Connections.Of(c); ok && conn != nil {
		switch {
		case conn.Loss == gantry.LossGivenUp:
			return []string{"instance/" + c.Key, silenceKey}
		case before == nil || before.Connected != conn.Connected:
			return []string{silenceKey}
		}
		return nil
	}
	if before, d, ok := store.Definitions.Of(c); ok && before != nil && d != nil && d.Status == gantry.DeleteInProgress {
		return []string{sweepKey}
	}
	return nil
}

// Run takes every step that is due until ctx ends.
func (c *Controller) Run(ctx context.Context) error {
	c.began = time.Now()
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
	case silenceKey:
		return c.watch(ctx)
	case sweepKey:
		return sweepEvery, c.sweep(ctx)
	}
	return 0, nil
}

// maxEndings bounds how many tasks one transaction ends, so that it fits an etcd that
// takes its usual 128 operations.
const maxEndings = 50

// endAll ends the tasks of a container instance that is gone.
func (c *Controller) endAll(ctx context.Context, instance string) error {
	var over []string
	snap := c.Store.View()
	for t := range store.TasksByInstance.All(snap, instance) {
		if ending(snap, t) != nil {
			over = append(over, t.Key())
		}
	}
	for batch := range slices.Chunk(over, maxEndings) {
		if err := c.end(ctx, batch...); err != nil {
			return err
		}
	}
	return nil
}

// ending is EndOf, asked of what is in r.
func ending(r store.Reader, t *gantry.Task) *Ending {
	if t.Instance == "" {
		return EndOf(t, nil, nil)
	}
	key := string(t.Cluster) + "/" + string(t.Instance)
	instance, _ := store.Instances.Get(r, key)
	connection, _ := store.Connections.Get(r, key)
	return EndOf(t, instance, connection)
}

// end ends tasks on which no agent will report.
func (c *Controller) end(ctx context.Context, keys ...string) error {
	snap := c.Store.View()
	if !slices.ContainsFunc(keys, func(key string) bool {
		t, ok := store.Tasks.Get(snap, key)
		return ok && ending(snap, t) != nil
	}) {
		return nil
	}
	_, err := c.Store.Update(ctx, func(tx *store.Tx) error {
		for _, key := range keys {
			if t, ok := store.Tasks.Get(tx, key); ok {
				if e := ending(tx, t); e != nil {
					Stop(tx, t, *e, c.Now())
				}
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("end task %s: %w", strings.Join(keys, ", "), err)
	}
	return nil
}

func (c *Controller) log() *slog.Logger {
	if c.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return c.Log
}

// Stop writes a task's ending, and gives back what the task took on its instance.
func Stop(tx *store.Tx, t *gantry.Task, e Ending, now time.Time) {
	store.Tasks.Put(tx, End(t, e, now.UTC().Truncate(time.Millisecond)))
	ledger.Release(tx, t)
}
