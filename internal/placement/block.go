package placement

import "cmp"

// blockSize bounds what is moved in memory when an instance changes its place in an order,
// and what is copied when that happens for the first time after a clone.
const blockSize = 32

// A position is where an instance stands in an order: by key, then by tie.
type position struct {
	key  uint64 // what binpack goes by: the first resource left in the high half, the second in the low
	tie  uint64 // tasks in the high half (0 in random orders), hash of the id in the low
	slot int32
}

// compare spells out what cmp.Or would say: this is where placing a task spends its time.
func (a *position) compare(b *position) int {
	if a.key != b.key {
		return cmp.Compare(a.key, b.key)
	}
	if a.tie != b.tie {
		return cmp.Compare(a.tie, b.tie)
	}
	return cmp.Compare(a.slot, b.slot)
}

// like tells whether two instances differ in nothing but the hash, as far as the order
// tells.
func (a *position) like(b *position) bool { return a.key == b.key && a.tie>>32 == b.tie>>32 }

// An entry is an instance in an order, with what it has left as far as 32 bits can say it.
type entry struct {
	position
	cpu, mem, gpus uint32
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
	first          position
	cpu, mem, gpus uint32 // the most that any of the instances has left of each
}

// refresh brings a ref up to date with its changed block.
func (r *blockRef) refresh(stamp uint64) {
	r.stamp, r.first = stamp, r.entries[0].position
	r.cpu, r.mem, r.gpus = 0, 0, 0
	for i := range r.block.entries[:r.n] {
		e := &r.block.entries[i]
		r.cpu, r.mem, r.gpus = max(r.cpu, e.cpu), max(r.mem, e.mem), max(r.gpus, e.gpus)
	}
}

// search gives the place of the first entry of the block that is not before p.
func (b *block) search(p *position) int {
	low, high := 0, b.n
	for low < high {
		mid := (low + high) / 2
		if b.entries[mid].compare(p) < 0 {
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
