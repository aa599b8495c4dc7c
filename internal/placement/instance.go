package placement

import (
	"iter"
	"math"
	"slices"
	"time"

	"gantry"
	"gantry/internal/placement/query"
	"gantry/internal/wire/ecsapi"
)

// An Instance is what placement has to know of a container instance, apart from its tasks.
type Instance struct {
	ID gantry.InstanceID
	// Attributes are all of them, custom and built in, by name. Placement keeps the map:
	// it must not change any more.
	Attributes    map[string]string
	Status        ecsapi.ContainerInstanceStatus // only ACTIVE ones get tasks
	Connected     bool                           // its agent is: others get no tasks
	AgentVersion  string
	EC2InstanceID string
	RegisteredAt  time.Time
	Total         Resources
	// Reserved ports were registered as taken from the start.
	Reserved []Port
}

// A node is an instance in a Cluster, with what its tasks take. The Cluster owns it.
type node struct {
	instance *Instance // nil: the slot is free
	free     Resources
	tasks    uint32
	hash     uint32    // of the instance's id, for ties
	ports    []portKey // taken; one port stands here as often as it is held; copied for every change
	owner    *owner    // of groups
	groups   []groupCount
}

// groupCount is how many tasks of a group an instance has; never 0.
type groupCount struct {
	group gantry.Group
	n     int32
}

// accepts tells whether new tasks may come at all.
func (n *node) accepts() bool {
	return n.instance != nil && n.instance.Status == active && n.instance.Connected
}

// active is the one status in which an instance gets tasks.
const active = ecsapi.ContainerInstanceStatusActive

// holds tells whether a port is taken.
func (n *node) holds(p Port) bool { return slices.Contains(n.ports, p.key()) }

// tasksOf gives how many tasks of a group there are.
func (n *node) tasksOf(group gantry.Group) int32 {
	for _, g := range n.groups {
		if g.group == group {
			return g.n
		}
	}
	return 0
}

// own makes the groups of n its own, with room for one more, so that they can be changed.
func (n *node) own(me *owner) {
	if n.owner != me {
		n.groups, n.owner = append(make([]groupCount, 0, len(n.groups)+1), n.groups...), me
	}
}

// take counts a task of group in (sign 1) or out (sign -1) and tells whether that could be
// done: a task of a group without any on the instance cannot be counted out.
func (n *node) take(group gantry.Group, d *Demand, sign int64) bool {
	i := slices.IndexFunc(n.groups, func(g groupCount) bool { return g.group == group })
	switch {
	case i < 0 && sign < 0:
		return false
	case i < 0:
		n.groups = append(n.groups, groupCount{group, 1})
	case sign < 0 && n.groups[i].n == 1:
		n.groups = slices.Delete(n.groups, i, i+1)
	default:
		n.groups[i].n += int32(sign)
	}
	n.tasks += uint32(sign)
	n.free.CPU -= sign * d.CPU
	n.free.Memory -= sign * d.Memory
	n.free.GPUs -= sign * d.GPUs
	n.free.Other = add(n.free.Other, d.Other, -sign)
	if sign > 0 {
		n.ports = withPorts(n.ports, d.Ports)
	} else {
		n.ports = withoutPorts(n.ports, d.Ports)
	}
	return true
}

// withPorts gives a list to which ports are added, as often as they are named.
func withPorts(taken []portKey, ports []Port) []portKey {
	if len(ports) == 0 {
		return taken
	}
	list := append(make([]portKey, 0, len(taken)+len(ports)), taken...)
	for _, p := range ports {
		list = append(list, p.key())
	}
	return list
}

// withoutPorts gives a list from which each of ports is taken out once.
func withoutPorts(taken []portKey, ports []Port) []portKey {
	if len(ports) == 0 {
		return taken
	}
	list := slices.Clone(taken)
	for _, p := range ports {
		if i := slices.Index(list, p.key()); i >= 0 {
			list = slices.Delete(list, i, i+1)
		}
	}
	return list
}

// replace puts new facts in place of those of the instance, and keeps its tasks.
func (n *node) replace(inst *Instance) {
	if old := n.instance; old != nil {
		n.free.CPU += inst.Total.CPU - old.Total.CPU
		n.free.Memory += inst.Total.Memory - old.Total.Memory
		n.free.GPUs += inst.Total.GPUs - old.Total.GPUs
		n.free.Other = add(add(n.free.Other, inst.Total.Other, 1), old.Total.Other, -1)
		n.ports = withoutPorts(n.ports, old.Reserved)
	} else {
		n.free = inst.Total
		n.hash = hash32(string(inst.ID))
	}
	n.ports = withPorts(n.ports, inst.Reserved)
	n.instance = inst
}

// subject is the instance as a cluster query sees it. Tasks that were placed and do not run
// yet count as running: a query that keeps tasks apart has to see them at once.
func (n *node) subject() query.Subject {
	return query.Subject{
		Attributes:        n.instance.Attributes,
		AgentConnected:    n.instance.Connected,
		AgentVersion:      n.instance.AgentVersion,
		EC2InstanceID:     n.instance.EC2InstanceID,
		RegisteredAt:      n.instance.RegisteredAt,
		RunningTasksCount: int(n.tasks),
		Groups:            eachGroup(n.groups),
	}
}

func eachGroup(groups []groupCount) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, g := range groups {
			if !yield(string(g.group)) {
				return
			}
		}
	}
}

// clamp gives an amount as the index keeps it: nothing for what is overdrawn.
func clamp(n int64) uint32 { return uint32(min(max(n, 0), math.MaxUint32)) }

// hash32 spreads text over 32 bits, the same on every machine (FNV-1a and a finish).
func hash32(text string) uint32 {
	h := uint64(14695981039346656037)
	for i := range len(text) {
		h = (h ^ uint64(text[i])) * 1099511628211
	}
	return uint32(mix(h) >> 32)
}

// mix is the finish of splitmix64.
func mix(h uint64) uint64 {
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}
