package logs

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"gantry/internal/wire"
	"gantry/internal/wire/logsapi"
)

const (
	eventsPage = 10_000  // events that one page of GetLogEvents or FilterLogEvents has at most, and by default
	pageBytes  = 1 << 20 // and their size, counted as PutLogEvents counts it
)

// A gap is a place between two events of one stream: behind the event with this
// timestamp and number. GetLogEvents' tokens are gaps, read from in one direction.
type gap struct {
	Timestamp int64
	Seq       uint64
}

// position is where a reading in the direction starts.
func (g gap) position(d Direction) Position {
	if d == Backward {
		return Position{g.Timestamp, g.Seq + 1}
	}
	return Position{g.Timestamp, g.Seq}
}

// token writes a gap as GetLogEvents does: "f/…/s" and "b/…/s".
func (g gap) token(d Direction) string {
	letter := "f"
	if d == Backward {
		letter = "b"
	}
	return fmt.Sprintf("%s/%019d%020d/s", letter, g.Timestamp, g.Seq)
}

func parseGap(token string) (g gap, d Direction, err error) {
	var letter rune
	if _, err := fmt.Sscanf(token, "%c/%19d%20d/s", &letter, &g.Timestamp, &g.Seq); err != nil {
		return g, d, invalid("The specified nextToken is invalid.")
	}
	if letter == 'b' {
		d = Backward
	}
	if g.token(d) != token {
		return g, d, invalid("The specified nextToken is invalid.")
	}
	return g, d, nil
}

// getLogEvents answers a page of one stream, oldest event first whichever way it is
// read. Both tokens are always there; a reader is at an end when the token in its
// direction is the one that it sent.
func (a *api) getLogEvents(ctx context.Context, in *logsapi.GetLogEventsInput) (*logsapi.GetLogEventsOutput, error) {
	group, err := a.group(in.LogGroupName, in.LogGroupIdentifier)
	if err != nil {
		return nil, err
	}
	streams, meta, err := a.engine.streams(group, func(name string) bool { return name == *in.LogStreamName })
	if err == nil && len(streams) == 0 {
		err = errStreamGone
	}
	if err != nil {
		return nil, exception(err)
	}
	from, to, err := span(in.StartTime, in.EndTime)
	if err != nil {
		return nil, err
	}
	from = max(from, meta.oldest(a.now()))

	direction := Backward
	if wire.Value(in.StartFromHead) {
		direction = Forward
	}
	positions := map[string]Position{}
	at := gap{} // where nothing is found, both tokens are here
	if in.NextToken != nil {
		if at, direction, err = parseGap(*in.NextToken); err != nil {
			return nil, err
		}
		positions[*in.LogStreamName] = at.position(direction)
		if direction == Forward {
			from = max(from, at.Timestamp)
		} else if at.Timestamp < math.MaxInt64 {
			to = min(to, at.Timestamp+1)
		}
	}
	end, err := a.engine.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	events, err := readPage(read(streams, direction, from, to, positions), limit(in.Limit, eventsPage))
	if err != nil {
		return nil, err
	}
	before, behind := at, at
	if direction == Backward {
		slices.Reverse(events)
	}
	if n := len(events); n > 0 {
		before = gap{events[0].Timestamp, events[0].Seq - 1}
		behind = gap{events[n-1].Timestamp, events[n-1].Seq}
	}
	out := &logsapi.GetLogEventsOutput{
		Events:            make([]logsapi.OutputLogEvent, len(events)),
		NextForwardToken:  new(behind.token(Forward)),
		NextBackwardToken: new(before.token(Backward)),
	}
	for i := range events {
		e := &events[i]
		out.Events[i] = logsapi.OutputLogEvent{Timestamp: &e.Timestamp, IngestionTime: &e.Ingested, Message: &e.Message}
	}
	return out, nil
}

// readPage takes events until the page is full; at least one, if there is one.
func readPage(m *merge, most int) ([]Found, error) {
	var events []Found
	size := 0
	for len(events) < most {
		f, ok, err := m.next()
		if err != nil || !ok {
			return events, err
		}
		size += len(f.Message) + eventOverhead
		if size > pageBytes && len(events) > 0 {
			return events, nil
		}
		f.Message = strings.Clone(f.Message) // not the whole block with it
		events = append(events, f)
	}
	return events, nil
}

// span is the time that a request asks for, [from, to) in milliseconds since 1970.
func span(start, end *int64) (from, to int64, err error) {
	from, to = wire.Value(start), forever
	if end != nil {
		to = *end
	}
	if from > to {
		return 0, 0, invalid("startTime %d is after endTime %d.", from, to)
	}
	return from, to, nil
}
