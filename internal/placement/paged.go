package placement

import (
	"hash/maphash"
	"maps"
	"slices"
)

// An owner is the identity of one Cluster at one time. Memory that carries an owner may be
// changed in place by the Cluster with that owner; everybody else copies it first. Cloning
// gives both sides new owners, and so costs no copy until something changes.
type owner struct{ _ byte }

// pageSize is how many items are copied when one of them changes for the first time after
// a clone: few, since a request changes few, and enough to keep the list of pages short.
const pageSize = 32

type page[T any] struct {
	owner *owner
	items [pageSize]T
}

// paged is a list of items that clones share page by page. Items that were never set are
// zero.
type paged[T any] struct{ pages []*page[T] }

// get gives item i to read, nil where it was never set.
func (p *paged[T]) get(i int32) *T {
	n := int(i) / pageSize
	if n >= len(p.pages) || p.pages[n] == nil {
		return nil
	}
	return &p.pages[n].items[i%pageSize]
}

// own gives item i to change.
func (p *paged[T]) own(i int32, me *owner) *T {
	n := int(i) / pageSize
	for n >= len(p.pages) {
		p.pages = append(p.pages, nil)
	}
	switch pg := p.pages[n]; {
	case pg == nil:
		p.pages[n] = &page[T]{owner: me}
	case pg.owner != me:
		mine := *pg
		mine.owner = me
		p.pages[n] = &mine
	}
	return &p.pages[n].items[i%pageSize]
}

func (p paged[T]) clone() paged[T] { return paged[T]{slices.Clone(p.pages)} }

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
