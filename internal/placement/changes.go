package placement

import (
	"slices"
	"sync"
	"sync/atomic"
)

// changes is the list of slots that changed, for indexes to catch up with when they are
// used. An entry ^slot says that the facts of the instance changed, not only its tasks.
type changes struct {
	slots []int32
	lost  int // how many entries were dropped from the front
}

// maxChanges is how many changes are kept. An index that fell further behind is built
// anew, which for thousands of instances costs about as much as catching up.
const maxChanges = 4096

func (l *changes) add(slot int32) {
	if len(l.slots) == maxChanges {
		l.lost += maxChanges / 2
		l.slots = append(make([]int32, 0, maxChanges), l.slots[maxChanges/2:]...)
	}
	l.slots = append(l.slots, slot)
}

func (l *changes) addFacts(slot int32) { l.add(^slot) }

// end is what an index has seen that has seen everything.
func (l *changes) end() int { return l.lost + len(l.slots) }

// since gives the changes after seen, and false where some of them were dropped.
func (l *changes) since(seen int) ([]int32, bool) {
	if seen < l.lost {
		return nil, false
	}
	return l.slots[seen-l.lost:], true
}

// maxShapes is how many different indexes a cluster keeps: one serves all requests with
// the same constraints, required attributes and kind of strategies.
const maxShapes = 32

// A family is what a Cluster and all its clones share, and what several goroutines touch.
type family struct {
	stamps atomic.Uint64 // the last stamp of a block that was given out

	mu     sync.Mutex
	shapes []*shape // most recently used last; at most maxShapes
}

// stamp gives a number that no block of the family ever had.
func (f *family) stamp() uint64 { return f.stamps.Add(1) }

// want notes that a shape is in use, and forgets the one that was not for the longest time.
func (f *family) want(s *shape) {
	f.mu.Lock()
	defer f.mu.Unlock()
	kept := slices.DeleteFunc(f.shapes, func(x *shape) bool { return x.key == s.key })
	if len(kept) == maxShapes {
		kept = slices.Delete(kept, 0, 1)
	}
	f.shapes = append(kept, s)
}

func (f *family) wanted() []*shape {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.shapes)
}
