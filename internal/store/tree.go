package store

import (
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

// An entry of an index. It names the row rather than pointing to it, so that a
// write touches only the indexes whose value it changes.
type entry struct{ value, key string }

func (a entry) less(b entry) bool {
	if a.value != b.value {
		return a.value < b.value
	}
	return a.key < b.key
}

// indexTree is an index's entries.
type indexTree struct {
	copying sync.Mutex // as rowTree's
	b       *btree.BTreeG[entry]
}

func newIndexTree() *indexTree {
	return &indexTree{b: btree.NewBTreeGOptions(entry.less, btree.Options{NoLocks: true, Degree: degree})}
}

func (t *indexTree) copy() *indexTree {
	t.copying.Lock()
	defer t.copying.Unlock()
	return &indexTree{b: t.b.IsoCopy()}
}

func (t *indexTree) set(e entry)    { t.b.Set(e) }
func (t *indexTree) delete(e entry) { t.b.Delete(e) }

// ascend visits the entries from the first that is not less than from.
func (t *indexTree) ascend(from entry, yield func(entry) bool) { t.b.Ascend(from, yield) }
