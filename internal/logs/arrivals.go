package logs

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// arrivals gives events their time of ingestion, which never goes back, and tells up
// to when all that arrived can be read: so that one who follows what arrives misses
// nothing, however late its timestamp says it is and however long the disk took.
type arrivals struct {
	mu     sync.Mutex
	newest int64           // the latest time that was given
	floor  int64           // the earliest that may be given: one later than what was said to be settled
	open   map[int64]int64 // time of each batch that is being made durable, by an id
	nextID int64
	heard  chan struct{} // closed when the next batch can be read; nil where nobody listens
}

// begin stamps a batch. It ends with done, whether it was made durable or not.
func (a *arrivals) begin(now time.Time) (ingested int64, done func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.newest = max(a.newest, a.floor, now.UnixMilli())
	if a.open == nil {
		a.open = map[int64]int64{}
	}
	id := a.nextID
	a.nextID++
	a.open[id] = a.newest
	return a.newest, func() { a.end(id) }
}

func (a *arrivals) end(id int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.open, id)
	if a.heard != nil {
		close(a.heard)
		a.heard = nil
	}
}

// settled is the newest time of which no more events will come, and a channel that
// closes when there is something new.
func (a *arrivals) settled(now time.Time) (int64, <-chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.heard == nil {
		a.heard = make(chan struct{})
	}
	settled := max(a.newest, now.UnixMilli())
	if len(a.open) > 0 {
		settled = slices.Min(slices.Collect(maps.Values(a.open))) - 1
	}
	a.floor = max(a.floor, settled+1)
	return settled, a.heard
}
