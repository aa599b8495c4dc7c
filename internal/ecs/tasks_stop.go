package ecs

import (
	"context"

	"gantry"
	"gantry/internal/store"
	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"
)

// maxStopReason bounds the reason of StopTask, in bytes.
const maxStopReason = 1024

// stopTask asks for a task to be stopped. Its agent stops it and reports; where no
// agent has it yet the lifecycle engine does. A task that is stopping or stopped
// is answered as it is.
func (s *Service) stopTask(ctx context.Context, in *ecsapi.StopTaskInput) (*ecsapi.StopTaskOutput, error) {
	reason := wire.Value(in.Reason)
	if len(reason) > maxStopReason {
		return nil, invalid("reason has %d characters; at most %d are allowed.", len(reason), maxStopReason)
	}
	if reason == "" {
		reason = reasonStoppedByUser
	}
	var out *gantry.Task
	_, err := s.store.Update(ctx, func(tx *store.Tx) error {
		c, err := s.cluster(tx, in.Cluster)
		if err != nil {
			return err
		}
		id, err := s.taskID(c.Name, wire.Value(in.Task))
		if err != nil {
			return err
		}
		t, ok := store.Tasks.Get(tx, string(c.Name)+"/"+string(id))
		if !ok {
			return invalid("The referenced task was not found.")
		}
		out = t
		if t.DesiredStatus == gantry.Stopped {
			return nil
		}
		next := *t
		next.DesiredStatus, next.StoppingAt = gantry.Stopped, s.now()
		next.StopCode, next.StoppedReason = ecsapi.TaskStopCodeUserInitiated, reason
		next.Version++
		out = &next
		store.Tasks.Put(tx, out)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &ecsapi.StopTaskOutput{Task: s.showWhole(s.store.View(), out)}, nil
}
