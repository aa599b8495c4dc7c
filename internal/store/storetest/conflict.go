package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"gantry/internal/store"
)

// together runs updates whose first runs all see the same state: none goes on to
// commit before each has looked.
func together(t *testing.T, s []*store.Store, updates ...func(*store.Tx) error) []error {
	t.Helper()
	var looked sync.WaitGroup
	looked.Add(len(updates))
	errs := make([]error, len(updates))
	var all sync.WaitGroup
	for i, f := range updates {
		all.Go(func() {
			first := sync.OnceFunc(func() { looked.Done(); looked.Wait() })
			_, errs[i] = s[i%len(s)].Update(t.Context(), func(tx *store.Tx) error {
				err := f(tx)
				first()
				return err
			})
		})
	}
	all.Wait()
	return errs
}

// everywhere tests one server, and two that are raced against each other.
func everywhere(t *testing.T, open Opener, test func(*testing.T, []*store.Store)) {
	for _, n := range []int{1, 2} {
		t.Run(fmt.Sprint(n), func(t *testing.T) { test(t, open(t, n, Tables()...)) })
	}
}

// fresh is the state with everything that was acknowledged on any server.
func fresh(t *testing.T, s *store.Store) *store.Snapshot {
	t.Helper()
	snap, err := s.Fresh(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return snap
}

func writeSkew(t *testing.T, open Opener) {
	everywhere(t, open, func(t *testing.T, s []*store.Store) {
		put(t, s[0], map[string]int{"a": 1, "b": 1})
		for _, other := range s {
			fresh(t, other)
		}
		// Each is fine by itself as long as the other account stays.
		leave := func(mine, other string) func(*store.Tx) error {
			return func(tx *store.Tx) error {
				if a, _ := Accounts.Get(tx, other); a.Balance == 1 {
					Accounts.Put(tx, &Account{Name: mine, Balance: 0})
				}
				return nil
			}
		}
		for i, err := range together(t, s, leave("a", "b"), leave("b", "a")) {
			if err != nil {
				t.Errorf("update %d: %v", i, err)
			}
		}
		b := balances(fresh(t, s[0]))
		want(t, "what is left", b["a"]+b["b"], 1)
	})
}

func phantom(t *testing.T, open Opener, count func(*store.Tx) int) {
	everywhere(t, open, func(t *testing.T, s []*store.Store) {
		put(t, s[0], map[string]int{"p/0": 0, "q/0": 0})
		for _, other := range s {
			fresh(t, other)
		}
		// Each may add the second account, and nobody a third.
		var updates []func(*store.Tx) error
		for i := range 4 {
			updates = append(updates, func(tx *store.Tx) error {
				if count(tx) < 1 {
					Accounts.Put(tx, &Account{Name: fmt.Sprint("p/new", i), Owner: "me"})
				}
				return nil
			})
		}
		for i, err := range together(t, s, updates...) {
			if err != nil {
				t.Errorf("update %d: %v", i, err)
			}
		}
		want(t, "accounts added", ByOwner.Count(fresh(t, s[0]), "me"), 1)
		// And a row that disappears conflicts as one that appears does.
		move := func(from, to string) func(*store.Tx) error {
			return func(tx *store.Tx) error {
				if count(tx) == 1 {
					for a := range Accounts.All(tx, "p/new") {
						Accounts.Delete(tx, a.Name)
					}
					Accounts.Put(tx, &Account{Name: to, Owner: "other"})
				}
				return nil
			}
		}
		together(t, s, move("p/new", "q/1"), move("p/new", "q/2"))
		want(t, "accounts moved", ByOwner.Count(fresh(t, s[0]), "other"), 1)
	})
}

func phantomPrefix(t *testing.T, open Opener) {
	phantom(t, open, func(tx *store.Tx) int { return len(names(Accounts.All(tx, "p/new"))) })
}

func phantomIndex(t *testing.T, open Opener) {
	phantom(t, open, func(tx *store.Tx) int { return len(names(ByOwner.All(tx, "me"))) })
}

func pageConflict(t *testing.T, open Opener) {
	s := one(t, open)
	put(t, s, map[string]int{"a": 0, "b": 0, "c": 0, "d": 0})
	var runs atomic.Int32
	var firstTwo = func(tx *store.Tx) error {
		runs.Add(1)
		n := 0
		for range Accounts.All(tx, "") {
			if n++; n == 2 {
				break
			}
		}
		Accounts.Put(tx, &Account{Name: "z", Balance: n})
		return nil
	}
	for _, test := range []struct {
		name  string
		other map[string]int
		runs  int32
	}{
		{"behind the page", map[string]int{"c": 1, "bb": 1}, 1},
		{"a row of the page", map[string]int{"b": 1}, 2},
		{"between the rows of the page", map[string]int{"aa": 1}, 2},
	} {
		runs.Store(0)
		interleave(t, s, firstTwo, func() { put(t, s, test.other) })
		want(t, test.name, runs.Load(), test.runs)
		update(t, s, func(tx *store.Tx) error { Accounts.Delete(tx, "z"); return nil })
	}
}

// interleave runs an update during whose first run something else happens.
func interleave(t *testing.T, s *store.Store, f func(*store.Tx) error, during func()) {
	t.Helper()
	looked, go_on := make(chan struct{}), make(chan struct{})
	first := sync.OnceFunc(func() { close(looked); <-go_on })
	done := make(chan error, 1)
	go func() {
		_, err := s.Update(t.Context(), func(tx *store.Tx) error {
			err := f(tx)
			first()
			return err
		})
		done <- err
	}()
	<-looked
	during()
	close(go_on)
	if err := <-done; err != nil {
		t.Errorf("update: %v", err)
	}
}

func inFlight(t *testing.T, open Opener) {
	s := one(t, open)
	update(t, s, func(tx *store.Tx) error { Counters.Put(tx, &Account{Name: "room", Balance: 10}); return nil })
	// Thirty want one of ten places, all at once: exactly ten get one.
	var updates []func(*store.Tx) error
	for i := range 30 {
		updates = append(updates, func(tx *store.Tx) error {
			err := Counters.Change(tx, "room", func(a *Account) error {
				if a.Balance == 0 {
					return errFull
				}
				a.Balance--
				return nil
			})
			if err == nil {
				Accounts.Put(tx, &Account{Name: fmt.Sprint("guest/", i)})
			}
			return err
		})
	}
	full := 0
	for _, err := range together(t, []*store.Store{s}, updates...) {
		switch {
		case errors.Is(err, errFull):
			full++
		case err != nil:
			t.Error(err)
		}
	}
	want(t, "refused", full, 20)
	want(t, "guests", len(names(Accounts.All(s.View(), "guest/"))), 10)
}

var errFull = errors.New("full")

func abortOnFlight(t *testing.T, open Opener) {
	everywhere(t, open, func(t *testing.T, s []*store.Store) {
		create := func(tx *store.Tx) error {
			if _, there := Accounts.Get(tx, "only"); there {
				return errFull
			}
			Accounts.Put(tx, &Account{Name: "only"})
			return nil
		}
		errs := together(t, s, create, create, create, create)
		made := 0
		for _, err := range errs {
			switch {
			case err == nil:
				made++
			case err != errFull:
				t.Errorf("create: %v", err)
			}
		}
		want(t, "created", made, 1)
		// Whoever was refused can see why.
		for _, each := range s {
			if _, ok := Accounts.Get(fresh(t, each), "only"); !ok {
				t.Error("the account that was in the way is not there")
			}
		}
	})
}

func losersAlone(t *testing.T, open Opener) {
	everywhere(t, open, func(t *testing.T, s []*store.Store) {
		put(t, s[0], map[string]int{"contended": 0})
		for _, each := range s {
			fresh(t, each)
		}
		const n = 16
		runs := make([]atomic.Int32, n)
		var updates []func(*store.Tx) error
		for i := range n {
			updates = append(updates, func(tx *store.Tx) error {
				runs[i].Add(1)
				if i < 2 {
					return add("contended", 1)(tx)
				}
				Accounts.Put(tx, &Account{Name: fmt.Sprint("own/", i), Balance: i})
				return nil
			})
		}
		for _, err := range together(t, s, updates...) {
			if err != nil {
				t.Error(err)
			}
		}
		for i := 2; i < n; i++ {
			want(t, fmt.Sprintf("runs of update %d, which conflicts with nobody", i), runs[i].Load(), 1)
		}
		want(t, "runs of the two that conflict", runs[0].Load()+runs[1].Load(), 3)
		a, _ := Accounts.Get(fresh(t, s[0]), "contended")
		want(t, "the contended row", a.Balance, 2)
	})
}

func increments(t *testing.T, open Opener) { increment(t, open(t, 1, Tables()...)) }

func incrementsBetween(t *testing.T, open Opener) { increment(t, open(t, 2, Tables()...)) }

func increment(t *testing.T, s []*store.Store) {
	put(t, s[0], map[string]int{"n": 0})
	update(t, s[0], func(tx *store.Tx) error { Counters.Put(tx, &Account{Name: "n"}); return nil })
	for _, each := range s {
		fresh(t, each)
	}
	const writers, times = 16, 8
	var all sync.WaitGroup
	for i := range writers {
		all.Go(func() {
			for range times {
				_, err := s[i%len(s)].Update(t.Context(), add("n", 1))
				if err == nil {
					_, err = s[i%len(s)].Update(t.Context(), func(tx *store.Tx) error {
						return Counters.Change(tx, "n", func(a *Account) error { a.Balance++; return nil })
					})
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	for _, each := range s {
		a, _ := Accounts.Get(fresh(t, each), "n")
		c, _ := Counters.Get(fresh(t, each), "n")
		want(t, "the two counts", []int{a.Balance, c.Balance}, []int{writers * times, writers * times})
	}
}

func freshness(t *testing.T, open Opener) {
	s := open(t, 2, Tables()...)
	for i := range 100 {
		writer, reader := s[i%2], s[(i+1)%2]
		put(t, writer, map[string]int{"a": i + 1})
		a, ok := Accounts.Get(fresh(t, reader), "a")
		if !ok || a.Balance != i+1 {
			t.Fatalf("after write %d the other server shows %v", i+1, a)
		}
		// Neither does a refusal rest on what the other has changed.
		_, err := reader.Update(t.Context(), func(tx *store.Tx) error {
			if a, _ := Accounts.Get(tx, "a"); a.Balance != i+1 {
				return fmt.Errorf("the other server still sees %d", a.Balance)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func leaving(t *testing.T, open Opener) {
	s := one(t, open)
	update(t, s, func(tx *store.Tx) error { Counters.Put(tx, &Account{Name: "n"}); return nil })
	ended, end := context.WithCancel(t.Context())
	end()
	if _, err := s.Update(ended, add("absent", 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that has ended: %v", err)
	}
	// Callers leave at whatever moment; what is acknowledged is there, and the
	// others do not notice.
	var acknowledged, begun atomic.Int32
	var all sync.WaitGroup
	for i := range 40 {
		all.Go(func() {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if i%2 == 0 {
				go func() {
					for begun.Load() < int32(i) && ctx.Err() == nil {
						if _, err := s.Newer(ctx, s.View().Revision()); err != nil {
							return
						}
					}
					cancel()
				}()
			}
			for range 5 {
				begun.Add(1)
				mine := 0 // the race detector sees a run after Update has returned
				_, err := s.Update(ctx, func(tx *store.Tx) error {
					mine++
					return Counters.Change(tx, "n", func(a *Account) error { a.Balance++; return nil })
				})
				mine = 0
				switch {
				case err == nil:
					acknowledged.Add(1)
				case i%2 == 1 || !errors.Is(err, context.Canceled):
					t.Errorf("update: %v", err)
				}
			}
		})
	}
	all.Wait()
	a, _ := Counters.Get(s.View(), "n")
	if n := acknowledged.Load(); a.Balance < int(n) || n < 100 {
		t.Errorf("%d were acknowledged, the count is %d", n, a.Balance)
	}
}

func panics(t *testing.T, open Opener) {
	s := one(t, open)
	put(t, s, map[string]int{"a": 0})
	runs := 0
	caught := make(chan any, 1)
	looked, go_on := make(chan struct{}), make(chan struct{})
	go func() {
		defer func() { caught <- recover() }()
		s.Update(t.Context(), func(tx *store.Tx) error {
			if runs++; runs == 2 {
				panic("mine")
			}
			err := add("a", 1)(tx)
			close(looked)
			<-go_on
			return err
		})
	}()
	<-looked
	update(t, s, add("a", 10))
	close(go_on)
	want(t, "what the caller caught", <-caught, any("mine"))
	update(t, s, add("a", 100))
	want(t, "balances", balances(s.View()), map[string]int{"a": 110})
}
