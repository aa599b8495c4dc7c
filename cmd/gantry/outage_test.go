package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gantry"
	"gantry/internal/acs"
	"gantry/internal/ecs"
	"gantry/internal/ledger"
	"gantry/internal/lifecycle"
	"gantry/internal/service"
	"gantry/internal/store"
	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"

	"github.com/google/uuid"
)

// TestTenMinutesWithoutAControlPlane: it was killed, and its agents showed as connected;
// ten minutes later it is there again, and they come back one after the other, the last
// nearly five minutes after. Nothing is replaced that still runs. What ended meanwhile
// is told with its true exit code and time, and replaced once. The agent that does not
// come back is given up five minutes after the control plane's start, not before.
func TestTenMinutesWithoutAControlPlane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &outage{T: t, memory: store.NewMemory()}
		o.up()
		o.begin(5)
		time.Sleep(time.Hour)
		tasks := o.running()
		if len(tasks) != 5 {
			t.Fatalf("before there are %d tasks: %v", len(tasks), tasks)
		}
		o.kill()

		time.Sleep(2 * time.Minute)
		ended := time.Now()
		time.Sleep(8 * time.Minute)
		o.up()
		back := time.Now()
		for i, after := range []time.Duration{time.Second, 30 * time.Second, 150 * time.Second, 5*time.Minute - time.Second} {
			time.Sleep(time.Until(back.Add(after)))
			o.connect(i)
			if i == 1 {
				o.submit(tasks[1], ecsapi.SubmitTaskStateChangeInput{
					Status: new("STOPPED"), ExecutionStoppedAt: &wire.Timestamp{Time: ended},
					Containers: []ecsapi.ContainerStateChange{{ContainerName: new("app"), Status: new("STOPPED"), ExitCode: new(int32(9))}},
				})
			}
			o.runPending()
		}
		if got := o.task(tasks[4]); got.LastStatus != gantry.Running || got.DesiredStatus != gantry.Running {
			t.Errorf("given up %s after the start: %+v", time.Since(back), got)
		}
		time.Sleep(30 * time.Minute)
		o.runPending()
		time.Sleep(10 * time.Minute)

		for i, id := range tasks {
			got := o.task(id)
			switch i {
			case 1:
				code := got.Containers[0].ExitCode
				if got.StopCode != ecsapi.TaskStopCodeEssentialContainerExited || !got.ExecutionStoppedAt.Equal(ended) || code == nil || *code != 9 {
					t.Errorf("the one that ended at %s is told as %s, ended at %s: %+v", ended, got.StopCode, got.ExecutionStoppedAt, got.Containers)
				}
			case 4:
				want := "Container instance i4 is lost: its agent has been disconnected since " + back.UTC().Format(time.RFC3339)
				if got.StopCode != ecsapi.TaskStopCodeInfrastructureHealth || got.StoppedReason != want || got.StoppedAt.Sub(back).Round(time.Second) != 5*time.Minute {
					t.Errorf("the lost one is %s at %s: %q, want %q", got.LastStatus, got.StoppedAt, got.StoppedReason, want)
				}
			default:
				if got.LastStatus != gantry.Running || got.DesiredStatus != gantry.Running {
					t.Errorf("i%d's, which ran all the time, is %s: %s %q", i, got.LastStatus, got.StopCode, got.StoppedReason)
				}
			}
		}
		made := 0
		for range store.Tasks.All(o.store.View(), "prod/") {
			made++
		}
		if now := o.running(); len(now) != 5 || made != 7 {
			t.Errorf("%d tasks run, of %d that were ever there; 5 were, and two had to be replaced", len(now), made)
		}
	})
}

// An outage is a control plane on a memory store that comes and goes; its agents are
// what the test says that they tell.
type outage struct {
	*testing.T
	memory *store.Memory
	store  *store.Store
	ecs    *ecs.Service
	kill   func()
}

// up starts what works on the state, as control.make and control.run do.
func (o *outage) up() {
	st, err := o.memory.Open(context.Background())
	if err != nil {
		o.Fatal(err)
	}
	if err := acs.DisconnectAll(context.Background(), st, time.Now()); err != nil {
		o.Fatal(err)
	}
	led := ledger.New(st)
	o.store, o.ecs = st, ecs.New(ecs.Config{Place: gantry.Place{Region: "us-east-1", Account: "123456789012"}, Store: st, Ledger: led})
	services := &service.Controller{
		Store: st, Ledger: led, Settings: service.DefaultSettings, Now: time.Now,
		NewTaskID: newTaskID, NewUUID: uuid.NewString, NewSeed: func() uint64 { return 1 },
	}
	ends := &lifecycle.Controller{Store: st, Limits: lifecycle.Limits{Stopped: 24 * time.Hour, Inactive: 24 * time.Hour}, Loss: lifecycle.DefaultLossRule, Now: time.Now}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for _, run := range []func(context.Context) error{services.Run, ends.Run} {
		running.Go(func() {
			if err := run(ctx); !errors.Is(err, context.Canceled) {
				o.Error(err)
			}
		})
	}
	o.kill = sync.OnceFunc(func() {
		cancel()
		running.Wait()
		if err := st.Close(); err != nil {
			o.Error(err)
		}
	})
	o.Cleanup(o.kill)
	synctest.Wait()
}

func (o *outage) write(f func(tx *store.Tx)) {
	o.Helper()
	if _, err := o.store.Update(context.Background(), func(tx *store.Tx) error { f(tx); return nil }); err != nil {
		o.Fatal(err)
	}
	synctest.Wait()
}

// begin makes a service with a task on each of so many machines.
func (o *outage) begin(machines int) {
	o.write(func(tx *store.Tx) {
		store.Clusters.Put(tx, &gantry.Cluster{Name: "prod", Status: gantry.Active})
		store.Definitions.Put(tx, &gantry.Definition{Name: "web:1", Status: gantry.Active, Wire: &ecsapi.TaskDefinition{
			ContainerDefinitions: []ecsapi.ContainerDefinition{{Name: new("app"), Image: new("app"), Memory: new(int32(10)),
				VersionConsistency: ecsapi.VersionConsistencyDisabled}}}}) // no task waits for the first to resolve a tag
		for i := range machines {
			store.Instances.Put(tx, &gantry.Instance{ID: gantry.InstanceID(fmt.Sprint("i", i)), Cluster: "prod", Status: ecsapi.ContainerInstanceStatusActive,
				LaunchType: ecsapi.LaunchTypeEc2, Registered: gantry.Resources{CPU: 4096, Memory: 1000}})
		}
	})
	for i := range machines {
		o.connect(i)
	}
	o.write(func(tx *store.Tx) {
		s := &gantry.Service{Name: "web", Cluster: "prod", Status: gantry.ServiceActive, Scheduling: ecsapi.SchedulingStrategyReplica, DesiredCount: machines}
		d, _ := service.Begin(time.Now(), "d1", s, "1", nil)
		s.Deployment = d.ID
		store.Services.Put(tx, s)
		store.Deployments.Put(tx, d)
		store.ServiceRevisions.Put(tx, &gantry.ServiceRevision{ID: "1", Cluster: "prod", Service: "web", Definition: "web:1", LaunchType: ecsapi.LaunchTypeEc2})
	})
	o.runPending()
}

// connect records that a machine's agent is connected, as its session does.
func (o *outage) connect(i int) {
	o.write(func(tx *store.Tx) {
		next := &gantry.Connection{Cluster: "prod", Instance: gantry.InstanceID(fmt.Sprint("i", i)), Connected: true, Epoch: 1, Since: time.Now()}
		if c, ok := store.Connections.Get(tx, next.Key()); ok {
			next.Epoch = c.Epoch + 1
		}
		store.Connections.Put(tx, next)
	})
}

// submit is an agent's SubmitTaskStateChange.
func (o *outage) submit(id gantry.TaskID, in ecsapi.SubmitTaskStateChangeInput) {
	o.Helper()
	in.Cluster, in.Task = new("prod"), new(string(id))
	if err := errors.Join(o.ecs.SubmitTaskStateChanges(context.Background(), []ecsapi.SubmitTaskStateChangeInput{in})...); err != nil {
		o.Fatal(err)
	}
	synctest.Wait()
}

// runPending lets the agents that are connected run what they were given.
func (o *outage) runPending() {
	o.Helper()
	for t := range store.Tasks.All(o.store.View(), "prod/") {
		if c, _ := store.Connections.Get(o.store.View(), "prod/"+string(t.Instance)); t.LastStatus == gantry.Pending && c.Connected {
			o.submit(t.ID, ecsapi.SubmitTaskStateChangeInput{Status: new("RUNNING"),
				Containers: []ecsapi.ContainerStateChange{{ContainerName: new("app"), Status: new("RUNNING")}}})
		}
	}
}

// running are the tasks that run, by machine and then in the order of their ids.
func (o *outage) running() (ids []gantry.TaskID) {
	for i := range store.Instances.All(o.store.View(), "prod/") {
		for t := range store.TasksByInstance.All(o.store.View(), i.Key()) {
			if t.LastStatus == gantry.Running && t.DesiredStatus == gantry.Running && strings.HasPrefix(string(t.Group), "service:") {
				ids = append(ids, t.ID)
			}
		}
	}
	return ids
}

func (o *outage) task(id gantry.TaskID) *gantry.Task {
	o.Helper()
	t, ok := store.Tasks.Get(o.store.View(), "prod/"+string(id))
	if !ok {
		o.Fatalf("task %s is not known any more", id)
	}
	return t
}
