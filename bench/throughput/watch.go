package main

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"gantry"
	"gantry/internal/store"
)

// A watch counts what becomes of tasks, by the store's own changes, each when it is
// durable and visible.
type watch struct {
	store *store.Store
	stop  context.CancelFunc
	news  chan struct{} // holds one: there is more to see

	mu  sync.Mutex
	saw seen
	err error
}

// seen is what a watch has counted.
type seen struct {
	Placed, Running, Stopped steps
	// Rows are the records that were written, Transactions how often something was.
	Rows, Transactions int
	Tables             map[string]int
}

// steps are tasks that reached a step: how many, and when the first and the last did.
type steps struct {
	N           int
	First, Last time.Time
}

func (s *steps) add(at time.Time) {
	if s.N == 0 {
		s.First = at
	}
	s.N, s.Last = s.N+1, at
}

// perSecond is the rate between the first and the last.
func (s steps) perSecond() float64 { return float64(s.N) / s.Last.Sub(s.First).Seconds() }

func startWatch(st *store.Store) *watch {
	ctx, stop := context.WithCancel(context.Background())
	w := &watch{store: st, stop: stop, news: make(chan struct{}, 1), saw: seen{Tables: map[string]int{}}}
	go w.follow(ctx, st.View().Revision())
	return w
}

func (w *watch) follow(ctx context.Context, after store.Revision) {
	for changes, err := range w.store.Follow(ctx, after) {
		at := time.Now()
		w.mu.Lock()
		if err != nil {
			w.err = err
			w.mu.Unlock()
			return
		}
		w.saw.Transactions++
		for _, c := range changes {
			w.saw.count(c, at)
		}
		w.mu.Unlock()
		select {
		case w.news <- struct{}{}:
		default:
		}
	}
}

func (s *seen) count(c store.Change, at time.Time) {
	s.Rows++
	s.Tables[c.Table]++
	before, after, ok := store.Tasks.Of(c)
	if !ok || after == nil {
		return
	}
	if before == nil && after.Instance != "" {
		s.Placed.add(at)
	}
	if before != nil && before.LastStatus != after.LastStatus {
		switch after.LastStatus {
		case gantry.Running:
			s.Running.add(at)
		case gantry.Stopped:
			s.Stopped.add(at)
		}
	}
}

// settle is what the parent asks: wait until so many tasks run, and so many have stopped.
type settle struct {
	Running, Stopped int
	Within           time.Duration
}

// settle waits until so many tasks have come to run and to stop, and tells what was seen.
func (w *watch) settle(s settle) (seen, error) {
	late := time.After(s.Within)
	for {
		w.mu.Lock()
		saw, err := w.saw, w.err
		saw.Tables = maps.Clone(saw.Tables)
		w.mu.Unlock()
		if err != nil {
			return seen{}, err
		}
		if saw.Running.N >= s.Running && saw.Stopped.N >= s.Stopped {
			w.stop()
			return saw, nil
		}
		select {
		case <-w.news:
		case <-late:
			return seen{}, fmt.Errorf("%d of %d tasks run after %s, %d are placed, %d have stopped", saw.Running.N, s.Running, s.Within, saw.Placed.N, saw.Stopped.N)
		}
	}
}
