package metadata

import "time"

// Stats is what a container has used up to an instant.
type Stats struct {
	Read   time.Time
	CPU    CPUStats
	Memory MemoryStats
	Pids   uint64
	// BlockIO tells devices and operations in any order.
	BlockIO []BlockIO
	// Networks is by interface, "eth0" in bridge mode; empty where the container has none of its own.
	Networks map[string]InterfaceStats
}

// CPUStats is time in nanoseconds, since the container started or, for System, since the instance did.
type CPUStats struct {
	Total, User, Kernel uint64
	// System is the time of all CPUs of the instance together, busy in whatever way or idle: the measure for Total.
	System                    uint64
	OnlineCPUs                uint32
	Periods, ThrottledPeriods uint64
	ThrottledTime             uint64
}

// MemoryStats is in bytes.
type MemoryStats struct {
	Usage, MaxUsage uint64
	// Details are the cgroup's own counters by the kernel's names: cache, rss, inactive_file …
	Details map[string]uint64
	// Limit is the container's, or what the instance has if it has none.
	Limit uint64
}

// BlockIO is what one operation did on one device.
type BlockIO struct {
	Major, Minor uint64
	Op           string // Read, Write, Sync, Async, Total
	Bytes        uint64
	Operations   uint64
}

// InterfaceStats counts bytes and packets as the container sees them.
type InterfaceStats struct {
	RxBytes, RxPackets, RxErrors, RxDropped uint64
	TxBytes, TxPackets, TxErrors, TxDropped uint64
}

// A Sample is the latest Stats of a container and those before: rates need two.
type Sample struct {
	Latest Stats
	// Before is nil for a container that was looked at once only.
	Before *Stats
}

// statsAnswer is Docker's stats document, which is what ECS tells. What Docker fills on Windows only is empty.
type statsAnswer struct {
	Read     time.Time                  `json:"read"`
	PreRead  time.Time                  `json:"preread"`
	Pids     pidsAnswer                 `json:"pids_stats"`
	BlockIO  blockIOAnswer              `json:"blkio_stats"`
	NumProcs uint32                     `json:"num_procs"`
	Storage  struct{}                   `json:"storage_stats"`
	CPU      cpuAnswer                  `json:"cpu_stats"`
	PreCPU   cpuAnswer                  `json:"precpu_stats"`
	Memory   memoryAnswer               `json:"memory_stats"`
	Name     string                     `json:"name"`
	ID       string                     `json:"id"`
	Networks map[string]interfaceAnswer `json:"networks,omitempty"`
	Rates    *ratesAnswer               `json:"network_rate_stats,omitempty"`
}

type pidsAnswer struct {
	Current uint64 `json:"current,omitempty"`
}

type blockIOAnswer struct {
	ServiceBytes []blockIOEntry `json:"io_service_bytes_recursive"`
	Serviced     []blockIOEntry `json:"io_serviced_recursive"`
	Queued       []blockIOEntry `json:"io_queue_recursive"`
	ServiceTime  []blockIOEntry `json:"io_service_time_recursive"`
	WaitTime     []blockIOEntry `json:"io_wait_time_recursive"`
	Merged       []blockIOEntry `json:"io_merged_recursive"`
	Time         []blockIOEntry `json:"io_time_recursive"`
	Sectors      []blockIOEntry `json:"sectors_recursive"`
}

type blockIOEntry struct {
	Major uint64 `json:"major"`
	Minor uint64 `json:"minor"`
	Op    string `json:"op"`
	Value uint64 `json:"value"`
}

type cpuAnswer struct {
	Usage struct {
		Total  uint64 `json:"total_usage"`
		Kernel uint64 `json:"usage_in_kernelmode"`
		User   uint64 `json:"usage_in_usermode"`
	} `json:"cpu_usage"`
	System     uint64 `json:"system_cpu_usage,omitempty"`
	OnlineCPUs uint32 `json:"online_cpus,omitempty"`
	Throttling struct {
		Periods          uint64 `json:"periods"`
		ThrottledPeriods uint64 `json:"throttled_periods"`
		ThrottledTime    uint64 `json:"throttled_time"`
	} `json:"throttling_data"`
}

type memoryAnswer struct {
	Usage    uint64            `json:"usage,omitempty"`
	MaxUsage uint64            `json:"max_usage,omitempty"`
	Details  map[string]uint64 `json:"stats,omitempty"`
	Limit    uint64            `json:"limit,omitempty"`
}

type interfaceAnswer struct {
	RxBytes   uint64 `json:"rx_bytes"`
	RxPackets uint64 `json:"rx_packets"`
	RxErrors  uint64 `json:"rx_errors"`
	RxDropped uint64 `json:"rx_dropped"`
	TxBytes   uint64 `json:"tx_bytes"`
	TxPackets uint64 `json:"tx_packets"`
	TxErrors  uint64 `json:"tx_errors"`
	TxDropped uint64 `json:"tx_dropped"`
}

type ratesAnswer struct {
	Rx float64 `json:"rx_bytes_per_sec"`
	Tx float64 `json:"tx_bytes_per_sec"`
}

// renderStats tells a container's sample as Docker does. Version 4 adds the network's rates, once there are two samples.
func renderStats(c Container, s Sample, v version) statsAnswer {
	a := statsAnswer{
		Read:   s.Latest.Read.UTC(),
		Pids:   pidsAnswer{s.Latest.Pids},
		CPU:    renderCPU(s.Latest.CPU),
		Memory: memoryAnswer(s.Latest.Memory),
		Name:   "/" + c.RuntimeName,
		ID:     c.ID,
	}
	for _, b := range s.Latest.BlockIO {
		a.BlockIO.ServiceBytes = append(a.BlockIO.ServiceBytes, blockIOEntry{b.Major, b.Minor, b.Op, b.Bytes})
		a.BlockIO.Serviced = append(a.BlockIO.Serviced, blockIOEntry{b.Major, b.Minor, b.Op, b.Operations})
	}
	for name, counters := range s.Latest.Networks {
		if a.Networks == nil {
			a.Networks = map[string]interfaceAnswer{}
		}
		a.Networks[name] = interfaceAnswer(counters)
	}
	if s.Before != nil {
		a.PreRead, a.PreCPU = s.Before.Read.UTC(), renderCPU(s.Before.CPU)
		if v == v4 {
			a.Rates = renderRates(s.Latest, *s.Before)
		}
	}
	return a
}

func renderCPU(c CPUStats) (a cpuAnswer) {
	a.Usage.Total, a.Usage.Kernel, a.Usage.User = c.Total, c.Kernel, c.User
	a.System, a.OnlineCPUs = c.System, c.OnlineCPUs
	a.Throttling.Periods, a.Throttling.ThrottledPeriods, a.Throttling.ThrottledTime = c.Periods, c.ThrottledPeriods, c.ThrottledTime
	return a
}

// renderRates is all interfaces' bytes per second between two samples; nil where there is no time or network to tell of.
func renderRates(latest, before Stats) *ratesAnswer {
	seconds := latest.Read.Sub(before.Read).Seconds()
	if len(latest.Networks) == 0 || seconds <= 0 {
		return nil
	}
	var r ratesAnswer
	for name, now := range latest.Networks {
		was := before.Networks[name]
		r.Rx += rise(was.RxBytes, now.RxBytes) / seconds
		r.Tx += rise(was.TxBytes, now.TxBytes) / seconds
	}
	return &r
}

// rise is how much a counter grew; one that fell began anew with a restarted container.
func rise(was, now uint64) float64 {
	if now < was {
		return float64(now)
	}
	return float64(now - was)
}
