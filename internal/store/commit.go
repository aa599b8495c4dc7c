package store

import (
	"context"
	"fmt"
)

// commitLoop is the committer: it makes updates durable, many at a time.
func (s *Store) commitLoop() {
	var waiting []*update
	for {
		if len(waiting) == 0 {
			select {
			case u := <-s.queue:
				waiting = append(waiting, u)
			case <-s.ctx.Done():
				return
			}
		}
		waiting = s.drain(waiting)
		g, later := s.gather(waiting)
		if g.commit(s) {
			waiting = later
		} else {
			waiting = append(g.members, later...)
		}
		if s.ctx.Err() != nil {
			return
		}
	}
}

// drain takes what else is queued, as much as one transaction may want.
func (s *Store) drain(waiting []*update) []*update {
	for len(waiting) < batchWrites {
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
	g = &group{base: base, tip: base.draft(), writes: map[place]*write{}}
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
	return len(g.writes) > 0 && (len(g.writes)+len(tx.writes) > batchWrites || g.bytes+tx.bytes > batchBytes)
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
		writes := make([]*write, 0, len(g.writes))
		for _, w := range g.writes {
			writes = append(writes, w)
		}
		s.replica.expect(writes)
		defer s.replica.expect(nil)
		var committed bool
		var err error
		rev, committed, err = s.backend.commit(s.ctx, g.base.head, writes)
		if err == nil && !committed {
			err = s.overtaken(g.base.head)
			if err == nil {
				return false
			}
		}
		if err == nil {
			_, err = s.Newer(s.ctx, rev-1)
		}
		if err != nil {
			g.tell(outcome{err: fmt.Errorf("commit: %w", err)})
			return true
		}
	}
	g.tell(outcome{revision: rev})
	return true
}

// tell gives every member its outcome. A member that aborted gets its own error,
// unless what it saw came to nothing.
func (g *group) tell(o outcome) {
	for _, u := range g.members {
		if u.err != nil && o.err == nil {
			u.result <- outcome{err: u.err}
			continue
		}
		u.result <- o
	}
}

// overtaken waits until the replica shows the transaction that was faster.
func (s *Store) overtaken(head int64) error {
	for {
		snap, changed := s.replica.watch()
		if snap.head != head {
			return nil
		}
		select {
		case <-changed:
		case <-s.ctx.Done():
			return context.Cause(s.ctx)
		}
	}
}
