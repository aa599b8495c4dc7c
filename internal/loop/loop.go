// Package loop runs what keeps gantry's promises: a reconciler is handed a key (a
// service, a task, a cluster), looks at the state afresh and takes the next step,
// if any is due.
//
//	err := loop.Loop{
//		Name:      "service",
//		Wakes:     func(ctx context.Context) iter.Seq[string] { return s.Wakes(ctx, keys) },
//		Reconcile: controller.Reconcile,
//		Workers:   4,
//		Leader:    s,
//	}.Run(ctx)
//
// What a reconciler may rely on: it never runs twice at once for one key; after a
// wake it runs at least once, however many wakes there were; one that failed runs
// again, later and later; one that asked for it runs again in time. With a Leader
// it runs on one server only, as far as time can tell: two may believe to lead for
// a moment, so that what it writes has to hold by the store's own rules.
//
// The loop keeps nothing: whoever starts it anew, or begins to lead, begins with a
// wake for every key there is.
package loop

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"time"
)

// A Reconciler looks at the state afresh and takes the next step, if any is due.
// Calling it twice, late, or after a crash does no harm. If again is not 0 it is
// called again after that time, or when woken before; an error makes again mean nothing.
type Reconciler func(ctx context.Context, key string) (again time.Duration, err error)

// A Leader runs something on one server at a time: run is called when this server
// leads, with a context that ends when it no longer does. Lead returns when ctx
// ends, or with run's error.
type Leader interface {
	Lead(ctx context.Context, name string, run func(context.Context) error) error
}

// A Loop is a reconciler with what wakes it.
type Loop struct {
	// Name is told in logs, and is what servers elect a leader for.
	Name string
	// Wakes yields keys to look at, beginning with all there are, until its context ends.
	Wakes     func(context.Context) iter.Seq[string]
	Reconcile Reconciler
	// Workers is how many keys may be worked on at once; 0 means 1.
	Workers int
	// Leader is nil where every server is to run the loop.
	Leader Leader
	// Log is nil where failures are not to be told.
	Log *slog.Logger
}

const (
	// firstBackOff is how long a key waits after its first failure; each further one
	// doubles it.
	firstBackOff = 50 * time.Millisecond
	// mostBackOff bounds that: after an outage of whatever length everything is looked
	// at again within it.
	mostBackOff = 10 * time.Second
)

// Run works until ctx ends, and then returns its error; all reconcilers have
// returned by then. It ends earlier only if the wakes do.
func (l Loop) Run(ctx context.Context) error {
	if l.Log == nil {
		l.Log = slog.New(slog.DiscardHandler)
	}
	if l.Leader == nil {
		return l.work(ctx)
	}
	if err := l.Leader.Lead(ctx, l.Name, l.work); err != nil {
		return fmt.Errorf("lead the %s loop: %w", l.Name, err)
	}
	return ctx.Err()
}

func (l Loop) work(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	q := newQueue()
	var all sync.WaitGroup
	defer all.Wait()
	defer q.close()
	defer cancel()
	for range max(l.Workers, 1) {
		all.Go(func() {
			for {
				key, ok := q.next()
				if !ok {
					return
				}
				q.done(key, l.step(ctx, key, q.failures(key)))
			}
		})
	}
	for key := range l.Wakes(ctx) {
		q.wake(key)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return fmt.Errorf("the %s loop: its wakes have ended", l.Name)
}

// step runs the reconciler once, and says when it is to run again.
func (l Loop) step(ctx context.Context, key string, failures int) (next verdict) {
	again, err := l.guarded(ctx, key)
	if err == nil {
		return verdict{again: again}
	}
	if ctx.Err() == nil {
		l.Log.Warn("reconciling failed, and will be repeated", "loop", l.Name, "key", key, "failures", failures+1, "error", err)
	}
	return verdict{again: backOff(failures, rand.Float64()), failed: true}
}

// guarded makes an error of a panic: one bad key must not stop the others.
func (l Loop) guarded(ctx context.Context, key string) (again time.Duration, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errors.Join(fmt.Errorf("panic: %v", p), errors.New(string(debug.Stack())))
		}
	}()
	return l.Reconcile(ctx, key)
}

// backOff is how long to wait after another failure: between half and all of what
// the number of failures before demands; random, in [0,1), says where.
func backOff(failures int, random float64) time.Duration {
	d := mostBackOff
	if failures < 8 {
		d = min(firstBackOff<<failures, mostBackOff)
	}
	return d/2 + time.Duration(random*float64(d/2))
}
