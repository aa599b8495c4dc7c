package ledger

import (
	"gantry"
	"gantry/internal/placement"
	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"
)

// A book is what the ledger knows of one cluster. Its Ledger's lock guards it.
type book struct {
	// pools hold the container instances by launch type: a task of launch type EC2
	// is never placed on an EXTERNAL instance, nor the other way round.
	pools       map[ecsapi.LaunchType]*placement.Cluster
	instances   map[gantry.InstanceID]*gantry.Instance // those in a pool
	connections map[gantry.InstanceID]*gantry.Connection
	tasks       map[gantry.TaskID]*entry // those that take something
}

// An entry is what one task takes.
type entry struct {
	instance gantry.InstanceID
	group    gantry.Group
	demand   placement.Demand
	// claimed: placed by us, and not seen in the store yet.
	claimed bool
}

func newBook() *book {
	return &book{
		pools:       map[ecsapi.LaunchType]*placement.Cluster{},
		instances:   map[gantry.InstanceID]*gantry.Instance{},
		connections: map[gantry.InstanceID]*gantry.Connection{},
		tasks:       map[gantry.TaskID]*entry{},
	}
}

func (b *book) pool(launch ecsapi.LaunchType) *placement.Cluster {
	p := b.pools[launch]
	if p == nil {
		p = placement.NewCluster()
		b.pools[launch] = p
	}
	return p
}

// setTask takes a task over as the store has it. It counts from when it is placed
// until it is STOPPED, and where it is placed never changes.
func (b *book) setTask(t *gantry.Task) {
	if t.LastStatus == gantry.Stopped || t.Instance == "" {
		b.remove(t.ID)
		return
	}
	if e := b.tasks[t.ID]; e != nil && e.instance == t.Instance {
		e.claimed = false
		return
	}
	b.remove(t.ID)
	b.add(t.ID, &entry{instance: t.Instance, group: t.Group, demand: placement.DemandOf(t.Reserved)})
}

// add counts a task in. A task whose instance was deregistered while it went on
// running takes nothing that could be given to another.
func (b *book) add(id gantry.TaskID, e *entry) {
	if i := b.instances[e.instance]; i != nil && b.pool(i.LaunchType).AddTask(e.instance, e.group, e.demand) == nil {
		b.tasks[id] = e
	}
}

func (b *book) remove(id gantry.TaskID) {
	e := b.tasks[id]
	if e == nil {
		return
	}
	delete(b.tasks, id)
	if i := b.instances[e.instance]; i != nil {
		// It was counted in, since it is in tasks: there is nothing to go wrong.
		_ = b.pool(i.LaunchType).RemoveTask(e.instance, e.group, e.demand)
	}
}

func (b *book) setInstance(i *gantry.Instance) {
	if i.Status == gantry.InstanceInactive {
		b.removeInstance(i.ID)
		return
	}
	if old := b.instances[i.ID]; old != nil && old.LaunchType != i.LaunchType {
		b.removeInstance(i.ID)
	}
	b.instances[i.ID] = i
	b.refresh(i)
}

func (b *book) setConnection(c *gantry.Connection) {
	b.connections[c.Instance] = c
	if i := b.instances[c.Instance]; i != nil {
		b.refresh(i)
	}
}

// refresh tells the index the facts of an instance; its tasks stay counted.
func (b *book) refresh(i *gantry.Instance) {
	b.pool(i.LaunchType).Set(Describe(i, b.connections[i.ID]))
}

func (b *book) removeInstance(id gantry.InstanceID) {
	i := b.instances[id]
	if i == nil {
		return
	}
	for task, e := range b.tasks {
		if e.instance == id {
			delete(b.tasks, task)
		}
	}
	delete(b.instances, id)
	b.pool(i.LaunchType).Remove(id)
}

// Describe is a container instance as placement sees it; c is nil for one whose
// agent has never been connected.
func Describe(i *gantry.Instance, c *gantry.Connection) placement.Instance {
	attributes := make(map[string]string, len(i.Attributes))
	for _, a := range i.Attributes {
		attributes[wire.Value(a.Name)] = wire.Value(a.Value)
	}
	out := placement.Instance{
		ID: i.ID, Attributes: attributes, Status: i.Status,
		EC2InstanceID: i.EC2InstanceID, RegisteredAt: i.RegisteredAt,
		Total: placement.Resources{
			CPU: i.Registered.CPU, Memory: i.Registered.Memory, GPUs: int64(len(i.Registered.GPUs)),
		},
		Reserved: placement.PortsOf(i.Registered.Ports, i.Registered.UDPPorts),
	}
	if c != nil {
		out.Connected, out.AgentVersion = c.Connected, c.AgentVersion
	}
	if out.AgentVersion == "" && i.VersionInfo != nil {
		out.AgentVersion = wire.Value(i.VersionInfo.AgentVersion)
	}
	return out
}
