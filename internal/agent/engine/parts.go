package engine

import (
	"context"
	"io"
	"net/netip"
	"time"

	"gantry"
	"gantry/internal/wire/ecsapi"
)

// Images brings images onto the machine.
type Images interface {
	// Pull returns once the image is here and unpacked. Its error reads as the text of an ECS reason, with the
	// error's name in front ("CannotPullContainerError: …").
	Pull(ctx context.Context, ref string) (Image, error)
}

// An Image is what a pull came to.
type Image struct {
	ID     string // digest of the image's configuration
	Digest string // digest of its manifest, "sha256:…"
	// Cached says that the image was here and, as the instance is set up, no registry had to be asked.
	Cached bool
}

// Containers makes containers and ends them. Errors read as the text of an ECS reason, with the error's name in front
// ("CannotStartContainerError: …").
type Containers interface {
	// Create makes a container that does not run yet. A half-made container of the same id is replaced.
	Create(ctx context.Context, spec *Spec) error
	// Start starts a created container. Its end is never before startedAt.
	Start(ctx context.Context, id string) (startedAt time.Time, err error)
	// Restart starts a container that has ended once more, with what it wrote to its file system.
	Restart(ctx context.Context, id string) (startedAt time.Time, err error)
	// Wait returns when the container's latest run has ended.
	Wait(ctx context.Context, id string) (Exit, error)
	// Stop sends a container its stop signal: the one named, else its image's, else SIGTERM.
	Stop(ctx context.Context, id string, signal string) error
	// Kill sends SIGKILL to all of a container.
	Kill(ctx context.Context, id string) error
	// Delete removes a container that does not run; one that is not there is no error.
	Delete(ctx context.Context, id string) error
	// List is every container there is, for an agent that was restarted.
	List(ctx context.Context) ([]Found, error)
}

// A Found is a container that the runtime has.
type Found struct {
	ID string
	// Cluster is what its label com.amazonaws.ecs.cluster says: agents of several clusters may share a runtime.
	Cluster   string
	State     FoundState
	StartedAt time.Time // zero where the runtime does not know
	Exit      *Exit     // where State is FoundExited
	Image     Image     // that it was made from
}

// A FoundState is what the runtime knows of a container.
type FoundState string

const (
	FoundCreated FoundState = "created"
	FoundRunning FoundState = "running"
	FoundExited  FoundState = "exited"
)

// Prober runs a health check's command inside a running container.
type Prober interface {
	Probe(ctx context.Context, id string, command []string, timeout time.Duration) (exitCode int, output string, err error)
}

// Sandboxes makes what the containers of one task share: the cgroup with its limits, namespaces, volumes.
type Sandboxes interface {
	// Prepare may find that it has been done before.
	Prepare(ctx context.Context, task TaskSandbox) error
	// Release gives back the cgroup and the namespaces of a task without running containers.
	Release(ctx context.Context, id gantry.TaskID) error
	// RemoveVolumes removes the volumes that live as long as the task.
	RemoveVolumes(ctx context.Context, id gantry.TaskID) error
}

// A TaskSandbox is what a task's containers share.
type TaskSandbox struct {
	ID   gantry.TaskID
	VCPU float64 // hard limit; 0 means none
	// CPUShares is the task's weight beside others.
	CPUShares int64
	Memory    int64 // bytes, hard limit; 0 means none
	SharePID  bool  // pidMode task
	ShareIPC  bool  // ipcMode task
	// SharedMemory is the size of the /dev/shm that goes with ShareIPC, in bytes; 0 means Docker's 64 MiB.
	SharedMemory int64
	Volumes      []Volume
}

// A Volume is one that the runtime has to have before a container is made.
type Volume struct {
	Name string // as ECS users call it; unique within its scope
	// Shared volumes outlive the task and belong to the instance; others end with the task.
	Shared bool
	// MustExist refuses a shared volume that is not there yet (autoprovision false).
	MustExist  bool
	DriverOpts map[string]string
	Labels     map[string]string
}

// Network connects containers.
type Network interface {
	// Attach may find that it has been done before, and then answers the same again. Its error reads as an ECS reason.
	Attach(ctx context.Context, request AttachRequest) (Attached, error)
	// Detach gives back a container's network; one that has none is no error.
	Detach(ctx context.Context, containerID string) error
}

// An AttachRequest asks for one container's network.
type AttachRequest struct {
	ContainerID string
	Mode        string // bridge, host or none
	Ports       []Ports
}

// Attached is a container's network as it now is.
type Attached struct {
	Namespace string     `json:"namespace,omitzero"` // path of the namespace to join; empty in host mode
	IP        netip.Addr `json:"ip,omitzero"`
	Bindings  []Binding  `json:"bindings,omitzero"`
}

// A Binding is a port mapping in force; either the ports or the ranges are set.
type Binding = ecsapi.NetworkBinding

// Logs takes what containers print to where their log configuration says.
type Logs interface {
	// Attach begins before the container starts, or goes on where a killed agent stopped. A driver or an option that is
	// not offered is an error that reads as an ECS reason.
	Attach(ctx context.Context, out LogOutput) error
	// Drain returns when all that an ended container printed is where it belongs, or ctx ends.
	Drain(ctx context.Context, containerID string) error
	// Forget removes what is kept of a container's output on this machine.
	Forget(ctx context.Context, containerID string) error
}

// A LogOutput says whose output goes where.
type LogOutput struct {
	ContainerID   string
	ContainerName string
	DockerName    string
	TaskARN       string
	TaskID        gantry.TaskID
	Family        string
	Revision      string
	Driver        string // empty means the instance's default
	Options       map[string]string
}

// Submitter tells the control plane. It may be called for many tasks at once, and bounds itself what goes out at a time.
type Submitter interface {
	// SubmitTaskStateChange's error is a *Rejection where repeating the call is useless.
	SubmitTaskStateChange(ctx context.Context, change *ecsapi.SubmitTaskStateChangeInput) error
}

// A Rejection is a control plane's answer that stays the same however often one asks.
type Rejection struct{ Err error }

func (r *Rejection) Error() string { return r.Err.Error() }
func (r *Rejection) Unwrap() error { return r.Err }

// Disk says how much room there is for new tasks.
type Disk interface {
	Free() (bytes uint64, err error)
}

// Parts is everything the engine works with. All of them must be set.
type Parts struct {
	Images     Images
	Containers Containers
	Prober     Prober
	Sandboxes  Sandboxes
	Network    Network
	Logs       Logs
	Submitter  Submitter
	Disk       Disk
	// Random is where container ids come from; crypto/rand.Reader outside tests.
	Random io.Reader
}
