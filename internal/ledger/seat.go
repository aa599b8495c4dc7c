package ledger

import (
	"context"
	"errors"
	"fmt"

	"gantry"
	"gantry/internal/placement"
	"gantry/internal/store"
	"gantry/internal/taskdef"
)

// Seat finds places for tasks that wait in one cluster, all alike, in the order given,
// and moves those that get one to PENDING. It says how many they were, and why the
// next one has no place; a task that does not wait any more is passed over.
func (l *Ledger) Seat(ctx context.Context, tasks []*gantry.Task, seed uint64) (seated int, refusal *placement.Refusal, err error) {
	first := tasks[0]
	spec, demand, err := waitingSpec(l.store.View(), first)
	if err != nil {
		return 0, nil, fmt.Errorf("place waiting task %s: %w", first.Key(), err)
	}
	spec.Seed = seed
	ids := make([]gantry.TaskID, len(tasks))
	for i, t := range tasks {
		ids[i] = t.ID
	}
	for range maxAttempts {
		seated, refusal, err = l.seat(ctx, first, spec, ids, demand.GPUs)
		if !errors.Is(err, errTaken) {
			break
		}
	}
	if err != nil {
		return 0, nil, fmt.Errorf("place %d waiting tasks of %s in cluster %s: %w", len(tasks), first.Definition, first.Cluster, err)
	}
	return seated, refusal, nil
}

// seat is one try of Seat, which fails with errTaken where another server was faster.
func (l *Ledger) seat(ctx context.Context, like *gantry.Task, spec placement.Spec, ids []gantry.TaskID, gpus []int) (seated int, refusal *placement.Refusal, err error) {
	claim, err := l.Place(like.Cluster, like.LaunchType, spec, ids)
	if err != nil {
		return 0, nil, err
	}
	defer claim.Done()
	if len(claim.Places) == 0 {
		return 0, claim.Refusal, nil
	}
	_, err = l.store.Update(ctx, func(tx *store.Tx) error {
		seated = 0
		for _, p := range claim.Places {
			t, ok := store.Tasks.Get(tx, string(like.Cluster)+"/"+string(p.Task))
			if !ok || !t.Waits() {
				continue
			}
			next := store.Tasks.Clone(t)
			next.Instance, next.LastStatus = p.Instance, gantry.Pending
			next.Version++
			if err := Reserve(tx, next, gpus); err != nil {
				return err
			}
			store.Tasks.Put(tx, next)
			seated++
		}
		return nil
	})
	return seated, claim.Refusal, err
}

// Explain says why a task that waits has no place; nil where it would have one now.
func (l *Ledger) Explain(t *gantry.Task) (*placement.Refusal, error) {
	spec, _, err := waitingSpec(l.store.View(), t)
	if err == nil {
		var claim *Claim
		if claim, err = l.Place(t.Cluster, t.LaunchType, spec, []gantry.TaskID{t.ID}); err == nil {
			claim.Done() // it was only a question
			return claim.Refusal, nil
		}
	}
	return nil, fmt.Errorf("look for a place for waiting task %s: %w", t.Key(), err)
}

// waitingSpec is what a waiting task needs and where it may go.
func waitingSpec(r store.Reader, t *gantry.Task) (placement.Spec, taskdef.Demand, error) {
	b, err := waiting(r, t)
	if err != nil {
		return placement.Spec{}, taskdef.Demand{}, err
	}
	demand := taskdef.DemandOf(b.Definition.Wire, t.Overrides)
	spec := specOf(&b, demand)
	if t.CapacityProvider != "" {
		spec = within(spec, r, t.CapacityProvider)
	}
	return spec, demand, nil
}

// waiting is the batch that a waiting task would be launched with. A task of a service
// goes by what the service says now.
func waiting(r store.Reader, t *gantry.Task) (Batch, error) {
	d, ok := store.Definitions.Get(r, string(t.Definition))
	if !ok {
		return Batch{}, fmt.Errorf("task definition %s is not there", t.Definition)
	}
	b := Batch{Task: *t, Definition: d, Strategies: placement.RunTaskStrategies()}
	asked := t.Asked
	if name := t.Group.Service(); name != "" {
		b.Strategies = placement.ServiceStrategies()
		if s, ok := store.Services.Get(r, string(t.Cluster)+"/"+name); ok {
			asked = &gantry.Asked{Constraints: s.Constraints, Strategies: s.Strategies}
		}
	}
	if asked != nil {
		b.Constraints = asked.Constraints
		if len(asked.Strategies) > 0 {
			b.Strategies = asked.Strategies
		}
	}
	return b, nil
}

// Again makes a task like one that is over, PROVISIONING: with its definition, overrides,
// group, tags and capacity provider, and nothing of what became of it. The caller puts
// it. Ok is false where its task definition is gone.
func Again(r store.Reader, over *gantry.Task, id gantry.TaskID, newContainerID func() string) (again *gantry.Task, ok bool) {
	d, ok := store.Definitions.Get(r, string(over.Definition))
	if !ok {
		return nil, false
	}
	demand := taskdef.DemandOf(d.Wire, over.Overrides)
	return &gantry.Task{
		ID: id, Cluster: over.Cluster, Definition: over.Definition,
		LaunchType: over.LaunchType, CapacityProvider: over.CapacityProvider,
		LastStatus: gantry.Provisioning, DesiredStatus: gantry.Running, Version: 1,
		Group: over.Group, StartedBy: over.StartedBy, CPU: over.CPU, Memory: over.Memory,
		Overrides: over.Overrides, Tags: over.Tags, EnableExecuteCommand: over.EnableExecuteCommand,
		Asked: over.Asked, Reserved: demand.Reserved(),
		Containers: containers(&Batch{Definition: d, NewContainerID: newContainerID}, demand),
	}, true
}
