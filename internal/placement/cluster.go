package placement

import (
	"fmt"
	"slices"

	"gantry"
)

// A Cluster is the container instances of one cluster, what their tasks take, and the
// indexes that Place needs. It is for one goroutine at a time, Clone and Place included,
// since both bring its indexes up to date; its clones are independent of it.
type Cluster struct {
	me     *owner
	nodes  paged[node]
	slots  int32   // nodes has slots 0 to slots-1
	free   []int32 // slots without an instance, to be used again
	ids    sharded[gantry.InstanceID, int32]
	groups sharded[gantry.Group, *group]

	dimensions []*dimension
	orders     []indexed
	changes    changes
	family     *family
}

// NewCluster gives a cluster without container instances.
func NewCluster() *Cluster {
	return &Cluster{
		me:     new(owner),
		ids:    newSharded[gantry.InstanceID, int32](),
		groups: newSharded[gantry.Group, *group](),
		family: &family{},
	}
}

// Clone gives a working copy: changes to one are not seen by the other. It costs some
// microseconds; memory is copied only as it is changed. Indexes that earlier clones had to
// build are built into c now, so that the next clone has them.
func (c *Cluster) Clone() *Cluster {
	c.settle()
	c.me = new(owner)
	work := *c
	work.me = new(owner)
	work.nodes = c.nodes.clone()
	work.free = slices.Clone(c.free)
	work.orders = slices.Clone(c.orders)
	work.dimensions = slices.Clone(c.dimensions)
	return &work
}

// Len is the number of container instances.
func (c *Cluster) Len() int { return int(c.slots) - len(c.free) }

// Set registers a container instance, or replaces the facts of a known one, whose tasks
// stay.
func (c *Cluster) Set(inst Instance) {
	slot, known := c.ids.get(inst.ID)
	if !known {
		if last := len(c.free) - 1; last >= 0 {
			slot, c.free = c.free[last], c.free[:last]
		} else {
			slot = c.slots
			c.slots++
		}
		c.ids.own(inst.ID, c.me)[inst.ID] = slot
	}
	n := c.nodes.own(slot, c.me)
	n.replace(&inst)
	c.classify(slot, n)
	c.changes.addFacts(slot)
}

// Remove forgets a container instance and the tasks on it.
func (c *Cluster) Remove(id gantry.InstanceID) {
	slot, known := c.ids.get(id)
	if !known {
		return
	}
	delete(c.ids.own(id, c.me), id)
	n := c.nodes.own(slot, c.me)
	for _, g := range n.groups {
		c.countGroup(g.group, slot, -g.n)
	}
	*n = node{}
	c.free = append(c.free, slot)
	c.changes.addFacts(slot)
}

// AddTask counts a task on an instance, whether it fits there or not: it is there. It
// counts from when it is placed until it is STOPPED. An unknown instance is an error.
func (c *Cluster) AddTask(id gantry.InstanceID, group gantry.Group, d Demand) error {
	return c.count(id, group, &d, 1)
}

// RemoveTask takes back one AddTask with the same arguments. It is an error where the
// instance has no task of the group.
func (c *Cluster) RemoveTask(id gantry.InstanceID, group gantry.Group, d Demand) error {
	return c.count(id, group, &d, -1)
}

func (c *Cluster) count(id gantry.InstanceID, group gantry.Group, d *Demand, sign int64) error {
	slot, known := c.ids.get(id)
	if !known {
		return fmt.Errorf("count a task of group %s: container instance %s is not in the cluster", group, id)
	}
	n := c.nodes.own(slot, c.me)
	n.own(c.me)
	if !n.take(group, d, sign) {
		return fmt.Errorf("count a task of group %s: container instance %s has none", group, id)
	}
	c.countGroup(group, slot, int32(sign))
	c.changes.add(slot)
	return nil
}

// Free tells what an instance has left, and whether it is known.
func (c *Cluster) Free(id gantry.InstanceID) (Resources, bool) {
	slot, known := c.ids.get(id)
	if !known {
		return Resources{}, false
	}
	return c.nodes.get(slot).free, true
}
