package logs

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gantry/internal/wire/logsapi"
)

// A tailer does what "aws logs tail --follow" does, but sleeps only until it is woken.
type tailer struct {
	ops   *logsapi.Operations
	in    logsapi.FilterLogEventsInput
	slept chan struct{} // receives one for each sleep

	mu   sync.Mutex
	seen []string // messages, as they would be printed
}

func (l *tailer) run(ctx context.Context) error {
	ids := map[int64]map[string]bool{}
	newest := int64(0)
	for {
		out, err := l.ops.FilterLogEvents(ctx, &l.in)
		if err != nil {
			return err
		}
		l.mu.Lock()
		for _, e := range out.Events {
			if ids[*e.Timestamp] == nil {
				ids[*e.Timestamp] = map[string]bool{}
			}
			if !ids[*e.Timestamp][*e.EventId] {
				ids[*e.Timestamp][*e.EventId] = true
				l.seen = append(l.seen, *e.Message)
			}
			newest = max(newest, *e.Timestamp)
		}
		l.mu.Unlock()
		for ts := range ids {
			if ts != newest {
				delete(ids, ts)
			}
		}
		if l.in.NextToken = out.NextToken; out.NextToken != nil {
			continue
		}
		if newest > 0 {
			l.in.StartTime = new(newest)
		}
		select {
		case l.slept <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (l *tailer) has(message string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Contains(l.seen, message)
}

func newTail(t *testing.T) *logsapi.Operations {
	t.Helper()
	ops := NewOperations(Config{Engine: open(t, t.TempDir())})
	if _, err := ops.CreateLogGroup(t.Context(), &logsapi.CreateLogGroupInput{LogGroupName: new("g")}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b"} {
		if _, err := ops.CreateLogStream(t.Context(), &logsapi.CreateLogStreamInput{LogGroupName: new("g"), LogStreamName: &name}); err != nil {
			t.Fatal(err)
		}
	}
	return ops
}

func say(t *testing.T, ops *logsapi.Operations, stream string, at time.Time, messages ...string) {
	t.Helper()
	in := &logsapi.PutLogEventsInput{LogGroupName: new("g"), LogStreamName: &stream}
	for _, m := range messages {
		in.LogEvents = append(in.LogEvents, logsapi.InputLogEvent{Message: &m, Timestamp: new(at.UnixMilli())})
	}
	if _, err := ops.PutLogEvents(t.Context(), in); err != nil {
		t.Error(err)
	}
}

func waitFor(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it never happened that %s", what)
		}
	}
}

// Once recognized, a follower sees each line soon, once, and also those whose
// timestamps are older than what it has seen.
func TestFollowerSeesWhatArrives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ops := newTail(t)
		base := time.Now()
		say(t, ops, "a", base.Add(-time.Second), "first", "second")
		l := &tailer{ops: ops, slept: make(chan struct{})}
		l.in = logsapi.FilterLogEventsInput{LogGroupName: new("g"), Interleaved: new(true), StartTime: new(base.Add(-time.Minute).UnixMilli())}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- l.run(ctx) }()
		waitFor(t, "the first lines show", func() bool { return l.has("second") })
		<-l.slept // it comes back once; from here on only what is followed shows
		synctest.Wait()

		began := time.Now()
		say(t, ops, "a", time.Now(), "live")
		waitFor(t, "a line shows at once", func() bool { return l.has("live") })
		if took := time.Since(began); took > 2*followGather {
			t.Errorf("a line took %v", took)
		}
		say(t, ops, "b", base.Add(-5*time.Second), "late")
		waitFor(t, "a line that is late shows", func() bool { return l.has("late") })

		var want []string
		var writers sync.WaitGroup
		for w := range 4 {
			for i := range 100 {
				want = append(want, fmt.Sprint("w", w, " ", i))
			}
			writers.Go(func() {
				for i := range 100 {
					say(t, ops, []string{"a", "b"}[w%2], time.Now(), fmt.Sprint("w", w, " ", i))
				}
			})
		}
		writers.Wait()
		want = append(want, "first", "second", "live", "late")
		slices.Sort(want)
		waitFor(t, "all lines show", func() bool {
			l.mu.Lock()
			defer l.mu.Unlock()
			return len(l.seen) >= len(want)
		})
		cancel()
		<-ended
		slices.Sort(l.seen)
		if !slices.Equal(l.seen, want) {
			t.Errorf("%d lines showed, %d were printed", len(l.seen), len(want))
		}
	})
}

// One who reads to the end and does not come back at once never gets a follower's token.
func TestReadingEnds(t *testing.T) {
	ops := newTail(t)
	now := time.Now()
	say(t, ops, "a", now, "line")
	for _, in := range []logsapi.FilterLogEventsInput{
		{StartTime: new(now.Add(-time.Hour).UnixMilli()), Interleaved: new(true)},
		{StartTime: new(now.Add(-time.Hour).UnixMilli()), Interleaved: new(true)}, // again: a reader in a loop
		{StartTime: new(now.UnixMilli())},
		{StartTime: new(now.UnixMilli()), Interleaved: new(true), EndTime: new(now.Add(time.Hour).UnixMilli())},
		{StartTime: new(now.UnixMilli()), Interleaved: new(true), FilterPattern: new("line")},
	} {
		in.LogGroupName = new("g")
		out, err := ops.FilterLogEvents(t.Context(), &in)
		if err != nil {
			t.Fatal(err)
		}
		if len(out.Events) != 1 || out.NextToken != nil {
			t.Errorf("%+v: %d events, token %v", in, len(out.Events), out.NextToken)
		}
	}
}

// More than fits on a page arrives over several pages.
func TestFollowerGetsPages(t *testing.T) {
	ops := newTail(t)
	now := time.Now()
	say(t, ops, "a", now.Add(-time.Second), "first")
	in := &logsapi.FilterLogEventsInput{LogGroupName: new("g"), Interleaved: new(true), StartTime: new(now.Add(-time.Minute).UnixMilli()), Limit: new(int32(3))}
	ask := func() *logsapi.FilterLogEventsOutput {
		t.Helper()
		out, err := ops.FilterLogEvents(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		in.NextToken = out.NextToken
		return out
	}
	out := ask()
	in.StartTime = out.Events[0].Timestamp
	if out = ask(); out.NextToken == nil {
		t.Fatal("the follower was not recognized")
	}
	var want, got []string
	for i := range 10 {
		want = append(want, fmt.Sprint(i))
	}
	say(t, ops, "b", now, want...)
	for len(got) < len(want) {
		for _, e := range ask().Events {
			got = append(got, *e.Message)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}
