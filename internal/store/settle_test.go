package store

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"
)

type count struct {
	Name string `json:"name"`
	N    int    `json:"n"`
}

var counts = NewTable("count", func(c *count) string { return c.Name })

// flaky is a backend that sometimes gives no answer.
type flaky struct {
	*Memory
	next func(commit func() (Revision, bool, error)) (Revision, bool, error)
}

func (f *flaky) commit(ctx context.Context, t transaction) (Revision, bool, error) {
	do := func() (Revision, bool, error) { return f.Memory.commit(ctx, t) }
	if next := f.next; next != nil {
		f.next = nil
		return next(do)
	}
	return do()
}

// TestNoAnswer: an update whose transaction got no answer is told what became of it
// where that can be known, and ErrUnknown where not; a transaction that turns up late
// is seen as what it is.
func TestNoAnswer(t *testing.T) {
	type commit = func() (Revision, bool, error)
	var late commit
	lost := func(do commit) (Revision, bool, error) { late = do; return 0, false, errUnsettled }
	for _, test := range []struct {
		name string
		next func(commit) (Revision, bool, error)
		want error
		// afterwards happens while the next update is under way.
		afterwards func()
		n          int // in the end: the update adds 1, and the next one 10
	}{
		{name: "it was made", n: 11, next: func(do commit) (Revision, bool, error) {
			do()
			return 0, false, errUnsettled
		}},
		{name: "it was made, though there was said to be no space", n: 11, next: func(do commit) (Revision, bool, error) {
			do()
			return 0, false, ErrNoSpace
		}},
		{name: "it was sent twice", n: 11, next: func(do commit) (Revision, bool, error) {
			do()
			return do()
		}},
		{name: "there was no space", n: 10, want: ErrNoSpace, next: func(commit) (Revision, bool, error) {
			return 0, false, ErrNoSpace
		}},
		{name: "it is made after a while", n: 11, next: func(do commit) (Revision, bool, error) {
			time.AfterFunc(patience/2, func() { do() })
			return 0, false, errUnsettled
		}},
		{name: "it is never made", n: 10, want: ErrUnknown, next: lost},
		{name: "it turns up before the next", n: 11, want: ErrUnknown, next: lost, afterwards: func() { late() }},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &flaky{Memory: NewMemory()}
				s, err := open(t.Context(), b, []AnyTable{counts}, slog.New(slog.DiscardHandler))
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				add := func(n int) func(*Tx) error {
					return func(tx *Tx) error {
						next := &count{Name: "a"}
						if c, ok := counts.Get(tx, "a"); ok {
							next = counts.Clone(c)
						}
						next.N += n
						counts.Put(tx, next)
						return nil
					}
				}
				b.next = test.next
				if _, err := s.Update(t.Context(), add(1)); !errors.Is(err, test.want) {
					t.Fatalf("the update: %v, want %v", err, test.want)
				}
				if test.afterwards != nil {
					b.next = func(do commit) (Revision, bool, error) {
						test.afterwards()
						return do()
					}
				}
				rev, err := s.Update(t.Context(), add(10))
				if err != nil {
					t.Fatal(err)
				}
				snap := s.View()
				if c, _ := counts.Get(snap, "a"); c == nil || c.N != test.n {
					t.Errorf("in the end there is %+v, want %d", c, test.n)
				}
				if snap.Revision() < rev || counts.Revision(snap, "a") != rev {
					t.Errorf("the view is at %d and the row at %d, want %d", snap.Revision(), counts.Revision(snap, "a"), rev)
				}
			})
		})
	}
}
