package gantry

import (
	"time"

	"gantry/internal/wire/ecsapi"
)

// A TaskStatus is a step in a task's life, in ECS's words.
// The desired status of a task is RUNNING or STOPPED only.
type TaskStatus string

const (
	Provisioning   TaskStatus = "PROVISIONING"
	Pending        TaskStatus = "PENDING"
	Activating     TaskStatus = "ACTIVATING"
	Running        TaskStatus = "RUNNING"
	Deactivating   TaskStatus = "DEACTIVATING"
	Stopping       TaskStatus = "STOPPING"
	Deprovisioning TaskStatus = "DEPROVISIONING"
	Stopped        TaskStatus = "STOPPED"
)

// step orders the statuses: a task only ever moves to a later one.
var step = map[TaskStatus]int{
	Provisioning: 1, Pending: 2, Activating: 3, Running: 4,
	Deactivating: 5, Stopping: 6, Deprovisioning: 7, Stopped: 8,
}

// MayBecome reports whether a task in status s may move to next: states only
// move forward, a step that has nothing to do is skipped, and STOPPED is final.
func (s TaskStatus) MayBecome(next TaskStatus) bool {
	return step[next] > step[s] && step[s] > 0
}

// A StopCode says who or what stopped a task; ecsapi.TaskStopCode has the values.
type StopCode = ecsapi.TaskStopCode

// A Task is one running copy of a task definition. It holds what is its own;
// what its definition says (images, ports, sizes) is not repeated.
//
// Which package writes which step is the table "Who moves a task" in ARCHITECTURE.md.
type Task struct {
	ID         TaskID         `json:"id"`
	Cluster    ClusterName    `json:"cluster"`
	Definition DefinitionName `json:"definition"`
	// Instance is where the task is placed; empty while it waits for capacity.
	Instance InstanceID `json:"instance,omitzero"`
	// Zone is the instance's availability zone at the time of placement.
	Zone string `json:"zone,omitzero"`
	// Architecture is the CPU architecture of the instance: x86_64, arm64.
	Architecture     string            `json:"architecture,omitzero"`
	LaunchType       ecsapi.LaunchType `json:"launchType,omitzero"`
	CapacityProvider string            `json:"capacityProvider,omitzero"`

	LastStatus    TaskStatus `json:"lastStatus"`
	DesiredStatus TaskStatus `json:"desiredStatus"`
	// Version starts at 1 and rises with every change that a user can see.
	Version int64 `json:"version"`

	Group     Group  `json:"group"`
	StartedBy string `json:"startedBy,omitzero"`
	// CPU (units) and Memory (MiB) are the task-level sizes as ECS answers them:
	// integers as text, empty where neither definition nor override has one.
	CPU    string `json:"cpu,omitzero"`
	Memory string `json:"memory,omitzero"`

	Overrides            *ecsapi.TaskOverride `json:"overrides,omitzero"`
	Tags                 []ecsapi.Tag         `json:"tags,omitzero"`
	EnableExecuteCommand bool                 `json:"enableExecuteCommand,omitzero"`

	Containers []Container `json:"containers"`
	// Reserved is what this task takes on its instance, freed when it is STOPPED.
	Reserved Resources `json:"reserved,omitzero"`

	StopCode      StopCode `json:"stopCode,omitzero"`
	StoppedReason string   `json:"stoppedReason,omitzero"`

	// Asked is what the caller of RunTask said about where the task may go, kept while it
	// may have to be placed later, or again; nil where nothing was said.
	Asked *Asked `json:"asked,omitzero"`
	// Failed says that the task ended otherwise than it should have, and that nobody had
	// asked it to: it never started, an essential container ended with an error, or its
	// container instance was lost.
	Failed bool `json:"failed,omitzero"`
	// Attempt counts how often a standalone task was started again after it failed, and
	// NotBefore is until when that waits. RetriedBy is the task that was started in its
	// place.
	Attempt   int       `json:"attempt,omitzero"`
	NotBefore time.Time `json:"notBefore,omitzero"`
	RetriedBy TaskID    `json:"retriedBy,omitzero"`

	// ProtectedUntil is when the scale-in protection of a service's task ends.
	ProtectedUntil time.Time `json:"protectedUntil,omitzero"`
	// Reckoned says that the service scheduler has counted the task's failure.
	Reckoned bool `json:"reckoned,omitzero"`

	CreatedAt          time.Time `json:"createdAt"`
	ConnectivityAt     time.Time `json:"connectivityAt,omitzero"`
	PullStartedAt      time.Time `json:"pullStartedAt,omitzero"`
	PullStoppedAt      time.Time `json:"pullStoppedAt,omitzero"`
	StartedAt          time.Time `json:"startedAt,omitzero"`
	StoppingAt         time.Time `json:"stoppingAt,omitzero"`
	ExecutionStoppedAt time.Time `json:"executionStoppedAt,omitzero"`
	StoppedAt          time.Time `json:"stoppedAt,omitzero"`
}

// Asked is where a task may go, in the words of its RunTask.
type Asked struct {
	Constraints []ecsapi.PlacementConstraint `json:"constraints,omitzero"`
	Strategies  []ecsapi.PlacementStrategy   `json:"strategies,omitzero"`
}

// Waits reports whether the task waits for a place: it is PROVISIONING, on no container
// instance, and nobody has asked it to stop.
func (t *Task) Waits() bool {
	return t.LastStatus == Provisioning && t.Instance == "" && t.DesiredStatus != Stopped
}

// A Container is what a task knows of one of its containers beyond the definition.
type Container struct {
	Name string `json:"name"`
	// ID is the last part of the container's ARN, a UUID.
	ID          string     `json:"id"`
	LastStatus  TaskStatus `json:"lastStatus"`
	RuntimeID   string     `json:"runtimeId,omitzero"`
	ImageDigest string     `json:"imageDigest,omitzero"`
	// ExitCode is nil until the container has run and ended.
	ExitCode *int32 `json:"exitCode,omitzero"`
	// Reason reads "<ErrorName>: <text>" where something went wrong.
	Reason string              `json:"reason,omitzero"`
	Health ecsapi.HealthStatus `json:"health,omitzero"`
	// NetworkBindings is nil until the container runs.
	NetworkBindings []ecsapi.NetworkBinding `json:"networkBindings,omitzero"`
	GPUs            []string                `json:"gpus,omitzero"`
}

// Key is the task's place in the store: "<cluster>/<task id>".
func (t *Task) Key() string { return string(t.Cluster) + "/" + string(t.ID) }

// Container finds a container by name; nil where there is none.
func (t *Task) Container(name string) *Container {
	for i := range t.Containers {
		if t.Containers[i].Name == name {
			return &t.Containers[i]
		}
	}
	return nil
}
