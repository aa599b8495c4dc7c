package engine

import (
	"maps"
	"slices"
	"time"

	"gantry"
)

// A Phase is how far one container is. It only moves forward, except that a restart policy leads from Exited to
// Restarting and so back to Up.
type Phase string

const (
	Waiting    Phase = ""           // nothing was done yet
	Pulled     Phase = "PULLED"     // its image is here
	Launching  Phase = "LAUNCHING"  // it is being made
	Restarting Phase = "RESTARTING" // recorded before it is started again
	Up         Phase = "UP"         // it was started
	Exited     Phase = "EXITED"     // it ended; whether it starts again is the next decision
	Ended      Phase = "ENDED"      // for good: its output is shipped, its network returned
)

// A Task is how far the engine is with one task. It is what the journal holds, so that a restarted agent carries on.
type Task struct {
	Desired    gantry.TaskStatus `json:"desired"` // RUNNING or STOPPED
	Order      int64             `json:"order"`   // of arrival
	Boot       string            `json:"boot"`    // the boot of the machine in which the task was last alive
	Containers []Container       `json:"containers"`

	Admitted bool `json:"admitted,omitzero"` // its resources are taken in the host's ledger
	Prepared bool `json:"prepared,omitzero"` // its cgroup and volumes exist
	Released bool `json:"released,omitzero"` // everything but the stopped containers was given back

	// Reason is why the whole task could not run; mostly empty, since containers have their own.
	Reason             string    `json:"reason,omitzero"`
	PullStartedAt      time.Time `json:"pullStartedAt,omitzero"`
	PullStoppedAt      time.Time `json:"pullStoppedAt,omitzero"`
	RunningAt          time.Time `json:"runningAt,omitzero"`          // see noteRunning
	ExecutionStoppedAt time.Time `json:"executionStoppedAt,omitzero"` // when an essential container ended
	StoppedAt          time.Time `json:"stoppedAt,omitzero"`          // when the last container ended

	Told Told `json:"told"`

	// Busy is the task-level step under way. It dies with the process.
	Busy StepKind `json:"-"`
}

// A Container is how far the engine is with one container of a task.
type Container struct {
	Name string `json:"name"`
	// RuntimeID names the container in the runtime, MetadataID at the metadata endpoint, DockerName for people.
	// They are chosen when the task is accepted, so that what a killed agent had begun is found by them.
	RuntimeID  string `json:"runtimeId"`
	MetadataID string `json:"metadataId"`
	DockerName string `json:"dockerName"`

	Phase       Phase     `json:"phase,omitzero"`
	ImageDigest string    `json:"imageDigest,omitzero"`
	ImageID     string    `json:"imageId,omitzero"`
	LaunchedAt  time.Time `json:"launchedAt,omitzero"` // when its making began
	CreatedAt   time.Time `json:"createdAt,omitzero"`
	StartedAt   time.Time `json:"startedAt,omitzero"` // the latest start
	Network     Attached  `json:"network,omitzero"`
	Exit        *Exit     `json:"exit,omitzero"` // of the latest run
	Reason      string    `json:"reason,omitzero"`
	Health      Health    `json:"health,omitzero"`
	Restarts    int       `json:"restarts,omitzero"`
	StopSentAt  time.Time `json:"stopSentAt,omitzero"` // when it was to be asked to end
	Signalled   bool      `json:"signalled,omitzero"`  // and it was
	KillSentAt  time.Time `json:"killSentAt,omitzero"` // when it was last made to end

	// Busy is the step under way, Probing a health probe beside it, PullBeganAt when its image's pull began. They die with
	// the process. HalfMade says that a killed agent may have begun to make it, though neither record nor runtime know of it.
	HalfMade    bool      `json:"-"`
	Busy        StepKind  `json:"-"`
	Probing     bool      `json:"-"`
	PullBeganAt time.Time `json:"-"`
}

// An Exit is how a run of a container ended.
type Exit struct {
	Code      int32     `json:"code"`
	At        time.Time `json:"at"`
	OOMKilled bool      `json:"oomKilled,omitzero"`
}

// Told is what the control plane has acknowledged of a task, so that only news is sent.
type Told struct {
	Status     gantry.TaskStatus            `json:"status,omitzero"`
	Containers map[string]gantry.TaskStatus `json:"containers,omitzero"`
	// GivenUp says that the control plane wants to hear no more of it.
	GivenUp bool `json:"givenUp,omitzero"`
}

// Status is a container's status as ECS tells it.
func (c *Container) Status() gantry.TaskStatus {
	switch c.Phase {
	case Up, Exited, Restarting:
		return gantry.Running
	case Ended:
		return gantry.Stopped
	}
	return gantry.Pending
}

// Started reports whether the container ran at some time.
func (c *Container) Started() bool { return !c.StartedAt.IsZero() }

// Status is the task's status: that of the container which is least far.
func (t *Task) Status() gantry.TaskStatus {
	status := gantry.Stopped
	for i := range t.Containers {
		if s := t.Containers[i].Status(); s.MayBecome(status) {
			status = s
		}
	}
	return status
}

// noteRunning notes that every container was started, or, if it is not essential, has failed to. A task that was wanted
// STOPPED before never gets there.
func (t *Task) noteRunning(now time.Time, def *Definition) {
	if !t.RunningAt.IsZero() || t.Desired != gantry.Running {
		return
	}
	for i := range t.Containers {
		c := &t.Containers[i]
		failed := c.Phase == Ended && !def.Containers[i].Essential
		if !c.Started() && !failed {
			return
		}
	}
	t.RunningAt = now
}

// Container finds a container by name; nil where there is none.
func (t *Task) Container(name string) *Container {
	for i := range t.Containers {
		if t.Containers[i].Name == name {
			return &t.Containers[i]
		}
	}
	return nil
}

// clone copies what a later step may change, so that readers can keep what they were given.
func (t *Task) clone() *Task {
	c := *t
	c.Containers = slices.Clone(t.Containers)
	c.Told.Containers = maps.Clone(t.Told.Containers)
	return &c
}
