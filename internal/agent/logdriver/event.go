package logdriver

import "time"

// A source is one of a container's two outputs.
type source int

const (
	stdout source = iota
	stderr
	sources // how many there are
)

func (s source) String() string {
	if s == stderr {
		return "stderr"
	}
	return "stdout"
}

// An event is a piece of output that is delivered as one: mostly a line.
type event struct {
	source source
	time   time.Time
	text   []byte // without the newline that ended it
	whole  bool   // a newline ended it; else it was cut for its length, or is the last of the output
	end    int64  // offset in its source's file behind the event
}

// The limits of a batch, which are those of PutLogEvents.
const (
	maxBatchBytes  = 1 << 20 // the texts, and eventOverhead for each
	maxBatchEvents = 10_000
	maxBatchSpan   = 24 * time.Hour
	eventOverhead  = 26
)

// cutBatch is how many of the events, from the first on, go into one batch.
// They are ordered by time.
func cutBatch(events []event) int {
	size := 0
	for i := range events {
		size += len(events[i].text) + eventOverhead
		if i > 0 && (size > maxBatchBytes || i == maxBatchEvents || events[i].time.Sub(events[0].time) > maxBatchSpan) {
			return i
		}
	}
	return len(events)
}
