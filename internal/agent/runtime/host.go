package runtime

import (
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"

	"github.com/containerd/containerd/v2/pkg/cap"
	"golang.org/x/sys/unix"
)

// A host is what this machine, and the privileges gantry was started with,
// allow a container. It is read once; building a container's specification
// from it needs no further look.
type host struct {
	// capabilities that a container can be given: what gantry itself holds.
	capabilities []string
	// seccomp and apparmor are whether a profile can be applied.
	seccomp, apparmor bool
	// hardLimits are gantry's own hard resource limits, by RLIMIT_ name, where
	// it may not pass them; empty if it may.
	hardLimits map[string]uint64
	hostname   string
	// unified is whether control groups are version 2: each container then has
	// a cgroup namespace, as in Docker.
	unified bool
	// init is the path of gantry's init.
	init string
	// pids is how many processes and threads a container may have that names no
	// number; 0 is no limit.
	pids int64
}

// pidsShare is which part of the host's processes and threads one container may
// have: one that forks without end must leave enough for gantry, for the shims
// and for whoever logs in to end it. Docker and ECS leave it unbounded.
const pidsShare = 4

func readHost(p programs) (host, error) {
	held, err := cap.Current()
	if err != nil {
		return host{}, fmt.Errorf("read own capabilities: %w", err)
	}
	name, err := os.Hostname()
	if err != nil {
		return host{}, fmt.Errorf("read the host's name: %w", err)
	}
	h := host{capabilities: held, hostname: name, init: p.init}
	if h.pids, err = mostPids(); err != nil {
		return host{}, err
	}
	_, err = os.Stat("/proc/sys/kernel/seccomp")
	h.seccomp = p.seccomp && err == nil
	enabled, err := os.ReadFile("/sys/module/apparmor/parameters/enabled")
	h.apparmor = err == nil && strings.HasPrefix(string(enabled), "Y")
	if !h.has("CAP_SYS_RESOURCE") {
		h.hardLimits = map[string]uint64{}
		for name, number := range rlimitNumbers {
			var limit unix.Rlimit
			if err := unix.Getrlimit(number, &limit); err != nil {
				return host{}, fmt.Errorf("read own %s: %w", name, err)
			}
			h.hardLimits[name] = limit.Max
		}
	}
	return h, nil
}

// mostPids is a container's share of what the kernel allows of processes and threads.
func mostPids() (int64, error) {
	most := int64(math.MaxInt64)
	for _, file := range []string{"/proc/sys/kernel/pid_max", "/proc/sys/kernel/threads-max"} {
		text, err := os.ReadFile(file)
		if err != nil {
			return 0, fmt.Errorf("read how many processes there may be: %w", err)
		}
		n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read %s: %w", file, err)
		}
		most = min(most, n)
	}
	return most / pidsShare, nil
}

func (h host) has(capability string) bool {
	for _, c := range h.capabilities {
		if c == capability {
			return true
		}
	}
	return false
}

// rlimitNumbers are the resource limits that an ECS ulimit can name.
var rlimitNumbers = map[string]int{
	"RLIMIT_AS":         unix.RLIMIT_AS,
	"RLIMIT_CORE":       unix.RLIMIT_CORE,
	"RLIMIT_CPU":        unix.RLIMIT_CPU,
	"RLIMIT_DATA":       unix.RLIMIT_DATA,
	"RLIMIT_FSIZE":      unix.RLIMIT_FSIZE,
	"RLIMIT_LOCKS":      unix.RLIMIT_LOCKS,
	"RLIMIT_MEMLOCK":    unix.RLIMIT_MEMLOCK,
	"RLIMIT_MSGQUEUE":   unix.RLIMIT_MSGQUEUE,
	"RLIMIT_NICE":       unix.RLIMIT_NICE,
	"RLIMIT_NOFILE":     unix.RLIMIT_NOFILE,
	"RLIMIT_NPROC":      unix.RLIMIT_NPROC,
	"RLIMIT_RSS":        unix.RLIMIT_RSS,
	"RLIMIT_RTPRIO":     unix.RLIMIT_RTPRIO,
	"RLIMIT_RTTIME":     15, // absent from x/sys/unix
	"RLIMIT_SIGPENDING": unix.RLIMIT_SIGPENDING,
	"RLIMIT_STACK":      unix.RLIMIT_STACK,
}
