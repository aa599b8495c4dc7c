package ledger

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"gantry"
	"gantry/internal/placement"
	"gantry/internal/store"
	"gantry/internal/wire/ecsapi"
)

// A world is a store with a cluster "prod", a definition "web:1" of 256 CPU units
// and 100 MiB, and a ledger.
type world struct {
	t  testing.TB
	db *store.Store
	l  *Ledger
	n  int
}

func newWorld(t testing.TB) *world {
	t.Helper()
	db, err := store.NewMemory().Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	w := &world{t: t, db: db, l: New(db)}
	w.update(func(tx *store.Tx) error {
		store.Clusters.Put(tx, &gantry.Cluster{Name: "prod", Status: gantry.Active})
		return nil
	})
	return w
}

func (w *world) update(f func(*store.Tx) error) {
	w.t.Helper()
	if _, err := w.db.Update(w.t.Context(), f); err != nil {
		w.t.Fatal(err)
	}
}

// join adds a connected container instance.
func (w *world) join(id gantry.InstanceID, launch ecsapi.LaunchType, cpu int64) {
	w.t.Helper()
	w.update(func(tx *store.Tx) error {
		store.Instances.Put(tx, &gantry.Instance{
			ID: id, Cluster: "prod", Status: ecsapi.ContainerInstanceStatusActive, LaunchType: launch,
			Registered: gantry.Resources{CPU: cpu, Memory: 100_000, Ports: []uint16{22}, GPUs: []string{"gpu-a", "gpu-b"}},
			Attributes: []ecsapi.Attribute{{Name: new(gantry.AttributeZone), Value: new("z1")}, {Name: new(gantry.AttributeArchitecture), Value: new("x86_64")}},
		})
		store.Connections.Put(tx, &gantry.Connection{Cluster: "prod", Instance: id, Connected: true, Epoch: 1})
		return nil
	})
}

// batch asks for n tasks of a definition with one container.
func (w *world) batch(n int, change ...func(*ecsapi.TaskDefinition)) Batch {
	def := &ecsapi.TaskDefinition{
		Family: new("web"), Revision: new(int32(1)),
		ContainerDefinitions: []ecsapi.ContainerDefinition{{Name: new("web"), Cpu: new(int32(256)), Memory: new(int32(100))}},
	}
	for _, f := range change {
		f(def)
	}
	b := Batch{
		Definition:     &gantry.Definition{Name: "web:1", Wire: def, Status: gantry.Active},
		NewContainerID: uuid.NewString,
		Task: gantry.Task{Cluster: "prod", LaunchType: ecsapi.LaunchTypeEc2, Group: "family:web", LastStatus: gantry.Pending,
			DesiredStatus: gantry.Running, Version: 1},
	}
	for range n {
		w.n++
		b.IDs = append(b.IDs, gantry.TaskID(fmt.Sprintf("%032x", w.n)))
	}
	return b
}

func (w *world) launch(b Batch) Launched {
	w.t.Helper()
	out, err := w.l.Launch(w.t.Context(), b)
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

// free is what the ledger believes an instance has left, in CPU units.
func (w *world) free(id gantry.InstanceID) int64 {
	w.t.Helper()
	w.l.mu.Lock()
	defer w.l.mu.Unlock()
	w.l.catchUp()
	b := w.l.book("prod")
	i := b.instances[id]
	if i == nil {
		w.t.Fatalf("the ledger does not know instance %s", id)
	}
	r, _ := b.pool(i.LaunchType).Free(id)
	return r.CPU
}

func TestLaunchWritesWhatItPlaced(t *testing.T) {
	w := newWorld(t)
	w.join("i1", ecsapi.LaunchTypeEc2, 1024)
	out := w.launch(w.batch(2))
	if len(out.Tasks) != 2 || out.Refusal != nil {
		t.Fatalf("launched %d, refusal %v", len(out.Tasks), out.Refusal)
	}
	got, _ := store.Tasks.Get(w.db.View(), out.Tasks[0].Key())
	if got.Instance != "i1" || got.Zone != "z1" || got.Architecture != "x86_64" || got.Reserved.CPU != 256 || got.Containers[0].LastStatus != gantry.Pending {
		t.Errorf("written: %+v", got)
	}
	r, _ := store.Reservations.Get(w.db.View(), "prod/i1")
	want := &gantry.Reservation{Cluster: "prod", Instance: "i1", Taken: gantry.Resources{CPU: 512, Memory: 200}, Tasks: 2, Version: 2}
	if diff := cmp.Diff(want, r); diff != "" {
		t.Errorf("reservation (-want +got)\n%s", diff)
	}
}

func TestRoomForSomeOnly(t *testing.T) {
	w := newWorld(t)
	w.join("i1", ecsapi.LaunchTypeEc2, 600)
	out := w.launch(w.batch(3))
	if len(out.Tasks) != 2 || out.Refusal == nil || out.Refusal.Closest[0].Reason() != placement.ReasonCPU {
		t.Fatalf("launched %d, refusal %v", len(out.Tasks), out.Refusal)
	}
}

func TestLaunchTypesKeepApart(t *testing.T) {
	w := newWorld(t)
	w.join("i1", ecsapi.LaunchTypeExternal, 1024)
	if out := w.launch(w.batch(1)); out.Instances != 0 || len(out.Tasks) != 0 {
		t.Errorf("an EC2 task saw %d instances and got %d places", out.Instances, len(out.Tasks))
	}
	b := w.batch(1)
	b.Task.LaunchType = ecsapi.LaunchTypeExternal
	if out := w.launch(b); len(out.Tasks) != 1 {
		t.Errorf("an EXTERNAL task found no place: %v", out.Refusal)
	}
}

func TestFailedTransactionGivesPlacesBack(t *testing.T) {
	w := newWorld(t)
	w.join("i1", ecsapi.LaunchTypeEc2, 256)
	b, broken := w.batch(1), errors.New("broken")
	b.With = func(*store.Tx, []*gantry.Task) error { return broken }
	if _, err := w.l.Launch(t.Context(), b); !errors.Is(err, broken) {
		t.Fatal(err)
	}
	if out := w.launch(w.batch(1)); len(out.Tasks) != 1 {
		t.Fatalf("the place is still claimed: %v", out.Refusal)
	}
}

func TestClaimedUntilDone(t *testing.T) {
	w := newWorld(t)
	w.join("i1", ecsapi.LaunchTypeEc2, 256)
	spec := placement.Spec{Group: "g", Demand: placement.Demand{CPU: 256}}
	first, err := w.l.Place("prod", ecsapi.LaunchTypeEc2, spec, []gantry.TaskID{"a"})
	if err != nil || len(first.Places) != 1 {
		t.Fatal(first, err)
	}
	w.l.mu.Lock()
	w.l.rebuild(w.db.View()) // the ring was too short, say
	w.l.mu.Unlock()
	second, err := w.l.Place("prod", ecsapi.LaunchTypeEc2, spec, []gantry.TaskID{"b"})
	if err != nil || len(second.Places) != 0 {
		t.Fatal("the same room was given twice", err)
	}
	first.Done()
	if third, err := w.l.Place("prod", ecsapi.LaunchTypeEc2, spec, []gantry.TaskID{"c"}); err != nil || len(third.Places) != 1 {
		t.Fatal("the room was not given back", err)
	}
}

func TestNamedInstances(t *testing.T) {
	w := newWorld(t)
	w.join("i1", ecsapi.LaunchTypeEc2, 256)
	w.join("i2", ecsapi.LaunchTypeExternal, 1024)
	b := w.batch(4)
	b.On = []gantry.InstanceID{"i1", "i1", "i2", "i3"}
	out := w.launch(b)
	if len(out.Tasks) != 2 || out.Tasks[0].Instance != "i1" || out.Tasks[1].Instance != "i2" || out.Tasks[1].LaunchType != ecsapi.LaunchTypeExternal {
		t.Fatalf("tasks %+v", out.Tasks)
	}
	if len(out.Refused) != 2 || out.Refused[0].Reason() != placement.ReasonCPU || out.Refused[1].Instance != "i3" || len(out.Refused[1].Lacks) != 0 {
		t.Fatalf("refused %+v", out.Refused)
	}
}

func TestGPUsAreDealtOut(t *testing.T) {
	w := newWorld(t)
	w.join("i1", ecsapi.LaunchTypeEc2, 4096)
	oneGPU := func(d *ecsapi.TaskDefinition) {
		d.ContainerDefinitions[0].ResourceRequirements = []ecsapi.ResourceRequirement{{Type: ecsapi.ResourceTypeGpu, Value: new("1")}}
	}
	out := w.launch(w.batch(3, oneGPU))
	if len(out.Tasks) != 2 || out.Refusal.Closest[0].Reason() != placement.ReasonGPU {
		t.Fatalf("launched %d, %v", len(out.Tasks), out.Refusal)
	}
	var got []string
	for _, task := range out.Tasks {
		got = append(got, task.Containers[0].GPUs...)
	}
	if diff := cmp.Diff([]string{"gpu-a", "gpu-b"}, got); diff != "" {
		t.Error(diff)
	}
	w.update(func(tx *store.Tx) error {
		stopped := *out.Tasks[0]
		stopped.LastStatus = gantry.Stopped
		store.Tasks.Put(tx, &stopped)
		Release(tx, out.Tasks[0])
		return nil
	})
	if again := w.launch(w.batch(1, oneGPU)); len(again.Tasks) != 1 || again.Tasks[0].Containers[0].GPUs[0] != "gpu-a" {
		t.Fatalf("the GPU that was freed is not dealt out again: %+v", again)
	}
}

func TestArchitecture(t *testing.T) {
	w := newWorld(t)
	w.join("i1", ecsapi.LaunchTypeEc2, 4096)
	out := w.launch(w.batch(1, func(d *ecsapi.TaskDefinition) {
		d.RuntimePlatform = &ecsapi.RuntimePlatform{CpuArchitecture: ecsapi.CPUArchitectureArm64}
	}))
	if len(out.Tasks) != 0 || out.Refusal.Closest[0].Reason() != placement.ReasonAttribute {
		t.Fatalf("an arm64 task on x86_64: %+v", out)
	}
}

// TestOtherServerIsFaster: two servers, each with a ledger of its own, want the
// last room. One of them gets it, the other learns that it is full.
func TestOtherServerIsFaster(t *testing.T) {
	m := store.NewMemory()
	var servers [2]*world
	for i := range servers {
		db, err := m.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		servers[i] = &world{t: t, db: db, l: New(db), n: i * 1000}
	}
	a, b := servers[0], servers[1]
	a.update(func(tx *store.Tx) error {
		store.Clusters.Put(tx, &gantry.Cluster{Name: "prod", Status: gantry.Active})
		return nil
	})
	a.join("i1", ecsapi.LaunchTypeEc2, 256)
	if _, err := b.db.Fresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.free("i1") // it has looked: from here on it lags behind
	if out := a.launch(a.batch(1)); len(out.Tasks) != 1 {
		t.Fatal(out.Refusal)
	}
	out := b.launch(b.batch(1))
	if len(out.Tasks) != 0 || out.Refusal.Closest[0].Reason() != placement.ReasonCPU {
		t.Fatalf("both got the room: %+v", out)
	}
}

// TestInStep: whatever happens in the store, the ledger that followed it change by
// change believes what a ledger believes that looks afresh.
func TestInStep(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t)
		ids := []gantry.InstanceID{"i1", "i2"}
		for _, id := range ids {
			w.join(id, ecsapi.LaunchTypeEc2, 2048)
		}
		var living []*gantry.Task
		steps := rapid.SliceOfN(rapid.IntRange(0, 5), 1, 30).Draw(rt, "steps")
		for _, step := range steps {
			switch step {
			case 0, 1:
				living = append(living, w.launch(w.batch(step+1)).Tasks...)
			case 2:
				if len(living) > 0 {
					t := *living[0]
					living = living[1:]
					t.LastStatus = gantry.Stopped
					w.update(func(tx *store.Tx) error { store.Tasks.Put(tx, &t); Release(tx, &t); return nil })
				}
			case 3:
				if len(living) > 0 {
					t := *living[0]
					living = living[1:]
					w.update(func(tx *store.Tx) error { store.Tasks.Delete(tx, t.Key()); Release(tx, &t); return nil })
				}
			case 4:
				w.join(ids[0], ecsapi.LaunchTypeEc2, rapid.Int64Range(0, 4096).Draw(rt, "cpu"))
			case 5:
				w.free(ids[1]) // looks, and so catches up
			}
		}
		fresh := &world{t: t, db: w.db, l: New(w.db)}
		for _, id := range ids {
			if got, want := w.free(id), fresh.free(id); got != want {
				rt.Fatalf("instance %s has %d CPU units left, believed are %d", id, want, got)
			}
		}
	})
}

func TestDeregisteredInstanceIsForgotten(t *testing.T) {
	w := newWorld(t)
	w.join("i1", ecsapi.LaunchTypeEc2, 1024)
	task := w.launch(w.batch(1)).Tasks[0]
	w.update(func(tx *store.Tx) error {
		return store.Instances.Change(tx, "prod/i1", func(i *gantry.Instance) error { i.Status = gantry.InstanceInactive; return nil })
	})
	if out := w.launch(w.batch(1)); out.Instances != 0 {
		t.Fatalf("%d instances", out.Instances)
	}
	w.update(func(tx *store.Tx) error { // its task's end does no harm
		stopped := *task
		stopped.LastStatus = gantry.Stopped
		store.Tasks.Put(tx, &stopped)
		Release(tx, task)
		return nil
	})
	if out := w.launch(w.batch(1)); out.Instances != 0 {
		t.Fatalf("%d instances", out.Instances)
	}
}

func TestInactiveClusterTakesNoTasks(t *testing.T) {
	w := newWorld(t)
	w.join("i1", ecsapi.LaunchTypeEc2, 1024)
	w.update(func(tx *store.Tx) error {
		store.Clusters.Put(tx, &gantry.Cluster{Name: "prod", Status: gantry.Inactive})
		return nil
	})
	if _, err := w.l.Launch(t.Context(), w.batch(1)); !errors.Is(err, ErrInactive) {
		t.Fatal(err)
	}
}
