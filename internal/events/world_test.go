package events

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gantry"
	"gantry/internal/store"
	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"
	"gantry/internal/wire/eventsapi"
	"gantry/internal/wire/logsapi"
)

// shower shows what the tests look at.
type shower struct{}

func (shower) ShowTask(_ store.Reader, t *gantry.Task) *ecsapi.Task {
	out := &ecsapi.Task{
		TaskArn: new(string(here.Task(t.Cluster, t.ID))), ClusterArn: new(string(here.Cluster(t.Cluster))), LastStatus: new(string(t.LastStatus)),
		DesiredStatus: new(string(t.DesiredStatus)), Version: new(t.Version), HealthStatus: ecsapi.HealthStatusHealthy, Tags: []ecsapi.Tag{},
		StopCode: t.StopCode, Attachments: []ecsapi.Attachment{{Type: new("ElasticNetworkInterface")}},
	}
	if !t.StoppedAt.IsZero() {
		out.StoppedAt = wire.At(t.StoppedAt)
	}
	if !t.CreatedAt.IsZero() {
		out.CreatedAt = wire.At(t.CreatedAt)
	}
	for _, c := range t.Containers {
		out.Containers = append(out.Containers, ecsapi.Container{Name: new(c.Name), ExitCode: c.ExitCode, HealthStatus: c.Health})
	}
	return out
}

func (shower) ShowInstance(_ *store.Snapshot, i *gantry.Instance, c *gantry.Connection, r *gantry.Reservation) *ecsapi.ContainerInstance {
	return &ecsapi.ContainerInstance{
		ContainerInstanceArn: new(string(here.Instance(i.Cluster, i.ID))), Status: new(string(i.Status)),
		AgentConnected: new(c != nil && c.Connected), Version: new(i.Version + wire.Value(r).Version), RegisteredAt: wire.At(i.RegisteredAt),
	}
}

// A world is an engine on a store in memory, with targets that do what a test says.
type world struct {
	t      *testing.T
	memory *store.Memory
	stores []*store.Store
	store  *store.Store
	ops    *eventsapi.Operations
	dir    string
	e      *Engine
	stop   func()

	mu     sync.Mutex
	groups map[string]bool             // the log groups that exist
	logged map[string][]map[string]any // by group and stream
	runs   []*ecsapi.RunTaskInput      // RunTask's
	run    func(*ecsapi.RunTaskInput) (*ecsapi.RunTaskOutput, error)
	calls  []*http.Request
	bodies []string
	answer func(body string) (int, error)
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, memory: store.NewMemory(), dir: t.TempDir(), groups: map[string]bool{"all": true}, logged: map[string][]map[string]any{}}
	t.Cleanup(func() {
		if w.stop != nil {
			w.stop()
		}
		for _, st := range w.stores {
			st.Close()
		}
	})
	w.reopen()
	w.start()
	return w
}

// reopen opens the store, as another server would.
func (w *world) reopen() {
	st, err := w.memory.Open(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	w.stores = append(w.stores, st)
	w.store, w.ops = st, NewOperations(APIConfig{Place: here, Store: st})
}

// start starts the engine, which reads what the one before has left.
func (w *world) start() {
	w.t.Helper()
	e, err := Open(Config{
		Store: w.store, Place: here, Dir: w.dir, Seed: "test", Show: shower{}, HTTP: &http.Client{Transport: w},
		CreateLogStream: w.createLogStream, PutLogEvents: w.putLogEvents, RunTask: w.runTask, StopTask: w.stopTask,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- e.Run(ctx) }()
	w.e = e
	w.stop = func() {
		cancel()
		if err := <-ran; !errors.Is(err, context.Canceled) {
			w.t.Errorf("Run: %v", err)
		}
		if err := e.Close(); err != nil {
			w.t.Error(err)
		}
		w.stop = nil
	}
	synctest.Wait()
}

func (w *world) write(f func(*store.Tx)) {
	w.t.Helper()
	if _, err := w.store.Update(w.t.Context(), func(tx *store.Tx) error { f(tx); return nil }); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) createLogStream(_ context.Context, in *logsapi.CreateLogStreamInput) (*logsapi.CreateLogStreamOutput, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.groups[*in.LogGroupName] {
		return nil, logsapi.NewResourceNotFoundException("The specified log group does not exist.")
	}
	w.logged[*in.LogGroupName+" "+*in.LogStreamName] = []map[string]any{}
	return &logsapi.CreateLogStreamOutput{}, nil
}

func (w *world) putLogEvents(_ context.Context, in *logsapi.PutLogEventsInput) (*logsapi.PutLogEventsOutput, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	key := *in.LogGroupName + " " + *in.LogStreamName
	if w.logged[key] == nil {
		return nil, logsapi.NewResourceNotFoundException("The specified log stream does not exist.")
	}
	for i, e := range in.LogEvents {
		if i > 0 && *e.Timestamp < *in.LogEvents[i-1].Timestamp {
			return nil, logsapi.NewInvalidParameterException("not in order")
		}
		var event map[string]any
		if err := json.Unmarshal([]byte(*e.Message), &event); err != nil {
			return nil, logsapi.NewInvalidParameterException("not JSON")
		}
		w.logged[key] = append(w.logged[key], event)
	}
	return &logsapi.PutLogEventsOutput{}, nil
}

func (w *world) runTask(_ context.Context, in *ecsapi.RunTaskInput) (*ecsapi.RunTaskOutput, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.runs = append(w.runs, new(*in))
	return w.run(in)
}

func (w *world) stopTask(ctx context.Context, in *ecsapi.StopTaskInput) (*ecsapi.StopTaskOutput, error) {
	_, err := w.store.Update(ctx, func(tx *store.Tx) error {
		return store.Tasks.Change(tx, *in.Cluster+"/"+*in.Task, func(t *gantry.Task) error {
			t.LastStatus, t.DesiredStatus, t.StoppedReason = gantry.Stopped, gantry.Stopped, *in.Reason
			t.Version++
			return nil
		})
	})
	return &ecsapi.StopTaskOutput{}, err
}

// RoundTrip is the network.
func (w *world) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	code, err := w.answer(string(body))
	if err != nil {
		return nil, err
	}
	w.calls, w.bodies = append(w.calls, r), append(w.bodies, string(body))
	return &http.Response{StatusCode: code, Status: http.StatusText(code), Body: http.NoBody, Request: r}, nil
}

// called is what the network has carried so far, and ran what RunTask was asked for.
func (w *world) called() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.bodies)
}

func (w *world) ran() []*ecsapi.RunTaskInput {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.runs)
}

// rule puts a rule with one target.
func (w *world) rule(rule *eventsapi.PutRuleInput, target eventsapi.Target) {
	w.t.Helper()
	if _, err := w.ops.PutRule(w.t.Context(), rule); err != nil {
		w.t.Fatal(err)
	}
	if target.Id == nil {
		target.Id = new("t")
	}
	if _, err := w.ops.PutTargets(w.t.Context(), &eventsapi.PutTargetsInput{Rule: rule.Name, Targets: []eventsapi.Target{target}}); err != nil {
		w.t.Fatal(err)
	}
	synctest.Wait()
}

func groupARN(name string) *string {
	return new("arn:aws:logs:us-east-1:123456789012:log-group:" + name)
}

// everything has every event logged in the group "all".
func (w *world) everything() {
	w.rule(&eventsapi.PutRuleInput{Name: new("all"), EventPattern: new(`{"account": ["123456789012"]}`)}, eventsapi.Target{Arn: groupARN("all")})
}

// events are those of a stream so far.
func (w *world) events(group, stream string) []map[string]any {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.logged[group+" "+stream])
}

func (w *world) all() []map[string]any { return w.events("all", "all/t") }

func detail(e map[string]any) map[string]any { return e["detail"].(map[string]any) }

// post sends an event of a user's own.
func (w *world) post(kind, body string) string {
	w.t.Helper()
	out, err := w.ops.PutEvents(w.t.Context(), &eventsapi.PutEventsInput{Entries: []eventsapi.PutEventsRequestEntry{
		{Source: new("my.app"), DetailType: &kind, Detail: &body},
	}})
	if err != nil || *out.FailedEntryCount != 0 {
		w.t.Fatalf("%v %+v", err, out)
	}
	return *out.Entries[0].EventId
}

// pass lets time go by.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}
