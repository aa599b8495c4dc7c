package events

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
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
