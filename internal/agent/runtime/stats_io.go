package runtime

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// blkio reads a version 1 file of lines "8:0 Read 4096" into the two fields
// that the function picks.
func (r *controlReader) blkio(dir, file string, blocks map[string]*BlockStats, fields func(*BlockStats) (read, write *uint64)) {
	for line := range strings.Lines(r.text(dir, file)) {
		parts := strings.Fields(line)
		if len(parts) != 3 {
			continue // the total
		}
		n, err := strconv.ParseUint(parts[2], 10, 64)
		block := blockOf(parts[0], blocks)
		if err != nil || block == nil {
			continue
		}
		read, write := fields(block)
		switch parts[1] {
		case "Read":
			*read = n
		case "Write":
			*write = n
		}
	}
}

func (c cgroups) unifiedStats(dir string) (Stats, error) {
	var s Stats
	r := &controlReader{}
	const micro = 1000 // nanoseconds
	cpu := r.table(dir, "cpu.stat")
	s.CPU = CPUStats{
		TotalNanos: cpu["usage_usec"] * micro, UserNanos: cpu["user_usec"] * micro, SystemNanos: cpu["system_usec"] * micro,
		Periods: cpu["nr_periods"], ThrottledPeriods: cpu["nr_throttled"], ThrottledNanos: cpu["throttled_usec"] * micro,
	}
	s.Memory.Usage = r.number(dir, "memory.current")
	s.Memory.MaxUsage = r.number(dir, "memory.peak")
	s.Memory.Limit = r.number(dir, "memory.max")
	s.Memory.Details = r.table(dir, "memory.stat")
	s.Memory.Cache = s.Memory.Details["file"]
	s.Memory.OOMKills = r.table(dir, "memory.events")["oom_kill"]
	s.Pids.Current, s.Pids.Limit = r.number(dir, "pids.current"), r.number(dir, "pids.max")

	// "8:0 rbytes=90112 wbytes=0 rios=11 wios=0 dbytes=0 dios=0"
	blocks := map[string]*BlockStats{}
	for line := range strings.Lines(r.text(dir, "io.stat")) {
		parts := strings.Fields(line)
		if len(parts) == 0 {
			continue
		}
		block := blockOf(parts[0], blocks)
		if block == nil {
			continue
		}
		for _, part := range parts[1:] {
			name, value, _ := strings.Cut(part, "=")
			n, err := strconv.ParseUint(value, 10, 64)
			if err != nil {
				continue
			}
			switch name {
			case "rbytes":
				block.ReadBytes = n
			case "wbytes":
				block.WriteBytes = n
			case "rios":
				block.Reads = n
			case "wios":
				block.Writes = n
			}
		}
	}
	s.BlockIO = inOrder(blocks)
	return s, r.err
}

func blockOf(device string, blocks map[string]*BlockStats) *BlockStats {
	if b := blocks[device]; b != nil {
		return b
	}
	major, minor, ok := strings.Cut(device, ":")
	if !ok {
		return nil
	}
	ma, err1 := strconv.ParseUint(major, 10, 64)
	mi, err2 := strconv.ParseUint(minor, 10, 64)
	if err1 != nil || err2 != nil {
		return nil
	}
	blocks[device] = &BlockStats{Major: ma, Minor: mi}
	return blocks[device]
}

func inOrder(blocks map[string]*BlockStats) []BlockStats {
	var list []BlockStats
	for _, b := range slices.SortedFunc(maps.Values(blocks), func(a, b *BlockStats) int {
		return cmp.Or(cmp.Compare(a.Major, b.Major), cmp.Compare(a.Minor, b.Minor))
	}) {
		list = append(list, *b)
	}
	return list
}
