package loop

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// source yields what is sent to it.
func source(ch <-chan string) func(context.Context) iter.Seq[string] {
	return func(ctx context.Context) iter.Seq[string] {
		return func(yield func(string) bool) {
			for {
				select {
				case k, ok := <-ch:
					if !ok || !yield(k) {
						return
					}
				case <-ctx.Done():
					return
				}
			}
		}
	}
}

// record is what reconcilers did, with the time since the start.
type record struct {
	mu    sync.Mutex
	start time.Time
	lines []string
	busy  map[string]bool
	twice bool
	most  int
}

func newRecord() *record { return &record{start: time.Now(), busy: map[string]bool{}} }

func (r *record) enter(key string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.twice = r.twice || r.busy[key]
	r.busy[key] = true
	r.most = max(r.most, len(r.busy))
	r.lines = append(r.lines, time.Since(r.start).String()+" "+key)
}

func (r *record) leave(key string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.busy, key)
}

// run starts a loop in the bubble; the returned function ends it.
func run(t *testing.T, l Loop) (end func() error) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	return func() error { cancel(); return <-done }
}

func want(t *testing.T, what string, got, want any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func TestWakesAreCoalesced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, ch := newRecord(), make(chan string)
		end := run(t, Loop{Name: "test", Wakes: source(ch), Workers: 2, Reconcile: func(ctx context.Context, key string) (time.Duration, error) {
			r.enter(key)
			defer r.leave(key)
			time.Sleep(time.Second)
			return 0, nil
		}})
		for _, k := range []string{"a", "a", "b", "c", "a", "a", "c"} {
			ch <- k
			synctest.Wait()
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		// a ran, was woken while it ran, and ran once more; c had not begun.
		slices.Sort(r.lines)
		want(t, "runs", r.lines, []string{"0s a", "0s b", "1s a", "1s c"})
		want(t, "twice at once", r.twice, false)
		if err := end(); !errors.Is(err, context.Canceled) {
			t.Errorf("run returned %v", err)
		}
	})
}

func TestAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, ch := newRecord(), make(chan string)
		runs := 0
		end := run(t, Loop{Name: "test", Wakes: source(ch), Reconcile: func(ctx context.Context, key string) (time.Duration, error) {
			r.enter(key)
			defer r.leave(key)
			if runs++; runs == 4 {
				return 0, nil
			}
			return 10 * time.Second, nil
		}})
		ch <- "a"
		time.Sleep(13 * time.Second)
		ch <- "a" // before its time: at once, and the time is counted anew
		time.Sleep(time.Hour)
		synctest.Wait()
		want(t, "runs", r.lines, []string{"0s a", "10s a", "13s a", "23s a"})
		end()
	})
}

func TestFailuresBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ch := make(chan string)
		var mu sync.Mutex
		var at []time.Duration
		heal := false
		start := time.Now()
		set := func(h bool) (runs int) {
			mu.Lock()
			defer mu.Unlock()
			heal = h
			return len(at)
		}
		end := run(t, Loop{Name: "test", Wakes: source(ch), Reconcile: func(ctx context.Context, key string) (time.Duration, error) {
			mu.Lock()
			defer mu.Unlock()
			at = append(at, time.Since(start))
			if heal {
				return 0, nil
			}
			if len(at)%2 == 0 {
				panic("bad key")
			}
			return time.Nanosecond, errors.New("store is away")
		}})
		ch <- "a"
		for range 60 {
			time.Sleep(time.Second)
			ch <- "a" // wakes do not cut a back-off short
		}
		if n := set(true); n < 10 {
			t.Errorf("only %d runs in a minute", n)
		}
		time.Sleep(mostBackOff)
		well := set(false)
		ch <- "a"
		synctest.Wait()
		time.Sleep(firstBackOff)
		synctest.Wait()
		end()
		for i := 1; i < well-1; i++ { // the last of them was well
			gap, low, high := at[i]-at[i-1], backOff(i-1, 0), backOff(i-1, 1)
			if gap < low || gap > high {
				t.Errorf("run %d came %v after the one before, want %v to %v", i, gap, low, high)
			}
		}
		want(t, "runs after it was well: one at once, and its first repetition", len(at)-well, 2)
	})
}

func TestRunWaitsForReconcilers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ch := make(chan string)
		finished := 0
		end := run(t, Loop{Name: "test", Wakes: source(ch), Workers: 1, Reconcile: func(ctx context.Context, key string) (time.Duration, error) {
			<-ctx.Done()
			time.Sleep(time.Second) // it cleans up
			finished++
			return 0, ctx.Err()
		}})
		ch <- "a"
		ch <- "b"
		synctest.Wait()
		end()
		want(t, "finished, and b not begun", finished, 1)
	})
}

func TestWakesThatEndAreAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ch := make(chan string)
		close(ch)
		err := Loop{Name: "service", Wakes: source(ch), Reconcile: nil}.Run(t.Context())
		if err == nil || !strings.Contains(err.Error(), "the service loop: its wakes have ended") {
			t.Errorf("run returned %v", err)
		}
	})
}

// relay leads twice, for five seconds each.
type relay struct{}

func (relay) Lead(ctx context.Context, name string, run func(context.Context) error) error {
	for range 2 {
		term, cancel := context.WithTimeout(ctx, 5*time.Second)
		run(term)
		cancel()
		time.Sleep(5 * time.Second) // another leads
	}
	<-ctx.Done()
	return nil
}

func TestLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecord()
		all := func(ctx context.Context) iter.Seq[string] {
			return func(yield func(string) bool) {
				if yield("a") && yield("b") {
					<-ctx.Done()
				}
			}
		}
		end := run(t, Loop{Name: "test", Wakes: all, Leader: relay{}, Reconcile: func(ctx context.Context, key string) (time.Duration, error) {
			r.enter(key)
			defer r.leave(key)
			return 3 * time.Second, nil
		}})
		time.Sleep(time.Minute)
		synctest.Wait()
		slices.Sort(r.lines)
		want(t, "runs: everything at each start, nothing in between", r.lines,
			[]string{"0s a", "0s b", "10s a", "10s b", "13s a", "13s b", "3s a", "3s b"})
		if err := end(); !errors.Is(err, context.Canceled) {
			t.Errorf("run returned %v", err)
		}
	})
}

// Whatever happens: never twice at once, never more than there are workers, and
// after the last wake of a key it has run.
func TestAnyHistory(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		workers := rapid.IntRange(1, 4).Draw(rt, "workers")
		steps := rapid.SliceOfN(rapid.IntRange(0, 6), 1, 40).Draw(rt, "steps")
		outcomes := rapid.SliceOfN(rapid.IntRange(0, 3), 1, 20).Draw(rt, "outcomes")
		var failed string
		synctest.Test(t, func(t *testing.T) {
			r, ch := newRecord(), make(chan string)
			world, seen := map[string]int{}, map[string]int{} // versions there are, and seen
			calls := 0
			end := run(t, Loop{Name: "test", Wakes: source(ch), Workers: workers, Reconcile: func(ctx context.Context, key string) (time.Duration, error) {
				r.enter(key)
				defer r.leave(key)
				r.mu.Lock()
				outcome := outcomes[calls%len(outcomes)]
				calls++
				n := calls
				version := world[key]
				r.mu.Unlock()
				time.Sleep(time.Duration(outcome) * 100 * time.Millisecond)
				if outcome == 3 && n < 100 {
					return 0, errors.New("no")
				}
				r.mu.Lock()
				seen[key] = version
				r.mu.Unlock()
				return 0, nil
			}})
			for _, s := range steps {
				if s > 3 {
					time.Sleep(time.Duration(s) * 50 * time.Millisecond)
					continue
				}
				key := string(rune('a' + s))
				r.mu.Lock()
				world[key]++
				r.mu.Unlock()
				ch <- key
			}
			time.Sleep(time.Hour)
			end()
			switch {
			case r.twice:
				failed = "a key ran twice at once"
			case r.most > workers:
				failed = "more keys ran than there are workers"
			case cmp.Diff(world, seen) != "":
				failed = "not everything was seen: " + cmp.Diff(world, seen)
			}
		})
		if failed != "" {
			rt.Fatal(failed)
		}
	})
}
