package provisioning

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"gantry"
	"gantry/internal/extension"
	"gantry/internal/ledger"
	"gantry/internal/placement"
	"gantry/internal/store"
	"gantry/internal/wire/ecsapi"
)

// A world is a memory store with a cluster "prod" that has the capacity providers "a"
// and "b", on which a controller may be at work.
type world struct {
	t  testing.TB
	db *store.Store
	l  *ledger.Ledger
	n  int
	// retries counts the tasks that controllers have started again.
	retries int
}

func newWorld(t testing.TB) *world {
	t.Helper()
	db, err := store.NewMemory().Open(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, db: db, l: ledger.New(db)}
	w.write(func(tx *store.Tx) {
		store.Clusters.Put(tx, &gantry.Cluster{Name: "prod", Status: gantry.Active, CapacityProviders: []string{"a", "b"}})
		for _, name := range []string{"a", "b"} {
			store.CapacityProviders.Put(tx, &gantry.CapacityProvider{Name: name, Status: ecsapi.CapacityProviderStatusActive,
				Group: &ecsapi.AutoScalingGroupProvider{AutoScalingGroupArn: new("arn:aws:autoscaling:r:1:autoScalingGroup:x:autoScalingGroupName/" + name + "-group")}})
		}
		for _, size := range []int32{100, 200, 300, 400} {
			name := fmt.Sprintf("s%d", size)
			store.Definitions.Put(tx, &gantry.Definition{Name: gantry.DefinitionName(name + ":1"), Status: gantry.Active, Wire: &ecsapi.TaskDefinition{
				Family: new(name), Revision: new(int32(1)),
				ContainerDefinitions: []ecsapi.ContainerDefinition{{Name: new("c"), Cpu: new(size), Memory: new(int32(10))}},
			}})
		}
	})
	return w
}

// start runs a controller until it is told to stop.
func (w *world) start() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	c := &Controller{Store: w.db, Ledger: ledger.New(w.db), Settings: DefaultSettings, Now: time.Now,
		NewTaskID: func() gantry.TaskID { w.retries++; return gantry.TaskID(fmt.Sprintf("retry%d", w.retries)) },
		NewUUID:   func() string { return "u" }, NewSeed: func() uint64 { return 1 },
	}
	go func() { ran <- c.Run(ctx) }()
	return func() {
		cancel()
		if err := <-ran; !errors.Is(err, context.Canceled) {
			w.t.Errorf("Run: %v", err)
		}
	}
}

func (w *world) close() {
	if err := w.db.Close(); err != nil {
		w.t.Error(err)
	}
}

func (w *world) write(f func(*store.Tx)) {
	w.t.Helper()
	if _, err := w.db.Update(context.Background(), func(tx *store.Tx) error { f(tx); return nil }); err != nil {
		w.t.Fatal(err)
	}
}

// join adds a connected container instance of an Auto Scaling group.
func (w *world) join(id gantry.InstanceID, group string, cpu int64) {
	w.write(func(tx *store.Tx) {
		store.Instances.Put(tx, &gantry.Instance{ID: id, Cluster: "prod", Status: ecsapi.ContainerInstanceStatusActive, LaunchType: ecsapi.LaunchTypeEc2,
			Registered: gantry.Resources{CPU: cpu, Memory: 100_000},
			Attributes: []ecsapi.Attribute{{Name: new(gantry.AttributeGroup), Value: new(group)}, {Name: new(gantry.AttributeZone), Value: new("z")}}})
		store.Connections.Put(tx, &gantry.Connection{Cluster: "prod", Instance: id, Connected: true, Epoch: 1})
	})
	synctest.Wait()
}

// ask launches a task of so many CPU units that may wait.
func (w *world) ask(size int, provider string, tags ...string) (gantry.TaskID, error) {
	d, ok := store.Definitions.Get(w.db.View(), fmt.Sprintf("s%d:1", size))
	if !ok {
		w.t.Fatalf("no definition of size %d", size)
	}
	w.n++
	id := gantry.TaskID(fmt.Sprintf("%04d", w.n))
	b := ledger.Batch{Definition: d, IDs: []gantry.TaskID{id}, Waits: true, NewContainerID: func() string { return "u" },
		Strategies: placement.RunTaskStrategies(),
		Task: gantry.Task{Cluster: "prod", LaunchType: ecsapi.LaunchTypeEc2, LastStatus: gantry.Pending, DesiredStatus: gantry.Running,
			Version: 1, Group: gantry.FamilyGroup(d.Name.Family()), CreatedAt: time.Now()}}
	if provider != "" {
		b.Providers = []string{provider}
	}
	for i := 0; i < len(tags); i += 2 {
		b.Task.Tags = append(b.Task.Tags, ecsapi.Tag{Key: new(tags[i]), Value: new(tags[i+1])})
	}
	_, err := w.l.Launch(context.Background(), b)
	synctest.Wait()
	return id, err
}

func (w *world) must(size int, provider string, tags ...string) gantry.TaskID {
	w.t.Helper()
	id, err := w.ask(size, provider, tags...)
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

func (w *world) task(id gantry.TaskID) *gantry.Task {
	w.t.Helper()
	t, ok := store.Tasks.Get(w.db.View(), "prod/"+string(id))
	if !ok {
		w.t.Fatalf("no task %s", id)
	}
	return t
}

// end is what an agent's last report does to a task.
func (w *world) end(id gantry.TaskID, failed bool) {
	w.write(func(tx *store.Tx) {
		t, _ := store.Tasks.Get(tx, "prod/"+string(id))
		next := store.Tasks.Clone(t)
		next.LastStatus, next.DesiredStatus, next.Failed, next.StoppedAt = gantry.Stopped, gantry.Stopped, failed, time.Now()
		store.Tasks.Put(tx, next)
		ledger.Release(tx, t)
	})
	synctest.Wait()
}

func (w *world) wantStatus(id gantry.TaskID, want gantry.TaskStatus) *gantry.Task {
	w.t.Helper()
	t := w.task(id)
	if t.LastStatus != want {
		w.t.Errorf("task %s is %s, want %s", id, t.LastStatus, want)
	}
	return t
}

func run(t *testing.T, f func(t *testing.T, w *world)) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		defer w.start()()
		f(t, w)
	})
}

func TestTaskWaitsForItsProvider(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		w.join("i1", "b-group", 1000)
		id := w.must(100, "a")
		waits := w.wantStatus(id, gantry.Provisioning)
		if waits.Instance != "" || waits.CapacityProvider != "a" || waits.Reserved.CPU != 100 || waits.LaunchType != ecsapi.LaunchTypeEc2 {
			t.Errorf("waits as %+v", waits)
		}
		w.join("i2", "a-group", 1000)
		if got := w.wantStatus(id, gantry.Pending); got.Instance != "i2" || got.Version != 2 || got.Zone != "z" {
			t.Errorf("placed as %+v", got)
		}
		if r, _ := store.Reservations.Get(w.db.View(), "prod/i2"); r.Taken.CPU != 100 || r.Tasks != 1 {
			t.Errorf("reserved %+v", r)
		}
	})
}

// Room goes to the oldest that it is enough for; an unlike task does not stand in the way.
func TestOldestFirst(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		w.join("i1", "a-group", 400)
		holder := w.must(400, "a")
		w.wantStatus(holder, gantry.Pending)
		large, small, younger := w.must(400, "a"), w.must(100, "a"), w.must(100, "")
		w.end(holder, false)
		w.wantStatus(large, gantry.Pending)
		w.wantStatus(small, gantry.Provisioning)
		w.join("i2", "a-group", 100) // not enough for a large one
		another := w.must(400, "a")
		w.wantStatus(small, gantry.Pending)
		w.wantStatus(younger, gantry.Provisioning)
		w.join("i3", "", 100)
		w.wantStatus(younger, gantry.Pending)
		w.wantStatus(another, gantry.Provisioning)
	})
}

func TestStoppedWhileItWaits(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		id := w.must(100, "a")
		w.write(func(tx *store.Tx) {
			_ = store.Tasks.Change(tx, "prod/"+string(id), func(t *gantry.Task) error { t.DesiredStatus = gantry.Stopped; return nil })
		})
		w.join("i1", "a-group", 1000)
		w.wantStatus(id, gantry.Provisioning) // which package lifecycle ends
		if r, ok := store.Reservations.Get(w.db.View(), "prod/i1"); ok && r.Tasks != 0 {
			t.Errorf("reserved %+v", r)
		}
	})
}

func TestQueueIsOver(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		w.join("i1", "", 150)
		id, patient := w.must(200, "", extension.Queue, "30m"), w.must(200, "a")
		time.Sleep(30*time.Minute - time.Second)
		synctest.Wait()
		if got := w.task(id); got.DesiredStatus != gantry.Running {
			t.Fatalf("gave up early: %+v", got)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		got := w.task(id)
		const want = "Task failed to start: no container instance had room within 30m (gantry:queue). (Container instances: 1; RESOURCE:CPU: 1. Closest: needs 200 CPU units, 150 available.)"
		if got.DesiredStatus != gantry.Stopped || got.StopCode != ecsapi.TaskStopCodeTaskFailedToStart || got.StoppedReason != want {
			t.Errorf("%s, %s:\n%s\nwant\n%s", got.DesiredStatus, got.StopCode, got.StoppedReason, want)
		}
		// The other one waits for a provider without any instance.
		if got := w.task(patient); got.StopCode != ecsapi.TaskStopCodeTaskFailedToStart || got.StoppedReason != "EMPTY CAPACITY PROVIDER" {
			t.Errorf("%s, %s", got.StopCode, got.StoppedReason)
		}
	})
}

func TestFullProviderIsWaitedForWithoutEnd(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		w.join("i1", "a-group", 50)
		id := w.must(200, "a")
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if got := w.wantStatus(id, gantry.Provisioning); got.DesiredStatus != gantry.Running {
			t.Errorf("given up: %s", got.StoppedReason)
		}
	})
}

func TestAtMostFiveHundredWait(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		for range ledger.MaxWaiting {
			w.must(100, "a")
		}
		if _, err := w.ask(100, "b"); !errors.Is(err, ledger.ErrTooManyWait) {
			t.Errorf("one more: %v", err)
		}
		w.join("i1", "a-group", 250)
		w.must(100, "b")
		w.must(100, "b")
		if _, err := w.ask(100, "b"); !errors.Is(err, ledger.ErrTooManyWait) {
			t.Errorf("two places later: %v", err)
		}
	})
}

// A failed task is started again, with what it had, until its retries are used up.
func TestRetries(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		w.join("i1", "a-group", 1000)
		id := w.must(100, "a", extension.Retries, "2")
		w.end(id, true)
		again := w.task("retry1")
		if again.LastStatus != gantry.Pending || again.CapacityProvider != "a" || again.Attempt != 1 || w.task(id).RetriedBy != "retry1" {
			t.Fatalf("again: %+v", again)
		}
		w.end("retry1", true)
		w.wantStatus("retry2", gantry.Provisioning) // for a second
		time.Sleep(time.Second)
		synctest.Wait()
		w.wantStatus("retry2", gantry.Pending)
		w.end("retry2", true)
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := store.Tasks.Len(w.db.View()); n != 3 {
			t.Errorf("%d tasks", n)
		}
		well := w.must(100, "a", extension.Retries, "2")
		w.end(well, false)
		if n := store.Tasks.Len(w.db.View()); n != 4 {
			t.Errorf("%d tasks after one ended well", n)
		}
	})
}

// A controller that starts late finds everybody: those who wait, and those who failed.
func TestNobodyIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		waits, late, failed := w.must(100, "a"), w.must(100, "b", extension.Queue, "10m"), w.must(100, "a", extension.Retries, "1")
		w.join("i1", "a-group", 1000)
		w.end(failed, true)
		time.Sleep(time.Hour)
		for range 2 { // killed and started again: nothing is done twice
			stop := w.start()
			synctest.Wait()
			stop()
		}
		w.wantStatus(waits, gantry.Pending)
		w.wantStatus("retry1", gantry.Pending)
		if got := w.task(late); got.DesiredStatus != gantry.Stopped {
			t.Errorf("waits after its time: %+v", got)
		}
		if n := store.Tasks.Len(w.db.View()); n != 4 {
			t.Errorf("%d tasks", n)
		}
	})
}

// TestProperty: whatever comes and goes, no instance is over-committed, nobody waits
// who would fit, and no younger task took the place of an older one that is alike.
func TestProperty(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		synctestProperty(t, rt)
	})
}

func synctestProperty(t *testing.T, rt *rapid.T) {
	steps := rapid.SliceOfN(rapid.IntRange(0, 1<<16), 1, 25).Draw(rt, "steps")
	var problem string
	t.Run("history", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			defer w.close()
			defer w.start()()
			var tasks []gantry.TaskID
			for i, x := range steps {
				time.Sleep(time.Second)
				switch pick := x / 4; x % 4 {
				case 0:
					w.join(gantry.InstanceID(fmt.Sprintf("i%d", i)), []string{"a-group", "b-group", ""}[pick%3], int64(100*(1+pick/3%8)))
				case 1, 2:
					tasks = append(tasks, w.must(100*(1+pick%4), []string{"a", "b", ""}[pick/4%3]))
				case 3:
					if len(tasks) > 0 {
						if id := tasks[pick%len(tasks)]; w.task(id).LastStatus == gantry.Pending {
							w.end(id, false)
						}
					}
				}
				if problem = w.problem(); problem != "" {
					problem = fmt.Sprintf("after step %d: %s", i, problem)
					return
				}
			}
		})
	})
	if problem != "" {
		rt.Fatal(problem)
	}
}

// problem says what is wrong with the state, if anything.
func (w *world) problem() string {
	snap := w.db.View()
	free := map[gantry.InstanceID]int64{}
	for i := range store.Instances.All(snap, "prod/") {
		free[i.ID] = i.Registered.CPU
	}
	var waits []*gantry.Task
	for t := range store.Tasks.All(snap, "prod/") {
		switch {
		case t.Waits():
			waits = append(waits, t)
		case t.LastStatus != gantry.Stopped:
			free[t.Instance] -= t.Reserved.CPU
		}
	}
	for id, left := range free {
		if left < 0 {
			return fmt.Sprintf("instance %s is over-committed by %d", id, -left)
		}
	}
	for _, t := range waits {
		for i := range store.Instances.All(snap, "prod/") {
			group := strings.TrimSuffix(i.Attribute(gantry.AttributeGroup), "-group")
			if (t.CapacityProvider == "" || t.CapacityProvider == group) && free[i.ID] >= t.Reserved.CPU {
				return fmt.Sprintf("task %s of %d waits, and %s has %d", t.ID, t.Reserved.CPU, i.ID, free[i.ID])
			}
		}
		for younger := range store.Tasks.All(snap, "prod/") {
			if younger.CreatedAt.After(t.CreatedAt) && !younger.Waits() && younger.LastStatus != gantry.Stopped && kindOf(younger) == kindOf(t) {
				return fmt.Sprintf("task %s waits, and %s, which is younger and alike, does not", t.ID, younger.ID)
			}
		}
	}
	return ""
}
