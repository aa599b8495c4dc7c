// Package storetest is what every store must do, whatever it is kept in: the
// memory twin is trusted because it passes what etcd passes.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gantry/internal/store"
)

// An Account is the record that the tests write.
type Account struct {
	Name    string            `json:"name"`
	Owner   string            `json:"owner,omitzero"`
	Balance int               `json:"balance"`
	Notes   []string          `json:"notes,omitzero"`
	Labels  map[string]string `json:"labels,omitzero"`
	Opened  time.Time         `json:"opened,omitzero"`
}

var (
	// Accounts is a table each of whose versions is told to followers.
	Accounts = store.NewTable("account", func(a *Account) string { return a.Name })
	// ByOwner finds accounts by owner.
	ByOwner = store.NewIndex(Accounts, "owner", func(a *Account) string { return a.Owner })
	// Counters is a table whose updates may share a transaction.
	Counters = store.NewTable("counter", func(a *Account) string { return a.Name }, store.Merged)

	shown = store.NewFragment(Accounts)
)

// Tables are what the store under test is opened with.
func Tables() []store.AnyTable { return []store.AnyTable{Accounts, Counters, store.Followers} }

// An Opener opens one empty gantry of so many servers with the given tables, and
// closes it when the test ends.
type Opener func(t *testing.T, servers int, tables ...store.AnyTable) []*store.Store

// Run tests a store.
func Run(t *testing.T, open Opener) {
	for name, test := range map[string]func(*testing.T, Opener){
		"an update is seen whole or not at all":            atomicity,
		"a function sees its own writes":                   ownWrites,
		"an abort leaves nothing":                          abort,
		"an abort rests on what was committed":             abortOnFlight,
		"skewed writes do not both happen":                 writeSkew,
		"a row that appears conflicts, by prefix":          phantomPrefix,
		"a row that appears conflicts, by index":           phantomIndex,
		"a page conflicts only with its own rows":          pageConflict,
		"writers of one batch see one another":             inFlight,
		"losers run again alone":                           losersAlone,
		"increments are never lost":                        increments,
		"increments on two servers are never lost":         incrementsBetween,
		"each version of a row is told":                    eachVersion,
		"snapshots do not change":                          snapshots,
		"revisions rise":                                   revisions,
		"rows are the store's own copies":                  copies,
		"putting the same writes nothing":                  sameAgain,
		"what one server acknowledged another shows":       freshness,
		"pages follow one another":                         pages,
		"fragments are made once per revision":             fragment,
		"wakes are coalesced and miss nothing":             wakes,
		"changes come in order":                            changes,
		"followers are told everything once":               follow,
		"followers behind a compaction are told so":        compacted,
		"a caller may leave at any time":                   leaving,
		"a panic reaches its caller and nobody else":       panics,
		"an update that is too large is refused":           tooLarge,
		"a closed store says so":                           closed,
		"histories equal those of a map":                   model,
		"two servers agree with a map about what happened": modelBetween,
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) { test(t, open) })
	}
}

func one(t *testing.T, open Opener) *store.Store { return open(t, 1, Tables()...)[0] }

func update(t *testing.T, s *store.Store, f func(*store.Tx) error) store.Revision {
	t.Helper()
	rev, err := s.Update(t.Context(), f)
	if err != nil {
		t.Fatalf("update: %v", err)
	}
	return rev
}

// put opens accounts that are nothing but a name and a balance.
func put(t *testing.T, s *store.Store, balances map[string]int) store.Revision {
	t.Helper()
	return update(t, s, func(tx *store.Tx) error {
		for name, b := range balances {
			Accounts.Put(tx, &Account{Name: name, Balance: b})
		}
		return nil
	})
}

func balances(r store.Reader) map[string]int {
	got := map[string]int{}
	for a := range Accounts.All(r, "") {
		got[a.Name] = a.Balance
	}
	return got
}

func want[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func add(name string, n int) func(*store.Tx) error {
	return func(tx *store.Tx) error {
		return Accounts.Change(tx, name, func(a *Account) error { a.Balance += n; return nil })
	}
}

func atomicity(t *testing.T, open Opener) {
	s := one(t, open)
	put(t, s, map[string]int{"a": 100, "b": 0})
	ctx, stop := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for rev := store.Revision(0); ; {
				snap, err := s.Newer(ctx, rev)
				if err != nil {
					return
				}
				rev = snap.Revision()
				b := balances(snap)
				if b["a"]+b["b"] != 100 {
					t.Errorf("at revision %d there are %v: half an update", rev, b)
				}
			}
		})
	}
	for range 50 {
		update(t, s, func(tx *store.Tx) error { return errors.Join(add("a", -1)(tx), add("b", 1)(tx)) })
	}
	stop()
	readers.Wait()
	want(t, "balances", balances(s.View()), map[string]int{"a": 50, "b": 50})
}

func ownWrites(t *testing.T, open Opener) {
	s := one(t, open)
	put(t, s, map[string]int{"p/a": 1, "p/b": 2, "q/a": 3})
	update(t, s, func(tx *store.Tx) error {
		Accounts.Put(tx, &Account{Name: "p/aa", Balance: 9, Owner: "me"})
		Accounts.Delete(tx, "p/b")
		if a, ok := Accounts.Get(tx, "p/aa"); !ok || a.Balance != 9 {
			t.Errorf("the row just put is %v, %v", a, ok)
		}
		if _, ok := Accounts.Get(tx, "p/b"); ok {
			t.Error("the row just deleted is there")
		}
		want(t, "prefix", names(Accounts.All(tx, "p/")), []string{"p/a", "p/aa"})
		want(t, "index", names(ByOwner.All(tx, "me")), []string{"p/aa"})
		// Writing while looking does not disturb the look.
		for a := range Accounts.All(tx, "p/") {
			Accounts.Delete(tx, a.Name)
			Accounts.Put(tx, &Account{Name: a.Name + "x"})
		}
		want(t, "after writing in the loop", names(Accounts.All(tx, "")), []string{"p/aax", "p/ax", "q/a"})
		want(t, "index after deleting", names(ByOwner.All(tx, "me")), nil)
		return nil
	})
	want(t, "committed", balances(s.View()), map[string]int{"p/aax": 0, "p/ax": 0, "q/a": 3})
}

func names(accounts func(func(*Account) bool)) (names []string) {
	for a := range accounts {
		names = append(names, a.Name)
	}
	return names
}

func abort(t *testing.T, open Opener) {
	s := one(t, open)
	before := put(t, s, map[string]int{"a": 1})
	mine := errors.New("mine")
	_, err := s.Update(t.Context(), func(tx *store.Tx) error {
		Accounts.Put(tx, &Account{Name: "b"})
		Accounts.Delete(tx, "a")
		return mine
	})
	if err != mine {
		t.Errorf("the error came back as %v", err)
	}
	_, err = s.Update(t.Context(), add("absent", 1))
	if !errors.Is(err, store.ErrAbsent) {
		t.Errorf("changing an absent row: %v", err)
	}
	want(t, "balances", balances(s.View()), map[string]int{"a": 1})
	if rev := s.View().Revision(); rev != before {
		t.Errorf("the revision is %d, was %d", rev, before)
	}
}

func snapshots(t *testing.T, open Opener) {
	s := one(t, open)
	put(t, s, map[string]int{"a": 0, "gone": 1})
	old := s.View()
	row, _ := Accounts.Get(old, "a")
	for i := range 20 {
		update(t, s, add("a", 1))
		put(t, s, map[string]int{fmt.Sprint("new", i): i})
	}
	update(t, s, func(tx *store.Tx) error { Accounts.Delete(tx, "gone"); return nil })
	want(t, "the old snapshot", balances(old), map[string]int{"a": 0, "gone": 1})
	want(t, "the row given out", row.Balance, 0)
	if now, _ := Accounts.Get(s.View(), "a"); now.Balance != 20 {
		t.Errorf("the new one has %d", now.Balance)
	}
	want(t, "rows of old and new", []int{Accounts.Len(old), Accounts.Len(s.View())}, []int{2, 21})
}

func revisions(t *testing.T, open Opener) {
	s := one(t, open)
	last := s.View().Revision()
	for i := range 10 {
		rev := put(t, s, map[string]int{"a": i + 1})
		if rev <= last {
			t.Fatalf("revision %d after %d", rev, last)
		}
		if now := s.View(); now.Revision() < rev {
			t.Fatalf("the view is at %d after an update at %d", now.Revision(), rev)
		}
		want(t, "the row's revision", Accounts.Revision(s.View(), "a"), rev)
		last = rev
	}
	want(t, "an absent row's revision", Accounts.Revision(s.View(), "b"), 0)
}

func copies(t *testing.T, open Opener) {
	s := one(t, open)
	local := time.Date(2026, 11, 23, 12, 0, 0, 5, time.FixedZone("here", 3600))
	mine := &Account{Name: "a", Notes: []string{"x"}, Labels: map[string]string{"k": "v"}, Opened: local}
	update(t, s, func(tx *store.Tx) error { Accounts.Put(tx, mine); return nil })
	mine.Notes[0], mine.Labels["k"], mine.Balance = "changed", "changed", 7
	kept := &Account{Name: "a", Notes: []string{"x"}, Labels: map[string]string{"k": "v"}, Opened: local.UTC()}
	got, _ := Accounts.Get(s.View(), "a")
	want(t, "the row after its writer changed theirs", got, kept)
	update(t, s, func(tx *store.Tx) error {
		return Accounts.Change(tx, "a", func(a *Account) error {
			a.Notes[0], a.Labels["k"] = "y", "w"
			return nil
		})
	})
	want(t, "the old row after a change", got, kept)
	copied := Accounts.Clone(got)
	copied.Notes[0] = "z"
	want(t, "the old row after its copy changed", got, kept)
}

func sameAgain(t *testing.T, open Opener) {
	s := one(t, open)
	before := put(t, s, map[string]int{"a": 1})
	after := put(t, s, map[string]int{"a": 1})
	want(t, "revision", after, before)
	after = update(t, s, func(tx *store.Tx) error { Accounts.Delete(tx, "absent"); return nil })
	want(t, "revision", after, before)
}

func pages(t *testing.T, open Opener) {
	s := one(t, open)
	update(t, s, func(tx *store.Tx) error {
		for i := range 100 {
			owner := "even"
			if i%2 == 1 {
				owner = "odd"
			}
			Accounts.Put(tx, &Account{Name: fmt.Sprintf("p/%02d", i), Owner: owner})
		}
		Accounts.Put(tx, &Account{Name: "o/x", Owner: "evenx"})
		Accounts.Put(tx, &Account{Name: "q/x", Owner: "eve"})
		return nil
	})
	snap := s.View()
	paged := func(after func(string) func(func(*Account) bool)) (all []string) {
		for last, more := "", true; more; {
			more = false
			n := 0
			for a := range after(last) {
				if n++; n > 7 {
					more = true
					break
				}
				all = append(all, a.Name)
				last = a.Name
			}
		}
		return all
	}
	want(t, "all pages", paged(func(k string) func(func(*Account) bool) { return Accounts.After(snap, "p/", k) }),
		names(Accounts.All(snap, "p/")))
	even := paged(func(k string) func(func(*Account) bool) { return ByOwner.After(snap, "even", k) })
	want(t, "all pages of an index", even, names(ByOwner.All(snap, "even")))
	want(t, "how many", []int{len(even), ByOwner.Count(snap, "odd"), ByOwner.Count(snap, "nobody")}, []int{50, 50, 0})
}

func fragment(t *testing.T, open Opener) {
	s := one(t, open)
	put(t, s, map[string]int{"a": 1, "b": 2})
	made := map[string]int{}
	get := func(name string) string {
		b, ok := shown.Get(s.View(), name, func(a *Account) []byte {
			made[name]++
			return fmt.Append(nil, a.Name, "=", a.Balance)
		})
		if !ok {
			return "absent"
		}
		return string(b)
	}
	got := []string{get("a"), get("a"), get("b"), get("c")}
	update(t, s, add("a", 5))
	got = append(got, get("a"), get("a"), get("b"))
	want(t, "fragments", got, []string{"a=1", "a=1", "b=2", "absent", "a=6", "a=6", "b=2"})
	want(t, "times made", made, map[string]int{"a": 2, "b": 1})
}

func closed(t *testing.T, open Opener) {
	s := one(t, open)
	put(t, s, map[string]int{"a": 1})
	var closers sync.WaitGroup
	for range 3 {
		closers.Go(func() {
			if err := s.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		})
	}
	closers.Wait()
	_, err := s.Update(t.Context(), add("a", 1))
	if !errors.Is(err, store.ErrClosed) {
		t.Errorf("update: %v", err)
	}
	if err := s.Wait(t.Context()); !errors.Is(err, store.ErrClosed) {
		t.Errorf("wait: %v", err)
	}
	want(t, "the last view", balances(s.View()), map[string]int{"a": 1})
}

func tooLarge(t *testing.T, open Opener) {
	s := one(t, open)
	_, err := s.Update(t.Context(), func(tx *store.Tx) error {
		for i := range 10_000 {
			Accounts.Put(tx, &Account{Name: fmt.Sprint(i)})
		}
		return nil
	})
	if !errors.Is(err, store.ErrTooLarge) {
		t.Errorf("ten thousand rows: %v", err)
	}
	_, err = s.Update(t.Context(), func(tx *store.Tx) error {
		Accounts.Put(tx, &Account{Name: "long", Owner: strings.Repeat("x", 20<<20)})
		return nil
	})
	if !errors.Is(err, store.ErrTooLarge) {
		t.Errorf("twenty megabytes: %v", err)
	}
	update(t, s, func(tx *store.Tx) error {
		for i := range 3_000 {
			Accounts.Put(tx, &Account{Name: fmt.Sprint(i)})
		}
		return nil
	})
	want(t, "rows", Accounts.Len(s.View()), 3_000)
}
