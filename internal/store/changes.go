package store

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
	"sort"
)

// A Change is one row written by one transaction. Old and New are the row before
// and after as *T, or nil where it was absent; [Table.Of] reads them.
type Change struct {
	Revision Revision
	Table    string
	Key      string
	Old, New any
}

// remembered is how many changes a server keeps at hand. At forty thousand
// changes a second a reader may be 0.4 s behind before it has to look at the
// state afresh.
const remembered = 16_384

// Changes are all changes after a revision that this server knows, in order.
// ok is false if some of them are no longer at hand: then start again from View.
func (s *Store) Changes(after Revision) (changes []Change, ok bool) {
	changes, _, ok = s.replica.since(after)
	return changes, ok
}

// Follow yields every change after a revision in order, all changes of one
// revision at a time, each exactly once, until ctx ends. It reaches back beyond
// what Changes has at hand, as far as nothing was compacted: see [Followers].
// It ends with an error: ctx's, ErrClosed, or [ErrCompacted].
func (s *Store) Follow(ctx context.Context, after Revision) iter.Seq2[[]Change, error] {
	return func(yield func([]Change, error) bool) {
		for {
			changes, upTo, ok := s.replica.since(after)
			if !ok {
				var more bool
				if after, more = s.past(ctx, after, yield); !more {
					return
				}
				continue
			}
			for len(changes) > 0 {
				after = changes[0].Revision
				n := sort.Search(len(changes), func(i int) bool { return changes[i].Revision > after })
				if !yield(changes[:n:n], nil) {
					return
				}
				changes = changes[n:]
			}
			after = upTo // the last of them may have changed no row
			if _, err := s.Newer(ctx, after); err != nil {
				yield(nil, err)
				return
			}
		}
	}
}

// past yields from the backend's history until Changes can take over.
func (s *Store) past(ctx context.Context, after Revision, yield func([]Change, error) bool) (Revision, bool) {
	layout := s.View().layout
	for b, err := range s.backend.history(ctx, after) {
		if err != nil {
			yield(nil, fmt.Errorf("follow from revision %d: %w", after, err))
			return after, false
		}
		changes := make([]Change, 0, len(b.events))
		for _, e := range b.events {
			c := Change{Revision: b.revision, Table: e.table, Key: e.key}
			old, err := layout.row(e.table, e.key, e.before)
			if err == nil && old != nil {
				c.Old = old.value
			}
			next, err2 := layout.row(e.table, e.key, e.value)
			if err2 == nil && next != nil {
				c.New = next.value
			}
			if err = cmp.Or(err, err2); err != nil {
				yield(nil, fmt.Errorf("follow from revision %d: %w", after, err))
				return after, false
			}
			changes = append(changes, c)
		}
		after = b.revision
		if len(changes) > 0 && !yield(changes, nil) {
			return after, false
		}
		if _, ok := s.Changes(after); ok {
			break
		}
	}
	return after, true
}

// Wakes yields the keys that should be looked at: first those of every row, then
// those of every change, each once however often it changed since it was last
// yielded. keys says which keys a change concerns; it sees the old and the new
// row, so that a row that moved wakes both its places. Wakes ends when ctx or the
// store does.
func (s *Store) Wakes(ctx context.Context, keys func(Change) []string) iter.Seq[string] {
	return func(yield func(string) bool) {
		seen := &Snapshot{layout: s.View().layout}
		for {
			next, err := s.Newer(ctx, seen.revision)
			if err != nil {
				return
			}
			told := map[string]bool{}
			for c := range s.between(seen, next) {
				for _, k := range keys(c) {
					if told[k] {
						continue
					}
					told[k] = true
					if !yield(k) {
						return
					}
				}
			}
			seen = next
		}
	}
}

// between are the changes from one snapshot to a later one: as they happened if
// they are still at hand, else what differs.
func (s *Store) between(from, to *Snapshot) iter.Seq[Change] {
	return func(yield func(Change) bool) {
		if from.tables != nil {
			if changes, ok := s.Changes(from.revision); ok {
				for _, c := range changes {
					if c.Revision > to.revision || !yield(c) {
						return
					}
				}
				return
			}
		}
		difference(from, to)(yield)
	}
}

// since are the changes after a revision that are at hand, up to the present one.
func (r *replica) since(after Revision) (changes []Change, upTo Revision, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	changes, ok = r.recent.after(after)
	return changes, max(after, r.current.Load().revision), ok
}

// ring keeps the newest changes.
type ring struct {
	since   Revision // all changes after this one are kept
	changes []Change
}

func (r *ring) add(rev Revision, changes []Change) {
	r.changes = append(r.changes, changes...)
	if len(r.changes) <= 2*remembered {
		return
	}
	// Drop whole revisions from the front, and let go of their rows.
	cut := len(r.changes) - remembered
	last := r.changes[cut-1].Revision
	for cut < len(r.changes) && r.changes[cut].Revision == last {
		cut++
	}
	r.since = last
	r.changes = slices.Clone(r.changes[cut:])
}

func (r *ring) after(rev Revision) ([]Change, bool) {
	if rev < r.since {
		return nil, false
	}
	i := sort.Search(len(r.changes), func(i int) bool { return r.changes[i].Revision > rev })
	return r.changes[i:len(r.changes):len(r.changes)], true
}
