package runtime

import (
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/contrib/seccomp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// defaultCapabilities are those of a container that asks for nothing, as in Docker.
var defaultCapabilities = []string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID",
	"CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE",
}

// knownCapabilities are all of Linux's, in the kernel's order.
var knownCapabilities = []string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID",
	"CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN",
	"CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT",
	"CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE",
	"CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL",
	"CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND",
	"CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
}

// capabilities are what the container's processes may have, in the kernel's
// order. ALL stands for what gantry itself holds; one asked for by name that
// gantry does not hold is an error.
func capabilities(s Security, h host) ([]string, error) {
	if s.Privileged {
		return h.capabilities, nil
	}
	add, addAll, err := capabilityNames(s.CapAdd)
	if err != nil {
		return nil, err
	}
	drop, dropAll, err := capabilityNames(s.CapDrop)
	if err != nil {
		return nil, err
	}
	for _, name := range add {
		if !h.has(name) {
			return nil, fmt.Errorf("capability %s cannot be added: gantry does not hold it on this host", strings.TrimPrefix(name, "CAP_"))
		}
	}
	base := defaultCapabilities
	switch {
	case addAll:
		base = h.capabilities
	case dropAll:
		base = nil
	}
	var caps []string
	for _, name := range knownCapabilities {
		given := slices.Contains(base, name) && !slices.Contains(drop, name) || slices.Contains(add, name)
		if given && h.has(name) {
			caps = append(caps, name)
		}
	}
	return caps, nil
}

func capabilityNames(list []string) (names []string, all bool, err error) {
	for _, c := range list {
		name := strings.ToUpper(c)
		if name == "ALL" {
			all = true
			continue
		}
		if !strings.HasPrefix(name, "CAP_") {
			name = "CAP_" + name
		}
		if !slices.Contains(knownCapabilities, name) {
			return nil, false, fmt.Errorf("capability %q is not one of Linux's", c)
		}
		names = append(names, name)
	}
	return names, all, nil
}

// seccompProfile is Docker's default profile for the container's capabilities.
//
// Compiling the rules for 32-bit programs is a quarter of what it costs to
// start a container (21 of 90 ms of CPU time), so they are left out where the
// image has no such programs. One that comes from elsewhere, a volume say, is
// killed by SIGSYS then; seccomp=unconfined lets it run.
func seccompProfile(s *specs.Spec, narrow bool) *specs.LinuxSeccomp {
	profile := seccomp.DefaultProfile(s)
	if own := nativeArch[runtime.GOARCH]; !narrow && slices.Contains(profile.Architectures, own) {
		profile.Architectures = []specs.Arch{own}
	}
	return profile
}

// nativeArch is what the profile calls the machines that gantry is built for.
var nativeArch = map[string]specs.Arch{"amd64": specs.ArchX86_64, "arm64": specs.ArchAARCH64}

// securityOptions are dockerSecurityOptions, understood.
type securityOptions struct {
	noNewPrivileges, seccompUnconfined bool
	apparmor                           string // profile, empty for none
}

func parseSecurityOptions(list []string, h host) (securityOptions, error) {
	var o securityOptions
	for _, option := range list {
		name, value, _ := strings.Cut(option, "=")
		if !strings.Contains(option, "=") {
			name, value, _ = strings.Cut(option, ":")
		}
		switch {
		case name == "no-new-privileges" && value != "false":
			o.noNewPrivileges = true
		case name == "no-new-privileges":
		case name == "seccomp" && value == "unconfined":
			o.seccompUnconfined = true
		case name == "seccomp":
			return o, fmt.Errorf("security option %s: profiles of your own are not supported, only seccomp=unconfined", option)
		case name == "apparmor" && value == "unconfined":
		case name == "apparmor" && !h.apparmor:
			return o, fmt.Errorf("security option %s: AppArmor is not enabled on this host", option)
		case name == "apparmor":
			o.apparmor = value
		case name == "label" && value == "disable":
		case name == "label":
			return o, fmt.Errorf("security option %s: SELinux labels are not supported", option)
		default:
			return o, fmt.Errorf("security option %s is not supported", option)
		}
	}
	return o, nil
}

// rlimits refuses a limit that the kernel would refuse at start.
func rlimits(list []Ulimit, h host) ([]specs.POSIXRlimit, error) {
	limits := map[string]specs.POSIXRlimit{}
	for _, u := range list {
		name := "RLIMIT_" + strings.ToUpper(u.Name)
		if _, known := rlimitNumbers[name]; !known {
			return nil, fmt.Errorf("ulimit %q is not known", u.Name)
		}
		if u.Soft > u.Hard {
			return nil, fmt.Errorf("ulimit %s: the soft limit %d is above the hard limit %d", u.Name, u.Soft, u.Hard)
		}
		if most, bounded := h.hardLimits[name]; bounded && u.Hard > most {
			return nil, fmt.Errorf("ulimit %s: the hard limit %d is above this host's %d, which gantry may not raise", u.Name, u.Hard, most)
		}
		limits[name] = specs.POSIXRlimit{Type: name, Soft: u.Soft, Hard: u.Hard}
	}
	var out []specs.POSIXRlimit
	for _, name := range slices.Sorted(maps.Keys(limits)) {
		out = append(out, limits[name])
	}
	return out, nil
}
