package logs

import (
	"context"
	"math"
	"sync"
	"time"

	"gantry/internal/logs/pattern"
	"gantry/internal/wire"
	"gantry/internal/wire/logsapi"
)

// "aws logs tail --follow" reads pages of FilterLogEvents as long as there is a
// nextToken, then sleeps five seconds, and reads again from the time of the newest
// event that it saw. A line would show after two and a half seconds on average. So
// one who comes back like this is recognized, and gets a token that goes on with
// what arrives: a request with it is answered as soon as there is something, or
// empty after followHold. Who does not follow never comes back, and sees pages end
// as ever.

const (
	// followHold is how long a request waits for something to arrive.
	followHold = time.Second
	// followGather is how long what arrives waits for more, so that a busy group does not cost a request per line.
	followGather = 50 * time.Millisecond
	// comeBack is after how long at most a follower comes back: it sleeps five seconds.
	comeBack = 10 * time.Second
	// followFor is when tokens end nevertheless. A follower sleeps once and is recognized again; another who happened
	// to look like one comes to an end.
	followFor = 5 * time.Minute
	// followLate is how much older than the newest event that a follower saw an event may be that arrives later.
	followLate = time.Minute
	// maxEndings bounds how many ends of pages are remembered for comeBack.
	maxEndings = 1024
)

// endings remembers where readings of FilterLogEvents ended.
type endings struct {
	mu sync.Mutex
	by map[string]ending // by the request, but for its times
}

type ending struct {
	at     time.Time
	newest int64 // timestamp of the last event that was answered
}

func (e *endings) note(list []byte, now time.Time, newest int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.by) >= maxEndings || e.by == nil {
		old := e.by
		e.by = map[string]ending{}
		for key, was := range old {
			if now.Sub(was.at) < comeBack && len(e.by) < maxEndings/2 {
				e.by[key] = was
			}
		}
	}
	e.by[string(list)] = ending{now, newest}
}

// cameBack reports whether a request goes on where one like it ended a moment ago.
func (e *endings) cameBack(list []byte, now time.Time, in *logsapi.FilterLogEventsInput) bool {
	if in.NextToken != nil || in.StartTime == nil || !follows(in) {
		return false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	was, ok := e.by[string(list)]
	return ok && now.Sub(was.at) < comeBack && was.newest == *in.StartTime
}

// follows reports whether a request may be a follower's: "aws logs tail" sends these.
func follows(in *logsapi.FilterLogEventsInput) bool {
	return wire.Value(in.Interleaved) && in.EndTime == nil && wire.Value(in.StartTime) > 0 && in.StartFromHead == nil
}

// A followed place says what a follower has seen: all that was ingested until Seen,
// and, where that was more than a page, what was ingested until Part up to At.
type followed struct {
	Seen  int64 `json:"seen"`
	Part  int64 `json:"part,omitzero"`
	At    *spot `json:"at,omitzero"`
	Until int64 `json:"until"` // when the tokens end, in milliseconds since 1970
}

// seenNothing is where a follower begins: at its startTime, whenever that arrived.
const seenNothing = math.MinInt64

// filter is what a FilterLogEvents looks through, and for what.
type filter struct {
	group   string
	streams []*stream
	pattern *pattern.Pattern
	from    int64 // milliseconds since 1970
	limit   int
}

// follow answers a request with a follower's token.
func (a *api) follow(ctx context.Context, f filter, at followed, t tokens) (*logsapi.FilterLogEventsOutput, error) {
	hold := time.After(followHold)
	for {
		settled, news := a.engine.arrivals.settled(a.now())
		if at.At == nil {
			at.Part = settled
		}
		events, last, err := a.arrived(ctx, f, at)
		if err != nil {
			return nil, err
		}
		if last != nil {
			at.At = last
		} else {
			at.Seen, at.Part, at.At = at.Part, 0, nil
		}
		if len(events) > 0 || last != nil {
			return a.followPage(f, events, at, t)
		}
		select {
		case <-news:
			select {
			case <-time.After(followGather):
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		case <-hold:
			return a.followPage(f, nil, at, t)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// arrived is a page of what was ingested after Seen and until Part, in the order of time.
func (a *api) arrived(ctx context.Context, f filter, at followed) ([]Found, *spot, error) {
	positions := map[string]Position{}
	if at.At != nil {
		for _, s := range f.streams {
			positions[s.meta.Name] = at.At.position(s.meta.Name, Forward)
		}
	}
	end, err := a.engine.begin(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer end()
	from := f.from
	if at.Seen != seenNothing {
		from -= followLate.Milliseconds()
	}
	m := read(f.streams, Forward, from, forever, positions)
	m.ingestedBetween(at.Seen, at.Part)
	return filterPage(ctx, m, f.pattern, f.limit)
}

// followPage answers with a token as long as tokens are given.
func (a *api) followPage(f filter, events []Found, at followed, t tokens) (*logsapi.FilterLogEventsOutput, error) {
	out := &logsapi.FilterLogEventsOutput{Events: filtered(f.group, events), SearchedLogStreams: []logsapi.SearchedLogStream{}}
	if at.At == nil && a.now().UnixMilli() > at.Until {
		return out, nil
	}
	token, err := t.write(at)
	if err != nil {
		return nil, err
	}
	out.NextToken = &token
	return out, nil
}
