package store

import (
	"bytes"
	"fmt"
	"sync"
	"sync/atomic"
)

// replica is the state as this server knows it. One goroutine applies batches;
// everybody reads.
type replica struct {
	current atomic.Pointer[Snapshot]

	mu      sync.Mutex
	changed chan struct{} // closed and replaced with every batch
	recent  ring
	// expected are the rows that the committer is about to have written. When the
	// watch brings the same bytes they are used as they are: nothing is decoded
	// twice, and whoever read them before they were durable has read the real ones.
	expected map[place]*write
	// awaited is the id of the transaction being committed, and madeAt the revision
	// at which it has turned up, 0 until then.
	awaited string
	madeAt  Revision
}

func newReplica(first *Snapshot) *replica {
	r := &replica{changed: make(chan struct{}), recent: ring{since: first.revision}}
	r.current.Store(first)
	return r
}

// watch is the current snapshot, and a channel that closes when there is a newer one.
func (r *replica) watch() (*Snapshot, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.current.Load(), r.changed
}

// expect announces a transaction that is being committed; none where writes is nil.
func (r *replica) expect(id string, writes []*write) {
	expected := make(map[place]*write, len(writes))
	for _, w := range writes {
		expected[w.place] = w
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.expected, r.awaited, r.madeAt = expected, id, 0
}

// made tells whether the transaction that was announced has turned up, and when.
func (r *replica) made() (Revision, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.madeAt, r.madeAt != 0
}

// apply makes the next snapshot. It is called by the feeder only.
func (r *replica) apply(b batch) error {
	now := r.current.Load()
	if b.revision <= now.revision {
		return nil
	}
	d := now.draft()
	d.revision = b.revision
	if b.head != 0 {
		d.head = b.head
	}
	r.mu.Lock()
	expected := r.expected
	r.mu.Unlock()
	changes := make([]Change, 0, len(b.events))
	for _, e := range b.events {
		i, err := d.layout.find(e.table)
		if err != nil {
			return fmt.Errorf("read %s %s: %w", e.table, e.key, err)
		}
		var next *row
		if w := expected[place{d.layout.schemas[i], e.key}]; w != nil && w.row != nil && e.value != nil && bytes.Equal(w.bytes, e.value) {
			next = w.row
		} else if next, err = d.layout.row(e.table, e.key, e.value); err != nil {
			return err
		}
		c := Change{Revision: b.revision, Table: e.table, Key: e.key}
		if next != nil {
			next.revision = b.revision
			c.New = next.value
		}
		if old := d.set(i, e.key, next); old != nil {
			c.Old = old.value
		}
		changes = append(changes, c)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if b.by != "" && b.by == r.awaited {
		r.madeAt = b.revision
	}
	r.recent.add(b.revision, changes)
	r.current.Store(&d.Snapshot)
	close(r.changed)
	r.changed = make(chan struct{})
	return nil
}
