// Package store holds everything that gantry knows: clusters, task definitions,
// tasks, container instances and what else ECS remembers, durable in etcd and
// readable in memory.
//
// A [Table] is declared once, in tables.go, with the indexes that it is looked
// up by. A row is a plain struct of package gantry, handed out as a pointer that
// everybody shares: never change what you were given, [Table.Change] hands you a
// copy to change.
//
//	snap := s.View()                                  // one revision, never waits, never changes
//	task, ok := store.Tasks.Get(snap, "prod/6d2f…")
//	for t := range store.Tasks.All(snap, "prod/")     // in key order
//	for t := range store.TasksByInstance.All(snap, "prod/93ab…")
//
//	rev, err := s.Update(ctx, func(tx *store.Tx) error {
//		if _, ok := store.Clusters.Get(tx, "prod"); !ok {
//			return errors.New("no such cluster")      // aborts; comes back as it is
//		}
//		store.Tasks.Put(tx, task)
//		return store.Reservations.Change(tx, key, func(r *gantry.Reservation) error {
//			r.Tasks++
//			return nil
//		})
//	})
//
// What a caller may rely on:
//
//   - Updates are serializable, on one server and between several: whatever a
//     function read (rows, rows that were absent, prefixes, indexes) was still so
//     at the moment its writes took effect. If not, it runs again; so it has no
//     side effects, does not wait, and calls neither Update nor Fresh.
//   - When Update has returned, its writes are on disk (with several servers: on
//     most of them), and View shows them. An update is seen whole or not at all.
//   - View is what this server knows. [Store.Fresh] is what any server has
//     acknowledged before the call: lists and describes start there.
//   - [Store.Wakes] says what to look at again, each key once however often it
//     changed; [Store.Changes] and [Store.Follow] tell every change in order.
//
// How it is done: each server keeps all rows in copy-on-write B-trees, fed only
// by the backend's watch. One committer per server validates updates in order
// against those trees plus what it is about to write, and commits many in one
// transaction. Every transaction counts up one key, the head, and is refused if
// another server has counted it up meanwhile; then the committer catches up and
// validates again, and only updates whose reads really changed run again.
//
// The store never decides anything about ECS, and nothing but this package
// speaks to etcd.
package store

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
)

// A Revision counts the store's changes. It rises with every committed
// transaction, on all servers alike, and never falls, also not by a restore.
type Revision int64

// A Store is one server's access to the state. It is made by [Memory.Open] or
// [OpenEtcd], and is safe for concurrent use.
type Store struct {
	backend backend
	replica *replica
	queue   chan *update
	log     *slog.Logger
	id      string // of this run of this server
	// sent counts transactions asked for, so that none is taken for another: one that
	// got no answer may turn up when the next is under way.
	sent atomic.Int64

	compacted atomicRevision // up to which history was
	relieved  atomic.Int64   // when the keeper was last called, in Unix nanoseconds
	tight     chan struct{}  // has the keeper come at once

	ctx   context.Context // ends when the store is closed or has failed
	fail  context.CancelCauseFunc
	done  sync.WaitGroup // the goroutines below
	close func() error
}

type atomicRevision struct{ v atomic.Int64 }

func (a *atomicRevision) Load() Revision   { return Revision(a.v.Load()) }
func (a *atomicRevision) Store(r Revision) { a.v.Store(int64(r)) }

// queued is how many updates may wait for the committer before callers wait to
// be queued: several transactions' worth.
const queued = 1024

// open loads the replica and starts the goroutines that keep a store going: the
// feeder (watch into replica), the committer and the keeper.
func open(ctx context.Context, b backend, tables []AnyTable, log *slog.Logger) (*Store, error) {
	layout, err := newLayout(tables)
	if err != nil {
		return nil, err
	}
	first, err := load(ctx, b, layout)
	if err != nil {
		return nil, fmt.Errorf("read the store: %w", err)
	}
	life, fail := context.WithCancelCause(context.Background())
	s := &Store{
		backend: b,
		replica: newReplica(first),
		queue:   make(chan *update, queued),
		log:     log,
		id:      newID(),
		tight:   make(chan struct{}, 1),
		ctx:     life,
		fail:    fail,
	}
	s.close = sync.OnceValue(func() error {
		fail(ErrClosed)
		err := b.close()
		s.done.Wait()
		return err
	})
	s.done.Go(s.feed)
	s.done.Go(s.commitLoop)
	s.done.Go(s.keeper)
	return s, nil
}

// Close ends the store. Updates under way come back with [ErrClosed] or have
// been made; snapshots stay readable. Closing again does nothing.
func (s *Store) Close() error { return s.close() }

// Wait returns when the store cannot go on, and says why: [ErrClosed] after
// Close, else what broke it; nil never. It ends early, with ctx's error, if ctx does
// while the store can go on.
func (s *Store) Wait(ctx context.Context) error {
	select {
	case <-s.ctx.Done():
	case <-ctx.Done():
	}
	if s.ctx.Err() != nil {
		return context.Cause(s.ctx)
	}
	return ctx.Err()
}

// View is the newest state that this server knows. It costs a pointer.
func (s *Store) View() *Snapshot { return s.replica.current.Load() }

// Fresh is a state that holds everything that any server has acknowledged
// before the call. It fails when the servers have no quorum.
func (s *Store) Fresh(ctx context.Context) (*Snapshot, error) {
	if err := s.ctx.Err(); err != nil {
		return nil, context.Cause(s.ctx)
	}
	if s.backend.alone() {
		return s.View(), nil
	}
	rev, _, err := s.backend.barrier(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask for the newest revision: %w", err)
	}
	return s.Newer(ctx, rev-1)
}

// Newer waits until the state is newer than the given revision, and returns it.
func (s *Store) Newer(ctx context.Context, than Revision) (*Snapshot, error) {
	for {
		snap, changed := s.replica.watch()
		if snap.revision > than {
			return snap, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-s.ctx.Done():
			return nil, context.Cause(s.ctx)
		}
	}
}

// Lead calls run while this server leads in name: on one server at a time, as far
// as time can tell, with a context that ends when it no longer does. A leader that
// is cut off notices later than the others do, so that what it writes has to hold by
// the store's rules. Lead returns run's error, or ctx's when that has ended.
func (s *Store) Lead(ctx context.Context, name string, run func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(s.ctx, func() { cancel(context.Cause(s.ctx)) })()
	err := s.backend.lead(ctx, name, run)
	if s.ctx.Err() != nil {
		return context.Cause(s.ctx)
	}
	return err
}

// Origin says where the data comes from, and whether it was ever restored.
func (s *Store) Origin(ctx context.Context) (Origin, error) { return s.backend.origin(ctx) }

// feed applies the backend's watch to the replica, in order, and notices when the
// backend breaks.
func (s *Store) feed() {
	s.done.Go(func() {
		select {
		case err := <-s.backend.broken():
			s.log.Error("the store stops", "error", err)
			s.fail(err)
		case <-s.ctx.Done():
		}
	})
	err := s.backend.watch(s.ctx, s.View().revision, s.replica.apply)
	if err != nil && s.ctx.Err() == nil {
		err = fmt.Errorf("follow the store's changes: %w", err)
		s.log.Error("the store stops", "error", err)
		s.fail(err)
	}
}
