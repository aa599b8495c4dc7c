package placement

import (
	"maps"
	"slices"
)

// A dimension numbers the values of one attribute that tasks are spread over. Value 0
// stands for instances without the attribute.
type dimension struct {
	owner     *owner
	id        *dimensionID
	attribute string
	values    map[string]int32
	at        paged[int32] // value by slot
}

// dimensionID tells a dimension from one of the same attribute that was made anew.
type dimensionID struct{ _ byte }

func (d *dimension) valueAt(slot int32) int32 {
	if v := d.at.get(slot); v != nil {
		return *v
	}
	return 0
}

// set gives a slot the value that its instance has.
func (d *dimension) set(slot int32, n *node, me *owner) {
	*d.at.own(slot, me) = d.value(n)
}

func (d *dimension) value(n *node) int32 {
	v, known := d.lookup(n)
	if !known {
		v = int32(len(d.values)) + 1
		d.values[n.instance.Attributes[d.attribute]] = v
	}
	return v
}

// lookup gives the value of an instance, and whether it has a number already.
func (d *dimension) lookup(n *node) (v int32, known bool) {
	text, has := n.instance.Attributes[d.attribute]
	if !has {
		return 0, true
	}
	v, known = d.values[text]
	return v, known
}

// dimension gives the dimension of an attribute, a new one where there is none.
func (c *Cluster) dimension(attribute string) *dimension {
	for _, d := range c.dimensions {
		if d.attribute == attribute {
			return d
		}
	}
	d := &dimension{owner: c.me, id: new(dimensionID), attribute: attribute, values: map[string]int32{}}
	for slot := range c.slots {
		if n := c.nodes.get(slot); n.instance != nil {
			d.set(slot, n, c.me)
		}
	}
	c.dimensions = append(c.dimensions, d)
	return d
}

func (c *Cluster) dimensionByID(id *dimensionID) *dimension {
	for _, d := range c.dimensions {
		if d.id == id {
			return d
		}
	}
	return nil
}

// staleValues is how many numbers more than there are instances a dimension may have given
// out before it starts again, so that values that come and go do not add up.
const staleValues = 1024

// classify gives a slot its values. A dimension in which an instance with tasks moves from
// one value to another is dropped, with what was counted by it: that is rare, and
// counting again is simpler than moving every group's tasks.
func (c *Cluster) classify(slot int32, n *node) {
	for i := len(c.dimensions) - 1; i >= 0; i-- {
		d := c.dimensions[i]
		if v, known := d.lookup(n); known && v == d.valueAt(slot) {
			continue
		}
		if d.owner != c.me {
			mine := *d
			mine.owner, mine.values, mine.at = c.me, maps.Clone(d.values), d.at.clone()
			d = &mine
			c.dimensions[i] = d
		}
		moved := n.tasks > 0 && d.valueAt(slot) != d.value(n)
		if moved || len(d.values) > c.Len()+staleValues {
			c.dimensions = slices.Delete(c.dimensions, i, i+1)
			c.orders = slices.DeleteFunc(c.orders, func(o indexed) bool { return o.uses(d.id) })
			continue
		}
		d.set(slot, n, c.me)
	}
}
