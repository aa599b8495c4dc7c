package ledger

import (
	"context"
	"errors"
	"fmt"
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

// ErrInactive says that the task definition, or the cluster, is no longer ACTIVE.
var ErrInactive = errors.New("is not ACTIVE")

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
	// Seed feeds the random strategy.
	Seed uint64
	// On names the instances, one for each of IDs, in place of choosing them: StartTask.
	// Then neither constraints nor strategies count, and the launch type is the instance's.
	On []gantry.InstanceID

	// With goes into the transaction that writes the tasks; nil for nothing. An error
	// of it ends Launch.
	With func(*store.Tx, []*gantry.Task) error
}

// Launched is what became of a Batch.
type Launched struct {
	Tasks []*gantry.Task // those that were written, PENDING on their instances
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
// Errors: placement's *InvalidError, ErrInactive, With's error, the store's.
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
	claim, err := l.claim(b, spec)
	if err != nil {
		return Launched{}, err
	}
	defer claim.Done()
	out := Launched{Refusal: claim.Refusal, Instances: claim.Instances, Refused: claim.Refused}
	if len(claim.Places) == 0 {
		return out, nil
	}
	_, err = l.store.Update(ctx, func(tx *store.Tx) error {
		if c, ok := store.Clusters.Get(tx, string(b.Task.Cluster)); !ok || c.Status != gantry.Active {
			return fmt.Errorf("cluster %s %w", b.Task.Cluster, ErrInactive)
		}
		out.Tasks = make([]*gantry.Task, 0, len(claim.Places))
		for _, p := range claim.Places {
			t := b.Task
			t.ID, t.Instance = p.Task, p.Instance
			t.Containers = containers(b, demand)
			if err := Reserve(tx, &t, demand.GPUs); err != nil {
				return err
			}
			store.Tasks.Put(tx, &t)
			out.Tasks = append(out.Tasks, &t)
		}
		if b.With != nil {
			return b.With(tx, out.Tasks)
		}
		return nil
	})
	return out, err
}

func (l *Ledger) claim(b *Batch, spec placement.Spec) (*Claim, error) {
	if b.On != nil {
		return l.PlaceOn(b.Task.Cluster, spec, b.IDs, b.On)
	}
	return l.Place(b.Task.Cluster, b.Task.LaunchType, spec, b.IDs)
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
	spec.Strategies = b.Strategies
	return spec
}
