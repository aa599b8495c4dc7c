package service

import (
	"testing"
	"time"

	"gantry"
	"gantry/internal/store"
	"gantry/internal/wire/ecsapi"
)

// TestLooksAreKeptApart: a look is followed by a rest, at whose end the service is looked
// at again.
func TestLooksAreKeptApart(t *testing.T) {
	var p pace
	if w := p.wait("a", noon); w != 0 {
		t.Errorf("what was never looked at rests for %s", w)
	}
	p.rest("a", noon, 10*time.Millisecond)
	for after, want := range map[time.Duration]time.Duration{
		0: 40 * time.Millisecond, 30 * time.Millisecond: 10 * time.Millisecond,
	} {
		if w := p.wait("a", noon.Add(after)); w != want {
			t.Errorf("after %s it rests for %s more, want %s", after, w, want)
		}
	}
	if w := p.wait("b", noon); w != 0 {
		t.Errorf("another one rests for %s", w)
	}
	if w := p.wait("a", noon.Add(40*time.Millisecond)); w != 0 {
		t.Errorf("at the end of its rest it rests for %s", w)
	}
	p.rest("a", noon, time.Minute)
	if w := p.wait("a", noon); w != longestRest {
		t.Errorf("it rests for %s, want %s at most", w, longestRest)
	}
}

func TestOnlySmallPlansAreFollowedByARest(t *testing.T) {
	for _, c := range []struct {
		plan Plan
		want bool
	}{
		{Plan{}, true},
		{Plan{Stops: make([]Stop, 49)}, true},
		{Plan{Stops: make([]Stop, 50)}, false},
		{Plan{Reckon: make([]gantry.TaskID, 50)}, false},
		{Plan{Starts: make([]Start, 1)}, false},
	} {
		if got := c.plan.small(50); got != c.want {
			t.Errorf("%d stops, %d reckoned, %d starts: small is %v", len(c.plan.Stops), len(c.plan.Reckon), len(c.plan.Starts), got)
		}
	}
}

// TestARestingServiceIsLookedAtInTime: what happens during a rest is acted upon at its end.
func TestARestingServiceIsLookedAtInTime(t *testing.T) {
	st, err := store.NewMemory().Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	svc := &gantry.Service{Name: "web", Cluster: "prod", Status: gantry.ServiceActive, Scheduling: ecsapi.SchedulingStrategyReplica, Deployment: "d1"}
	deployment, _ := Begin(noon, "d1", svc, "1", nil)
	put := func(status gantry.ServiceStatus) {
		next := *svc
		next.Status = status
		if _, err := st.Update(t.Context(), func(tx *store.Tx) error {
			store.Services.Put(tx, &next)
			store.Deployments.Put(tx, deployment)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	put(gantry.ServiceActive)
	now := noon
	c := &Controller{
		Store: st, Settings: DefaultSettings, NewUUID: func() string { return "e" }, NewSeed: func() uint64 { return 1 },
		Now: func() time.Time { now = now.Add(time.Millisecond); return now }, // a look takes a while
	}
	look := func() time.Duration {
		t.Helper()
		again, err := c.Reconcile(t.Context(), "prod/web")
		if err != nil {
			t.Fatal(err)
		}
		return again
	}
	status := func() gantry.ServiceStatus {
		s, _ := store.Services.Get(st.View(), "prod/web")
		return s.Status
	}
	look()
	put(gantry.ServiceDraining)
	rest := look()
	if rest <= 0 || rest > longestRest || status() != gantry.ServiceDraining {
		t.Fatalf("it does not rest: again in %s, and it is %s", rest, status())
	}
	now = now.Add(rest)
	look()
	if status() != gantry.ServiceInactive {
		t.Errorf("after its rest it is %s: it was not looked at", status())
	}
}
