package agent

import (
	"context"
	"maps"
	"math"
	"runtime"
	"slices"
	"sync"
	"time"

	"gantry/internal/agent/engine"
	"gantry/internal/agent/metadata"
	"gantry/internal/wire/acsapi"
)

// sampleEvery is how often containers are measured: about as often as the genuine agent does.
const sampleEvery = time.Second

// A sampler measures every running container once a second and adds up what it sees until the telemetry asks for it.
type sampler struct {
	engine *engine.Engine
	meter  Meter

	mu     sync.Mutex
	series map[string]*series // guarded by mu; by container id
	round  int                // guarded by mu; how often it has measured
}

// A series is what one container did since the last publication.
type series struct {
	latest metadata.Stats
	before *metadata.Stats // nil until there are two
	round  int             // in which it was measured last

	cpu, memory stats
	read, write counter
	network     *networkSeries
}

type networkSeries struct {
	rxBytes, rxPackets, rxErrors, rxDropped counter
	txBytes, txPackets, txErrors, txDropped counter
	rxRate, txRate                          stats
}

func newSampler(e *engine.Engine, m Meter) *sampler {
	return &sampler{engine: e, meter: m, series: map[string]*series{}}
}

// run samples until ctx ends.
func (s *sampler) run(ctx context.Context) error {
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.sample(ctx)
		case <-ctx.Done():
			return nil
		}
	}
}

func (s *sampler) sample(ctx context.Context) {
	s.mu.Lock()
	s.round++
	s.mu.Unlock()
	for view := range s.engine.All() {
		for i := range view.Task.Containers {
			c := &view.Task.Containers[i]
			if c.Phase != engine.Up {
				continue
			}
			usage, ok, err := s.meter.Measure(ctx, c.RuntimeID)
			if err != nil || !ok {
				continue // it has just ended, or its cgroup can't be read this time
			}
			s.add(c.RuntimeID, usage)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.series, func(_ string, r *series) bool { return r.round != s.round })
}

func (s *sampler) add(id string, now metadata.Stats) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.series[id]
	if r == nil {
		s.series[id] = &series{latest: now, round: s.round} // a rate needs two samples
		return
	}
	r.round = s.round
	r.add(now, runtime.NumCPU())
}

// add adds one more sample. It is pure but for r.
func (r *series) add(now metadata.Stats, cores int) {
	elapsed := now.Read.Sub(r.latest.Read).Seconds()
	if elapsed <= 0 {
		return
	}
	was := r.latest
	r.latest, r.before = now, &was
	if now.CPU.Total < was.CPU.Total {
		return // it was restarted, and counts from zero
	}
	r.cpu.add(float64(now.CPU.Total-was.CPU.Total) / 1e9 / float64(cores) / elapsed * 100)
	r.memory.add(float64(memoryUsed(now.Memory)) / engine.MiB)
	read, write := blockBytes(now)
	r.read.add(read)
	r.write.add(write)
	if n, ok := traffic(now); ok {
		if r.network == nil {
			r.network = &networkSeries{}
		}
		before, _ := traffic(was)
		rxRate := float64(n.RxBytes-min(before.RxBytes, n.RxBytes)) / elapsed
		txRate := float64(n.TxBytes-min(before.TxBytes, n.TxBytes)) / elapsed
		r.network.add(n, rxRate, txRate)
	}
}

func (s *networkSeries) add(n metadata.InterfaceStats, rxRate, txRate float64) {
	s.rxBytes.add(n.RxBytes)
	s.rxPackets.add(n.RxPackets)
	s.rxErrors.add(n.RxErrors)
	s.rxDropped.add(n.RxDropped)
	s.txBytes.add(n.TxBytes)
	s.txPackets.add(n.TxPackets)
	s.txErrors.add(n.TxErrors)
	s.txDropped.add(n.TxDropped)
	s.rxRate.add(rxRate)
	s.txRate.add(txRate)
}

// collect is the metrics of one container since the last call; false where there are none yet.
func (s *sampler) collect(id string) (acsapi.ContainerMetric, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.series[id]
	if r == nil || r.cpu.count == 0 {
		return acsapi.ContainerMetric{}, false
	}
	m := acsapi.ContainerMetric{
		CPU: r.cpu.set(), Memory: r.memory.set(),
		Storage: &acsapi.StorageStatsSet{ReadSizeBytes: r.read.set(), WriteSizeBytes: r.write.set()},
	}
	if n := r.network; n != nil {
		m.Network = &acsapi.NetworkStatsSet{
			RxBytes: n.rxBytes.set(), RxPackets: n.rxPackets.set(), RxErrors: n.rxErrors.set(), RxDropped: n.rxDropped.set(),
			TxBytes: n.txBytes.set(), TxPackets: n.txPackets.set(), TxErrors: n.txErrors.set(), TxDropped: n.txDropped.set(),
			RxBytesPerSecond: n.rxRate.set(), TxBytesPerSecond: n.txRate.set(),
		}
	}
	s.series[id] = &series{latest: r.latest, before: r.before, round: r.round}
	return m, true
}

// sampleOf is the latest measurements of a container; false where there are none.
func (s *sampler) sampleOf(id string) (metadata.Sample, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.series[id]
	if r == nil {
		return metadata.Sample{}, false
	}
	return metadata.Sample{Latest: r.latest, Before: r.before}, true
}

// stats sums up samples of a quantity.
type stats struct {
	least, most, sum float64
	count            int64
}

func (s *stats) add(v float64) {
	if s.count == 0 {
		s.least, s.most = v, v
	}
	s.least, s.most = min(s.least, v), max(s.most, v)
	s.sum += v
	s.count++
}

func (s *stats) set() *acsapi.StatsSet {
	return &acsapi.StatsSet{Min: s.least, Max: s.most, Sum: s.sum, SampleCount: s.count}
}

// counter sums up samples of a running total.
type counter struct{ values []uint64 }

func (c *counter) add(v uint64) { c.values = append(c.values, v) }

// set is the counter's set. What is above the largest int64 spills into the overflow members.
func (c *counter) set() *acsapi.CounterSet {
	out := &acsapi.CounterSet{SampleCount: int64(len(c.values))}
	if len(c.values) == 0 {
		return out
	}
	out.Min, out.OverflowMin = spill(slices.Min(c.values))
	out.Max, out.OverflowMax = spill(slices.Max(c.values))
	for _, v := range c.values {
		low, high := spill(v)
		spilt := max(0, low-(math.MaxInt64-out.Sum))
		out.Sum += low - spilt
		for _, more := range []int64{spilt, high} {
			out.OverflowSum += min(more, math.MaxInt64-out.OverflowSum)
		}
	}
	return out
}

// spill cuts a value at the largest int64.
func spill(v uint64) (low, high int64) {
	if v <= math.MaxInt64 {
		return int64(v), 0
	}
	return math.MaxInt64, int64(v - math.MaxInt64)
}
