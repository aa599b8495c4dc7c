package store

import (
	"hash/maphash"
	"strings"
	"sync"

	"github.com/tidwall/btree"
)

// The two trees below are ordered sets that are copied in no time: a copy shares
// all nodes with its original, and whichever is written to copies the path it
// changes. Reading needs no lock once nobody writes to that copy any more.

// degree is half of what a node holds. Small nodes are cheap to copy, large
// ones make flat trees.
const degree = 16

// rowTree is a table's rows by key.
type rowTree struct {
	// copying guards b against being copied by two at once: copying marks the
	// original too.
	copying sync.Mutex
	b       *btree.Map[string, *row]
}

func newRowTree() *rowTree { return &rowTree{b: btree.NewMap[string, *row](degree)} }

func (t *rowTree) copy() *rowTree {
	t.copying.Lock()
	defer t.copying.Unlock()
	return &rowTree{b: t.b.IsoCopy()}
}

func (t *rowTree) get(key string) *row { r, _ := t.b.Get(key); return r }
func (t *rowTree) len() int            { return t.b.Len() }

// set and delete return what was there, nil if nothing.
func (t *rowTree) set(r *row) *row        { old, _ := t.b.Set(r.key, r); return old }
func (t *rowTree) delete(key string) *row { old, _ := t.b.Delete(key); return old }

// ascend visits the rows from the first whose key is not less than from.
func (t *rowTree) ascend(from string, yield func(*row) bool) {
	t.b.Ascend(from, func(_ string, r *row) bool { return yield(r) })
}

// newest is the rows of a table's newest state by key, shared by all its snapshots: a key is found there with a few looks
// at memory, where a large table's tree takes a dozen that no cache holds. It is in parts, so that readers on many cores
// do not wait for one lock.
type newest struct {
	seed  maphash.Seed
	parts [newestParts]newestPart
}

const newestParts = 64

type newestPart struct {
	mu   sync.RWMutex
	rows map[string]*row // guarded by mu
}

func newNewest() *newest { return &newest{seed: maphash.MakeSeed()} }

func (n *newest) part(key string) *newestPart {
	return &n.parts[maphash.String(n.seed, key)%newestParts]
}

// note notes what is now under a key; nil for nothing.
func (n *newest) note(key string, r *row) {
	p := n.part(key)
	p.mu.Lock()
	defer p.mu.Unlock()
	if r == nil {
		delete(p.rows, key)
		return
	}
	if p.rows == nil {
		p.rows = map[string]*row{}
	}
	p.rows[key] = r
}

// find is the row under a key as it was at a revision, or nil where it has changed since then or there is none.
func (n *newest) find(key string, at Revision) *row {
	p := n.part(key)
	p.mu.RLock()
	r := p.rows[key]
	p.mu.RUnlock()
	if r == nil || r.revision > at {
		return nil
	}
	return r
}

// indexTree is an index: a set of keys for each value. The sets name rows rather than
// pointing to them, so that a write touches only the indexes whose value it changes.
type indexTree struct {
	copying sync.Mutex // as rowTree's
	era     *era
	b       *btree.Map[string, *keySet]
}

// keySet is the keys that are found under one value. It may be changed in the era in
// which it was made, and is copied first in any other.
type keySet struct {
	made    *era
	copying sync.Mutex // as rowTree's
	b       *btree.Map[string, struct{}]
}

// An era of an index ends when the index is copied, for the copy and for the original.
type era struct{ _ byte } // of some size, so that no two have the same address

func newIndexTree() *indexTree {
	return &indexTree{era: new(era), b: btree.NewMap[string, *keySet](degree)}
}

func (t *indexTree) copy() *indexTree {
	t.copying.Lock()
	defer t.copying.Unlock()
	t.era = new(era)
	return &indexTree{era: new(era), b: t.b.IsoCopy()}
}

// own is the set under a value, to be changed; made if there is none.
func (t *indexTree) own(value string) *keySet {
	have, ok := t.b.Get(value)
	if ok && have.made == t.era {
		return have
	}
	own := &keySet{made: t.era}
	if ok {
		own.b = have.copied()
	} else {
		own.b = btree.NewMap[string, struct{}](degree)
	}
	t.b.Set(value, own)
	return own
}

func (s *keySet) copied() *btree.Map[string, struct{}] {
	s.copying.Lock()
	defer s.copying.Unlock()
	return s.b.IsoCopy()
}

func (t *indexTree) set(value, key string) { t.own(value).b.Set(key, struct{}{}) }

func (t *indexTree) delete(value, key string) {
	keys := t.own(value)
	keys.b.Delete(key)
	if keys.b.Len() == 0 {
		t.b.Delete(value)
	}
}

// count is how many keys there are under a value.
func (t *indexTree) count(value string) int {
	if keys, ok := t.b.Get(value); ok {
		return keys.b.Len()
	}
	return 0
}

// ascend visits the keys under a value from the first that is not less than from.
func (t *indexTree) ascend(value, from string, yield func(key string) bool) {
	if keys, ok := t.b.Get(value); ok {
		keys.b.Ascend(from, func(key string, _ struct{}) bool { return yield(key) })
	}
}

// values visits the values that begin with a prefix.
func (t *indexTree) values(prefix string, yield func(value string) bool) {
	t.b.Ascend(prefix, func(value string, _ *keySet) bool { return strings.HasPrefix(value, prefix) && yield(value) })
}
