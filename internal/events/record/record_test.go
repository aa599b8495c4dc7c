package record

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var at = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

var small = Limits{Segment: 500, Total: 2000, Age: time.Hour}

func open(t *testing.T, dir string, l Limits) *Record {
	t.Helper()
	r, err := Open(dir, l)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// entry is the nth of revision rev.
func entry(rev int64, n int) Entry {
	return Entry{Position: Position{rev, n}, At: at.Add(time.Duration(rev) * time.Second), Keys: []string{"k y", fmt.Sprint(rev)}, Body: fmt.Appendf(nil, `{"r":%d,"n":%d}`, rev, n)}
}

func flush(t *testing.T, r *Record) {
	t.Helper()
	if err := r.Flush(); err != nil {
		t.Fatal(err)
	}
}

// all reads from a position to the end.
func all(t *testing.T, r *Record, after Position) (got []Position) {
	t.Helper()
	f := r.Follow(after)
	defer f.Close()
	for {
		e, ok, err := f.Try()
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return got
		}
		if want := entry(e.Revision, e.N); string(e.Body) != string(want.Body) || !e.At.Equal(want.At) || strings.Join(e.Keys, "|") != strings.Join(want.Keys, "|") {
			t.Errorf("%v reads %+v", e.Position, e)
		}
		got = append(got, e.Position)
	}
}

func TestEverythingOnceAndInOrder(t *testing.T) {
	dir := t.TempDir()
	wide := Limits{Segment: 500, Total: 1 << 20, Age: time.Hour}
	r := open(t, dir, wide)
	for rev := range int64(100) {
		for n := range 2 {
			r.Append(entry(rev+1, n))
		}
		if rev%3 == 0 {
			flush(t, r)
		}
		r.Append(entry(rev/2, 0)) // is there
	}
	if got := all(t, r, Position{}); len(got) != 200 {
		t.Errorf("%d entries before the last flush, want 200: the hundredth was flushed", len(got))
	}
	flush(t, r)
	for _, from := range []int64{0, 1, 49, 50, 99, 100, 200} {
		r = open(t, dir, wide) // as after a kill
		got := all(t, r, Position{from, 0})
		want := max(0, 2*int(100-from)+1)
		if from == 0 {
			want = 200
		}
		if len(got) != want {
			t.Errorf("after %d: %d entries, want %d", from, len(got), want)
		}
		for i := 1; i < len(got); i++ {
			if !got[i-1].Before(got[i]) {
				t.Errorf("%v before %v", got[i-1], got[i])
			}
		}
	}
	var newest []Position
	for e, err := range r.Newest() {
		if err != nil {
			t.Fatal(err)
		}
		newest = append(newest, e.Position)
	}
	if len(newest) != 200 || newest[0] != (Position{100, 1}) || newest[199] != (Position{1, 0}) {
		t.Errorf("newest first: %d entries, from %v", len(newest), newest[:1])
	}
	if files, _ := filepath.Glob(filepath.Join(dir, "*")); len(files) < 5 {
		t.Errorf("%d segments", len(files))
	}
}

// A line that was cut off, wherever, is as if it had never been: what comes next goes in its place.
func TestCutOff(t *testing.T) {
	dir := t.TempDir()
	r := open(t, dir, small)
	r.Append(entry(1, 0))
	r.Append(entry(2, 0))
	flush(t, r)
	path := r.segments[0].path
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	first := strings.IndexByte(string(whole), '\n') + 1
	for cut := first; cut < len(whole); cut += 7 {
		for _, text := range [][]byte{whole[:cut], append(whole[:cut:cut], make([]byte, len(whole)-cut)...)} {
			if err := os.WriteFile(path, text, 0o600); err != nil {
				t.Fatal(err)
			}
			r := open(t, dir, small)
			if r.Last() != (Position{1, 0}) {
				t.Fatalf("cut at %d: last is %v", cut, r.Last())
			}
			r.Append(entry(1, 0))
			r.Append(entry(2, 0))
			r.Append(entry(3, 0))
			flush(t, r)
			if got := all(t, open(t, dir, small), Position{}); len(got) != 3 {
				t.Fatalf("cut at %d: then %v", cut, got)
			}
		}
	}
}

func TestBounds(t *testing.T) {
	r := open(t, t.TempDir(), small)
	slow := r.Follow(Position{})
	defer slow.Close()
	for rev := int64(1); rev <= 200; rev++ {
		r.Append(entry(rev, 0))
		flush(t, r)
		if rev == 1 {
			if e, ok, err := slow.Try(); !ok || e.Revision != 1 || err != nil {
				t.Fatalf("%v %t %v", e, ok, err)
			}
		}
		if err := r.Trim(at.Add(time.Duration(rev) * time.Second)); err != nil {
			t.Fatal(err)
		}
		if size := r.Size(); size > small.Total+small.Segment {
			t.Fatalf("%d bytes", size)
		}
	}
	got := all(t, r, Position{1, 0})
	if len(got) == 0 || got[len(got)-1].Revision != 200 || got[0].Revision < 100 {
		t.Errorf("left are %d, from %v", len(got), got[:1])
	}
	if slow.Missed() {
		t.Error("the slow reader has missed something before it has looked")
	}
	// Who was reading a segment that is gone goes on with the oldest there is.
	seen := int64(1)
	for {
		e, ok, err := slow.Try()
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			break
		}
		if e.Revision <= seen {
			t.Fatalf("%d after %d", e.Revision, seen)
		}
		seen = e.Revision
	}
	if seen != 200 {
		t.Errorf("the slow reader ends at %d", seen)
	}
	if !slow.Missed() || slow.Missed() {
		t.Error("the slow reader does not say, or not once, that it has missed something")
	}
	if err := r.Trim(at.Add(200*time.Second + time.Hour + time.Second)); err != nil {
		t.Fatal(err)
	}
	if r.Size() != 0 {
		t.Errorf("%d bytes are left of what is too old", r.Size())
	}
	r.Append(entry(201, 0))
	flush(t, r)
	if got := all(t, r, Position{}); len(got) != 1 {
		t.Errorf("afterwards: %v", got)
	}
	if e, ok, err := slow.Try(); !ok || e.Revision != 201 || err != nil {
		t.Errorf("the slow reader: %v %t %v", e.Position, ok, err)
	}
}

func TestNextWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := open(t, t.TempDir(), small)
		f := r.Follow(Position{})
		defer f.Close()
		got := make(chan Position, 10)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			for {
				e, err := f.Next(ctx)
				if err != nil {
					ended <- err
					return
				}
				got <- e.Position
			}
		}()
		r.Append(entry(1, 0))
		synctest.Wait()
		if len(got) != 0 {
			t.Error("read before it was flushed")
		}
		flush(t, r)
		synctest.Wait()
		if len(got) != 1 {
			t.Error("not read after it was flushed")
		}
		cancel()
		if err := <-ended; err != context.Canceled {
			t.Error(err)
		}
	})
}

func TestForget(t *testing.T) {
	dir := t.TempDir()
	r := open(t, dir, small)
	r.Append(entry(1000, 0))
	flush(t, r)
	if err := r.Forget(); err != nil {
		t.Fatal(err)
	}
	r.Append(entry(1, 0))
	flush(t, r)
	if got := all(t, open(t, dir, small), Position{}); len(got) != 1 || got[0].Revision != 1 {
		t.Errorf("got %v", got)
	}
}
