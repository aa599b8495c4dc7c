package placement

import (
	"hash/maphash"
	"iter"
	"maps"
	"slices"
)

// An owner is the identity of one Cluster at one time. Memory that carries an owner may be
// changed in place by the Cluster with that owner; everybody else copies it first. Cloning
// gives both sides new owners, and so costs no copy until something changes.
type owner struct{ _ byte }

// The copies that one change of one item costs after a clone: a page of items and a branch
// of pages. Both are small, and so is what remains for every clone to copy, the list of
// branches: a twentieth of a kilobyte for a thousand items.
const (
	pageSize   = 8
	branchSize = 32
)

type page[T any] struct {
	owner *owner
	items [pageSize]T
}

type branch[T any] struct {
	owner *owner
	pages [branchSize]*page[T]
}

// paged is a list of items that clones share page by page. Items that were never set are
// zero.
type paged[T any] struct{ branches []*branch[T] }

// get gives item i to read, nil where neither it nor a neighbour was ever set.
func (p *paged[T]) get(i int32) *T {
	n := int(i) / (pageSize * branchSize)
	if n >= len(p.branches) || p.branches[n] == nil {
		return nil
	}
	pg := p.branches[n].pages[i/pageSize%branchSize]
	if pg == nil {
		return nil
	}
	return &pg.items[i%pageSize]
}

// own gives item i to change.
func (p *paged[T]) own(i int32, me *owner) *T {
	n := int(i) / (pageSize * branchSize)
	for n >= len(p.branches) {
		p.branches = append(p.branches, nil)
	}
	switch b := p.branches[n]; {
	case b == nil:
		p.branches[n] = &branch[T]{owner: me}
	case b.owner != me:
		p.branches[n] = &branch[T]{me, b.pages}
	}
	pg := &p.branches[n].pages[i/pageSize%branchSize]
	switch {
	case *pg == nil:
		*pg = &page[T]{owner: me}
	case (*pg).owner != me:
		*pg = &page[T]{me, (*pg).items}
	}
	return &(*pg).items[i%pageSize]
}

// all gives the items that were set, and neighbours of theirs.
func (p *paged[T]) all() iter.Seq2[int32, *T] {
	return func(yield func(int32, *T) bool) {
		for n := range int32(len(p.branches) * branchSize * pageSize) {
			if item := p.get(n); item != nil && !yield(n, item) {
				return
			}
		}
	}
}

func (p paged[T]) clone() paged[T] { return paged[T]{slices.Clone(p.branches)} }

// shardCount keeps a shard, which is what is copied when one key of it changes, small
// for thousands of keys, and a clone of all shards cheap.
const shardCount = 128

type shard[K ~string, V any] struct {
	owner *owner
	items map[K]V
}

// sharded is a map that clones share shard by shard. Its copies are independent.
type sharded[K ~string, V any] struct {
	seed   maphash.Seed // only spreads keys over shards: no result depends on it
	shards [shardCount]*shard[K, V]
}

func newSharded[K ~string, V any]() sharded[K, V] {
	return sharded[K, V]{seed: maphash.MakeSeed()}
}

func (s *sharded[K, V]) index(k K) uint64 { return maphash.String(s.seed, string(k)) % shardCount }

func (s *sharded[K, V]) get(k K) (v V, ok bool) {
	if sh := s.shards[s.index(k)]; sh != nil {
		v, ok = sh.items[k]
	}
	return v, ok
}

// own gives the shard of k to change.
func (s *sharded[K, V]) own(k K, me *owner) map[K]V {
	i := s.index(k)
	switch sh := s.shards[i]; {
	case sh == nil:
		s.shards[i] = &shard[K, V]{me, map[K]V{}}
	case sh.owner != me:
		s.shards[i] = &shard[K, V]{me, maps.Clone(sh.items)}
	}
	return s.shards[i].items
}
