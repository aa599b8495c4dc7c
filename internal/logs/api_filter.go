package logs

import (
	"context"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"time"

	"gantry/internal/logs/pattern"
	"gantry/internal/wire"
	"gantry/internal/wire/logsapi"
)

const (
	// maxSearch is how long one FilterLogEvents looks for events, so that a pattern
	// that matches nothing answers an empty page and a token, as AWS does, and not
	// after the whole group: clients give up after a minute.
	maxSearch = time.Second
	// searchStep is after how many events it looks at the clock.
	searchStep = 256
)

// newestFirst is the earliest startTime from which FilterLogEvents reads backward on AWS.
var newestFirst = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)

// A spot is where a reading of several streams goes on: behind this event.
type spot struct {
	Timestamp int64  `json:"t"`
	Stream    string `json:"s"`
	Seq       uint64 `json:"n"`
}

// position is the spot as seen from one stream. Events of one instant come in the
// order of their streams' names, in both directions.
func (s spot) position(stream string, d Direction) Position {
	p := Position{Timestamp: s.Timestamp, Seq: s.Seq}
	behind, ahead := ^uint64(0), uint64(0)
	if d == Backward {
		behind, ahead = ahead, behind
	}
	switch {
	case stream < s.Stream:
		p.Seq = behind
	case stream > s.Stream:
		p.Seq = ahead
	}
	return p
}

func (a *api) filterLogEvents(ctx context.Context, in *logsapi.FilterLogEventsInput) (*logsapi.FilterLogEventsOutput, error) {
	group, err := a.group(in.LogGroupName, in.LogGroupIdentifier)
	if err != nil {
		return nil, err
	}
	if in.LogStreamNames != nil && in.LogStreamNamePrefix != nil {
		return nil, invalid("logStreamNamePrefix and logStreamNames cannot be used together.")
	}
	filterPattern, err := pattern.Parse(wire.Value(in.FilterPattern))
	if err != nil {
		return nil, invalid("Invalid filter pattern: %v.", err)
	}
	streams, meta, err := a.searched(group, in)
	if err != nil {
		return nil, err
	}
	from, to, err := span(in.StartTime, in.EndTime)
	if err != nil {
		return nil, err
	}
	direction := Forward
	if in.StartFromHead != nil && !*in.StartFromHead {
		direction = Backward
		if from < newestFirst.UnixMilli() {
			return nil, invalid("startFromHead can be false only if startTime is on or after Jan 1, 2024 00:00:00 UTC.")
		}
	}
	from = max(from, meta.oldest(a.now()))
	f := filter{group: group, streams: streams, pattern: filterPattern, from: from, limit: limit(in.Limit, eventsPage)}

	asked := []any{group, in.LogStreamNames, in.LogStreamNamePrefix, in.FilterPattern, direction}
	t, err := tokensOf("FilterLogEvents", asked...)
	if err != nil {
		return nil, err
	}
	following, err := tokensOf("FilterLogEvents as it comes", asked...)
	if err != nil {
		return nil, err
	}
	var at followed
	if in.NextToken != nil && following.read(*in.NextToken, &at) == nil {
		out, err := a.follow(ctx, f, at, following)
		a.noteEnd(in, t, out)
		return out, err
	}
	if a.ends.cameBack(t.list, a.now(), in) {
		settled, _ := a.engine.arrivals.settled(a.now())
		at := followed{Seen: seenNothing, Part: settled, Until: a.now().Add(followFor).UnixMilli()}
		return a.follow(ctx, f, at, following)
	}
	out, err := a.filterOnce(ctx, in, f, direction, to, t)
	if err == nil {
		a.noteEnd(in, t, out)
	}
	return out, err
}

// noteEnd remembers where a reading that may be a follower's ended.
func (a *api) noteEnd(in *logsapi.FilterLogEventsInput, t tokens, out *logsapi.FilterLogEventsOutput) {
	if out != nil && out.NextToken == nil && len(out.Events) > 0 && follows(in) {
		a.ends.note(t.list, a.now(), *out.Events[len(out.Events)-1].Timestamp)
	}
}

// filterOnce answers a page in the order of time.
func (a *api) filterOnce(ctx context.Context, in *logsapi.FilterLogEventsInput, f filter, direction Direction, to int64, t tokens) (*logsapi.FilterLogEventsOutput, error) {
	positions := map[string]Position{}
	if in.NextToken != nil {
		var at spot
		if err := t.read(*in.NextToken, &at); err != nil {
			return nil, err
		}
		for _, s := range f.streams {
			positions[s.meta.Name] = at.position(s.meta.Name, direction)
		}
		if direction == Forward {
			f.from = max(f.from, at.Timestamp)
		} else {
			to = min(to, at.Timestamp+1)
		}
	}
	end, err := a.engine.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	events, last, err := filterPage(ctx, read(f.streams, direction, f.from, to, positions), f.pattern, f.limit)
	if err != nil {
		return nil, err
	}
	out := &logsapi.FilterLogEventsOutput{Events: filtered(f.group, events), SearchedLogStreams: []logsapi.SearchedLogStream{}}
	if last != nil {
		token, err := t.write(last)
		if err != nil {
			return nil, err
		}
		out.NextToken = &token
	}
	return out, nil
}

// searched is the streams that a request names; a name that does not exist is an error.
func (a *api) searched(group string, in *logsapi.FilterLogEventsInput) ([]*stream, groupMeta, error) {
	prefix := wire.Value(in.LogStreamNamePrefix)
	streams, meta, err := a.engine.streams(group, func(name string) bool {
		return strings.HasPrefix(name, prefix) && (in.LogStreamNames == nil || slices.Contains(in.LogStreamNames, name))
	})
	if err != nil {
		return nil, meta, exception(err)
	}
	for _, name := range in.LogStreamNames {
		if !slices.ContainsFunc(streams, func(s *stream) bool { return s.meta.Name == name }) {
			return nil, meta, exception(errStreamGone)
		}
	}
	return streams, meta, nil
}

// filterPage takes matching events until the page is full or has taken long enough.
// Then last is where the next page begins; it is nil at the end of the streams.
func filterPage(ctx context.Context, m *merge, filter *pattern.Pattern, most int) (events []Found, last *spot, err error) {
	size, enough := 0, time.Now().Add(maxSearch)
	for seen := 1; ; seen++ {
		f, ok, err := m.next()
		if err != nil || !ok {
			return events, nil, err
		}
		matches := filter.Match(f.Message)
		if matches {
			size += len(f.Message) + eventOverhead
		}
		if last != nil && (len(events) == most || matches && size > pageBytes && len(events) > 0) {
			return events, last, nil
		}
		if matches {
			f.Message = strings.Clone(f.Message) // not the whole block with it
			events = append(events, f)
		}
		last = &spot{f.Timestamp, f.Stream, f.Seq}
		if seen%searchStep == 0 {
			if ctx.Err() != nil {
				return nil, nil, ctx.Err()
			}
			if time.Now().After(enough) {
				return events, last, nil
			}
		}
	}
}

func filtered(group string, events []Found) []logsapi.FilteredLogEvent {
	out := make([]logsapi.FilteredLogEvent, len(events))
	for i := range events {
		e := &events[i]
		out[i] = logsapi.FilteredLogEvent{
			EventId: new(eventID(group, e)), LogStreamName: &e.Stream,
			Timestamp: &e.Timestamp, IngestionTime: &e.Ingested, Message: &e.Message,
		}
	}
	return out
}

// eventID is the same whenever the event is read, and of no other event: 56 digits, as AWS's are.
func eventID(group string, e *Found) string {
	h := fnv.New64a()
	h.Write([]byte(group + ":" + e.Stream))
	return fmt.Sprintf("%017d%020d%019d", e.Timestamp, h.Sum64(), e.Seq)
}
