// Package heap says when a control plane's garbage is collected. A collection takes turns
// with requests on the same cores, which are answered some tens of milliseconds later
// meanwhile: it should be rare where much is asked, and cost no memory where nothing is.
package heap

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// percent lets the heap grow to five times what is alive before it is collected,
	// where Go's default is twice.
	percent = 400
	// floor, in bytes, is how large the heap becomes before it is collected, however
	// little of it is alive, and share the part of the machine's memory that it is at
	// most. Go collects every two minutes all the same: a gantry that is idle stays small.
	floor = 512 << 20
	share = 16
	// least is what is alive, in bytes, before the first collection has counted it.
	least = 4 << 20
	// looks is how often it is seen whether a collection has counted anew.
	looks = 250 * time.Millisecond
)

// Tune has garbage collected so until ctx ends, and often enough that the heap stays below
// half of the machine's memory, in bytes, where that can be; 0 where it is not known. GOGC
// and GOMEMLIMIT, where they are set, go before.
func Tune(ctx context.Context, memory int64) {
	if os.Getenv("GOMEMLIMIT") == "" && memory > 0 {
		debug.SetMemoryLimit(memory / 2)
	}
	if os.Getenv("GOGC") != "" {
		return
	}
	now := goal(0, memory)
	debug.SetGCPercent(now)
	go func() {
		tick := time.NewTicker(looks)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
			if next := goal(alive(), memory); next != now {
				now = next
				debug.SetGCPercent(now)
			}
		}
	}()
}

// goal is by how many percent of what is alive the heap may grow.
func goal(alive, memory int64) int {
	most := int64(floor)
	if memory > 0 {
		most = min(most, memory/share)
	}
	return int(max(percent, most*100/max(alive, least)-100))
}

// alive is how many bytes the last collection left.
func alive() int64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return int64(sample[0].Value.Uint64())
}
