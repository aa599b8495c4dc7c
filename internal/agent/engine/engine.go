package engine

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"gantry"
	"gantry/internal/wire/acsapi"
	"golang.org/x/sync/semaphore"
	"golang.org/x/sync/singleflight"
)

// Config is what an Engine does not learn from payloads.
type Config struct {
	Identity    Identity
	Capacity    Capacity
	Rules       Rules
	StopTimeout time.Duration // where a container names none
	LeastDisk   uint64        // bytes that must be free before a new task starts
	Boot        string        // tells one boot of the machine from the next
	Logger      *slog.Logger
}

// pullsAtOnce bounds how many images are pulled at the same time: more would only share the line.
const pullsAtOnce = 8

// An Engine runs the tasks of one container instance. Its methods may be called from several goroutines.
type Engine struct {
	cfg     Config
	parts   Parts
	journal *Journal
	log     *slog.Logger

	ledger    *ledger
	pulls     singleflight.Group // by image
	pullSlots *semaphore.Weighted

	mu         sync.Mutex
	workers    map[string]*worker // guarded by mu; by task ARN
	byMetadata map[string]string  // guarded by mu; container's metadata id → task ARN
	order      int64              // guarded by mu; of the latest arrival
	start      func(*worker)      // guarded by mu; set while Run runs

	changes, healthChanges changes
}

// Open reads the journal, asks the runtime what it still has, and so knows how far each task is. Nothing is done to
// the tasks before Run.
func Open(ctx context.Context, cfg Config, parts Parts, journal *Journal) (*Engine, error) {
	e := &Engine{
		cfg: cfg, parts: parts, journal: journal, log: cfg.Logger,
		ledger:    newLedger(cfg.Capacity),
		pullSlots: semaphore.NewWeighted(pullsAtOnce),
		workers:   map[string]*worker{}, byMetadata: map[string]string{},
	}
	if e.log == nil {
		e.log = slog.Default()
	}
	if err := e.load(); err != nil {
		return nil, err
	}
	if err := e.takeUp(ctx); err != nil {
		return nil, err
	}
	return e, nil
}

// load makes a worker for each task of the journal.
func (e *Engine) load() error {
	payloads := map[string]*acsapi.Task{}
	err := e.journal.each(bucketPayloads, func(key string, value []byte) error {
		var p acsapi.Task
		payloads[key] = &p
		return json.Unmarshal(value, &p)
	})
	if err != nil {
		return fmt.Errorf("load tasks: %w", err)
	}
	err = e.journal.each(bucketTasks, func(key string, value []byte) error {
		var t Task
		if err := json.Unmarshal(value, &t); err != nil {
			return err
		}
		if payloads[key] == nil {
			return errors.New("its payload is missing")
		}
		def, err := ReadDefinition(payloads[key], e.cfg.StopTimeout)
		if err != nil {
			return err
		}
		e.add(newWorker(e, def, &t, key))
		return nil
	})
	if err != nil {
		return fmt.Errorf("load tasks: %w", err)
	}
	return nil
}

// add makes a task known; the caller holds mu, or is alone.
func (e *Engine) add(w *worker) {
	e.workers[w.def.ARN] = w
	if w.task.Desired != gantry.Stopped && !w.task.Admitted {
		e.ledger.await(candidate{arn: w.def.ARN, needs: w.needs, order: w.task.Order, wake: w.mail.wakeUp})
	}
	e.order = max(e.order, w.task.Order)
	for i := range w.task.Containers {
		e.byMetadata[w.task.Containers[i].MetadataID] = w.def.ARN
	}
}

// drop forgets a task that is gone.
func (e *Engine) drop(w *worker) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.workers, w.def.ARN)
	for i := range w.task.Containers {
		delete(e.byMetadata, w.task.Containers[i].MetadataID)
	}
	e.changes.tell()
}

// Run carries the tasks on until ctx ends. Containers then run on, and the next Open takes them up.
func (e *Engine) Run(ctx context.Context) error {
	var running sync.WaitGroup
	start := func(w *worker) { running.Go(func() { w.run(ctx) }) }
	e.mu.Lock()
	e.start = start
	for _, w := range e.workers {
		start(w)
	}
	e.mu.Unlock()

	<-ctx.Done()
	e.mu.Lock()
	e.start = nil
	e.mu.Unlock()
	running.Wait()
	return nil
}

// A BadTask is a task of a payload that could not be understood.
type BadTask struct {
	ARN string
	Err error
}

// Accept takes tasks from a payload: new ones are begun, a known one is an update of its desired status. What is wanted
// STOPPED is handled before what is to be started. When it returns without an error all but the bad ones are on disk.
func (e *Engine) Accept(ctx context.Context, tasks []acsapi.Task) (bad []BadTask, err error) {
	var waits []func() error
	stops, starts := []acsapi.Task{}, []acsapi.Task{}
	for _, t := range tasks {
		if desired(&t) == gantry.Stopped {
			stops = append(stops, t)
		} else {
			starts = append(starts, t)
		}
	}
	for _, t := range slices.Concat(stops, starts) {
		wait, err := e.accept(ctx, t)
		if err != nil {
			bad = append(bad, BadTask{ARN: t.Arn, Err: err})
			continue
		}
		waits = append(waits, wait)
	}
	for _, wait := range waits { // in the order of the payload
		if err := wait(); err != nil {
			return bad, fmt.Errorf("accept tasks: %w", err)
		}
	}
	return bad, nil
}

// accept takes one task; wait returns when it is on disk, and only then is it begun.
func (e *Engine) accept(ctx context.Context, payload acsapi.Task) (wait func() error, err error) {
	e.mu.Lock()
	known := e.workers[payload.Arn]
	e.mu.Unlock()
	if known != nil {
		known.tellEndAgain()
		if desired(&payload) != gantry.Stopped {
			return func() error { return nil }, nil
		}
		return known.stop(ctx), nil
	}
	withoutKeys(&payload)
	def, err := ReadDefinition(&payload, e.cfg.StopTimeout)
	if err != nil {
		return nil, err
	}
	task, err := e.newTask(def)
	if err != nil {
		return nil, err
	}
	w := newWorker(e, def, task, taskKey(task.Order, def.ARN))
	written := e.journal.begin(
		&entry{recordID: recordID{bucketPayloads, w.key}, value: def.Task},
		&entry{recordID: recordID{bucketTasks, w.key}, value: w.seen.Load()})
	return func() error {
		if err := written(); err != nil {
			return err
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.workers[def.ARN] != nil {
			return nil // twice in one payload
		}
		e.add(w)
		if e.start != nil {
			e.start(w)
		}
		e.changes.tell()
		return nil
	}, nil
}

// withoutKeys takes the secrets of roles out of what is about to be written to disk: after a restart the control plane
// sends them again.
func withoutKeys(t *acsapi.Task) {
	for _, role := range []**acsapi.RoleCredentials{&t.RoleCredentials, &t.ExecutionRoleCredentials} {
		if *role != nil {
			*role = &acsapi.RoleCredentials{CredentialsID: (*role).CredentialsID, RoleArn: (*role).RoleArn}
		}
	}
}

// newTask chooses the names of what will be made for a task.
func (e *Engine) newTask(def *Definition) (*Task, error) {
	e.mu.Lock()
	e.order++
	t := &Task{Desired: desired(def.Task), Order: e.order, Boot: e.cfg.Boot}
	e.mu.Unlock()
	if r := def.Refusal; r != nil && r.Container == "" {
		t.Reason = r.Reason
	}
	for i := range def.Containers {
		// A runtime id as Docker's, a UUID without hyphens, and the tail of a container's name.
		var random [32 + 16 + 10]byte
		if _, err := io.ReadFull(e.parts.Random, random[:]); err != nil {
			return nil, fmt.Errorf("choose container ids: %w", err)
		}
		name := def.Containers[i].Name
		t.Containers = append(t.Containers, Container{
			Name:       name,
			RuntimeID:  hex.EncodeToString(random[:32]),
			MetadataID: hex.EncodeToString(random[32:48]),
			DockerName: strings.Join([]string{"ecs", def.Task.Family, def.Task.Version, name, hex.EncodeToString(random[48:])}, "-"),
		})
	}
	return t, nil
}

// A View is what a task looks like at one moment. It must not be changed.
type View struct {
	Def  *Definition
	Task *Task
}

// Tasks is every task the agent knows, in the order of their arrival.
func (e *Engine) Tasks() []View {
	return slices.SortedFunc(e.All(), func(a, b View) int { return int(a.Task.Order - b.Task.Order) })
}

// All is every task the agent knows, in no order.
func (e *Engine) All() iter.Seq[View] {
	return func(yield func(View) bool) {
		e.mu.Lock()
		workers := slices.Collect(maps.Values(e.workers))
		e.mu.Unlock()
		for _, w := range workers {
			if !yield(w.view()) {
				return
			}
		}
	}
}

// Task finds a task by its ARN.
func (e *Engine) Task(arn string) (View, bool) {
	e.mu.Lock()
	w := e.workers[arn]
	e.mu.Unlock()
	if w == nil {
		return View{}, false
	}
	return w.view(), true
}

// TaskOf finds the task of the container that has a metadata id.
func (e *Engine) TaskOf(metadataID string) (View, bool) {
	e.mu.Lock()
	arn := e.byMetadata[metadataID]
	e.mu.Unlock()
	return e.Task(arn)
}

// Stop wants tasks stopped; those it does not know are left out. It returns when that is on disk.
func (e *Engine) Stop(ctx context.Context, arns []string) error {
	var waits []func() error
	for _, arn := range arns {
		e.mu.Lock()
		w := e.workers[arn]
		e.mu.Unlock()
		if w != nil {
			waits = append(waits, w.stop(ctx))
		}
	}
	for _, wait := range waits {
		if err := wait(); err != nil {
			return fmt.Errorf("stop tasks: %w", err)
		}
	}
	return nil
}

// TellEndAgain says that the control plane speaks of tasks as if they were not over: of those that are, it is told again.
// It may have been restored from a backup that is older than their end. Tasks that are not known are left out.
func (e *Engine) TellEndAgain(arns []string) {
	for _, arn := range arns {
		e.mu.Lock()
		w := e.workers[arn]
		e.mu.Unlock()
		if w != nil {
			w.tellEndAgain()
		}
	}
}

// StopAll wants every task stopped and returns when no container runs and nothing but records is left. Run must be
// running.
func (e *Engine) StopAll(ctx context.Context) error {
	for {
		var arns []string
		left := 0
		changed := e.Changed()
		for v := range e.All() {
			if !v.Task.Released {
				left++
			}
			if v.Task.Desired != gantry.Stopped {
				arns = append(arns, v.Def.ARN)
			}
		}
		if left == 0 {
			return nil
		}
		if err := e.Stop(ctx, arns); err != nil {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("stop all tasks: %d still stopping: %w", left, ctx.Err())
		}
	}
}

// AllTold returns when the control plane knows how every stopped task ended. Run must be running.
func (e *Engine) AllTold(ctx context.Context) error {
	for {
		left := 0
		changed := e.Changed()
		for v := range e.All() {
			if t := v.Task; t.Desired == gantry.Stopped && t.Told.Status != gantry.Stopped && !t.Told.GivenUp {
				left++
			}
		}
		if left == 0 {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("tell how tasks ended: %d are not told: %w", left, ctx.Err())
		}
	}
}

// Nudge makes every waiting submission try again now: the control plane is back.
func (e *Engine) Nudge() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, w := range e.workers {
		w.mail.put(w.retryNow)
	}
}

// Changed is closed at the next change of any task. Whoever looks at the tasks after taking it misses none.
func (e *Engine) Changed() <-chan struct{} { return e.changes.next() }

// HealthChanged is closed at the next change of any container's health, as [Engine.Changed] is.
func (e *Engine) HealthChanged() <-chan struct{} { return e.healthChanges.next() }
