package placement

import "slices"

// A memo is what a Request found in the blocks of its order. A block is looked through
// again only when its stamp has changed, that is, when one of its instances has.
type memo struct{ classes [][]remembered }

type remembered struct {
	stamp uint64
	level uint32
	at    int32 // the best entry of the block; none if negative
}

// class gives the memos of a class's blocks.
func (m *memo) class(i, blocks int) []remembered {
	if missing := i + 1 - len(m.classes); missing > 0 {
		m.classes = append(m.classes, make([][]remembered, missing)...)
	}
	if missing := blocks - len(m.classes[i]); missing > 0 {
		m.classes[i] = append(m.classes[i], make([]remembered, missing)...)
	}
	return m.classes[i]
}

// A search looks for the best instance of one class.
type search struct {
	*Request
	cluster *Cluster
	class   *class
	memo    []remembered
	pivot   uint32
	state   uint64 // of the random numbers
}

// best gives the best instance of the class: by the resources packed before the instance
// spread, then by level, then by place in the order.
func (s *search) best() (best candidate, ok bool) {
	for i := range s.class.blocks {
		ref := &s.class.blocks[i]
		if ok && (!s.levels || best.level == 0 || ref.first.key&s.packMask > best.key&s.packMask) {
			break
		}
		m := s.look(i, ref)
		if m.at < 0 {
			continue
		}
		e := &ref.entries[m.at]
		if !ok || e.key&s.packMask == best.key&s.packMask && m.level < best.level {
			best, ok = candidate{entry: *e, level: m.level}, true
		}
	}
	switch {
	case !ok:
	case s.Request.random:
		best = s.anyLike(best)
	default:
		best.entry = s.nextLike(best)
	}
	return best, ok
}

// look gives the best entry of a block, from memory if it has not changed.
func (s *search) look(i int, ref *blockRef) remembered {
	d := &s.spec.Demand
	if int64(ref.cpu) < d.CPU || int64(ref.mem) < d.Memory || int64(ref.gpus) < d.GPUs {
		return remembered{at: -1}
	}
	m := &s.memo[i]
	if m.stamp == ref.stamp {
		return *m
	}
	*m = remembered{stamp: ref.stamp, at: -1}
	for at := range ref.entries[:ref.n] {
		e := &ref.entries[at]
		if m.at >= 0 && e.key&s.packMask != ref.entries[m.at].key&s.packMask {
			break
		}
		level, fits := s.fits(e)
		if !fits || m.at >= 0 && level >= m.level {
			continue
		}
		m.at, m.level = int32(at), level
		if level == 0 {
			break
		}
	}
	return *m
}

// fits tells whether the task fits on an instance of the order, and the instance's level.
func (s *search) fits(e *entry) (level uint32, fits bool) {
	d := &s.spec.Demand
	if int64(e.cpu) < d.CPU || int64(e.mem) < d.Memory || int64(e.gpus) < d.GPUs {
		return 0, false
	}
	if s.deep {
		n := s.cluster.nodes.get(e.slot)
		for _, p := range d.Ports {
			if n.holds(p) {
				return 0, false
			}
		}
		for _, a := range d.Other {
			if a.N > 0 && of(n.free.Other, a.Name) < a.N {
				return 0, false
			}
		}
		if s.distinct && s.group.at(e.slot) > 0 {
			return 0, false
		}
		if slices.Contains(s.spec.Averse, n.instance.ID) {
			return 0, false
		}
	}
	if s.levels {
		level = s.group.at(e.slot)
	}
	return level, true
}

// nextLike gives, of the instances that are as good as best, the first whose hash is at or
// after the pivot, else best itself, which is the first of them all.
func (s *search) nextLike(best candidate) entry {
	from := best.position
	from.tie, from.slot = best.tie&^0xffffffff|uint64(s.pivot), 0
	i := s.class.find(&from)
	ref := &s.class.blocks[i]
	for at := ref.search(&from); at < ref.n; at++ {
		e := &ref.entries[at]
		if !e.like(&best.position) {
			return best.entry
		}
		if level, fits := s.fits(e); fits && level == best.level {
			return *e
		}
	}
	for i++; i < len(s.class.blocks); i++ {
		ref := &s.class.blocks[i]
		if !ref.first.like(&best.position) {
			break
		}
		if m := s.look(i, ref); m.at >= 0 && m.level == best.level {
			if e := &ref.entries[m.at]; e.like(&best.position) {
				return *e
			}
			break
		}
	}
	return best.entry
}

// tries is how often a random choice is drawn from all instances before those that fit are
// listed: in a cluster with some room the first draws succeed.
const tries = 16

// anyLike gives any of the instances that are as good as best, each as likely as the other.
func (s *search) anyLike(best candidate) candidate {
	blocks := s.class.blocks
	first, skip := s.class.lower(&position{key: best.key})
	last, rest := s.class.lower(&position{key: best.key, tie: 1 << 32}) // hashes end before
	best.run = rest - skip
	for _, b := range blocks[first:last] {
		best.run += b.n
	}
	for range tries {
		i, at := first, skip+s.random(best.run)
		for ; at >= blocks[i].n; i++ {
			at -= blocks[i].n
		}
		e := &blocks[i].entries[at]
		if level, fits := s.fits(e); fits && level == best.level {
			best.entry = *e
			return best
		}
	}
	seen := 0
	for i := first; i <= last && i < len(blocks); i++ {
		if s.look(i, &blocks[i]).at < 0 {
			continue
		}
		for at := range blocks[i].entries[:blocks[i].n] {
			e := &blocks[i].entries[at]
			if !e.like(&best.position) {
				continue
			}
			if level, fits := s.fits(e); fits && level == best.level {
				if seen++; s.random(seen) == 0 {
					best.entry = *e
				}
			}
		}
	}
	return best
}

// random gives a number from 0 to n-1.
func (s *search) random(n int) int {
	s.state += 0x9e3779b97f4a7c15
	return int(mix(s.state) % uint64(n))
}
