package runtime

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// A blueprint is everything that decides a container's OCI specification,
// already looked up.
type blueprint struct {
	spec  Spec
	image ocispec.ImageConfig
	host  host
	user  specs.User
	home  string // of the user, for HOME
	// narrow is whether 32-bit programs may run; see seccompProfile.
	narrow bool
	// cgroup is the container's, below the task's.
	cgroup string
	// devices are the host's device nodes that spec.Devices, or privileged,
	// name, as they will be in the container.
	devices []deviceNode
	// mounts are the binds and volumes, with sources that exist.
	mounts []specs.Mount
	// pid and ipc are paths of namespaces to join; shm is the anchor's shared memory.
	pid, ipc, shm string
}

const (
	minCPUShares = 2      // what Linux takes at least, and ECS gives
	maxCPUShares = 262144 // and at most
	cpuPeriod    = 100_000
	// defaultShm is Docker's and ECS's size of /dev/shm.
	defaultShm  = 64 << 20
	defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	initPath    = "/dev/init"
)

// ociSpec turns a blueprint into what runc carries out. It is pure. Its errors
// say what of the definition cannot be honoured.
func ociSpec(b blueprint) (*specs.Spec, error) {
	args, err := arguments(b.spec, b.image)
	if err != nil {
		return nil, err
	}
	options, err := parseSecurityOptions(b.spec.Security.Options, b.host)
	if err != nil {
		return nil, err
	}
	caps, err := capabilities(b.spec.Security, b.host)
	if err != nil {
		return nil, err
	}
	rlimits, err := rlimits(b.spec.Ulimits, b.host)
	if err != nil {
		return nil, err
	}
	if err := checkSysctls(b.spec); err != nil {
		return nil, err
	}
	mounts, err := mounts(b)
	if err != nil {
		return nil, err
	}
	if dir := b.spec.WorkingDirectory; dir != "" && !path.IsAbs(dir) {
		return nil, fmt.Errorf("the working directory '%s' is invalid, it needs to be an absolute path", dir) // Docker's words
	}
	if b.spec.Init {
		args = append([]string{initPath, "--"}, args...)
	}
	s := &specs.Spec{
		Version: specs.Version,
		Root:    &specs.Root{Path: "rootfs", Readonly: b.spec.Security.ReadonlyRootFilesystem},
		Process: &specs.Process{
			Terminal:        b.spec.Terminal,
			User:            b.user,
			Args:            args,
			Env:             environment(b),
			Cwd:             workingDirectory(b),
			Capabilities:    &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps},
			Rlimits:         rlimits,
			NoNewPrivileges: options.noNewPrivileges,
			ApparmorProfile: options.apparmor,
		},
		Hostname: hostname(b),
		Mounts:   mounts,
		Linux: &specs.Linux{
			Sysctl:        b.spec.Sysctls,
			CgroupsPath:   b.cgroup,
			Namespaces:    linuxNamespaces(b),
			Resources:     linuxResources(b),
			MaskedPaths:   maskedPaths,
			ReadonlyPaths: readonlyPaths,
		},
	}
	for _, d := range b.devices {
		s.Linux.Devices = append(s.Linux.Devices, d.device)
	}
	if b.spec.Security.Privileged {
		s.Linux.MaskedPaths, s.Linux.ReadonlyPaths = nil, nil
	}
	if b.host.seccomp && !options.seccompUnconfined && !b.spec.Security.Privileged {
		s.Linux.Seccomp = seccompProfile(s, b.narrow)
	}
	return s, nil
}

// arguments is the command line, by Docker's rules.
func arguments(s Spec, image ocispec.ImageConfig) ([]string, error) {
	entry, command := s.EntryPoint, s.Command
	if len(entry) == 0 {
		entry = image.Entrypoint
		if len(command) == 0 {
			command = image.Cmd
		}
	}
	args := slices.Concat(entry, command)
	if len(args) == 0 || args[0] == "" {
		return nil, fmt.Errorf("no command specified: image %s has neither entry point nor command, and the container definition gives none", s.Image)
	}
	return args, nil
}

// environment is the image's with the definition's over it; PATH, HOME, TERM
// and HOSTNAME are there in any case, as in Docker.
func environment(b blueprint) []string {
	env := []string{defaultPath, "HOSTNAME=" + hostname(b)}
	if b.spec.Terminal {
		env = append(env, "TERM=xterm")
	}
	at := map[string]int{}
	for i, e := range env {
		name, _, _ := strings.Cut(e, "=")
		at[name] = i
	}
	for _, e := range slices.Concat(b.image.Env, b.spec.Environment) {
		name, _, _ := strings.Cut(e, "=")
		if i, ok := at[name]; ok {
			env[i] = e
			continue
		}
		at[name] = len(env)
		env = append(env, e)
	}
	if _, ok := at["HOME"]; !ok {
		env = append(env, "HOME="+b.home)
	}
	return env
}

func workingDirectory(b blueprint) string {
	dir := b.spec.WorkingDirectory
	if dir == "" {
		dir = b.image.WorkingDir
	}
	return path.Clean("/" + dir)
}

// shortID is how much of its ID a container is called by default.
const shortID = 12

// hostname is the definition's, else the host's in network mode host, else the
// start of the container's ID.
func hostname(b blueprint) string {
	switch {
	case b.spec.Network.Hostname != "":
		return b.spec.Network.Hostname
	case b.spec.Network.Host:
		return b.host.hostname
	default:
		return string(b.spec.ID[:min(shortID, len(b.spec.ID))])
	}
}

func linuxNamespaces(b blueprint) []specs.LinuxNamespace {
	list := []specs.LinuxNamespace{{Type: specs.MountNamespace}, {Type: specs.UTSNamespace}}
	if !b.spec.Network.Host {
		list = append(list, specs.LinuxNamespace{Type: specs.NetworkNamespace, Path: b.spec.Network.Path})
	}
	if b.host.unified && !b.spec.Security.Privileged {
		list = append(list, specs.LinuxNamespace{Type: specs.CgroupNamespace})
	}
	if !b.spec.PID.Host {
		list = append(list, specs.LinuxNamespace{Type: specs.PIDNamespace, Path: b.pid})
	}
	if !b.spec.IPC.Host {
		list = append(list, specs.LinuxNamespace{Type: specs.IPCNamespace, Path: b.ipc})
	}
	return list
}

func linuxResources(b blueprint) *specs.LinuxResources {
	r := b.spec.Resources
	out := &specs.LinuxResources{
		CPU:     &specs.LinuxCPU{Shares: new(min(max(r.CPUShares, minCPUShares), maxCPUShares))},
		Memory:  &specs.LinuxMemory{Swappiness: r.Swappiness},
		Devices: deviceRules(b),
	}
	if r.CPUs > 0 {
		out.CPU.Period, out.CPU.Quota = new(uint64(cpuPeriod)), new(int64(r.CPUs*cpuPeriod))
	}
	if r.MemoryBytes > 0 {
		out.Memory.Limit = new(r.MemoryBytes)
	}
	if r.MemoryReservationBytes > 0 {
		out.Memory.Reservation = new(r.MemoryReservationBytes)
	}
	if r.SwapBytes != nil {
		// OCI's swap is memory and swap together.
		out.Memory.Swap = new(r.MemoryBytes + *r.SwapBytes)
	}
	if limit := cmp.Or(r.PidsLimit, b.host.pids); limit > 0 {
		out.Pids = &specs.LinuxPids{Limit: new(limit)}
	}
	return out
}

// checkSysctls refuses a sysctl that would change the host, by Docker's rules.
func checkSysctls(s Spec) error {
	for _, name := range slices.Sorted(maps.Keys(s.Sysctls)) {
		switch {
		case strings.HasPrefix(name, "net."):
			if s.Network.Host {
				return fmt.Errorf("sysctl %s is not allowed with network mode host: it would change the host", name)
			}
		case slices.Contains(ipcSysctls, name) || strings.HasPrefix(name, "fs.mqueue."):
			if s.IPC.Host {
				return fmt.Errorf("sysctl %s is not allowed with ipc mode host: it would change the host", name)
			}
		default:
			return fmt.Errorf("sysctl %s is not in a namespace of the container's own: it would change the host", name)
		}
	}
	return nil
}

var ipcSysctls = []string{
	"kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem",
	"kernel.shmall", "kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced",
}

// What Docker hides from an unprivileged container.
var (
	maskedPaths = []string{
		"/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
		"/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi",
		"/sys/firmware", "/sys/devices/virtual/powercap",
	}
	readonlyPaths = []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}
)
