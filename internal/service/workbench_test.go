package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gantry"
	"gantry/internal/ledger"
	"gantry/internal/store"
	"gantry/internal/wire/ecsapi"
)

// A bench is a cluster "prod" on a memory store, with a controller and an agent that
// pretends: what is PENDING runs a second later, and what is to stop is STOPPED.
type bench struct {
	*testing.T
	store  *store.Store
	ledger *ledger.Ledger
	bad    map[gantry.DefinitionName]bool // tasks of these fail to start
	ids    int
	stop   context.CancelFunc
	ran    chan error
}

func newBench(t *testing.T, instances ...gantry.InstanceID) *bench {
	st, err := store.NewMemory().Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{T: t, store: st, ledger: ledger.New(st), bad: map[gantry.DefinitionName]bool{}}
	b.write(func(tx *store.Tx) {
		store.Clusters.Put(tx, &gantry.Cluster{Name: "prod", Status: gantry.Active})
		for n := range 3 {
			store.Definitions.Put(tx, &gantry.Definition{Name: gantry.DefinitionName(fmt.Sprintf("web:%d", n+1)), Status: gantry.Active,
				Wire: &ecsapi.TaskDefinition{ContainerDefinitions: []ecsapi.ContainerDefinition{
					{Name: new("app"), Image: new("app"), Cpu: new(int32(10)), Memory: new(int32(10))}}}})
		}
	})
	for _, id := range instances {
		b.register(id, 1000)
	}
	ctx, end := context.WithCancel(context.Background())
	agent := make(chan struct{})
	go func() { defer close(agent); b.pretend(ctx) }()
	b.control()
	t.Cleanup(func() {
		b.rest()
		end()
		<-agent
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// control starts a controller; rest stops it.
func (b *bench) control() {
	ctx, stop := context.WithCancel(context.Background())
	b.stop, b.ran = stop, make(chan error, 1)
	c := &Controller{
		Store: b.store, Ledger: b.ledger, Settings: DefaultSettings, Now: time.Now,
		NewTaskID: func() gantry.TaskID { return gantry.TaskID(b.id("t")) },
		NewUUID:   func() string { return b.id("u") },
		NewSeed:   func() uint64 { return 1 },
		Log:       slog.New(slog.NewTextHandler(b.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
	go func() { b.ran <- c.Run(ctx) }()
}

func (b *bench) rest() {
	b.stop()
	if err := <-b.ran; !errors.Is(err, context.Canceled) {
		b.Errorf("Run: %v", err)
	}
}

// id is called by one reconciler at a time: there is one service.
func (b *bench) id(kind string) string {
	b.ids++
	return fmt.Sprintf("%s%06d", kind, b.ids)
}

func (b *bench) write(f func(*store.Tx)) {
	b.Helper()
	if _, err := b.store.Update(context.Background(), func(tx *store.Tx) error { f(tx); return nil }); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) register(id gantry.InstanceID, memory int64) {
	b.write(func(tx *store.Tx) {
		store.Instances.Put(tx, &gantry.Instance{ID: id, Cluster: "prod", Status: ecsapi.ContainerInstanceStatusActive,
			LaunchType: ecsapi.LaunchTypeEc2, Registered: gantry.Resources{CPU: 4096, Memory: memory}})
		store.Connections.Put(tx, &gantry.Connection{Cluster: "prod", Instance: id, Connected: true})
	})
}

// pretend reports once a second.
func (b *bench) pretend(ctx context.Context) {
	for ctx.Err() == nil {
		b.write(func(tx *store.Tx) {
			for t := range store.Tasks.All(tx, "prod/") {
				next := *t
				switch {
				case t.LastStatus == gantry.Stopped:
					continue
				case t.DesiredStatus == gantry.Stopped:
					next.LastStatus, next.StoppedAt = gantry.Stopped, time.Now()
				case t.LastStatus == gantry.Pending && b.bad[t.Definition]:
					next.DesiredStatus, next.LastStatus, next.StoppedAt = gantry.Stopped, gantry.Stopped, time.Now()
					next.StopCode, next.StoppedReason = ecsapi.TaskStopCodeTaskFailedToStart, "Task failed to start"
				case t.LastStatus == gantry.Pending:
					next.LastStatus, next.StartedAt = gantry.Running, time.Now()
				default:
					continue
				}
				store.Tasks.Put(tx, &next)
				if next.LastStatus == gantry.Stopped {
					ledger.Release(tx, &next)
				}
			}
		})
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

// deploy brings the service to a revision of the task definition of the same number;
// change is what else is updated.
func (b *bench) deploy(revision string, change func(*gantry.Service)) {
	b.write(func(tx *store.Tx) {
		s := &gantry.Service{Name: "web", Cluster: "prod", Status: gantry.ServiceActive, Scheduling: ecsapi.SchedulingStrategyReplica}
		var previous *gantry.Deployment
		if have, ok := store.Services.Get(tx, "prod/web"); ok {
			s = store.Services.Clone(have)
			previous, _ = store.Deployments.Get(tx, "prod/web/"+string(s.Deployment))
		}
		change(s)
		next, superseded := Begin(time.Now(), gantry.DeploymentID("d"+revision), s, gantry.RevisionID(revision), previous)
		if superseded != nil {
			store.Deployments.Put(tx, superseded)
		}
		s.Deployment = next.ID
		store.Services.Put(tx, s)
		store.Deployments.Put(tx, next)
		store.ServiceRevisions.Put(tx, &gantry.ServiceRevision{ID: gantry.RevisionID(revision), Cluster: "prod", Service: "web",
			Definition: gantry.DefinitionName("web:" + revision), LaunchType: ecsapi.LaunchTypeEc2, Providers: s.Providers})
	})
}

func (b *bench) update(change func(*gantry.Service)) {
	b.write(func(tx *store.Tx) {
		if err := store.Services.Change(tx, "prod/web", func(s *gantry.Service) error { change(s); return nil }); err != nil {
			b.Error(err)
		}
	})
}

// after lets time pass.
func (b *bench) after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// tally is what tasks there are, by revision and status.
func (b *bench) tally() string {
	n := map[string]int{}
	for t := range store.Tasks.All(b.store.View(), "prod/") {
		if t.LastStatus != gantry.Stopped {
			n[string(t.Revision())+" "+string(t.LastStatus)]++
		}
	}
	return counted(n)
}

func (b *bench) want(what string) {
	b.Helper()
	if got := b.tally(); got != what {
		b.Errorf("%v: tasks are %s, want %s", time.Now().UTC(), got, what)
	}
}

func (b *bench) status() string {
	s, _ := store.Services.Get(b.store.View(), "prod/web")
	d, _ := store.Deployments.Get(b.store.View(), "prod/web/"+string(s.Deployment))
	return string(d.Status)
}

// told reports whether an event that contains text is among the service's.
func (b *bench) told(text string) bool {
	h, ok := store.ServiceHistories.Get(b.store.View(), "prod/web")
	return ok && slices.ContainsFunc(h.Events, func(e gantry.ServiceEvent) bool { return strings.Contains(e.Message, text) })
}

func (b *bench) history() *gantry.ServiceHistory {
	h, _ := store.ServiceHistories.Get(b.store.View(), "prod/web")
	return h
}

// watch holds every revision of the store against the bounds, until stop is called.
func (b *bench) watch(floor, ceiling int) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	tasks := map[string]*gantry.Task{}
	at := b.store.View()
	for t := range store.Tasks.All(at, "prod/") {
		tasks[t.Key()] = t
	}
	go func() {
		defer close(done)
		for changes := range b.store.Follow(ctx, at.Revision()) {
			for _, c := range changes {
				if _, t, ok := store.Tasks.Of(c); ok {
					tasks[c.Key] = t
				}
			}
			living, running := 0, 0
			for _, t := range tasks {
				if t.LastStatus != gantry.Stopped {
					living++
				}
				if t.LastStatus == gantry.Running && t.DesiredStatus == gantry.Running {
					running++
				}
			}
			if running < floor || living > ceiling {
				b.Errorf("%d tasks run and %d are not STOPPED, the floor is %d and the ceiling %d", running, living, floor, ceiling)
			}
		}
	}()
	return func() { synctest.Wait(); cancel(); <-done }
}
