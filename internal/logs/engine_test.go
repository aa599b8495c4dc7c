package logs

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func open(t *testing.T, dir string) *Engine {
	t.Helper()
	return openLimited(t, dir, standardLimits)
}

func openLimited(t *testing.T, dir string, l limits) *Engine {
	t.Helper()
	e, err := openWithin(dir, slog.New(slog.DiscardHandler), l)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

// put puts into a stream of group g, at the time that the first event says it is ingested.
func put(e *Engine, name string, events []Event) error {
	s, err := e.stream("g", name)
	if err != nil {
		return err
	}
	_, err = e.put(s, time.UnixMilli(events[0].Ingested), events)
	return err
}

func readAll(t *testing.T, e *Engine, group string, d Direction, from, to int64, positions map[string]Position) []string {
	t.Helper()
	streams, _, err := e.streams(group, func(string) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for m := read(streams, d, from, to, positions); ; {
		f, ok, err := m.next()
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return got
		}
		got = append(got, f.Message)
	}
}

// TestEngineAgainstModel puts batches in any order of time, over restarts and
// packing, and reads them back in both directions.
func TestEngineAgainstModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp("", "gantry-logs")
		if err != nil {
			rt.Fatal(err)
		}
		defer os.RemoveAll(dir)
		few := limits{size: 1 << 20, blocks: rapid.IntRange(1, 3).Draw(rt, "blocks"), span: time.Hour}
		e := openLimited(t, dir, few)
		if err := e.createGroup(groupMeta{Name: "g"}); err != nil {
			rt.Fatal(err)
		}
		type entry struct {
			ts  int64
			seq int
			msg string
		}
		model := map[string][]entry{}
		for _, name := range []string{"a", "b"} {
			if err := e.createStream("g", name, time.UnixMilli(1)); err != nil {
				rt.Fatal(err)
			}
		}
		n := 0
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			switch rapid.IntRange(0, 9).Draw(rt, "between") {
			case 0: // as after a kill: what was packed is still there
				e.packAll()
				fallthrough
			case 1:
				e.Close()
				e = openLimited(t, dir, few)
			case 2:
				e.removeFiles(e.packAll())
			}
			name := rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "stream")
			times := rapid.SliceOfN(rapid.Int64Range(1, 40), 1, 6).Draw(rt, "times")
			var batch []Event
			for _, ts := range times {
				n++
				batch = append(batch, Event{Timestamp: ts, Ingested: int64(n), Message: fmt.Sprint(name, n)})
			}
			slices.SortStableFunc(times, func(a, b int64) int { return int(a - b) })
			if err := put(e, name, slices.Clone(batch)); err != nil {
				rt.Fatal(err)
			}
			slices.SortStableFunc(batch, func(a, b Event) int { return int(a.Timestamp - b.Timestamp) })
			for _, b := range batch {
				model[name] = append(model[name], entry{b.Timestamp, len(model[name]), b.Message})
			}
		}
		from, to := rapid.Int64Range(0, 20).Draw(rt, "from"), rapid.Int64Range(20, 45).Draw(rt, "to")
		for name, entries := range model {
			slices.SortStableFunc(entries, func(a, b entry) int { return int(a.ts - b.ts) })
			var want []string
			for _, en := range entries {
				if en.ts >= from && en.ts < to {
					want = append(want, en.msg)
				}
			}
			s, err := e.stream("g", name)
			if err != nil {
				rt.Fatal(err)
			}
			for _, d := range []Direction{Forward, Backward} {
				var got []string
				var at *Position
				for { // one event at a time: positions must neither skip nor repeat
					positions := map[string]Position{}
					if at != nil {
						positions[name] = *at
					}
					f, ok, err := read([]*stream{s}, d, from, to, positions).next()
					if err != nil {
						rt.Fatal(err)
					}
					if !ok {
						break
					}
					got = append(got, f.Message)
					at = &Position{f.Timestamp, f.Seq}
				}
				if d == Backward {
					slices.Reverse(got)
				}
				if !slices.Equal(got, want) {
					rt.Fatalf("stream %s, direction %d: got %v, want %v", name, d, got, want)
				}
			}
		}
	})
}

// TestTornTailIsCut: a crash while a block is written loses that block and no other.
func TestTornTailIsCut(t *testing.T) {
	dir := t.TempDir()
	e := open(t, dir)
	if err := e.createGroup(groupMeta{Name: "g"}); err != nil {
		t.Fatal(err)
	}
	if err := e.createStream("g", "s", time.UnixMilli(1)); err != nil {
		t.Fatal(err)
	}
	putOne := func(e *Engine, msg string) {
		t.Helper()
		if err := put(e, "s", []Event{{Timestamp: 5, Ingested: 5, Message: msg}}); err != nil {
			t.Fatal(err)
		}
	}
	putOne(e, "one")
	putOne(e, "two")
	s, err := e.stream("g", "s")
	if err != nil {
		t.Fatal(err)
	}
	path, size := s.segments[0].path, s.segments[0].size
	e.Close()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for cut := size/2 + 1; cut < size; cut++ {
		if err := os.WriteFile(path, whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		e := open(t, dir)
		putOne(e, "three")
		if got := readAll(t, e, "g", Forward, 0, math.MaxInt64, nil); !slices.Equal(got, []string{"one", "three"}) {
			t.Fatalf("cut at %d of %d: read %v", cut, size, got)
		}
		e.Close()
	}
}

func TestRetentionDeletesWholeSegments(t *testing.T) {
	e := open(t, t.TempDir())
	if err := e.createGroup(groupMeta{Name: "g", Retention: 1}); err != nil {
		t.Fatal(err)
	}
	if err := e.createStream("g", "s", time.UnixMilli(1)); err != nil {
		t.Fatal(err)
	}
	now := time.UnixMilli(1_800_000_000_000)
	if err := put(e, "s", []Event{{Timestamp: now.Add(-25 * time.Hour).UnixMilli(), Message: "old"}}); err != nil {
		t.Fatal(err)
	}
	e.expire(now)
	if got := readAll(t, e, "g", Forward, 0, math.MaxInt64, nil); len(got) != 0 {
		t.Errorf("after retention: %v", got)
	}
	if err := put(e, "s", []Event{{Timestamp: now.UnixMilli(), Message: "new"}}); err != nil {
		t.Fatal(err)
	}
	e.expire(now)
	if got := readAll(t, e, "g", Forward, 0, math.MaxInt64, nil); !slices.Equal(got, []string{"new"}) {
		t.Errorf("after retention and a new event: %v", got)
	}
}

// A power cut right after a stream was made may leave a file without content; one
// that has events is never taken for such.
func TestHalfMadeStream(t *testing.T) {
	dir := t.TempDir()
	e := open(t, dir)
	if err := e.createGroup(groupMeta{Name: "g"}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"empty", "full"} {
		if err := e.createStream("g", name, time.UnixMilli(1)); err != nil {
			t.Fatal(err)
		}
	}
	if err := put(e, "full", []Event{{Timestamp: 1, Message: "m"}}); err != nil {
		t.Fatal(err)
	}
	cut := func(name string) {
		s, err := e.stream("g", name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(filepath.Join(s.dir, streamFile), 0); err != nil {
			t.Fatal(err)
		}
	}
	cut("empty")
	again := open(t, dir)
	if _, err := again.stream("g", "empty"); !errors.Is(err, errStreamGone) {
		t.Errorf("the half-made stream: %v", err)
	}
	if got := readAll(t, again, "g", Forward, 0, forever, nil); !slices.Equal(got, []string{"m"}) {
		t.Errorf("got %v", got)
	}
	cut("full")
	if _, err := Open(dir, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("a stream with events and without a name was opened")
	}
}
