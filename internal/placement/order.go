package placement

import (
	"encoding/binary"
	"maps"
	"slices"
)

// An order is the index for requests of one shape: the instances that accept tasks and
// satisfy the shape's constraints, divided into classes by the attributes that are spread
// over, each class sorted by what binpack goes by, then tasks, then hash.
//
// A search walks a class from low to high, over blocks whose largest instance is too small
// without opening them. What depends on the group or on ports is not in the order: a
// Request remembers per block what it found there (see memo).
//
// An order follows the Cluster by the list of changed slots, when it is used.
type order struct {
	owner      *owner
	shape      *shape
	dimensions []*dimensionID
	classes    []class
	byValues   map[string]int32 // class by the bytes of its values
	places     paged[place]     // by slot
}

// A place is where an order has an instance.
type place struct {
	position
	class    int32 // counted from 1; 0: not in the order
	admitted verdict
}

// A verdict is what a shape without questions about tasks said of an instance: it stands
// until the facts of the instance change.
type verdict uint8

const (
	unknown verdict = iota
	yes
	no
)

// indexed is an order in a Cluster, with how far it has followed the changes.
type indexed struct {
	*order
	seen int
}

// uses tells whether the order divides by a dimension.
func (o *order) uses(d *dimensionID) bool { return slices.Contains(o.dimensions, d) }

// order gives the order of a shape, up to date, building it where there is none.
func (c *Cluster) order(s *shape) *order {
	i := slices.IndexFunc(c.orders, func(o indexed) bool { return o.shape == s || o.shape.key == s.key })
	if i < 0 {
		c.family.want(s)
		c.forgetAllBut(c.family.wanted())
		c.orders = append(c.orders, indexed{c.buildOrder(s), c.changes.end()})
		return c.orders[len(c.orders)-1].order
	}
	o := &c.orders[i]
	if o.seen == c.changes.end() {
		return o.order
	}
	slots, ok := c.changes.since(o.seen)
	o.seen = c.changes.end()
	if !ok || len(slots) > int(c.slots) {
		o.order = c.buildOrder(s)
		return o.order
	}
	o.order = o.own(c.me)
	for _, slot := range slots {
		if slot < 0 {
			slot = ^slot
			o.places.own(slot, c.me).admitted = unknown
		}
		o.update(c, slot)
	}
	return o.order
}

// settle brings all orders up to date that anybody in the family wants, so that the list of
// changes can be emptied.
func (c *Cluster) settle() {
	wanted := c.family.wanted()
	c.forgetAllBut(wanted) // by the same list, since others may add to it meanwhile
	for _, s := range wanted {
		c.order(s)
	}
	c.changes = changes{}
	for i := range c.orders {
		c.orders[i].seen = 0
	}
}

// forgetAllBut drops the orders of shapes that are not wanted, and the dimensions that no
// order uses any more.
func (c *Cluster) forgetAllBut(wanted []*shape) {
	c.orders = slices.DeleteFunc(c.orders, func(o indexed) bool {
		return !slices.ContainsFunc(wanted, func(s *shape) bool { return s.key == o.shape.key })
	})
	c.dimensions = slices.DeleteFunc(c.dimensions, func(d *dimension) bool {
		return !slices.ContainsFunc(c.orders, func(o indexed) bool { return o.uses(d.id) })
	})
}

func (c *Cluster) buildOrder(s *shape) *order {
	o := &order{owner: c.me, shape: s, byValues: map[string]int32{}}
	for _, attribute := range s.spread {
		o.dimensions = append(o.dimensions, c.dimension(attribute).id)
	}
	var sorted [][]entry // by class
	for slot := range c.slots {
		n := c.nodes.get(slot)
		p := o.places.own(slot, c.me)
		if !o.admits(n, p) {
			continue
		}
		e := s.entry(slot, n)
		p.class, p.position = o.classOf(c, slot), e.position
		for int(p.class) > len(sorted) {
			sorted = append(sorted, nil)
		}
		sorted[p.class-1] = append(sorted[p.class-1], e)
	}
	for i, entries := range sorted {
		slices.SortFunc(entries, func(a, b entry) int { return a.compare(&b.position) })
		o.classes[i].fill(entries, c.me, c.family)
	}
	return o
}

// own gives the order to change.
func (o *order) own(me *owner) *order {
	if o.owner == me {
		return o
	}
	mine := *o
	mine.owner = me
	mine.classes = slices.Clone(o.classes)
	mine.places = o.places.clone()
	mine.byValues = maps.Clone(o.byValues)
	return &mine
}

// update moves an instance to where it belongs now. It changes the stamp of the block where
// it is, also where it stays.
func (o *order) update(c *Cluster, slot int32) {
	n := c.nodes.get(slot)
	p := o.places.own(slot, c.me)
	if p.class > 0 {
		o.ownClass(p.class, c.me).delete(&p.position, c.me, c.family)
		p.class = 0
	}
	if o.admits(n, p) {
		e := o.shape.entry(slot, n)
		p.class, p.position = o.classOf(c, slot), e.position
		o.ownClass(p.class, c.me).insert(e, c.me, c.family)
	}
}

func (o *order) admits(n *node, p *place) bool {
	if !n.accepts() {
		return false
	}
	if o.shape.asks {
		return o.shape.admits(n)
	}
	if p.admitted == unknown {
		p.admitted = no
		if o.shape.admits(n) {
			p.admitted = yes
		}
	}
	return p.admitted == yes
}

// classOf gives the number of an instance's class, counted from 1.
func (o *order) classOf(c *Cluster, slot int32) int32 {
	if len(o.dimensions) == 0 {
		if len(o.classes) == 0 {
			o.classes = []class{{owner: c.me}}
		}
		return 1
	}
	var room [4 * MaxStrategies]byte
	key := room[:0]
	for _, d := range o.dimensions {
		key = binary.LittleEndian.AppendUint32(key, uint32(c.dimensionByID(d).valueAt(slot)))
	}
	if k, known := o.byValues[string(key)]; known {
		return k
	}
	values := make([]int32, 0, len(o.dimensions))
	for _, d := range o.dimensions {
		values = append(values, c.dimensionByID(d).valueAt(slot))
	}
	o.classes = append(o.classes, class{owner: c.me, values: values})
	k := int32(len(o.classes))
	o.byValues[string(key)] = k
	return k
}

// ownClass gives class k, counted from 1, to change.
func (o *order) ownClass(k int32, me *owner) *class {
	own := &o.classes[k-1]
	if own.owner != me {
		own.owner, own.blocks = me, slices.Clone(own.blocks)
	}
	return own
}
