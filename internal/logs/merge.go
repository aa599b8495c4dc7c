package logs

import (
	"container/heap"
	"errors"
	"log/slog"
	"math"
	"os"
	"slices"
	"sort"
)

// A Direction says from which end events are read.
type Direction int

const (
	Forward  Direction = iota // oldest first
	Backward                  // newest first
)

// A Position is a place between events of one stream: it stands right behind the
// event with this timestamp and number, in the direction of reading.
type Position struct {
	Timestamp int64
	Seq       uint64
}

func (p Position) before(e *Event) bool {
	return p.Timestamp < e.Timestamp || p.Timestamp == e.Timestamp && p.Seq < e.Seq
}

func (p Position) after(e *Event) bool {
	return p.Timestamp > e.Timestamp || p.Timestamp == e.Timestamp && p.Seq > e.Seq
}

// A source is a stream's share of a merged reading.
type source struct {
	name   string
	blocks []place
	codec  *codec
	log    *slog.Logger
	// from, if set, is the position behind which reading starts.
	from *Position
}

// A merge reads events of several streams in one order. It opens a block only when
// its time has come, so that it holds no more than the blocks that overlap there.
type merge struct {
	direction Direction
	from, to  int64 // [from, to) milliseconds
	seen      int64 // events ingested until then are left out
	until     int64 // and those ingested later than that
	waiting   []waiting
	open      cursors
}

// waiting is a block that is not opened yet.
type waiting struct {
	place
	source *source
}

// A cursor stands on the next event of an open block.
type cursor struct {
	events []Event
	source *source
}

// A Found is an event and the stream it is of.
type Found struct {
	Stream string
	Event
}

func newMerge(sources []*source, direction Direction, from, to int64) *merge {
	m := &merge{direction: direction, from: from, to: to, seen: math.MinInt64, until: math.MaxInt64, open: cursors{direction: direction}}
	for _, s := range sources {
		for _, b := range s.blocks {
			m.waiting = append(m.waiting, waiting{b, s})
		}
	}
	sort.SliceStable(m.waiting, func(i, j int) bool {
		a, b := m.waiting[i], m.waiting[j]
		if direction == Forward {
			return a.first < b.first
		}
		return a.last > b.last
	})
	return m
}

// ingestedBetween leaves out all but what was ingested after seen and not after until.
// It is called before next.
func (m *merge) ingestedBetween(seen, until int64) {
	m.seen, m.until = seen, until
	m.waiting = slices.DeleteFunc(m.waiting, func(w waiting) bool { return w.ingested <= seen })
}

// next returns the next event, or false at the end.
func (m *merge) next() (Found, bool, error) {
	for len(m.waiting) > 0 && m.due(m.waiting[0].block) {
		if err := m.openBlock(m.waiting[0]); err != nil {
			return Found{}, false, err
		}
		m.waiting = m.waiting[1:]
	}
	if m.open.Len() == 0 {
		return Found{}, false, nil
	}
	c := m.open.all[0]
	found := Found{Stream: c.source.name, Event: c.events[0]}
	if c.events = c.events[1:]; len(c.events) == 0 {
		heap.Pop(&m.open)
	} else {
		heap.Fix(&m.open, 0)
	}
	return found, true, nil
}

// due reports whether a block may hold an event that comes before all open ones.
func (m *merge) due(b block) bool {
	if m.open.Len() == 0 {
		return true
	}
	head := m.open.all[0].events[0].Timestamp
	if m.direction == Forward {
		return b.first <= head
	}
	return b.last >= head
}

func (m *merge) openBlock(w waiting) error {
	f, err := os.Open(w.path)
	if os.IsNotExist(err) {
		return nil // it has expired meanwhile
	}
	if err != nil {
		return err
	}
	defer f.Close()
	events, err := w.source.codec.decode(f, w.offset)
	if errors.Is(err, errTorn) {
		// The disk lost it; one block must not keep all others from being read.
		w.source.log.Error("log events are lost", "stream", w.source.name, "file", w.path, "offset", w.offset, "events", w.count, "err", err)
		return nil
	}
	if err != nil {
		return err
	}
	events = slices.DeleteFunc(events, func(e Event) bool {
		if e.Timestamp < m.from || e.Timestamp >= m.to || e.Ingested <= m.seen || e.Ingested > m.until {
			return true
		}
		p := w.source.from
		return p != nil && (m.direction == Forward && !p.before(&e) || m.direction == Backward && !p.after(&e))
	})
	if len(events) == 0 {
		return nil
	}
	if m.direction == Backward {
		slices.Reverse(events)
	}
	heap.Push(&m.open, &cursor{events, w.source})
	return nil
}

// cursors is a heap by the event that comes next.
type cursors struct {
	direction Direction
	all       []*cursor
}

func (c *cursors) Len() int { return len(c.all) }
func (c *cursors) Less(i, j int) bool {
	a, b := c.all[i], c.all[j]
	x, y := &a.events[0], &b.events[0]
	if x.Timestamp == y.Timestamp && a.source != b.source {
		return a.source.name < b.source.name
	}
	if c.direction == Backward {
		x, y = y, x
	}
	return x.before(y)
}
func (c *cursors) Swap(i, j int) { c.all[i], c.all[j] = c.all[j], c.all[i] }
func (c *cursors) Push(x any)    { c.all = append(c.all, x.(*cursor)) }
func (c *cursors) Pop() any {
	last := c.all[len(c.all)-1]
	c.all = c.all[:len(c.all)-1]
	return last
}

// forever is the end of time for a reading without an end.
const forever = int64(math.MaxInt64)
