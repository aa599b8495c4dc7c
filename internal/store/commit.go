package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"golang.org/x/time/rate"
)

// commitLoop is the committer: it makes updates durable, many at a time.
func (s *Store) commitLoop() {
	pace := rate.NewLimiter(commitsPerSecond, commitsAtOnce)
	busy := false // the transaction before was shared by several
	var waiting []*update
	lost := 0 // transactions in a row that another server was faster with
	for {
		if len(waiting) == 0 {
			select {
			case u := <-s.queue:
				waiting = append(waiting, u)
			case <-s.ctx.Done():
				return
			}
		}
		s.giveWay()
		waiting = s.drain(waiting)
		if (busy || len(waiting) > 1) && pace.Wait(s.ctx) != nil {
			return
		}
		waiting = s.drain(waiting)
		g, later := s.gather(waiting)
		g.lost, busy = lost, len(waiting) > 1
		if g.commit(s) {
			waiting, lost = later, 0
		} else {
			waiting, lost = append(g.members, later...), lost+1
		}
		if s.ctx.Err() != nil {
			return
		}
	}
}

// Updates that come many at a time make commitsPerSecond transactions, after commitsAtOnce without a pause: the more
// share one, the less each costs, since a transaction's log record, its sync and its round through raft are paid once.
// At 1,500 tasks started per second that is 40 % of all CPU time, for 7 ms at most. Who updates alone never waits.
const (
	commitsPerSecond = 150
	commitsAtOnce    = 25
)

// courtesy is for how long a server that has asked for its turn is let go first: more
// than its transaction needs, and little enough if it has died meanwhile.
const courtesy = 50 * time.Millisecond

// giveWay waits while another server, which was too late several times, has its turn:
// else a server near the leader could keep one that is far from ever committing.
func (s *Store) giveWay() {
	var over <-chan time.Time
	for {
		who, changed := s.replica.turnOf()
		if who == "" || who == s.id {
			return
		}
		if over == nil {
			over = time.After(courtesy)
		}
		select {
		case <-changed:
		case <-over:
			s.replica.passed(who)
			return
		case <-s.ctx.Done():
			return
		}
	}
}

// drain takes what else is queued, as much as one transaction may want.
func (s *Store) drain(waiting []*update) []*update {
	for most := s.backend.limits().batchWrites; len(waiting) < most; {
		select {
		case u := <-s.queue:
			waiting = append(waiting, u)
		default:
			return waiting
		}
	}
	return waiting
}

// A group is the updates that share a transaction.
type group struct {
	max     limits
	lost    int // how often the members have come too late
	base    *Snapshot
	tip     *draft // base and all the group's writes: what the next member must agree with
	members []*update
	writes  map[place]*write
	bytes   int
}

// gather makes a group of the updates that wait, in order: each is held against
// the state with the writes of those before it, and runs again if what it read
// has changed. Updates that have to wait for the next transaction come back.
func (s *Store) gather(waiting []*update) (g *group, later []*update) {
	base := s.View()
	g = &group{max: s.backend.limits(), base: base, tip: base.draft(), writes: map[place]*write{}}
	for i, u := range waiting {
		if u.left() {
			continue
		}
		if !u.tx.holds(g.tip) && !u.rerun(g.tip) {
			continue
		}
		switch {
		case u.err != nil:
			g.members = append(g.members, u)
		case g.full(u.tx):
			return g, append(later, waiting[i:]...)
		case g.repeats(u.tx):
			later = append(later, u)
		default:
			g.add(u)
		}
	}
	return g, later
}

// full reports whether a transaction would grow too large with one more update.
// One update alone is never too large, or it would not be here.
func (g *group) full(tx *Tx) bool {
	return len(g.writes) > 0 && (len(g.writes)+len(tx.writes) > g.max.batchWrites || g.bytes+tx.bytes > g.max.batchBytes)
}

// repeats reports whether an update writes a row that the group writes already,
// and that is no [Merged] one: each of its versions is told to followers.
func (g *group) repeats(tx *Tx) bool {
	for _, w := range tx.writes {
		if _, twice := g.writes[w.place]; twice && !w.schema.merged {
			return true
		}
	}
	return false
}

func (g *group) add(u *update) {
	g.members = append(g.members, u)
	g.bytes += u.tx.bytes
	for _, w := range u.tx.writes {
		g.writes[w.place] = w
		g.tip.set(g.tip.layout.of(w.schema), w.key, w.row)
	}
}

// commit makes a group durable and tells its members. It reports false if another
// server was faster: then the replica has caught up, and the members try again.
func (g *group) commit(s *Store) (done bool) {
	rev := g.base.revision
	if len(g.writes) > 0 {
		var committed bool
		var err error
		rev, committed, err = g.write(s)
		s.relieve(err)
		if err != nil {
			g.tell(outcome{err: fmt.Errorf("commit: %w", err)})
			return true
		}
		if !committed {
			return false
		}
	}
	g.tell(outcome{revision: rev, unsure: len(g.writes) == 0})
	return true
}

// write makes the group's writes durable, and waits until the replica shows them,
// or shows the transaction of another server that was faster.
func (g *group) write(s *Store) (rev Revision, committed bool, err error) {
	p, writes := g.prepare(fmt.Sprintf("%s/%d", s.id, s.sent.Add(1)))
	s.replica.announce(p)
	defer s.replica.announce(nil)
	t := transaction{head: g.base.head, id: p.id, writes: writes}
	if g.lost > 0 {
		t.turn = s.id
	}
	rev, committed, err = s.backend.commit(s.ctx, t)
	switch {
	case err == nil && committed:
		_, err = s.Newer(s.ctx, rev-1)
		return rev, true, err
	case err == nil:
		// A transaction that etcd's client has sent twice comes too late for itself.
		err = s.overtaken(s.ctx, g.base.head)
		rev, committed = s.replica.made(p)
		return rev, committed, err
	case errors.Is(err, errUnsettled), errors.Is(err, ErrNoSpace):
		return g.settle(s, p, err)
	}
	return 0, false, err
}

// prepare is what the group's transaction will lead to if it is made, and its
// writes in the order of tables and keys.
func (g *group) prepare(id string) (*prepared, []*write) {
	writes := slices.SortedFunc(maps.Values(g.writes), func(a, b *write) int {
		return cmp.Or(cmp.Compare(a.schema.name, b.schema.name), cmp.Compare(a.key, b.key))
	})
	p := &prepared{id: id, from: g.base, next: g.tip, changes: make([]Change, 0, len(writes))}
	for _, w := range writes {
		p.tell(g.base.layout.of(w.schema), w.key, g.base.get(w.schema, w.key), w.row)
	}
	return p, writes
}

// settle finds out what became of a transaction whose committer got no clear
// answer: exactly one transaction follows g's base, and it tells by its id whose it
// is. As long as there is none, the outcome is open, unless the quorum says that
// there is none after refusing ours.
func (g *group) settle(s *Store, p *prepared, cause error) (Revision, bool, error) {
	ctx, cancel := context.WithTimeout(s.ctx, patience)
	defer cancel()
	if errors.Is(cause, ErrNoSpace) {
		if _, head, err := s.backend.barrier(ctx); err == nil && head == g.base.head {
			return 0, false, cause
		}
	}
	if err := s.overtaken(ctx, g.base.head); err != nil {
		return 0, false, fmt.Errorf("%w: %w", ErrUnknown, cause)
	}
	rev, made := s.replica.made(p)
	return rev, made, nil
}

// tell gives every member its outcome. A member that aborted gets its own error,
// unless what it saw came to nothing.
func (g *group) tell(o outcome) {
	for _, u := range g.members {
		if u.err != nil && o.err == nil {
			u.result <- outcome{err: u.err, unsure: o.unsure}
			continue
		}
		u.result <- o
	}
}

// overtaken waits until the replica shows the transaction that follows a head.
func (s *Store) overtaken(ctx context.Context, head int64) error {
	for {
		snap, changed := s.replica.watch()
		if snap.head != head {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
