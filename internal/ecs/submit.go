package ecs

import (
	"cmp"
	"context"
	"maps"
	"regexp"
	"slices"
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
	key, r, err := s.reportOf(in)
	if err != nil {
		return nil, err
	}
	if err := s.told(ctx, key, r); err != nil {
		return nil, err
	}
	return &ecsapi.SubmitTaskStateChangeOutput{Acknowledgment: new(acknowledged)}, nil
}

// SubmitTaskStateChanges does for each change what SubmitTaskStateChange does, in one
// transaction, and returns what it would answer: nil, or its exception.
func (s *Service) SubmitTaskStateChanges(ctx context.Context, changes []ecsapi.SubmitTaskStateChangeInput) []error {
	answers := make([]error, len(changes))
	keys, reports := make([]string, len(changes)), make([]report, len(changes))
	for i := range changes {
		if answers[i] = changes[i].Check(); answers[i] == nil {
			keys[i], reports[i], answers[i] = s.reportOf(&changes[i])
		}
	}
	_, err := s.store.Update(ctx, func(tx *store.Tx) error {
		for i, key := range keys {
			if answers[i] == nil {
				s.hear(tx, key, reports[i])
			}
		}
		return nil
	})
	for i := range answers {
		answers[i] = cmp.Or(answers[i], err)
	}
	return answers
}

// reportOf is what a SubmitTaskStateChange says, and the key of the task it is about.
func (s *Service) reportOf(in *ecsapi.SubmitTaskStateChangeInput) (key string, r report, err error) {
	status, err := reportedStatus(in.Status)
	if err != nil {
		return "", report{}, err
	}
	for _, c := range in.Containers {
		if _, err := reportedStatus(c.Status); err != nil {
			return "", report{}, err
		}
	}
	key, err = s.taskKey(in.Cluster, in.Task)
	return key, report{
		status: status, reason: wire.Value(in.Reason), containers: in.Containers,
		pullStarted: moment(in.PullStartedAt), pullStopped: moment(in.PullStoppedAt), end: moment(in.ExecutionStoppedAt),
	}, err
}

func (s *Service) submitContainerStateChange(ctx context.Context, in *ecsapi.SubmitContainerStateChangeInput) (*ecsapi.SubmitContainerStateChangeOutput, error) {
	if _, err := reportedStatus(in.Status); err != nil {
		return nil, err
	}
	key, err := s.taskKey(in.Cluster, in.Task)
	if err != nil {
		return nil, err
	}
	err = s.told(ctx, key, report{containers: []ecsapi.ContainerStateChange{{
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

// taskKey is the key of the task that a report names.
func (s *Service) taskKey(clusterRef, taskRef *string) (string, error) {
	cluster, err := s.clusterName(clusterRef)
	if err != nil {
		return "", err
	}
	id, err := s.taskID(cluster, wire.Value(taskRef))
	return string(cluster) + "/" + string(id), err
}

// told takes over what an agent reports about a task.
func (s *Service) told(ctx context.Context, key string, r report) error {
	_, err := s.store.Update(ctx, func(tx *store.Tx) error {
		s.hear(tx, key, r)
		return nil
	})
	return err
}

// hear takes over, in a transaction, what an agent reports about a task.
func (s *Service) hear(tx *store.Tx, key string, r report) {
	changeTask(tx, key, func(t *gantry.Task) *gantry.Task {
		next := tell(t, r, essentialOf(tx, t), s.now())
		if next != t {
			resolve(tx, next)
		}
		return next
	})
}

// resolve keeps with a service revision which images its tags mean, from the first of its
// tasks that tells.
func resolve(tx *store.Tx, t *gantry.Task) {
	if t.Revision() == "" || !slices.ContainsFunc(t.Containers, func(c gantry.Container) bool { return c.ImageDigest != "" }) {
		return
	}
	revision, ok := store.ServiceRevisions.Get(tx, string(t.Cluster)+"/"+t.Group.Service()+"/"+string(t.Revision()))
	if !ok {
		return
	}
	d, ok := store.Definitions.Get(tx, string(revision.Definition))
	if !ok {
		return
	}
	found := map[string]string{}
	for _, name := range revision.Unresolved(d.Wire) {
		if c := t.Container(name); c != nil && isDigest(c.ImageDigest) {
			found[name] = c.ImageDigest
		}
	}
	if len(found) == 0 {
		return
	}
	maps.Copy(found, revision.Digests)
	next := *revision
	next.Digests = found
	store.ServiceRevisions.Put(tx, &next)
}

// digestForm is what an image's digest looks like. Whatever else an agent reports is shown
// and asked of nobody.
var digestForm = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

func isDigest(text string) bool { return digestForm.MatchString(text) }

// changeTask puts what change makes of a task, if anything, and frees what the
// task took when it became STOPPED. An unknown task is passed over.
func changeTask(tx *store.Tx, key string, change func(*gantry.Task) *gantry.Task) {
	t, ok := store.Tasks.Get(tx, key)
	if !ok {
		return
	}
	next := change(t)
	if next == t {
		return
	}
	store.Tasks.Put(tx, next)
	if next.LastStatus == gantry.Stopped && t.LastStatus != gantry.Stopped {
		ledger.Release(tx, t)
	}
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
	_, err := s.store.Update(ctx, func(tx *store.Tx) error {
		changeTask(tx, string(cluster)+"/"+string(task), func(t *gantry.Task) *gantry.Task { return tellHealth(t, health) })
		return nil
	})
	return err
}
