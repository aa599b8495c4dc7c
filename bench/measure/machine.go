package measure

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// ticksPerSecond is USER_HZ, in which the kernel tells CPU time: 100 on every Linux that Go runs on.
const ticksPerSecond = 100

// CPU is what the processes have used so far, all threads, user and system. A
// process that is gone counts for nothing.
func CPU(pids ...int) time.Duration { return used(pids, 11, 12) }

// WithEnded is CPU together with what children have used that have ended and were
// waited for, and the children of these.
func WithEnded(pids ...int) time.Duration { return used(pids, 11, 12, 13, 14) }

// Family is what a process and all that it started have used, whether they run, have
// ended, or wait to be waited for. Grandchildren count once they have ended.
func Family(pid int) time.Duration { return WithEnded(append(Children(pid), pid)...) }

// Children are the processes whose parent is pid.
func Children(pid int) []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var out []int
	for _, e := range entries {
		child, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile("/proc/" + e.Name() + "/stat")
		if err != nil {
			continue // it has ended meanwhile
		}
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		if len(fields) > 1 && fields[1] == strconv.Itoa(pid) {
			out = append(out, child)
		}
	}
	return out
}

// used sums up fields of /proc/<pid>/stat, counted from the process's state.
func used(pids []int, places ...int) time.Duration {
	var ticks uint64
	for _, pid := range pids {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue
		}
		// The second field is the program's name in brackets, which may hold spaces.
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		for _, at := range places {
			ticks += number(fields[at])
		}
	}
	return time.Duration(ticks) * time.Second / ticksPerSecond
}

// A Clock tells what passed since Start: on the wall, in some processes, and on the whole machine.
type Clock struct {
	pids    []int
	began   time.Time
	ours    time.Duration
	machine time.Duration
}

// Start begins to measure; pids are the processes whose CPU time is wanted.
func Start(pids ...int) Clock {
	return Clock{pids: pids, began: time.Now(), ours: CPU(pids...), machine: busy()}
}

// A Span is what a Clock has measured.
type Span struct {
	Wall time.Duration
	CPU  time.Duration // of the processes that the clock was started for
	// Others is the share of all cores that everything else on the machine used, 0 to 1.
	Others float64
}

// Stop ends the measurement.
func (c Clock) Stop() Span {
	s := Span{Wall: time.Since(c.began), CPU: CPU(c.pids...) - c.ours}
	all := s.Wall * time.Duration(runtime.NumCPU())
	s.Others = min(1, max(0, float64(busy()-c.machine-s.CPU)/float64(all)))
	return s
}

// busy is the CPU time that the whole machine has spent on work so far.
func busy() time.Duration {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(text), "\n")
	fields := strings.Fields(line)
	var ticks uint64
	for i, f := range fields[1:] { // user nice system idle iowait irq softirq steal
		if i != 3 && i != 4 && i < 8 {
			ticks += number(f)
		}
	}
	return time.Duration(ticks) * time.Second / ticksPerSecond
}

// PSS is the memory that a process accounts for in bytes: its own, and its part of what it shares.
func PSS(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "Pss:"); ok {
			return int64(number(strings.TrimSuffix(strings.TrimSpace(rest), " kB"))) << 10, nil
		}
	}
	return 0, fmt.Errorf("the kernel does not tell the PSS of process %d", pid)
}

// Describe says what the machine is and how busy: "2 cores, load 3.1".
func Describe() string {
	load := "unknown"
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		load, _, _ = strings.Cut(string(text), " ")
	}
	return fmt.Sprintf("%d cores, load %s, %s, %s", runtime.NumCPU(), load, runtime.GOARCH, runtime.Version())
}

func number(text string) uint64 {
	n, _ := strconv.ParseUint(strings.TrimSpace(text), 10, 64)
	return n
}
