package placement

import "slices"

// A class is the instances of an order that have the same values of every attribute that is
// spread over, in blocks from low to high.
type class struct {
	owner  *owner
	values []int32 // by the order's dimensions
	blocks []blockRef
}

// find gives the block where p is or belongs: the last that begins at or before it, else
// the first.
func (k *class) find(p *position) int {
	low, high := 0, len(k.blocks)
	for low < high {
		mid := (low + high) / 2
		if k.blocks[mid].first.compare(p) <= 0 {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return max(low-1, 0)
}

// lower gives the block and the place in it of the first entry that is not before p. The
// end is the place behind the last block.
func (k *class) lower(p *position) (block, at int) {
	block = k.find(p)
	if at = k.blocks[block].search(p); at == k.blocks[block].n {
		return block + 1, 0
	}
	return block, at
}

// insert puts e in its place.
func (k *class) insert(e entry, me *owner, f *family) {
	if len(k.blocks) == 0 {
		k.blocks = []blockRef{{block: &block{owner: me, n: 1, entries: [blockSize]entry{e}}}}
		k.blocks[0].refresh(f.stamp())
		return
	}
	i := k.find(&e.position)
	if k.blocks[i].n == blockSize {
		k.split(i, me, f)
		i = k.find(&e.position)
	}
	r := k.own(i, me)
	r.insert(r.search(&e.position), e)
	r.refresh(f.stamp())
}

// delete takes out the entry at p, which must be there.
func (k *class) delete(p *position, me *owner, f *family) {
	i := k.find(p)
	if k.blocks[i].n == 1 {
		k.blocks = slices.Delete(k.blocks, i, i+1)
		return
	}
	r := k.own(i, me)
	r.delete(r.search(p))
	r.refresh(f.stamp())
	if i > 0 && k.blocks[i-1].n+r.n <= blockSize/2 {
		k.join(i-1, me, f)
	}
}

// split halves block i.
func (k *class) split(i int, me *owner, f *family) {
	r := k.own(i, me)
	upper := blockRef{block: &block{owner: me}}
	upper.n = copy(upper.entries[:], r.entries[blockSize/2:r.n])
	r.n = blockSize / 2
	r.refresh(f.stamp())
	upper.refresh(f.stamp())
	k.blocks = slices.Insert(k.blocks, i+1, upper)
}

// join puts the entries of block i+1 behind those of block i.
func (k *class) join(i int, me *owner, f *family) {
	r, next := k.own(i, me), k.blocks[i+1]
	r.n += copy(r.entries[r.n:], next.entries[:next.n])
	r.refresh(f.stamp())
	k.blocks = slices.Delete(k.blocks, i+1, i+2)
}

// own gives block i to change.
func (k *class) own(i int, me *owner) *blockRef {
	r := &k.blocks[i]
	if r.owner != me {
		mine := *r.block
		mine.owner = me
		r.block = &mine
	}
	return r
}

// fill puts sorted entries into an empty class, in blocks with room for more.
func (k *class) fill(entries []entry, me *owner, f *family) {
	for part := range slices.Chunk(entries, blockSize*3/4) {
		r := blockRef{block: &block{owner: me}}
		r.n = copy(r.entries[:], part)
		r.refresh(f.stamp())
		k.blocks = append(k.blocks, r)
	}
}
