package ecs

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"gantry"
	"gantry/internal/ecs/taskdef"
	"gantry/internal/ledger"
	"gantry/internal/placement"
	"gantry/internal/store"
	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"
)

const (
	maxStartedBy      = 128  // characters, of RunTask
	maxStartTaskBy    = 36   // characters, of StartTask
	maxGroup          = 255  // characters
	maxOverrides      = 8192 // characters of JSON
	managedTagCluster = "aws:ecs:clusterName"
)

// errTaken says that a place was gone when the transaction looked.
var errTaken = errors.New("the place was taken meanwhile")

// A launchRequest is what RunTask and StartTask ask for alike.
type launchRequest struct {
	definition        string
	launchType        ecsapi.LaunchType
	overrides         *ecsapi.TaskOverride
	group, startedBy  *string
	tags              []ecsapi.Tag
	propagate         ecsapi.PropagateTags
	managedTags, exec bool
	constraints       []ecsapi.PlacementConstraint
	strategies        []ecsapi.PlacementStrategy
}

// A launch is a launchRequest that was checked: everything about the new tasks
// except where they go.
type launch struct {
	cluster    *gantry.Cluster
	definition *gantry.Definition
	launchType ecsapi.LaunchType
	demand     taskdef.Demand
	spec       placement.Spec
	task       gantry.Task // the tasks' common part
}

func (s *Service) prepare(ctx context.Context, c *gantry.Cluster, r launchRequest) (*launch, error) {
	d, err := s.runnable(ctx, r.definition)
	if err != nil {
		return nil, err
	}
	if err := checkOverrides(d.Wire, r.overrides); err != nil {
		return nil, err
	}
	if err := taskdef.NotYet(d.Wire, r.overrides); err != nil {
		return nil, err
	}
	group, err := taskGroup(r.group, d.Name.Family())
	if err != nil {
		return nil, err
	}
	tags, err := launchTags(c, d, r)
	if err != nil {
		return nil, err
	}
	l := &launch{cluster: c, definition: d, launchType: r.launchType, demand: taskdef.DemandOf(d.Wire, r.overrides)}
	if l.launchType == "" {
		l.launchType = ecsapi.LaunchTypeEc2
	}
	reserved := l.demand.Reserved()
	l.spec = placement.Spec{
		Group: group, Requires: requiredOf(d.Wire), Constraints: constraintsOf(d.Wire, r.constraints), Strategies: r.strategies,
		Demand: placement.DemandOf(reserved),
	}
	l.spec.Demand.GPUs = int64(l.demand.GPUCount())
	if len(r.strategies) == 0 {
		l.spec.Strategies = placement.RunTaskStrategies()
	}
	cpu, memory := taskdef.Sizes(d.Wire, r.overrides)
	l.task = gantry.Task{
		Cluster: c.Name, Definition: d.Name, LaunchType: l.launchType,
		LastStatus: gantry.Pending, DesiredStatus: gantry.Running, Version: 1,
		Group: group, StartedBy: wire.Value(r.startedBy), CPU: cpu, Memory: memory,
		Overrides: r.overrides, Tags: tags, EnableExecuteCommand: r.exec,
		Reserved: reserved, CreatedAt: s.now(),
	}
	return l, nil
}

// runnable finds the definition to run, on the newest state if ours does not have it.
func (s *Service) runnable(ctx context.Context, ref string) (*gantry.Definition, error) {
	const unknown = "TaskDefinition not found."
	d, err := s.findDefinition(s.store.View(), ref, unknown)
	if err != nil {
		snap, unsure := s.fresh(ctx)
		if unsure != nil {
			return nil, unsure
		}
		if d, err = s.findDefinition(snap, ref, unknown); err != nil {
			return nil, err
		}
	}
	if d.Status != gantry.Active {
		return nil, client("TaskDefinition is inactive")
	}
	return d, nil
}

// checkOverrides checks that overrides name containers and stay in their limits.
func checkOverrides(def *ecsapi.TaskDefinition, over *ecsapi.TaskOverride) error {
	if over == nil {
		return nil
	}
	if text, err := json.Marshal(over); err != nil {
		return err
	} else if len(text) > maxOverrides {
		return invalid("The overrides have %d characters of JSON; at most %d are allowed.", len(text), maxOverrides)
	}
	if _, ok := taskdef.CPUUnits(wire.Value(over.Cpu)); over.Cpu != nil && !ok {
		return client("Invalid 'cpu' setting for task.")
	}
	if _, ok := taskdef.MemoryMiB(wire.Value(over.Memory)); over.Memory != nil && !ok {
		return client("Invalid 'memory' setting for task.")
	}
	for _, o := range over.ContainerOverrides {
		if containerDefinition(def, wire.Value(o.Name)) == nil {
			return invalid("Override for container named %s is not a container in the TaskDefinition.", wire.Value(o.Name))
		}
	}
	return taskdef.CheckOverridden(def, over)
}

// taskGroup is the group that the caller gave, else "family:<family>". The groups
// of services belong to the service scheduler.
func taskGroup(given *string, family gantry.Family) (gantry.Group, error) {
	group := gantry.Group(wire.Value(given))
	switch {
	case group == "":
		return gantry.FamilyGroup(family), nil
	case len(group) > maxGroup:
		return "", invalid("group has %d characters; at most %d are allowed.", len(group), maxGroup)
	case group.Service() != "" || strings.HasPrefix(string(group), "service:"):
		return "", invalid("Group name with prefix 'service:' is reserved for the tasks of services.")
	}
	return group, nil
}

// launchTags are the request's tags, over those of the definition where these are
// to be propagated, and the tags that ECS itself manages.
func launchTags(c *gantry.Cluster, d *gantry.Definition, r launchRequest) ([]ecsapi.Tag, error) {
	if err := checkTags(r.tags); err != nil {
		return nil, err
	}
	var tags []ecsapi.Tag
	switch r.propagate {
	case ecsapi.PropagateTagsTaskDefinition:
		tags = d.Tags
	case ecsapi.PropagateTagsService:
		return nil, invalid("propagateTags SERVICE is for the tasks of services; use TASK_DEFINITION or NONE.")
	}
	tags = mergeTags(tags, r.tags)
	if len(tags) > maxTags {
		return nil, invalid("The task would have %d tags; at most %d are allowed.", len(tags), maxTags)
	}
	if r.managedTags {
		tags = append(tags, ecsapi.Tag{Key: new(managedTagCluster), Value: new(string(c.Name))})
	}
	return tags, nil
}

// requiredOf is what an instance must have: what the definition computed at
// registration, and the CPU architecture it names.
func requiredOf(def *ecsapi.TaskDefinition) []ecsapi.Attribute {
	if p := def.RuntimePlatform; p != nil && p.CpuArchitecture != "" {
		return append(slices.Clone(def.RequiresAttributes),
			ecsapi.Attribute{Name: new(attributeArchitecture), Value: new(strings.ToLower(string(p.CpuArchitecture)))})
	}
	return def.RequiresAttributes
}

func constraintsOf(def *ecsapi.TaskDefinition, given []ecsapi.PlacementConstraint) []ecsapi.PlacementConstraint {
	var all []ecsapi.PlacementConstraint
	for _, c := range def.PlacementConstraints {
		all = append(all, ecsapi.PlacementConstraint{Type: ecsapi.PlacementConstraintType(c.Type), Expression: c.Expression})
	}
	return append(all, given...)
}

// write makes the tasks, in one transaction with the reservations of their
// instances and the caller's token. It fails with errTaken where an instance has
// no room any more.
func (s *Service) write(ctx context.Context, l *launch, places []ledger.Place, token *gantry.ClientToken) ([]*gantry.Task, error) {
	var tasks []*gantry.Task
	_, err := s.store.Update(ctx, func(tx *store.Tx) error {
		if _, err := activeCluster(tx, l.cluster.Name); err != nil {
			return err
		}
		if d, ok := store.Definitions.Get(tx, string(l.definition.Name)); !ok || d.Status != gantry.Active {
			return client("TaskDefinition is inactive")
		}
		tasks = tasks[:0]
		for _, p := range places {
			t, err := s.writeTask(tx, l, p)
			if err != nil {
				return err
			}
			tasks = append(tasks, t)
		}
		return writeToken(tx, token, s.arns(tasks))
	})
	return tasks, err
}

func (s *Service) writeTask(tx *store.Tx, l *launch, p ledger.Place) (*gantry.Task, error) {
	key := string(l.cluster.Name) + "/" + string(p.Instance)
	instance, ok := store.Instances.Get(tx, key)
	if !ok || instance.Status != ecsapi.ContainerInstanceStatusActive {
		return nil, errTaken
	}
	reservation := gantry.Reservation{Cluster: l.cluster.Name, Instance: p.Instance}
	if have, ok := store.Reservations.Get(tx, key); ok {
		reservation = *have
	}
	t := l.task
	t.ID, t.Instance = p.Task, p.Instance
	t.Zone, t.Architecture = attribute(instance, attributeZone), attribute(instance, attributeArchitecture)
	gpus, ok := gpuIDs(l.demand, instance.Registered.GPUs, reservation.Taken.GPUs)
	if !ok {
		return nil, errTaken
	}
	for i, c := range l.definition.Wire.ContainerDefinitions {
		made := gantry.Container{Name: *c.Name, ID: s.cfg.NewUUID(), LastStatus: gantry.Pending}
		if gpus != nil && len(gpus) > i {
			made.GPUs = gpus[i]
			t.Reserved.GPUs = append(t.Reserved.GPUs, gpus[i]...)
		}
		t.Containers = append(t.Containers, made)
	}
	if !fits(instance.Registered, reservation.Taken, t.Reserved) {
		return nil, errTaken
	}
	reservation.Taken = reservation.Taken.Plus(t.Reserved)
	reservation.Tasks++
	store.Reservations.Put(tx, &reservation)
	store.Tasks.Put(tx, &t)
	return &t, nil
}

// fits reports whether an instance that registered so much, of which some is
// taken, has room for what a task needs.
func fits(registered, taken, need gantry.Resources) bool {
	port := func(busy, reserved, need []uint16) bool {
		return !slices.ContainsFunc(need, func(p uint16) bool { return slices.Contains(busy, p) || slices.Contains(reserved, p) })
	}
	return taken.CPU+need.CPU <= registered.CPU && taken.Memory+need.Memory <= registered.Memory &&
		port(taken.Ports, registered.Ports, need.Ports) && port(taken.UDPPorts, registered.UDPPorts, need.UDPPorts)
}

// release gives back what a task took on its instance. A task that was never
// placed, or whose instance is forgotten, takes nothing.
func release(tx *store.Tx, t *gantry.Task) {
	if t.Instance == "" {
		return
	}
	have, ok := store.Reservations.Get(tx, string(t.Cluster)+"/"+string(t.Instance))
	if !ok {
		return
	}
	next := *have
	next.Taken = have.Taken.Minus(t.Reserved)
	next.Tasks--
	store.Reservations.Put(tx, &next)
}

func (s *Service) arns(tasks []*gantry.Task) []string {
	var out []string
	for _, t := range tasks {
		out = append(out, string(s.cfg.Place.Task(t.Cluster, t.ID)))
	}
	return out
}
