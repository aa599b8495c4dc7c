package placement

import (
	"slices"

	"gantry"
)

// A group is the tasks of one task group in a Cluster, counted by instance and by the
// values of the attributes that are spread over.
type group struct {
	owner   *owner
	total   int
	on      paged[int32] // tasks by slot
	spreads []spread
}

// A spread is a group's tasks counted by the values of one dimension.
type spread struct {
	over  *dimensionID
	tasks []int32 // by value; shorter where the values at the end have none
}

// at gives how many tasks of the group an instance has. A nil group has none.
func (g *group) at(slot int32) uint32 {
	if g == nil {
		return 0
	}
	if n := g.on.get(slot); n != nil {
		return uint32(*n)
	}
	return 0
}

// countGroup adds n tasks of a group on an instance.
func (c *Cluster) countGroup(name gantry.Group, slot int32, n int32) {
	g := c.ownGroup(name)
	*g.on.own(slot, c.me) += n
	g.total += int(n)
	if g.total == 0 {
		delete(c.groups.own(name, c.me), name)
		return
	}
	for i := len(g.spreads) - 1; i >= 0; i-- {
		d := c.dimensionByID(g.spreads[i].over)
		if d == nil {
			g.spreads = slices.Delete(g.spreads, i, i+1) // nobody spreads over it any more
			continue
		}
		g.spreads[i].add(d.valueAt(slot), n)
	}
}

func (s *spread) add(value, n int32) {
	for int(value) >= len(s.tasks) {
		s.tasks = append(s.tasks, 0)
	}
	s.tasks[value] += n
}

// ownGroup gives a group to change, a new one where there was none.
func (c *Cluster) ownGroup(name gantry.Group) *group {
	g, known := c.groups.get(name)
	if known && g.owner == c.me {
		return g
	}
	mine := &group{owner: c.me}
	if known {
		mine.total, mine.on, mine.spreads = g.total, g.on.clone(), slices.Clone(g.spreads)
		for i, s := range mine.spreads {
			mine.spreads[i].tasks = slices.Clone(s.tasks)
		}
	}
	c.groups.own(name, c.me)[name] = mine
	return mine
}

// spreadOver gives the group's tasks by value of d. It counts them the first time, and
// keeps count from then on.
func (c *Cluster) spreadOver(name gantry.Group, d *dimension) []int32 {
	g, known := c.groups.get(name)
	if !known {
		return nil
	}
	for _, s := range g.spreads {
		if s.over == d.id {
			return s.tasks
		}
	}
	g = c.ownGroup(name)
	s := spread{over: d.id}
	for slot, n := range g.on.all() {
		if *n > 0 {
			s.add(d.valueAt(slot), *n)
		}
	}
	g.spreads = append(g.spreads, s)
	return s.tasks
}
