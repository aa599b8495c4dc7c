package placement

import "cmp"

// blockSize bounds what is moved in memory when an instance changes its place in an order,
// and what is copied when that happens for the first time after a clone.
const blockSize = 64

// An entry is an instance at its place in an order: by key, then by tie.
type entry struct {
	key  uint64 // what binpack goes by: the first resource left in the high half, the second in the low
	tie  uint64 // tasks in the high half (0 in random orders), hash of the id in the low
	slot int32
	gpus uint32
	cpu  uint32 // what is left, as far as it can be said in 32 bits
	mem  uint32
}

func compareEntries(a, b *entry) int {
	if c := cmp.Compare(a.key, b.key); c != 0 {
		return c
	}
	if c := cmp.Compare(a.tie, b.tie); c != 0 {
		return c
	}
	return cmp.Compare(a.slot, b.slot)
}

// A block is a run of neighbours in an order. It always has an entry.
type block struct {
	owner   *owner
	n       int
	entries [blockSize]entry
}

// A blockRef is a block with what a search wants to know before it opens it.
type blockRef struct {
	*block
	// stamp is new with every change of an instance in the block: blocks with the same
	// stamp have the same instances in the same state.
	stamp          uint64
	first          entry
	cpu, mem, gpus uint32 // the most that any of the instances has left of each
}

// refresh brings a ref up to date with its changed block.
func (r *blockRef) refresh(stamp uint64) {
	r.stamp, r.first = stamp, r.entries[0]
	r.cpu, r.mem, r.gpus = 0, 0, 0
	for i := range r.block.entries[:r.n] {
		e := &r.block.entries[i]
		r.cpu, r.mem, r.gpus = max(r.cpu, e.cpu), max(r.mem, e.mem), max(r.gpus, e.gpus)
	}
}

// search gives the place of the first entry of the block that is not before e.
func (b *block) search(e *entry) int {
	low, high := 0, b.n
	for low < high {
		mid := (low + high) / 2
		if compareEntries(&b.entries[mid], e) < 0 {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low
}

func (b *block) insert(i int, e entry) {
	copy(b.entries[i+1:b.n+1], b.entries[i:b.n])
	b.entries[i] = e
	b.n++
}

func (b *block) delete(i int) {
	copy(b.entries[i:], b.entries[i+1:b.n])
	b.n--
}
