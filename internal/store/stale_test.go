package store

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
)

// behind is a backend whose watch shows each transaction only when it is let through.
type behind struct {
	*Memory
	through chan struct{} // takes one for each transaction
}

func (b *behind) watch(ctx context.Context, after Revision, apply func(batch) error) error {
	return b.Memory.watch(ctx, after, func(t batch) error {
		select {
		case <-b.through:
		case <-ctx.Done():
			return ctx.Err()
		}
		return apply(t)
	})
}

// TestAnUpdateThatWritesNothingIsNotStale: an update comes too late, and on the state
// that its server has caught up to meanwhile it has nothing to write. Another server has
// been told of more than that state by then.
func TestAnUpdateThatWritesNothingIsNotStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := NewMemory()
		const runs = 16 // of the update's function, at the most
		slow := &behind{memory, make(chan struct{}, runs)}
		ahead, err := memory.Open(t.Context(), counts)
		if err != nil {
			t.Fatal(err)
		}
		defer ahead.Close()
		late, err := open(t.Context(), slow, []AnyTable{counts}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		defer late.Close()
		for _, name := range []string{"first", "second"} {
			if _, err := ahead.Update(t.Context(), func(tx *Tx) error {
				counts.Put(tx, &count{Name: name, N: 1})
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		}
		var second bool
		_, err = late.Update(t.Context(), func(tx *Tx) error {
			_, first := counts.Get(tx, "first")
			if _, second = counts.Get(tx, "second"); !first {
				counts.Put(tx, &count{Name: "third", N: 1})
			}
			if !second {
				slow.through <- struct{}{} // what was missed comes next, one at a time
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if !second {
			t.Error("the update rests on a state without what was acknowledged before it began")
		}
	})
}
