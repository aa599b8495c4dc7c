package events

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"gantry/internal/events/record"
)

// Of two servers over one store one delivers. When it goes the other takes over where it was: nothing is
// delivered twice, and nothing is left out.
func TestTwoServers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.everything()
		first := w.stop
		w.reopen()
		w.dir = t.TempDir()
		w.start()
		second := w.stop
		for n := range 3 {
			w.post("Thing", fmt.Sprintf(`{"n": %d}`, n))
			pass(time.Second)
		}
		if got := len(w.all()); got != 3 {
			t.Errorf("%d deliveries of three events", got)
		}
		if got := len(w.e.Status()); got != 0 {
			t.Errorf("the second server delivers to %d targets", got)
		}
		first()
		w.stop = second
		for n := range 3 {
			w.post("Thing", fmt.Sprintf(`{"n": %d}`, 3+n))
			pass(time.Second)
		}
		all := w.all()
		if len(all) != 6 || w.e.Status()[0].Delivered != 3 {
			t.Fatalf("%d deliveries of six events: %+v", len(all), w.e.Status())
		}
		for n, e := range all {
			if got := int(detail(e)["n"].(float64)); got != n {
				t.Errorf("delivery %d is of event %d", n, got)
			}
		}
	})
}

// A deliverer that has delivered when it is told to stop can still say so.
func TestStopsWhileATargetMoves(t *testing.T) {
	e := &Engine{}
	e.moved = make(chan struct{}, 1)
	e.deliveries.begin()
	d := &deliverer{e: e, rule: "mine", target: "1", done: make(chan struct{})}
	d.stop = func() {
		go func() {
			defer close(d.done)
			e.moveCursor(d.rule, d.target, record.Position{Revision: 7})
		}()
	}
	e.at["mine/1"] = d
	stopped := make(chan struct{})
	go func() { defer close(stopped); e.stopAll() }()
	select {
	case <-stopped:
	case <-time.After(time.Minute):
		t.Fatal("they wait for each other")
	}
	if c := e.dirty["mine/1"]; c.Revision != 7 {
		t.Errorf("the cursor to be written is %+v", c)
	}
}
