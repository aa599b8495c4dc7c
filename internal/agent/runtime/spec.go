package runtime

import "time"

// A ContainerID names a container on this host: up to 76 letters, digits, dots,
// hyphens and underscores. ECS calls it runtimeId.
type ContainerID string

// A TaskID is the last part of a task's ARN. It names the task's cgroup.
type TaskID string

// A Spec is everything an ECS container definition says about one container,
// resolved: overrides applied, volumes found, ports and network made. The zero
// value of a field means what leaving it out of the definition means.
type Spec struct {
	ID   ContainerID
	Task TaskID
	// Image is the reference as the definition gives it. It must be on the
	// host: Pull or Load it first.
	Image  string
	Labels map[string]string

	// EntryPoint and Command replace the image's. As in Docker, an EntryPoint
	// of its own also drops the image's command.
	EntryPoint []string
	Command    []string
	// Environment is added to the image's, and wins. "NAME=value" each.
	Environment []string
	// WorkingDirectory is made if the image lacks it.
	WorkingDirectory string
	// User is "user", "uid", and either with ":group" or ":gid".
	User string
	// Terminal is pseudoTerminal. A terminal has one output: all goes to
	// Log.Stdout, which must be there and be a new file for each container.
	Terminal bool
	// Interactive keeps standard input open instead of empty.
	Interactive bool
	// StopSignal is used instead of the image's STOPSIGNAL; "SIGTERM", "15".
	StopSignal string
	// Init makes gantry's init process 1 (initProcessEnabled).
	Init bool

	Log       Log
	Resources Resources
	Security  Security
	Network   Network
	PID       Namespace
	IPC       Namespace
	// Files become /etc/hosts, /etc/resolv.conf and /etc/hostname.
	Files Files

	Devices []Device
	Tmpfs   []Tmpfs
	Ulimits []Ulimit
	// Sysctls are systemControls. Only those that a namespace of the
	// container's own holds are accepted.
	Sysctls map[string]string
	// Mounts go before VolumesFrom, and both before the volumes that the image declares.
	Mounts      []Mount
	VolumesFrom []VolumesFrom
}

// Log names the two files that the container's output is appended to, byte for
// byte as it was printed: no framing, no timestamps, no rotation. The shim
// holds them open for appending, so they may be read at any offset, and what
// was read may be given back to the file system by punching holes, but they
// must not be truncated, renamed or removed while the container exists. When
// Wait returns, all that the container printed is in them.
//
// The files are made by Create if they are missing. An empty name discards
// that stream. Two different names keep the streams apart; the same name twice
// interleaves them in the order they were written, in pieces of up to 32 KiB.
type Log struct {
	Stdout, Stderr string
}

// Resources are enforced by the kernel.
type Resources struct {
	// CPUShares is the weight among containers, in CPU units. Less than 2
	// counts as 2, as ECS has it; more than 262144 as that.
	CPUShares uint64
	// CPUs limits a container by itself to so many CPUs; 0 is no limit.
	CPUs float64
	// MemoryBytes is the hard limit; 0 is none of its own.
	MemoryBytes int64
	// MemoryReservationBytes is the soft limit; 0 is none.
	MemoryReservationBytes int64
	// SwapBytes is maxSwap; nil leaves it to the host, 0 forbids swap.
	SwapBytes *int64
	// Swappiness is 0 to 100; nil leaves it to the host.
	Swappiness *uint64
	// PidsLimit bounds processes and threads; 0 is a quarter of what this host
	// can have, and -1 no limit.
	PidsLimit int64
	// SharedMemoryBytes is the size of /dev/shm; 0 is 64 MiB.
	SharedMemoryBytes int64
}

// Security is what the container may do.
type Security struct {
	Privileged             bool
	ReadonlyRootFilesystem bool
	// CapAdd and CapDrop are names without "CAP_", or ALL.
	CapAdd, CapDrop []string
	// Options are dockerSecurityOptions: no-new-privileges,
	// seccomp=unconfined, apparmor=unconfined or a loaded profile's name.
	Options []string
}

// Network says which network namespace the container is in. The zero value is
// one of its own with nothing but an unconfigured loopback: network mode none.
type Network struct {
	// Host is network mode host.
	Host bool
	// Path is a network namespace somebody made, such as /run/netns/x.
	Path string
	// Hostname of the container; empty is the first 12 characters of its ID,
	// or with Host the host's.
	Hostname string
}

// A Namespace says whose processes (pidMode) or whose shared memory (ipcMode)
// the container sees. The zero value is its own.
type Namespace struct {
	// Host is mode "host".
	Host bool
	// Anchor is mode "task": the anchor container that CreateAnchor made.
	Anchor ContainerID
	// None, for IPC only: its own, and no /dev/shm at all.
	None bool
}

// Files are the contents of files that are bind-mounted into the container.
// Nil leaves the image's own file in place.
type Files struct {
	Hosts, ResolvConf, Hostname []byte
}

// A Device of the host in the container.
type Device struct {
	HostPath string
	// ContainerPath is HostPath if empty.
	ContainerPath string
	// Permissions is a subset of "rwm", all if empty.
	Permissions string
}

// Tmpfs is a file system in memory.
type Tmpfs struct {
	ContainerPath string
	// SizeBytes bounds it; 0 leaves it to the kernel (half of the memory).
	SizeBytes int64
	// Options are mount options as for Docker, such as "noexec" or "uid=1000".
	Options []string
}

// A Ulimit is one resource limit, by ECS's name ("nofile").
type Ulimit struct {
	Name       string
	Soft, Hard uint64
}

// A Mount is a directory or file of the host, or of a volume, in the container.
type Mount struct {
	// Source is a path on the host. A missing one is made, as Docker does.
	Source string
	// Volume is a named volume instead of a Source; see CreateVolume.
	Volume      VolumeName
	Destination string
	ReadOnly    bool
}

// A State is how far a container is.
type State string

// The states of a container.
const (
	// Created: it can be started.
	Created State = "created"
	Running State = "running"
	// Stopped: it ran, and its Exit is known.
	Stopped State = "stopped"
	// Lost: it is recorded, and nothing is left of its process: the host was
	// restarted, or its shim was killed before it could be created. It can
	// only be deleted.
	Lost State = "lost"
)

// A Container is what the runtime knows of one.
type Container struct {
	ID     ContainerID
	Task   TaskID
	Image  string
	Digest string // of the image's manifest, "sha256:…"
	// ImageID is the digest of its configuration; "" of a container that an older gantry made.
	ImageID string
	Labels  map[string]string
	// StopSignal is the signal that asks it to end: "SIGTERM" if nobody said otherwise.
	StopSignal string
	// Mounts are the host directories and volumes it was given, for volumesFrom.
	Mounts    []Mount
	Log       Log
	CreatedAt time.Time
	State     State
	// PID is of its first process, on the host; 0 unless it is running.
	PID int
	// Exit is set once it is stopped.
	Exit *Exit
}

// An Exit is how a container ended.
type Exit struct {
	// Code is the exit code, 128 plus the signal's number if a signal ended it.
	Code uint32
	At   time.Time
	// OOMKilled is whether the kernel killed a process of this very container
	// for want of memory and the container ended with 137.
	OOMKilled bool
}
