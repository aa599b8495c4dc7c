package parts

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	goruntime "runtime"
	"strconv"
	"strings"
	"sync"

	"gantry/internal/agent/metadata"
	"gantry/internal/agent/network"
	"gantry/internal/agent/runtime"

	"golang.org/x/sys/unix"
)

// Measure reads a container's cgroups and its interface.
func (m meter) Measure(ctx context.Context, id string) (metadata.Stats, bool, error) {
	s, err := m.Runtime.Stats(ctx, runtime.ContainerID(id))
	if errors.Is(err, runtime.ErrNotFound) {
		return metadata.Stats{}, false, nil
	}
	if err != nil {
		return metadata.Stats{}, false, err
	}
	system, err := hostCPUTime()
	if err != nil {
		return metadata.Stats{}, false, err
	}
	out := metadata.Stats{
		Read: s.At, Pids: s.Pids.Current,
		CPU: metadata.CPUStats{
			Total: s.CPU.TotalNanos, User: s.CPU.UserNanos, Kernel: s.CPU.SystemNanos,
			System: system, OnlineCPUs: uint32(goruntime.NumCPU()),
			Periods: s.CPU.Periods, ThrottledPeriods: s.CPU.ThrottledPeriods, ThrottledTime: s.CPU.ThrottledNanos,
		},
		Memory: metadata.MemoryStats{
			Usage: s.Memory.Usage, MaxUsage: s.Memory.MaxUsage, Limit: s.Memory.Limit, Details: s.Memory.Details,
		},
	}
	out.Memory.Details["cache"] = s.Memory.Cache // by the name of version 1, whatever the kernel calls it
	if out.Memory.Limit == 0 {
		if out.Memory.Limit, err = machineMemory(); err != nil {
			return metadata.Stats{}, false, err
		}
	}
	for _, b := range s.BlockIO {
		out.BlockIO = append(out.BlockIO,
			metadata.BlockIO{Major: b.Major, Minor: b.Minor, Op: "Read", Bytes: b.ReadBytes, Operations: b.Reads},
			metadata.BlockIO{Major: b.Major, Minor: b.Minor, Op: "Write", Bytes: b.WriteBytes, Operations: b.Writes})
	}
	c, ok, err := m.Network.Counters(network.SandboxID(id))
	if err != nil {
		return metadata.Stats{}, false, err
	}
	if ok {
		out.Networks = map[string]metadata.InterfaceStats{"eth0": metadata.InterfaceStats(c)}
	}
	return out, true, nil
}

// machineMemory is what the machine has, in bytes: the limit of a container that has none, as Docker tells it.
var machineMemory = sync.OnceValues(func() (uint64, error) {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return 0, fmt.Errorf("find out how much memory the machine has: %w", err)
	}
	return uint64(info.Totalram) * uint64(info.Unit), nil
})

// hostCPUTime is the time of all CPUs of the machine together, in nanoseconds, whatever they did.
func hostCPUTime() (uint64, error) {
	f, err := os.Open("/proc/stat")
	if err != nil {
		return 0, fmt.Errorf("read the machine's CPU time: %w", err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	if !lines.Scan() {
		return 0, fmt.Errorf("read the machine's CPU time: /proc/stat is empty")
	}
	return parseCPUTime(lines.Text())
}

// nanosPerTick is how long a tick of /proc/stat is: USER_HZ is 100 on every architecture of Linux that Go knows.
const nanosPerTick = 10_000_000

// parseCPUTime adds up the first eight numbers of the line that begins with "cpu"; guest time is part of user time.
func parseCPUTime(line string) (uint64, error) {
	fields := strings.Fields(line)
	if len(fields) < 5 || fields[0] != "cpu" {
		return 0, fmt.Errorf("read the machine's CPU time: %q is not the sum of all CPUs", line)
	}
	var sum uint64
	for _, field := range fields[1:min(9, len(fields))] {
		n, err := strconv.ParseUint(field, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read the machine's CPU time: %w", err)
		}
		sum += n
	}
	return sum * nanosPerTick, nil
}
