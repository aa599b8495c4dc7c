package ecs

import (
	"context"
	"time"

	"gantry"
	"gantry/internal/ledger"
	"gantry/internal/store"
	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"
)

// acknowledged is the answer to whatever an agent reports. A task that gantry no
// longer knows is acknowledged too: the agent would repeat it for a day.
const acknowledged = "OK"

func (s *Service) submitTaskStateChange(ctx context.Context, in *ecsapi.SubmitTaskStateChangeInput) (*ecsapi.SubmitTaskStateChangeOutput, error) {
	status, err := reportedStatus(in.Status)
	if err != nil {
		return nil, err
	}
	for _, c := range in.Containers {
		if _, err := reportedStatus(c.Status); err != nil {
			return nil, err
		}
	}
	err = s.told(ctx, in.Cluster, in.Task, report{
		status: status, reason: wire.Value(in.Reason), containers: in.Containers,
		pullStarted: moment(in.PullStartedAt), pullStopped: moment(in.PullStoppedAt), end: moment(in.ExecutionStoppedAt),
	})
	if err != nil {
		return nil, err
	}
	return &ecsapi.SubmitTaskStateChangeOutput{Acknowledgment: new(acknowledged)}, nil
}

func (s *Service) submitContainerStateChange(ctx context.Context, in *ecsapi.SubmitContainerStateChangeInput) (*ecsapi.SubmitContainerStateChangeOutput, error) {
	if _, err := reportedStatus(in.Status); err != nil {
		return nil, err
	}
	err := s.told(ctx, in.Cluster, in.Task, report{containers: []ecsapi.ContainerStateChange{{
		ContainerName: in.ContainerName, Status: in.Status, ExitCode: in.ExitCode, Reason: in.Reason,
		RuntimeId: in.RuntimeId, NetworkBindings: in.NetworkBindings,
	}}})
	if err != nil {
		return nil, err
	}
	return &ecsapi.SubmitContainerStateChangeOutput{Acknowledgment: new(acknowledged)}, nil
}

// submitAttachmentStateChanges acknowledges: gantry hands out no attachments yet,
// so that none of those reported is one of its own.
func (s *Service) submitAttachmentStateChanges(ctx context.Context, in *ecsapi.SubmitAttachmentStateChangesInput) (*ecsapi.SubmitAttachmentStateChangesOutput, error) {
	if _, err := s.cluster(s.store.View(), in.Cluster); err != nil {
		return nil, err
	}
	return &ecsapi.SubmitAttachmentStateChangesOutput{Acknowledgment: new(acknowledged)}, nil
}

// reportedStatus reads one of the three statuses that agents report, or none.
func reportedStatus(text *string) (gantry.TaskStatus, error) {
	switch s := gantry.TaskStatus(wire.Value(text)); s {
	case "", gantry.Pending, gantry.Running, gantry.Stopped:
		return s, nil
	}
	return "", invalid("Invalid status: %s. Valid values are: PENDING, RUNNING, STOPPED.", wire.Shorten(*text))
}

// told takes over what an agent reports about a task, and frees what the task took
// once it is STOPPED.
func (s *Service) told(ctx context.Context, clusterRef, taskRef *string, r report) error {
	cluster, err := s.clusterName(clusterRef)
	if err != nil {
		return err
	}
	id, err := s.taskID(cluster, wire.Value(taskRef))
	if err != nil {
		return err
	}
	return s.changeTask(ctx, cluster, id, func(tx *store.Tx, t *gantry.Task) *gantry.Task {
		return tell(t, r, essentialOf(tx, t), s.now())
	})
}

// changeTask puts what change makes of a task, if anything, and frees what the
// task took when it became STOPPED. An unknown task is passed over.
func (s *Service) changeTask(ctx context.Context, cluster gantry.ClusterName, id gantry.TaskID, change func(*store.Tx, *gantry.Task) *gantry.Task) error {
	_, err := s.store.Update(ctx, func(tx *store.Tx) error {
		t, ok := store.Tasks.Get(tx, string(cluster)+"/"+string(id))
		if !ok {
			return nil
		}
		next := change(tx, t)
		if next == t {
			return nil
		}
		store.Tasks.Put(tx, next)
		if next.LastStatus == gantry.Stopped && t.LastStatus != gantry.Stopped {
			ledger.Release(tx, t)
		}
		return nil
	})
	return err
}

// essentialOf tells which containers the task ends with: those that its definition
// says, all of them where the definition is gone.
func essentialOf(r store.Reader, t *gantry.Task) func(string) bool {
	d, ok := store.Definitions.Get(r, string(t.Definition))
	return func(name string) bool {
		if !ok {
			return true
		}
		c := containerDefinition(d.Wire, name)
		return c == nil || c.Essential == nil || *c.Essential
	}
}

func moment(t *wire.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.Time
}

// ReportHealth takes over the health of a task's containers, by name, as the
// agent's telemetry tells it. What did not change is not written; an unknown task
// is passed over.
func (s *Service) ReportHealth(ctx context.Context, cluster gantry.ClusterName, task gantry.TaskID, health map[string]ecsapi.HealthStatus) error {
	return s.changeTask(ctx, cluster, task, func(_ *store.Tx, t *gantry.Task) *gantry.Task { return tellHealth(t, health) })
}
