package storetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"gantry/internal/store"
)

// told is a change as text: "a 1→2".
func told(c store.Change) string {
	before, after, ok := Accounts.Of(c)
	if !ok {
		return c.Table + " " + c.Key
	}
	show := func(a *Account) string {
		if a == nil {
			return "-"
		}
		return fmt.Sprint(a.Balance)
	}
	return c.Key + " " + show(before) + "→" + show(after)
}

func eachVersion(t *testing.T, open Opener) {
	s := one(t, open)
	start := put(t, s, map[string]int{"a": 0})
	var updates []func(*store.Tx) error
	for range 10 {
		updates = append(updates, add("a", 1))
	}
	together(t, []*store.Store{s}, updates...)
	changes, ok := s.Changes(start)
	if !ok {
		t.Fatal("the changes are not at hand")
	}
	var got, wanted []string
	for i, c := range changes {
		got = append(got, told(c))
		wanted = append(wanted, fmt.Sprintf("a %d→%d", i, i+1))
	}
	want(t, "versions", got, wanted)
	want(t, "how many", len(got), 10)
}

func changes(t *testing.T, open Opener) {
	everywhere(t, open, func(t *testing.T, s []*store.Store) {
		start := put(t, s[0], map[string]int{"a": 1, "b": 1})
		put(t, s[0], map[string]int{"a": 2})
		update(t, s[0], func(tx *store.Tx) error {
			Accounts.Delete(tx, "a")
			Accounts.Put(tx, &Account{Name: "c", Balance: 3})
			return nil
		})
		end := put(t, s[0], map[string]int{"a": 4})
		for _, each := range s {
			fresh(t, each)
			changes, ok := each.Changes(start)
			if !ok {
				t.Fatal("the changes are not at hand")
			}
			var got []string
			for _, c := range changes {
				got = append(got, told(c))
			}
			want(t, "changes", got, []string{"a 1→2", "a 2→-", "c -→3", "a -→4"})
			want(t, "the last revision", changes[3].Revision, end)
			if changes[1].Revision != changes[2].Revision {
				t.Error("the changes of one update have different revisions")
			}
		}
		if c, ok := s[0].Changes(end); len(c) > 0 || !ok {
			t.Errorf("after the last there are %v, %v", c, ok)
		}
		if _, ok := s[0].Changes(0); ok {
			t.Error("changes from before the store was opened are said to be at hand")
		}
	})
}

// burst changes more than a server keeps at hand.
func burst(t *testing.T, s *store.Store) {
	t.Helper()
	for round := range 24 {
		update(t, s, func(tx *store.Tx) error {
			for i := range 2_000 {
				Counters.Put(tx, &Account{Name: fmt.Sprint(i), Balance: round + 1})
			}
			return nil
		})
	}
}

func wakes(t *testing.T, open Opener) {
	s := one(t, open)
	put(t, s, map[string]int{"p/a": 0, "p/b": 0, "q/a": 0})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	woken, resume := make(chan string), make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		for k := range s.Wakes(ctx, func(c store.Change) []string {
			if c.Table != "account" {
				return nil
			}
			group, _, _ := strings.Cut(c.Key, "/")
			return []string{group}
		}) {
			select {
			case woken <- k:
			case <-ctx.Done():
			}
			<-resume
		}
	})
	defer all.Wait()
	defer close(resume)
	defer stop()
	next := func(what, key string) {
		t.Helper()
		want(t, what, <-woken, key)
	}
	proceed := func() { resume <- struct{}{} }
	next("at first, all", "p")
	proceed()
	next("at first, all", "q")
	// Busy with q, it misses these, and is told once.
	for range 5 {
		update(t, s, add("p/a", 1))
	}
	proceed()
	next("what changed meanwhile", "p")
	update(t, s, func(tx *store.Tx) error { Accounts.Delete(tx, "q/a"); return nil })
	burst(t, s)
	proceed()
	next("a row that was deleted, far behind", "q")
	put(t, s, map[string]int{"r/a": 1})
	proceed()
	next("a new row", "r")
}

func follow(t *testing.T, open Opener) {
	everywhere(t, open, func(t *testing.T, s []*store.Store) {
		start := s[0].View().Revision()
		var wanted []string
		for i := range 20 {
			put(t, s[i%len(s)], map[string]int{"a": i + 1})
			if i == 0 {
				wanted = append(wanted, "a -→1")
				continue
			}
			wanted = append(wanted, fmt.Sprintf("a %d→%d", i, i+1))
		}
		burst(t, s[0]) // now the beginning is in the backend's history only
		if _, ok := s[0].Changes(start); ok {
			t.Error("the beginning is still at hand: the test proves nothing")
		}
		last := put(t, s[0], map[string]int{"b": 1})
		wanted = append(wanted, "b -→1")
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		var got []string
		at := start
		counters := 0
		for changes, err := range s[len(s)-1].Follow(ctx, start) {
			if errors.Is(err, context.Canceled) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if changes[0].Revision <= at {
				t.Fatalf("revision %d after %d", changes[0].Revision, at)
			}
			at = changes[0].Revision
			for _, c := range changes {
				if c.Revision != at {
					t.Fatalf("revisions %d and %d at once", at, c.Revision)
				}
				if c.Table != "account" {
					counters++
					continue
				}
				got = append(got, told(c))
			}
			switch at {
			case last: // live from here on
				last = put(t, s[0], map[string]int{"b": len(got)})
				wanted = append(wanted, fmt.Sprintf("b 1→%d", len(got)))
				last = -last
			case -last:
				stop()
			}
		}
		want(t, "account changes", got, wanted)
		want(t, "other changes", counters, 48_000)
	})
}

func compacted(t *testing.T, open Opener) {
	s := one(t, open)
	start := s.View().Revision()
	put(t, s, map[string]int{"a": 1})
	burst(t, s)
	kept := put(t, s, map[string]int{"a": 2})
	put(t, s, map[string]int{"a": 3})
	if err := s.Compact(t.Context(), kept); err != nil {
		t.Fatal(err)
	}
	burst(t, s)
	for _, err := range s.Follow(t.Context(), start) {
		if !errors.Is(err, store.ErrCompacted) {
			t.Errorf("from before the compaction: %v", err)
		}
		break
	}
	for changes, err := range s.Follow(t.Context(), kept) {
		if err != nil {
			t.Errorf("from the compacted revision: %v", err)
			break
		}
		want(t, "the first change after it", told(changes[0]), "a 2→3")
		break
	}
}
