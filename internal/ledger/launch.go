package ledger

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"gantry"
	"gantry/internal/placement"
	"gantry/internal/store"
	"gantry/internal/taskdef"
	"gantry/internal/wire/ecsapi"
)

// maxAttempts is how often Launch looks for places when other servers take them
// first. Each attempt sees everything that beat the one before.
const maxAttempts = 8

// MaxWaiting is how many tasks of a cluster can wait for a place, ECS's quota.
const MaxWaiting = 500

// What Launch fails with, beside errors of the store.
var (
	// ErrInactive says that the task definition, or the cluster, is no longer ACTIVE.
	ErrInactive = errors.New("is not ACTIVE")
	// ErrNotAssociated says that the cluster has no such capacity provider any more.
	ErrNotAssociated = errors.New("is not associated with the cluster")
	// ErrTooManyWait says that MaxWaiting tasks of the cluster wait already.
	ErrTooManyWait = errors.New("as many tasks as may wait for a place in the cluster")
)

// A Batch is tasks to be started, all of one definition and all alike.
type Batch struct {
	// Task is what they have in common: cluster, launch type, group, overrides, tags.
	// Launch fills in ids, places, containers, sizes and what they reserve.
	Task       gantry.Task
	Definition *gantry.Definition
	// IDs are the tasks' ids, one for each task wanted.
	IDs []gantry.TaskID
	// NewContainerID makes the ids of containers, UUIDs.
	NewContainerID func() string

	// Constraints and Strategies are the request's; the definition's constraints come
	// on top. Without strategies all that is left equal is decided by placement's tie rule.
	Constraints []ecsapi.PlacementConstraint
	Strategies  []ecsapi.PlacementStrategy
	// Averse are instances that are taken only where no other takes a task.
	Averse []gantry.InstanceID
	// Seed feeds the random strategy.
	Seed uint64
	// On names the instances, one for each of IDs, in place of choosing them: StartTask.
	// Then neither constraints nor strategies count, and the launch type is the instance's.
	On []gantry.InstanceID

	// Providers has the capacity provider of each of IDs; nil for tasks by launch type.
	Providers []string
	// Waits has tasks without a place written all the same, PROVISIONING: package
	// provisioning places them as soon as it can. While others of the cluster wait, tasks
	// that may wait get in line behind them.
	Waits bool

	// With goes into the transaction that writes the tasks; nil for nothing. An error
	// of it ends Launch.
	With func(*store.Tx, []*gantry.Task) error
}

// Launched is what became of a Batch.
type Launched struct {
	Tasks []*gantry.Task // those that were written: PENDING on their instances, or PROVISIONING
	// Refusal says why the other tasks have no place, and Instances how many container
	// instances of the launch type there are; of a Batch without On.
	Refusal   *placement.Refusal
	Instances int
	// Refused are the instances named by On that cannot take the task, and why; those
	// that are not there at all lack nothing.
	Refused []placement.Examined
}

// Launch finds places for the tasks of a batch and writes those that have one, with
// the reservations of their instances, in one transaction. When it returns they are
// durable, and whoever watches the store sends them to their agents.
//
// Errors: placement's *InvalidError, ErrInactive, ErrNotAssociated, ErrTooManyWait, With's
// error, the store's.
func (l *Ledger) Launch(ctx context.Context, b Batch) (Launched, error) {
	def := b.Definition.Wire
	demand := taskdef.DemandOf(def, b.Task.Overrides)
	b.Task.Definition = b.Definition.Name
	b.Task.CPU, b.Task.Memory = taskdef.Sizes(def, b.Task.Overrides)
	b.Task.Reserved = demand.Reserved()
	spec := specOf(&b, demand)
	for range maxAttempts {
		out, err := l.try(ctx, &b, spec, demand)
		if !errors.Is(err, errTaken) {
			return out, err
		}
	}
	return Launched{}, fmt.Errorf("start %d tasks of %s in cluster %s: others took the places %d times in a row",
		len(b.IDs), b.Definition.Name, b.Task.Cluster, maxAttempts)
}

// try places and writes once. It fails with errTaken where another server was faster.
func (l *Ledger) try(ctx context.Context, b *Batch, spec placement.Spec, demand taskdef.Demand) (Launched, error) {
	claims, err := l.claims(b, spec)
	defer func() {
		for _, c := range claims {
			c.Done()
		}
	}()
	if err != nil {
		return Launched{}, err
	}
	var out Launched
	places := make(map[gantry.TaskID]gantry.InstanceID, len(b.IDs))
	for _, c := range claims {
		if out.Refusal == nil {
			out.Refusal = c.Refusal
		}
		out.Instances, out.Refused = c.Instances, c.Refused
		for _, p := range c.Places {
			places[p.Task] = p.Instance
		}
	}
	if len(places) == 0 && !b.Waits {
		return out, nil
	}
	_, err = l.store.Update(ctx, func(tx *store.Tx) (err error) {
		out.Tasks, err = b.write(tx, places, demand)
		return err
	})
	return out, err
}

// write puts the tasks that have places, and those that wait for one, into the store.
func (b *Batch) write(tx *store.Tx, places map[gantry.TaskID]gantry.InstanceID, demand taskdef.Demand) ([]*gantry.Task, error) {
	if err := b.mayStart(tx, len(b.IDs)-len(places)); err != nil {
		return nil, err
	}
	tasks := make([]*gantry.Task, 0, len(b.IDs))
	for i, id := range b.IDs {
		instance, placed := places[id]
		if !placed && !b.Waits {
			continue
		}
		t := b.Task
		t.ID, t.Instance = id, instance
		t.Containers = containers(b, demand)
		if b.Providers != nil {
			t.CapacityProvider = b.Providers[i]
		}
		if !placed {
			t.LastStatus = gantry.Provisioning
		} else if err := Reserve(tx, &t, demand.GPUs); err != nil {
			return nil, err
		}
		store.Tasks.Put(tx, &t)
		tasks = append(tasks, &t)
	}
	if b.With == nil {
		return tasks, nil
	}
	return tasks, b.With(tx, tasks)
}

// Fits reports whether a first task of a batch would have a place now. It launches none.
func (l *Ledger) Fits(b Batch) (bool, error) {
	claims, err := l.claims(&b, Spec(b))
	fits := false
	for _, c := range claims {
		fits = fits || len(c.Places) > 0
		c.Done() // it was only a question
	}
	return fits, err
}

// mayStart makes sure that the cluster still takes the tasks, of which so many have no place.
func (b *Batch) mayStart(tx *store.Tx, without int) error {
	c, ok := store.Clusters.Get(tx, string(b.Task.Cluster))
	if !ok || c.Status != gantry.Active {
		return fmt.Errorf("cluster %s %w", b.Task.Cluster, ErrInactive)
	}
	for _, p := range b.Providers {
		if !slices.Contains(c.CapacityProviders, p) {
			return fmt.Errorf("capacity provider %s %w", p, ErrNotAssociated)
		}
	}
	if !b.Waits || without == 0 {
		return nil
	}
	for range store.TasksByStatus.All(tx, string(c.Name)+"/"+string(gantry.Provisioning)) {
		if without++; without > MaxWaiting {
			return ErrTooManyWait
		}
	}
	return nil
}

// claims claims places for the tasks of a batch, capacity provider by capacity provider:
// none for tasks that get in line.
func (l *Ledger) claims(b *Batch, spec placement.Spec) (out []*Claim, err error) {
	snap, cluster, launch := l.store.View(), b.Task.Cluster, b.Task.LaunchType
	if b.On != nil {
		c, err := l.PlaceOn(cluster, spec, b.IDs, b.On)
		return only(c), err
	}
	if b.Waits && anyWaits(snap, cluster) {
		_, err := placement.Compile(spec)
		return nil, err
	}
	if b.Providers == nil {
		c, err := l.Place(cluster, launch, spec, b.IDs)
		return only(c), err
	}
	ids := map[string][]gantry.TaskID{}
	for i, id := range b.IDs {
		ids[b.Providers[i]] = append(ids[b.Providers[i]], id)
	}
	for _, p := range slices.Sorted(maps.Keys(ids)) {
		c, err := l.Place(cluster, launch, within(spec, snap, p), ids[p])
		if err != nil {
			return out, err
		}
		out = append(out, c)
	}
	return out, nil
}

func only(c *Claim) []*Claim {
	if c == nil {
		return nil
	}
	return []*Claim{c}
}

func anyWaits(snap *store.Snapshot, cluster gantry.ClusterName) bool {
	for t := range store.TasksByStatus.All(snap, string(cluster)+"/"+string(gantry.Provisioning)) {
		if t.Waits() {
			return true
		}
	}
	return false
}

// within is a spec of tasks that have to be on the instances of a capacity provider; one
// that is not known has none.
func within(spec placement.Spec, r store.Reader, provider string) placement.Spec {
	group := ""
	if p, ok := store.CapacityProviders.Get(r, provider); ok {
		group = p.GroupName()
	}
	spec.Requires = append(slices.Clip(spec.Requires), ecsapi.Attribute{Name: new(gantry.AttributeGroup), Value: &group})
	return spec
}

func containers(b *Batch, demand taskdef.Demand) []gantry.Container {
	out := make([]gantry.Container, len(b.Definition.Wire.ContainerDefinitions))
	for i, c := range b.Definition.Wire.ContainerDefinitions {
		out[i] = gantry.Container{Name: *c.Name, ID: b.NewContainerID(), LastStatus: gantry.Pending}
	}
	return out
}

// Spec is a batch as placement sees it: what its tasks need and where they may go.
func Spec(b Batch) placement.Spec {
	demand := taskdef.DemandOf(b.Definition.Wire, b.Task.Overrides)
	b.Task.Reserved = demand.Reserved()
	return specOf(&b, demand)
}

// specOf is Spec, the demand being known.
func specOf(b *Batch, demand taskdef.Demand) placement.Spec {
	def := b.Definition.Wire
	spec := placement.Spec{
		Group: b.Task.Group, Demand: placement.DemandOf(b.Task.Reserved), Seed: b.Seed,
		Requires: slices.Clip(def.RequiresAttributes),
	}
	spec.Demand.GPUs = int64(demand.GPUCount())
	if p := def.RuntimePlatform; p != nil && p.CpuArchitecture != "" {
		spec.Requires = append(spec.Requires, ecsapi.Attribute{
			Name: new(gantry.AttributeArchitecture), Value: new(strings.ToLower(string(p.CpuArchitecture))),
		})
	}
	if b.On != nil {
		return spec // the caller has chosen: StartTask goes past the scheduler
	}
	for _, c := range def.PlacementConstraints {
		spec.Constraints = append(spec.Constraints, ecsapi.PlacementConstraint{
			Type: ecsapi.PlacementConstraintType(c.Type), Expression: c.Expression,
		})
	}
	spec.Constraints = append(spec.Constraints, b.Constraints...)
	spec.Strategies, spec.Averse = b.Strategies, b.Averse
	return spec
}
