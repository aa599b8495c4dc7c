// Package metadata is what a container can ask about itself: the task metadata endpoint (versions 4 and 3), the
// credentials of its task role, and what an operator can ask the agent on the instance (introspection).
//
// Data: Task, Container, Stats, Credentials, as the agent knows them. Who has them implements the small interfaces of
// Config. Operations: NewEndpoint and NewIntrospection make the two HTTP handlers, Serve runs one until a context ends.
// What a container is told is rendered by pure functions from the data; the shapes are those of the Amazon ECS agent.
//
// It never changes anything, keeps nothing, and asks no other service; only tags are listed by whoever implements Tags.
package metadata

import "time"

// A Task is a task on this instance as far as it is told to others.
type Task struct {
	ARN     string
	Cluster string // its name as configured, or its ARN
	Family  string
	// Revision is that of the task definition, in digits.
	Revision      string
	ServiceName   string // empty if no service started it
	DesiredStatus string
	KnownStatus   string
	// Limits are those of the task, in vCPU and MiB; nil if it has none.
	Limits             *TaskLimits
	PullStartedAt      time.Time // zero while it has not happened, as the other times
	PullStoppedAt      time.Time
	ExecutionStoppedAt time.Time
	AvailabilityZone   string
	LaunchType         string // EC2, EXTERNAL or FARGATE
	// FaultInjection is the task definition's enableFaultInjection.
	FaultInjection bool
	Containers     []Container
}

// TaskLimits are what a task may use.
type TaskLimits struct {
	VCPU      float64
	MemoryMiB int64
}

// A Container is one container of a task, known from the moment its task is, before it runs.
type Container struct {
	// MetadataID is the uuid in the URIs that only this container is told.
	MetadataID string
	// ID is the runtime's; empty until the container is created.
	ID string
	// Name is the container definition's, RuntimeName ecs-<family>-<revision>-<name>-<20 hex>.
	Name        string
	RuntimeName string
	ARN         string
	Image       string
	ImageDigest string // sha256:…
	Ports       []Port
	Labels      map[string]string

	DesiredStatus string
	KnownStatus   string
	ExitCode      *int // nil while it has none
	// CPU is in CPU units, MemoryMiB in MiB; 0 is none given.
	CPU          int64
	MemoryMiB    int64
	CreatedAt    time.Time
	StartedAt    time.Time
	FinishedAt   time.Time
	Networks     []Network
	Health       *Health // nil without a health check
	Volumes      []Volume
	LogDriver    string
	LogOptions   map[string]string
	RestartCount *int // nil without a restart policy
}

// A Port is a port mapping in force, one per port: a range is as many of them.
type Port struct {
	ContainerPort uint16
	HostPort      uint16
	Protocol      string
	HostIP        string
}

// A Network is one that a container is in.
type Network struct {
	NetworkMode   string
	IPv4Addresses []string
}

// Health is what a container's health check has found.
type Health struct {
	Status   string    `json:"status"`
	Since    time.Time `json:"statusSince,omitzero"`
	ExitCode int       `json:"exitCode,omitempty"`
	Output   string    `json:"output,omitempty"`
}

// A Volume is something mounted in a container.
type Volume struct {
	Name        string `json:"DockerName,omitempty"`
	Source      string `json:"Source,omitempty"`
	Destination string `json:"Destination,omitempty"`
}

// Tags are the tags of a task and of its container instance, and what went wrong with listing them.
type Tags struct {
	Task     map[string]string
	Instance map[string]string
	Errors   []TagError
}

// A TagError says why some tags are missing from an answer.
type TagError struct {
	ErrorField   string // TaskTags or ContainerInstanceTags
	ErrorCode    string
	ErrorMessage string
	StatusCode   int
	RequestID    string `json:"RequestId"`
	ResourceARN  string
}

// Credentials are the short-lived keys of a task's role.
type Credentials struct {
	RoleARN         string    `json:"RoleArn"`
	AccessKeyID     string    `json:"AccessKeyId"`
	SecretAccessKey string    `json:"SecretAccessKey"`
	Token           string    `json:"Token"`
	Expiration      time.Time `json:"Expiration"`
}

// An Instance is the container instance that the agent is.
type Instance struct {
	Cluster string
	// ARN is empty until the instance is registered.
	ARN string
	// Version tells program, version and build, in one line.
	Version string
}
