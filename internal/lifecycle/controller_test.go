package lifecycle

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gantry"
	"gantry/internal/store"
	"gantry/internal/wire/ecsapi"
)

// start runs a controller on a memory store until the test ends.
func start(t *testing.T) *store.Store {
	return startWith(t, &Controller{Limits: DefaultLimits, Loss: DefaultLossRule, Now: time.Now})
}

func startWith(t *testing.T, c *Controller) *store.Store {
	st, _ := startOn(t, store.NewMemory(), c)
	return st
}

// startOn runs a controller on a store that is there, until stop or the test's end.
func startOn(t *testing.T, memory *store.Memory, c *Controller) (st *store.Store, stop func()) {
	st, err := memory.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	c.Store = st
	go func() { ran <- c.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ran; !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return st, stop
}

func write(t *testing.T, st *store.Store, f func(*store.Tx)) {
	t.Helper()
	if _, err := st.Update(t.Context(), func(tx *store.Tx) error { f(tx); return nil }); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
}

func TestForcedDeregistrationEndsTasksAndFreesTheInstance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := start(t)
		write(t, st, func(tx *store.Tx) {
			store.Instances.Put(tx, &gantry.Instance{ID: "i1", Cluster: "prod", Status: ecsapi.ContainerInstanceStatusActive})
			store.Reservations.Put(tx, &gantry.Reservation{Cluster: "prod", Instance: "i1", Tasks: 2,
				Taken: gantry.Resources{CPU: 300, Memory: 96, Ports: []uint16{80, 443}}})
			store.Tasks.Put(tx, &gantry.Task{ID: "a", Cluster: "prod", Instance: "i1", LastStatus: gantry.Running, DesiredStatus: gantry.Running,
				Reserved: gantry.Resources{CPU: 100, Memory: 32, Ports: []uint16{80}}})
			store.Tasks.Put(tx, &gantry.Task{ID: "b", Cluster: "prod", Instance: "i1", LastStatus: gantry.Pending, DesiredStatus: gantry.Running,
				Reserved: gantry.Resources{CPU: 200, Memory: 64, Ports: []uint16{443}}})
		})
		if got, _ := store.Tasks.Get(st.View(), "prod/a"); got.LastStatus != gantry.Running {
			t.Fatalf("ended while its instance is ACTIVE: %+v", got)
		}
		write(t, st, func(tx *store.Tx) {
			store.Instances.Put(tx, &gantry.Instance{ID: "i1", Cluster: "prod", Status: gantry.InstanceInactive})
		})
		for _, id := range []string{"prod/a", "prod/b"} {
			if got, _ := store.Tasks.Get(st.View(), id); got.LastStatus != gantry.Stopped || got.StoppedReason != reasonDeregistered {
				t.Errorf("%s: %s, %q", id, got.LastStatus, got.StoppedReason)
			}
		}
		if r, _ := store.Reservations.Get(st.View(), "prod/i1"); r.Tasks != 0 || r.Taken.CPU != 0 || r.Taken.Memory != 0 || len(r.Taken.Ports) != 0 {
			t.Errorf("still taken: %+v", r)
		}
	})
}

func TestTaskThatNoAgentHadEndsWhenItIsStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := start(t)
		write(t, st, func(tx *store.Tx) {
			store.Tasks.Put(tx, &gantry.Task{ID: "a", Cluster: "prod", LastStatus: gantry.Provisioning, DesiredStatus: gantry.Stopped, StoppedReason: "enough"})
		})
		if got, _ := store.Tasks.Get(st.View(), "prod/a"); got.LastStatus != gantry.Stopped || got.StoppedReason != "enough" {
			t.Errorf("got %s, %q", got.LastStatus, got.StoppedReason)
		}
	})
}

// What has ended is there for an hour, and then gone with all that belongs to it.
func TestSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := start(t)
		ended := time.Now()
		write(t, st, func(tx *store.Tx) {
			store.Clusters.Put(tx, &gantry.Cluster{Name: "old", Status: gantry.Inactive, DeletedAt: ended})
			store.Clusters.Put(tx, &gantry.Cluster{Name: "prod", Status: gantry.Active})
			store.Instances.Put(tx, &gantry.Instance{ID: "i1", Cluster: "old", Status: gantry.InstanceInactive, RegisteredAt: ended, Principal: "AKIA1"})
			store.Connections.Put(tx, &gantry.Connection{Cluster: "old", Instance: "i1", Since: ended})
			store.Reservations.Put(tx, &gantry.Reservation{Cluster: "old", Instance: "i1"})
			store.Principals.Put(tx, &gantry.Principal{AccessKeyID: "AKIA1", Kind: gantry.AgentPrincipal, Instance: "old/i1"})
			store.Principals.Put(tx, &gantry.Principal{AccessKeyID: "AKIAROOT", Kind: gantry.RootPrincipal})
			store.ClientTokens.Put(tx, &gantry.ClientToken{Operation: registration, Cluster: "old", Token: "r", Resources: []string{"i1"}})
			store.ClientTokens.Put(tx, &gantry.ClientToken{Operation: "RunTask", Cluster: "prod", Token: "t", ExpiresAt: ended.Add(time.Hour)})
			store.Definitions.Put(tx, &gantry.Definition{Name: "web:1", Status: gantry.DeleteInProgress})
			store.FamilyCounters.Put(tx, &gantry.FamilyCounter{Family: "web", Last: 1})
			store.Tasks.Put(tx, &gantry.Task{ID: "over", Cluster: "old", Instance: "i1", Definition: "web:1",
				LastStatus: gantry.Stopped, DesiredStatus: gantry.Stopped, StoppedAt: ended})
			store.Tasks.Put(tx, &gantry.Task{ID: "lives", Cluster: "prod", Definition: "web:2", LastStatus: gantry.Running, DesiredStatus: gantry.Running})
		})
		time.Sleep(time.Hour - time.Second)
		synctest.Wait()
		if snap := st.View(); store.Tasks.Len(snap) != 2 || store.Clusters.Len(snap) != 2 || store.Definitions.Len(snap) != 1 {
			t.Error("something was forgotten within the hour")
		}
		time.Sleep(2*sweepEvery + 2*time.Second)
		synctest.Wait()
		snap := st.View()
		for _, left := range []struct {
			what      string
			got, want int
		}{
			{"tasks", store.Tasks.Len(snap), 1}, {"clusters", store.Clusters.Len(snap), 1}, {"instances", store.Instances.Len(snap), 0},
			{"connections", store.Connections.Len(snap), 0}, {"reservations", store.Reservations.Len(snap), 0},
			{"principals", store.Principals.Len(snap), 1}, {"tokens", store.ClientTokens.Len(snap), 0},
			{"task definitions", store.Definitions.Len(snap), 0}, {"family counters", store.FamilyCounters.Len(snap), 1},
		} {
			if left.got != left.want {
				t.Errorf("%d %s are left, want %d", left.got, left.what, left.want)
			}
		}
	})
}
