package ecs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gantry"
	"gantry/internal/api"
	"gantry/internal/ledger"
	"gantry/internal/store"
	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"
)

// testPlace is where the tests' gantry believes itself to be.
var testPlace = gantry.Place{Region: "us-east-1", Account: "123456789012"}

// A world is a service on a memory store, with ids and a clock that can be told.
type world struct {
	t   testing.TB
	ctx context.Context
	*Service
	ops *ecsapi.Operations
	// clock is the time, in milliseconds; it stands still unless moved.
	clock atomic.Int64
	ids   atomic.Int64
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, ctx: api.WithPrincipal(t.Context(), &gantry.Principal{AccessKeyID: "AKIAROOT", Kind: gantry.RootPrincipal})}
	w.clock.Store(time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC).UnixMilli())
	db, err := store.NewMemory().Open(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	w.Service = New(Config{
		Place: testPlace, Store: db, Ledger: ledger.New(db), Zone: "local-1a",
		Endpoints: func(context.Context) Endpoints {
			return Endpoints{ACS: "http://127.0.0.1:4747/acs/", TCS: "http://127.0.0.1:4747/tcs/"}
		},
		Now:     func() time.Time { return time.UnixMilli(w.clock.Load()) },
		NewID:   func() string { return fmt.Sprintf("%032x", w.ids.Add(1)) },
		NewUUID: func() string { return fmt.Sprintf("00000000-0000-4000-8000-%012x", w.ids.Add(1)) },
		NewSeed: func() uint64 { return 1 },
	})
	w.ops = w.Operations()
	return w
}

// do calls an operation the way the wire does, with its generated checks.
func do[In, Out any](w *world, op func(context.Context, *In) (*Out, error), in *In) (*Out, error) {
	if c, ok := any(in).(wire.Checker); ok {
		if err := c.Check(); err != nil {
			return nil, err
		}
	}
	out, err := op(w.ctx, in)
	if described, ok := any(out).(*ecsapi.DescribeServicesOutput); ok && err == nil {
		for _, raw := range described.EncodedServices { // as clients see them
			var s ecsapi.Service
			if err := json.Unmarshal(raw, &s); err != nil {
				w.t.Fatalf("%v: %s", err, raw)
			}
			described.Services = append(described.Services, s)
		}
	}
	return out, err
}

// call is do for later, of which only the error matters.
func call[In, Out any](w *world, op func(context.Context, *In) (*Out, error), in *In) func() error {
	return func() error { _, err := do(w, op, in); return err }
}

// must calls an operation that has to succeed.
func must[In, Out any](w *world, op func(context.Context, *In) (*Out, error), in *In) *Out {
	w.t.Helper()
	out, err := do(w, op, in)
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

// wantRefusal wants the exception with the given text, which starts with its name
// and, ending in "…", is only a beginning.
func (w *world) wantRefusal(err error, want string) {
	w.t.Helper()
	if err == nil {
		w.t.Fatalf("accepted; want %s", want)
	}
	if _, ok := errors.AsType[*wire.Error](err); !ok {
		w.t.Fatalf("%v is not an AWS exception; want %s", err, want)
	}
	if got := err.Error(); got != want && !(strings.HasSuffix(want, "…") && strings.HasPrefix(got, strings.TrimSuffix(want, "…"))) {
		w.t.Fatalf("refused with\n  %s\nwant\n  %s", got, want)
	}
}

// cluster makes a cluster.
func (w *world) makeCluster(name string) {
	w.t.Helper()
	must(w, w.ops.CreateCluster, &ecsapi.CreateClusterInput{ClusterName: new(name)})
}

// define registers a task definition of one container with so much CPU and memory.
func (w *world) define(family string, cpu, memory int32, change ...func(*ecsapi.RegisterTaskDefinitionInput)) string {
	w.t.Helper()
	in := &ecsapi.RegisterTaskDefinitionInput{
		Family:               new(family),
		ContainerDefinitions: []ecsapi.ContainerDefinition{{Name: new("web"), Image: new("gantry/sample-web"), Cpu: new(cpu), Memory: new(memory)}},
	}
	for _, f := range change {
		f(in)
	}
	return *must(w, w.ops.RegisterTaskDefinition, in).TaskDefinition.TaskDefinitionArn
}

// join registers a container instance and connects its agent.
func (w *world) join(cluster string, cpu, memory int32, attributes ...ecsapi.Attribute) gantry.InstanceID {
	w.t.Helper()
	out := must(w, w.ops.RegisterContainerInstance, &ecsapi.RegisterContainerInstanceInput{
		Cluster:    new(cluster),
		Attributes: append([]ecsapi.Attribute{{Name: new("ecs.cpu-architecture"), Value: new("x86_64")}, {Name: new("ecs.os-type"), Value: new("linux")}}, attributes...),
		TotalResources: []ecsapi.Resource{
			{Name: new("CPU"), Type: new("INTEGER"), IntegerValue: new(cpu)},
			{Name: new("MEMORY"), Type: new("INTEGER"), IntegerValue: new(memory)},
			{Name: new("PORTS"), Type: new("STRINGSET"), StringSetValue: []string{"22", "51678"}},
			{Name: new("PORTS_UDP"), Type: new("STRINGSET"), StringSetValue: []string{}},
		},
	})
	arn := *out.ContainerInstance.ContainerInstanceArn
	id := gantry.InstanceID(arn[strings.LastIndexByte(arn, '/')+1:])
	w.connect(cluster, id, true)
	return id
}

// connect is what the ACS door writes when an agent's session begins or ends.
func (w *world) connect(cluster string, id gantry.InstanceID, connected bool) {
	w.t.Helper()
	w.update(func(tx *store.Tx) error {
		store.Connections.Put(tx, &gantry.Connection{Cluster: gantry.ClusterName(cluster), Instance: id, Connected: connected, Epoch: 1, AgentVersion: "1.105.1"})
		return nil
	})
}

func (w *world) update(f func(*store.Tx) error) {
	w.t.Helper()
	if _, err := w.store.Update(w.ctx, f); err != nil {
		w.t.Fatal(err)
	}
}

// run starts tasks that all find a place.
func (w *world) run(cluster, definition string, count int32) []ecsapi.Task {
	w.t.Helper()
	out := must(w, w.ops.RunTask, &ecsapi.RunTaskInput{Cluster: new(cluster), TaskDefinition: new(definition), Count: new(count)})
	if len(out.Failures) > 0 {
		w.t.Fatalf("RunTask: failure %s: %s", *out.Failures[0].Reason, wire.Value(out.Failures[0].Detail))
	}
	return out.Tasks
}

// tell reports a task's status as an agent does.
func (w *world) tell(cluster, task, status string, containers ...ecsapi.ContainerStateChange) {
	w.t.Helper()
	must(w, w.ops.SubmitTaskStateChange, &ecsapi.SubmitTaskStateChangeInput{
		Cluster: new(cluster), Task: new(task), Status: new(status), Containers: containers,
	})
}

// task is a task as the store has it.
func (w *world) task(arn string) *gantry.Task {
	w.t.Helper()
	parsed, err := gantry.ParseARN(arn)
	if err != nil {
		w.t.Fatal(err)
	}
	t, ok := store.Tasks.Get(w.store.View(), parsed.Path)
	if !ok {
		w.t.Fatalf("there is no task %s", arn)
	}
	return t
}

// reservation is what the store says is taken on an instance.
func (w *world) reservation(cluster string, id gantry.InstanceID) gantry.Reservation {
	r, ok := store.Reservations.Get(w.store.View(), cluster+"/"+string(id))
	if !ok {
		return gantry.Reservation{}
	}
	return *r
}
