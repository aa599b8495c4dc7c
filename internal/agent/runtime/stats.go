package runtime

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Stats are what a container has used, as the host's control groups count it.
type Stats struct {
	At      time.Time
	CPU     CPUStats
	Memory  MemoryStats
	Pids    PidsStats
	BlockIO []BlockStats
}

// CPUStats are totals since the container started; times in nanoseconds.
type CPUStats struct {
	TotalNanos, UserNanos, SystemNanos uint64
	// Periods, and in how many of them the container was held back.
	Periods, ThrottledPeriods, ThrottledNanos uint64
}

// MemoryStats are in bytes.
type MemoryStats struct {
	// Usage is all the kernel charges to the container, page cache included.
	Usage uint64
	// Cache is the part of Usage that is page cache.
	Cache uint64
	// MaxUsage is the highest Usage so far; 0 where the kernel does not say.
	MaxUsage uint64
	// Limit is the hard limit of the container itself; 0 is none.
	Limit uint64
	// OOMKills counts processes of this container killed for want of memory.
	OOMKills uint64
	// Details are the kernel's own counters, by its names: inactive_file, anon or rss …
	Details map[string]uint64
}

// WithoutCache is what ECS reports as memory used.
func (m MemoryStats) WithoutCache() uint64 { return m.Usage - min(m.Cache, m.Usage) }

// PidsStats count processes and threads. Limit 0 is none.
type PidsStats struct {
	Current, Limit uint64
}

// BlockStats are totals per block device.
type BlockStats struct {
	Major, Minor          uint64
	ReadBytes, WriteBytes uint64
	Reads, Writes         uint64
}

// Stats measures a container that is there, running or stopped.
func (r *Runtime) Stats(ctx context.Context, id ContainerID) (Stats, error) {
	record, err := r.record(r.in(ctx), id)
	if err != nil {
		return Stats{}, failed(CannotInspect, err, "measure container %s", id)
	}
	s, err := r.cgroups.stats(r.containerCgroup(record.Task, id))
	if errors.Is(err, fs.ErrNotExist) {
		err = ErrNotFound
	}
	if err != nil {
		return Stats{}, failed(CannotInspect, err, "measure container %s", id)
	}
	s.At = time.Now()
	return s, nil
}

// unlimited is where a version 1 limit starts to mean none: the kernel shows
// the largest multiple of a page in 63 bits.
const unlimited = 1 << 62

func (c cgroups) stats(group string) (Stats, error) {
	if c.unified != "" {
		return c.unifiedStats(filepath.Join(c.unified, group))
	}
	var s Stats
	r := &controlReader{}
	cpuacct := c.dir("cpuacct", group)
	s.CPU.TotalNanos = r.number(cpuacct, "cpuacct.usage")
	s.CPU.UserNanos = r.number(cpuacct, "cpuacct.usage_user")
	s.CPU.SystemNanos = r.number(cpuacct, "cpuacct.usage_sys")
	throttling := r.table(c.dir("cpu", group), "cpu.stat")
	s.CPU.Periods, s.CPU.ThrottledPeriods = throttling["nr_periods"], throttling["nr_throttled"]
	s.CPU.ThrottledNanos = throttling["throttled_time"]

	memory := c.dir("memory", group)
	s.Memory.Usage = r.number(memory, "memory.usage_in_bytes")
	s.Memory.MaxUsage = r.number(memory, "memory.max_usage_in_bytes")
	s.Memory.Details = r.table(memory, "memory.stat")
	s.Memory.Cache = s.Memory.Details["total_cache"]
	s.Memory.OOMKills = r.table(memory, "memory.oom_control")["oom_kill"]
	if limit := r.number(memory, "memory.limit_in_bytes"); limit < unlimited {
		s.Memory.Limit = limit
	}
	pids := c.dir("pids", group)
	s.Pids.Current, s.Pids.Limit = r.number(pids, "pids.current"), r.number(pids, "pids.max")

	blocks := map[string]*BlockStats{}
	blkio := c.dir("blkio", group)
	r.blkio(blkio, "blkio.throttle.io_service_bytes", blocks, func(b *BlockStats) (*uint64, *uint64) { return &b.ReadBytes, &b.WriteBytes })
	r.blkio(blkio, "blkio.throttle.io_serviced", blocks, func(b *BlockStats) (*uint64, *uint64) { return &b.Reads, &b.Writes })
	s.BlockIO = inOrder(blocks)
	return s, r.err
}

// dir is a group's directory in a controller's tree, empty if there is none.
func (c cgroups) dir(controller, group string) string {
	tree := c.trees[controller]
	if tree == "" {
		return ""
	}
	return filepath.Join(tree, group)
}

// oomKills is how many processes of the group itself, not of its parent, the
// kernel killed for want of memory. A group that is gone killed nobody.
func (c cgroups) oomKills(group string) (uint64, error) {
	r := &controlReader{}
	var kills uint64
	if c.unified != "" {
		kills = r.table(filepath.Join(c.unified, group), "memory.events")["oom_kill"]
	} else {
		kills = r.table(c.dir("memory", group), "memory.oom_control")["oom_kill"]
	}
	if errors.Is(r.err, fs.ErrNotExist) {
		return 0, nil
	}
	return kills, r.err
}

// A controlReader reads control files and keeps the first error. Some files
// exist only where a controller is on; those count as empty.
type controlReader struct{ err error }

func (r *controlReader) text(dir, file string) string {
	if dir == "" {
		return "" // a controller that the host lacks
	}
	text, err := os.ReadFile(filepath.Join(dir, file))
	if errors.Is(err, fs.ErrNotExist) {
		if _, gone := os.Stat(dir); gone == nil {
			return ""
		}
	}
	if err != nil && r.err == nil {
		r.err = err
	}
	return strings.TrimSpace(string(text))
}

// number reads a file that holds one number; "max" and nothing are 0.
func (r *controlReader) number(dir, file string) uint64 {
	text := r.text(dir, file)
	if text == "" || text == "max" {
		return 0
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil && r.err == nil {
		r.err = err
	}
	return n
}

// table reads lines of a name and a number.
func (r *controlReader) table(dir, file string) map[string]uint64 {
	table := map[string]uint64{}
	for line := range strings.Lines(r.text(dir, file)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if n, err := strconv.ParseUint(value, 10, 64); err == nil {
			table[name] = n
		}
	}
	return table
}
