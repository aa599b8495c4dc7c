package ecs

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"gantry"
	"gantry/internal/ledger"
	"gantry/internal/store"
	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"
)

// TestNeverOverCommitted: whatever RunTask, StartTask, StopTask and reports do at
// once, on two servers of one store, no instance ever holds more than it registered,
// and what is reserved is at every revision what the living tasks take.
func TestNeverOverCommitted(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := store.NewMemory()
		servers := []*world{serverOn(t, m), serverOn(t, m)}
		w := servers[0]
		w.makeCluster("prod")
		w.define("small", 200, 64)
		w.define("large", 700, 500)
		w.define("port", 10, 16, func(in *ecsapi.RegisterTaskDefinitionInput) {
			in.ContainerDefinitions[0].PortMappings = []ecsapi.PortMapping{{ContainerPort: new(int32(80)), HostPort: new(int32(8080))}}
		})
		for range rapid.IntRange(1, 3).Draw(rt, "instances") {
			w.join("prod", rapid.Int32Range(256, 2048).Draw(rt, "cpu"), rapid.Int32Range(64, 1024).Draw(rt, "memory"))
		}
		for _, s := range servers {
			if _, err := s.store.Fresh(s.ctx); err != nil {
				rt.Fatal(err)
			}
		}
		watching, stop := context.WithCancel(t.Context())
		var broken error
		var checker, callers sync.WaitGroup
		checker.Go(func() { broken = checkEveryRevision(watching, w.store) })
		for i := range 4 {
			seed := rapid.Uint64().Draw(rt, "seed")
			callers.Go(func() { muddle(servers[i%2], rand.New(rand.NewPCG(seed, 0))) })
		}
		callers.Wait()
		snap, err := w.store.Fresh(w.ctx)
		if err != nil {
			rt.Fatal(err)
		}
		stop()
		checker.Wait()
		if err := errors.Join(broken, checkReservations(snap)); err != nil {
			rt.Fatal(err)
		}
	})
}

// serverOn is one of several services on one store.
func serverOn(t testing.TB, m *store.Memory) *world {
	t.Helper()
	w := newWorld(t)
	db, err := m.Open(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	cfg := w.cfg
	cfg.Store, cfg.Ledger, cfg.NewID, cfg.NewSeed = db, ledger.New(db), randomID, randomSeed
	w.Service = New(cfg)
	w.ops = w.Operations()
	return w
}

// muddle runs, stops and reports tasks for a while, on whatever it finds.
func muddle(w *world, r *rand.Rand) {
	for range 25 {
		switch r.IntN(4) {
		case 0, 1:
			family := []string{"small", "large", "port"}[r.IntN(3)]
			_, err := do(w, w.ops.RunTask, &ecsapi.RunTaskInput{Cluster: new("prod"), TaskDefinition: new(family), Count: new(int32(1 + r.IntN(4)))})
			if err != nil {
				w.t.Error(err)
			}
		case 2:
			if t := anyTask(w, r); t != nil {
				if _, err := do(w, w.ops.StopTask, &ecsapi.StopTaskInput{Cluster: new("prod"), Task: new(string(t.ID))}); err != nil {
					w.t.Error(err)
				}
			}
		case 3:
			if t := anyTask(w, r); t != nil {
				status := []string{"PENDING", "RUNNING", "STOPPED"}[r.IntN(3)]
				in := &ecsapi.SubmitTaskStateChangeInput{Cluster: new("prod"), Task: new(string(t.ID)), Status: new(status)}
				if _, err := do(w, w.ops.SubmitTaskStateChange, in); err != nil {
					w.t.Error(err)
				}
			}
		}
	}
}

func anyTask(w *world, r *rand.Rand) *gantry.Task {
	all := slices.Collect(store.Tasks.All(w.store.View(), "prod/"))
	if len(all) == 0 {
		return nil
	}
	return all[r.IntN(len(all))]
}

// checkEveryRevision checks each state that a reader could see until ctx ends.
func checkEveryRevision(ctx context.Context, db *store.Store) error {
	var at store.Revision
	for {
		snap, err := db.Newer(ctx, at)
		if err != nil {
			return nil // the test is over
		}
		if err := checkReservations(snap); err != nil {
			return fmt.Errorf("at revision %d: %w", snap.Revision(), err)
		}
		at = snap.Revision()
	}
}

// checkReservations holds what is reserved against the living tasks and the instances.
func checkReservations(snap *store.Snapshot) error {
	taken, tasks := map[gantry.InstanceID]gantry.Resources{}, map[gantry.InstanceID]int{}
	for t := range livingTasks(snap, "prod") {
		if both := taken[t.Instance]; slices.ContainsFunc(t.Reserved.Ports, func(p uint16) bool { return slices.Contains(both.Ports, p) }) {
			return fmt.Errorf("two tasks on instance %s have port %v", t.Instance, t.Reserved.Ports)
		}
		taken[t.Instance] = taken[t.Instance].Plus(t.Reserved)
		tasks[t.Instance]++
	}
	for i := range store.Instances.All(snap, "prod/") {
		var got gantry.Reservation
		if r, ok := store.Reservations.Get(snap, i.Key()); ok {
			got = *r
		}
		if diff := cmp.Diff(taken[i.ID], got.Taken); diff != "" || tasks[i.ID] != got.Tasks {
			return fmt.Errorf("instance %s: %d living tasks, %d reserved (-living +reserved)\n%s", i.ID, tasks[i.ID], got.Tasks, diff)
		}
		if got.Taken.CPU > i.Registered.CPU || got.Taken.Memory > i.Registered.Memory {
			return fmt.Errorf("instance %s is over-committed: %+v of %+v", i.ID, got.Taken, i.Registered)
		}
	}
	return nil
}

// TestOneTokenManyCalls: however many calls with one client token come at once,
// the tasks are made once.
func TestOneTokenManyCalls(t *testing.T) {
	w := newWorld(t)
	w.makeCluster("prod")
	w.define("web", 10, 16)
	w.join("prod", 2048, 2048)
	const calls = 16
	var arns [calls]string
	var wait sync.WaitGroup
	for i := range calls {
		wait.Go(func() {
			out, err := do(w, w.ops.RunTask, &ecsapi.RunTaskInput{Cluster: new("prod"), TaskDefinition: new("web"), ClientToken: new("once")})
			if err != nil || len(out.Tasks) != 1 {
				t.Error(len(wire.Value(out).Tasks), err)
				return
			}
			arns[i] = *out.Tasks[0].TaskArn
		})
	}
	wait.Wait()
	for _, arn := range arns[1:] {
		if arn != arns[0] {
			t.Errorf("one token made %s and %s", arns[0], arn)
		}
	}
	if n := store.Tasks.Len(w.store.View()); n != 1 {
		t.Errorf("%d tasks were made", n)
	}
}
