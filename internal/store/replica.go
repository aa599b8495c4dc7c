package store

import (
	"strings"
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
	// announced is the transaction that the committer is about to make. When it turns
	// up its outcome is taken over as it was prepared, nothing is decoded or inserted
	// twice.
	announced *prepared
	// turn is the server that asks to go first; empty once it has.
	turn string
}

// writtenRow is a row that a transaction puts, or deletes where row is nil.
type writtenRow struct {
	table int
	key   string
	row   *row
}

// prepared is what a transaction will lead to.
type prepared struct {
	id      string // as it is left at the head
	from    *Snapshot
	next    *draft
	changes []Change
	written []writtenRow
	// madeAt is the revision at which it was made, 0 until then.
	madeAt Revision
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

// announce prepares for a transaction; nil: for none.
func (r *replica) announce(p *prepared) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.announced = p
}

// made tells whether the transaction that was announced has turned up, and when.
func (r *replica) made(p *prepared) (Revision, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return p.madeAt, p.madeAt != 0
}

// turnOf is the server whose turn it is, if it has asked, and a channel that closes
// when that may have changed.
func (r *replica) turnOf() (string, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.turn, r.changed
}

// passed forgets a server's request.
func (r *replica) passed(server string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.turn == server {
		r.turn = ""
	}
}

// apply makes the next snapshot. It is called by the feeder only.
func (r *replica) apply(b batch) error {
	now := r.current.Load()
	if b.revision <= now.revision {
		return nil
	}
	r.mu.Lock()
	p := r.announced
	r.mu.Unlock()
	if p == nil || b.by != p.id || p.from.head != now.head {
		var err error
		if p, err = prepare(now, b); err != nil {
			return err
		}
	}
	next := &p.next.Snapshot
	if b.head != 0 {
		next.head = b.head
	}
	p.next.publish(b.revision, p.written)
	for i := range p.changes {
		p.changes[i].Revision = b.revision
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	p.madeAt = b.revision
	switch {
	case b.turn != "":
		r.turn = b.turn
	case r.turn != "" && strings.HasPrefix(b.by, r.turn+"/"):
		r.turn = ""
	}
	r.recent.add(b.revision, p.changes)
	r.current.Store(next)
	close(r.changed)
	r.changed = make(chan struct{})
	return nil
}

// prepare reads another server's transaction.
func prepare(now *Snapshot, b batch) (*prepared, error) {
	p := &prepared{from: now, next: now.draft(), changes: make([]Change, 0, len(b.events))}
	for _, e := range b.events {
		next, err := now.layout.row(e.table, e.key, e.value)
		if err != nil {
			return nil, err
		}
		table := now.layout.named[e.table]
		p.tell(table, e.key, p.next.set(table, e.key, next), next)
	}
	return p, nil
}

// tell notes a change.
func (p *prepared) tell(table int, key string, old, next *row) {
	p.written = append(p.written, writtenRow{table, key, next})
	c := Change{Table: p.next.layout.schemas[table].name, Key: key}
	if old != nil {
		c.Old = old.value
	}
	if next != nil {
		c.New = next.value
	}
	if old != next {
		p.changes = append(p.changes, c)
	}
}
