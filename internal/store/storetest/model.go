package storetest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"gantry/internal/store"
)

func model(t *testing.T, open Opener) { checkModel(t, open(t, 1, Tables()...)) }

func modelBetween(t *testing.T, open Opener) { checkModel(t, open(t, 2, Tables()...)) }

// checkModel makes random updates, on whichever server, and holds every read in
// them and every state after them against a plain map.
func checkModel(t *testing.T, servers []*store.Store) {
	anyName := rapid.Custom(func(t *rapid.T) string {
		return fmt.Sprintf("%s/%d", rapid.SampledFrom([]string{"p", "pq", "q"}).Draw(t, "prefix"), rapid.IntRange(0, 4).Draw(t, "n"))
	})
	owners := rapid.SampledFrom([]string{"", "me", "you"})
	abort := errors.New("abort")
	rapid.Check(t, func(rt *rapid.T) {
		if _, err := servers[0].Update(t.Context(), func(tx *store.Tx) error {
			for a := range Accounts.All(tx, "") {
				Accounts.Delete(tx, a.Name)
			}
			return nil
		}); err != nil {
			rt.Fatal(err)
		}
		committed := map[string]Account{}
		for range rapid.IntRange(1, 8).Draw(rt, "updates") {
			s := rapid.SampledFrom(servers).Draw(rt, "server")
			ops := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) op {
				return op{rapid.IntRange(0, 5).Draw(t, "kind"), anyName.Draw(t, "name"), owners.Draw(t, "owner"), rapid.IntRange(0, 3).Draw(t, "balance")}
			}), 0, 10).Draw(rt, "ops")
			fails := rapid.IntRange(0, 4).Draw(rt, "fails") == 0
			var next map[string]Account
			var wrong string
			_, err := s.Update(t.Context(), func(tx *store.Tx) error {
				next, wrong = maps.Clone(committed), ""
				for _, o := range ops {
					if d := o.do(tx, next); d != "" {
						wrong = d
					}
				}
				if fails {
					return abort
				}
				return nil
			})
			if fails != errors.Is(err, abort) || !fails && err != nil {
				rt.Fatalf("update: %v", err)
			}
			if wrong != "" {
				rt.Fatal(wrong)
			}
			if !fails {
				committed = next
			}
			snap := s.View()
			for _, each := range []op{{kind: scanOp, name: ""}, {kind: scanOp, name: "p/"}, {kind: indexOp, owner: "me"}, {kind: indexOp, owner: "you"}} {
				if d := each.look(snap, committed); d != "" {
					rt.Fatal(d)
				}
			}
		}
	})
}

// An op is one step of a random update.
type op struct {
	kind    int
	name    string
	owner   string
	balance int
}

const (
	putOp = iota
	deleteOp
	changeOp
	getOp
	scanOp
	indexOp
)

// do takes the step in a transaction and in the model, and says what differs.
func (o op) do(tx *store.Tx, m map[string]Account) string {
	switch o.kind {
	case putOp:
		a := Account{Name: o.name, Owner: o.owner, Balance: o.balance}
		Accounts.Put(tx, &a)
		m[o.name] = a
	case deleteOp:
		Accounts.Delete(tx, o.name)
		delete(m, o.name)
	case changeOp:
		err := Accounts.Change(tx, o.name, func(a *Account) error { a.Balance++; a.Owner = o.owner; return nil })
		a, there := m[o.name]
		if there == errors.Is(err, store.ErrAbsent) {
			return fmt.Sprintf("change %s: %v", o.name, err)
		}
		if there {
			a.Balance++
			a.Owner = o.owner
			m[o.name] = a
		}
	default:
		return o.look(tx, m)
	}
	return ""
}

// look compares one way of reading.
func (o op) look(r store.Reader, m map[string]Account) string {
	var got, wanted []string
	switch o.kind {
	case getOp:
		a, ok := Accounts.Get(r, o.name)
		b, there := m[o.name]
		if ok != there || ok && (a.Balance != b.Balance || a.Owner != b.Owner) {
			return fmt.Sprintf("%s is %v, should be %v", o.name, a, b)
		}
	case scanOp:
		got = names(Accounts.All(r, o.name))
		for name := range m {
			if len(name) >= len(o.name) && name[:len(o.name)] == o.name {
				wanted = append(wanted, name)
			}
		}
	case indexOp:
		if o.owner == "" {
			return ""
		}
		got = names(ByOwner.All(r, o.owner))
		for name, a := range m {
			if a.Owner == o.owner {
				wanted = append(wanted, name)
			}
		}
	}
	slices.Sort(wanted)
	if !slices.Equal(got, wanted) {
		return fmt.Sprintf("%+v yields %v, should yield %v", o, got, wanted)
	}
	return ""
}
