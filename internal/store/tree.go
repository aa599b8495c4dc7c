package store

import (
	"sync"

	"github.com/tidwall/btree"
)

// A tree is an ordered set that is copied in no time: a copy shares all nodes
// with its original, and whichever is written to copies the path it changes.
// Reading needs no lock once nobody writes to that copy any more.
type tree[T any] struct {
	// copying guards b against being copied by two at once; copying marks the
	// original too.
	copying sync.Mutex
	b       *btree.BTreeG[T]
}

// degree is half of what a node holds. Small nodes are cheap to copy, large
// ones make flat trees; BenchmarkApply compares.
const degree = 16

func newTree[T any](less func(a, b T) bool) *tree[T] {
	return &tree[T]{b: btree.NewBTreeGOptions(less, btree.Options{NoLocks: true, Degree: degree})}
}

func (t *tree[T]) copy() *tree[T] {
	t.copying.Lock()
	defer t.copying.Unlock()
	return &tree[T]{b: t.b.IsoCopy()}
}

func (t *tree[T]) get(like T) (T, bool) { return t.b.Get(like) }

func (t *tree[T]) len() int { return t.b.Len() }

// set and delete return what was there, zero if nothing.
func (t *tree[T]) set(item T) T    { old, _ := t.b.Set(item); return old }
func (t *tree[T]) delete(like T) T { old, _ := t.b.Delete(like); return old }

// ascend visits the items from the first that is not less than from.
func (t *tree[T]) ascend(from T, yield func(T) bool) { t.b.Ascend(from, yield) }
