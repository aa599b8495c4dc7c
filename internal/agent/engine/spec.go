package engine

import (
	"net/netip"

	"gantry"
)

// A Spec is one container to be made: everything a payload says about it, with nothing left to look up but the image.
type Spec struct {
	ID         string
	TaskID     gantry.TaskID
	DockerName string
	Image      string
	// Command and EntryPoint are nil where the image's count.
	Command, EntryPoint []string
	Env                 []string // "NAME=value", over the image's
	WorkingDir, User    string
	Labels              map[string]string
	StopSignal          string // empty means the image's
	TTY, OpenStdin      bool

	CPUShares         int64 // at least 2
	Memory            int64 // bytes, hard; 0 means none
	MemoryReservation int64 // bytes, soft; 0 means none
	// MemorySwap is memory and swap together in bytes: 0 leaves it to the runtime, -1 is unlimited.
	MemorySwap int64
	Swappiness *int64
	PIDsLimit  int64 // 0 means the instance's own bound, -1 none

	Privileged, ReadonlyRoot, Init     bool
	NoNewPrivileges, SeccompUnconfined bool
	CapAdd, CapDrop                    []string
	Devices                            []Device
	ShmSize                            int64 // bytes; 0 means Docker's 64 MiB
	Tmpfs                              map[string]string
	Ulimits                            []Ulimit
	Sysctls                            map[string]string
	PIDMode, IPCMode                   string // "", host, task; for IPC also none

	// HostNetwork means that Namespace is the machine's own.
	HostNetwork bool
	Namespace   string
	Hostname    string
	Domainname  string
	IP          netip.Addr
	Hosts       []Host // beside the container's own
	DNS         DNS

	// Mounts are what definitions say, VolumesFrom whose images may say more.
	Mounts      []Mount
	VolumesFrom []VolumesFrom
}

// A VolumesFrom is a container whose volumes another one takes over.
type VolumesFrom struct {
	ID       string
	ReadOnly bool
}

// A Device of the machine, shown in the container.
type Device struct {
	HostPath, ContainerPath string
	Permissions             string // of "rwm"
}

// A Ulimit is one resource limit.
type Ulimit struct {
	Name string
	Soft int64
	Hard int64
}

// A Host is a line of /etc/hosts.
type Host struct {
	Names   []string
	Address string
}

// DNS is what /etc/resolv.conf says; empty members leave the machine's.
type DNS struct {
	Servers, Search, Options []string
}

// A Mount shows a folder of the machine, or a volume, in a container. One of Source and Volume is set.
type Mount struct {
	Source   string
	Volume   *Volume
	Path     string // in the container
	ReadOnly bool
}
