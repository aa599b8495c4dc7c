package lifecycle

import (
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gantry"
	"gantry/internal/store"
	"gantry/internal/wire/ecsapi"
)

// fleet writes container instances with connected agents, each with a task of a service
// and a standalone one.
func fleet(t *testing.T, st *store.Store, n int) {
	write(t, st, func(tx *store.Tx) {
		store.Clusters.Put(tx, &gantry.Cluster{Name: "prod", Status: gantry.Active})
		for i := range n {
			id := gantry.InstanceID(fmt.Sprint("i", i))
			store.Instances.Put(tx, &gantry.Instance{ID: id, Cluster: "prod", Status: ecsapi.ContainerInstanceStatusActive, LaunchType: ecsapi.LaunchTypeEc2})
			store.Connections.Put(tx, &gantry.Connection{Cluster: "prod", Instance: id, Connected: true, Epoch: 1, Since: time.Now()})
			store.Reservations.Put(tx, &gantry.Reservation{Cluster: "prod", Instance: id, Tasks: 2, Taken: gantry.Resources{CPU: 300, Ports: []uint16{80}}})
			store.Tasks.Put(tx, &gantry.Task{ID: gantry.TaskID("svc-" + id), Cluster: "prod", Instance: id, Group: "service:web", StartedBy: "ecs-svc/1",
				LastStatus: gantry.Running, DesiredStatus: gantry.Running, Reserved: gantry.Resources{CPU: 200, Ports: []uint16{80}}})
			store.Tasks.Put(tx, &gantry.Task{ID: gantry.TaskID("alone-" + id), Cluster: "prod", Instance: id, Group: "family:batch",
				LastStatus: gantry.Running, DesiredStatus: gantry.Running, Reserved: gantry.Resources{CPU: 100}})
		}
	})
}

// connect writes what acs writes when an agent comes or goes.
func connect(t *testing.T, st *store.Store, connected bool, ids ...int) {
	write(t, st, func(tx *store.Tx) {
		for _, i := range ids {
			c, _ := store.Connections.Get(tx, fmt.Sprint("prod/i", i))
			next := &gantry.Connection{Cluster: "prod", Instance: c.Instance, Connected: connected, Epoch: c.Epoch, Since: time.Now()}
			if connected {
				next.Epoch++
			}
			store.Connections.Put(tx, next)
		}
	})
}

func after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func loss(st *store.Store, i int) gantry.Loss {
	c, _ := store.Connections.Get(st.View(), fmt.Sprint("prod/i", i))
	return c.Loss
}

func task(st *store.Store, id string) *gantry.Task {
	t, _ := store.Tasks.Get(st.View(), "prod/"+id)
	return t
}

func TestALostAgentsServiceTasksAreGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := start(t)
		fleet(t, st, 3)
		after(time.Hour)
		connect(t, st, false, 1)
		away := time.Now()
		after(5*time.Minute - time.Second)
		if got := task(st, "svc-i1"); got.LastStatus != gantry.Running {
			t.Fatalf("given up before its time: %+v", got)
		}
		after(time.Second)
		got := task(st, "svc-i1")
		want := "Container instance i1 is lost: its agent has been disconnected since " + away.UTC().Format(time.RFC3339)
		if got.LastStatus != gantry.Stopped || got.StopCode != ecsapi.TaskStopCodeInfrastructureHealth || got.StoppedReason != want {
			t.Errorf("%s %s %q, want STOPPED InfrastructureHealth %q", got.LastStatus, got.StopCode, got.StoppedReason, want)
		}
		if r, _ := store.Reservations.Get(st.View(), "prod/i1"); r.Tasks != 1 || r.Taken.CPU != 100 || len(r.Taken.Ports) != 0 {
			t.Errorf("taken on the instance: %+v, want what the standalone task takes", r)
		}
		for _, id := range []string{"alone-i1", "svc-i0", "svc-i2"} {
			if got := task(st, id); got.LastStatus != gantry.Running {
				t.Errorf("%s is %s", id, got.LastStatus)
			}
		}
		// Nobody can tell the agent to stop the standalone task: asked to stop, it is over.
		write(t, st, func(tx *store.Tx) {
			next := *task(st, "alone-i1")
			next.DesiredStatus, next.StopCode, next.StoppedReason = gantry.Stopped, ecsapi.TaskStopCodeUserInitiated, "Task stopped by user"
			store.Tasks.Put(tx, &next)
		})
		if got := task(st, "alone-i1"); got.LastStatus != gantry.Stopped || got.StopCode != ecsapi.TaskStopCodeUserInitiated {
			t.Errorf("the stopped one: %s %s", got.LastStatus, got.StopCode)
		}
	})
}

func TestAnAgentThatComesBackInTimeKeepsItsTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := start(t)
		fleet(t, st, 3)
		for range 5 { // away for nearly the whole period, again and again
			connect(t, st, false, 1)
			after(5*time.Minute - time.Second)
			connect(t, st, true, 1)
			after(time.Second)
		}
		after(time.Hour)
		if got := task(st, "svc-i1"); got.LastStatus != gantry.Running || loss(st, 1) != "" {
			t.Errorf("%s, %q", got.LastStatus, loss(st, 1))
		}
	})
}

func TestTooManyLostAgentsWaitForAWord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := start(t)
		fleet(t, st, 5)
		connect(t, st, false, 3, 4)
		after(time.Hour)
		for _, i := range []int{3, 4} {
			if got := task(st, fmt.Sprint("svc-i", i)); got.LastStatus != gantry.Running || loss(st, i) != gantry.LossHeld {
				t.Errorf("i%d: %s, %q", i, got.LastStatus, loss(st, i))
			}
		}
		// Draining one of them is a word for that one.
		write(t, st, func(tx *store.Tx) {
			store.Instances.Put(tx, &gantry.Instance{ID: "i3", Cluster: "prod", Status: ecsapi.ContainerInstanceStatusDraining, LaunchType: ecsapi.LaunchTypeEc2})
		})
		if got := task(st, "svc-i3"); got.LastStatus != gantry.Stopped {
			t.Errorf("drained: %s, %q", got.LastStatus, loss(st, 3))
		}
		if got := task(st, "svc-i4"); got.LastStatus != gantry.Running {
			t.Errorf("not drained: %s, %q", got.LastStatus, loss(st, 4))
		}
		// When the other comes back, nothing is left of its loss.
		connect(t, st, true, 4)
		after(time.Hour)
		if got := task(st, "svc-i4"); got.LastStatus != gantry.Running || loss(st, 4) != "" {
			t.Errorf("back: %s, %q", got.LastStatus, loss(st, 4))
		}
	})
}

// When a network is mended agents come back one after the other: the first to be there
// does not make an end of the others.
func TestAgentsComeBackOneAfterTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := start(t)
		fleet(t, st, 3)
		connect(t, st, false, 0, 1, 2)
		after(time.Hour)
		for i := range 2 {
			connect(t, st, true, i)
			after(2 * time.Minute)
		}
		if got := task(st, "svc-i2"); got.LastStatus != gantry.Running || loss(st, 2) != "" {
			t.Errorf("the last is given up %s: %q", got.LastStatus, loss(st, 2))
		}
		after(6 * time.Minute) // but not without end
		if got := task(st, "svc-i2"); got.LastStatus != gantry.Stopped {
			t.Errorf("the one that stays away: %s, %q", got.LastStatus, loss(st, 2))
		}
		for i := range 2 {
			if got := task(st, fmt.Sprint("svc-i", i)); got.LastStatus != gantry.Running {
				t.Errorf("i%d is back, and its task %s", i, got.LastStatus)
			}
		}
	})
}

// A clock that jumps makes nobody's silence longer.
func TestAClockThatJumpsGivesNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ahead atomic.Int64 // of the clock, nanoseconds
		st := startWith(t, &Controller{Limits: DefaultLimits, Loss: DefaultLossRule, Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }})
		fleet(t, st, 3)
		connect(t, st, false, 1)
		after(2 * time.Minute)
		ahead.Store(int64(30 * time.Minute)) // less than what the sweep forgets things after
		after(3*time.Minute - time.Second)
		if got := task(st, "svc-i1"); got.LastStatus != gantry.Running {
			t.Errorf("given up after a jump: %+v", got)
		}
		after(time.Second)
		if got := task(st, "svc-i1"); got.LastStatus != gantry.Stopped {
			t.Errorf("not given up in time: %+v", got)
		}
	})
}

// A control plane that starts anew counts anew, also with agents that were away before.
func TestARestartOfTheControlPlaneCountsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := store.NewMemory()
		first, stop := startOn(t, memory, &Controller{Limits: DefaultLimits, Loss: DefaultLossRule, Now: time.Now})
		fleet(t, first, 3)
		connect(t, first, false, 1)
		after(4 * time.Minute)
		stop()
		after(time.Hour)
		st, _ := startOn(t, memory, &Controller{Limits: DefaultLimits, Loss: DefaultLossRule, Now: time.Now})
		after(5*time.Minute - time.Second)
		if got := task(st, "svc-i1"); got.LastStatus != gantry.Running {
			t.Errorf("given up before its time: %+v", got)
		}
		after(2 * time.Second)
		if got := task(st, "svc-i1"); got.LastStatus != gantry.Stopped {
			t.Errorf("not given up in time: %+v", got)
		}
	})
}

// More tasks than fit a transaction, on an instance that is given up, all end.
func TestAllTasksOfALostAgentEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := start(t)
		fleet(t, st, 2)
		write(t, st, func(tx *store.Tx) {
			for n := range 3 * maxEndings {
				store.Tasks.Put(tx, &gantry.Task{ID: gantry.TaskID(fmt.Sprint("t", n)), Cluster: "prod", Instance: "i1", Group: "service:web", StartedBy: "ecs-svc/1",
					LastStatus: gantry.Running, DesiredStatus: gantry.Running})
			}
		})
		connect(t, st, false, 1)
		after(5 * time.Minute)
		for task := range store.TasksByInstance.All(st.View(), "prod/i1") {
			if task.LastStatus != gantry.Stopped && task.Revision() != "" {
				t.Fatalf("%s is %s", task.ID, task.LastStatus)
			}
		}
	})
}
