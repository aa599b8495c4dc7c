// Package events tells what happens in ECS as EventBridge does: it makes an event of every step of a task, a container
// instance, a service and a deployment, finds the rules that look for it, and hands it to their targets. It fires
// schedules, answers the EventBridge API, and keeps the history of tasks that have stopped.
//
// What happened is what the store's revisions say, followed in order from a recorded one, so that each step is told once,
// also those of an outage. What PutEvents takes and what a schedule fires goes through the store as well, so that there is
// one order and one way:
//
//	store ──follow──► Teller (this file) ──rules──► record ──follow──► deliverers, one for each target
//	                        └── STOPPED ──► history
//
// The record is an event on disk for each that some rule looks for; it is the queue of every target, whose place in it is
// a cursor in the store. A target that is down is tried again and again, in order, while the others go on.
//
// An event's id is made from where it stands in the store's history: told again after a crash it has the same.
package events

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"gantry"
	"gantry/internal/store"
	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"
)

// The types of ECS's events, and of those of schedules.
const (
	taskStateChange       = "ECS Task State Change"
	instanceStateChange   = "ECS Container Instance State Change"
	serviceAction         = "ECS Service Action"
	deploymentStateChange = "ECS Deployment State Change"
	hookStateChange       = "ECS Hook State Change"
	scheduledEvent        = "Scheduled Event"

	sourceECS       = "aws.ecs"
	sourceSchedules = "aws.events"
)

// A Shower shows tasks and container instances as ECS describes them.
type Shower interface {
	ShowTask(store.Reader, *gantry.Task) *ecsapi.Task
	// ShowInstance shows an instance with its connection and its reservation, nil where it has none.
	ShowInstance(*store.Snapshot, *gantry.Instance, *gantry.Connection, *gantry.Reservation) *ecsapi.ContainerInstance
}

// A Happening is something to tell, before it is known whether anybody asks for it.
type Happening struct {
	Source, Type string
	Resources    []string
	// At is when it happened; zero where nothing says so.
	At time.Time
	// ID is empty where it is to be made from the happening's place.
	ID string
	// Detail is made when somebody asks.
	Detail func() (json.RawMessage, error)
	// Rule is the only rule that is told; empty for every rule that looks for it.
	Rule string
	// Ended is the task that has stopped with this; nil otherwise.
	Ended *gantry.Task
}

// A Teller says what a change of the store means. It has to be told of every change in order, by one goroutine.
type Teller struct {
	Place gantry.Place
	Show  Shower
	// machines are the container instances as far as the changes have come, by key.
	machines map[string]*machine
}

// A machine is what the three records of a container instance said last.
type machine struct {
	instance    *gantry.Instance
	connection  *gantry.Connection
	reservation *gantry.Reservation
}

// Tell says what a change means. Snap is the state at that revision or a later one, for what no change has told yet.
func (t *Teller) Tell(snap *store.Snapshot, c store.Change) []Happening {
	if before, after, ok := store.Tasks.Of(c); ok {
		return t.task(snap, before, after)
	}
	if before, after, ok := store.Instances.Of(c); ok {
		if after == nil {
			delete(t.machines, c.Key) // forgotten; its end was told before
			return nil
		}
		m := t.machine(snap, c.Key)
		if before == nil {
			*m = machine{} // what snap knows of it beyond its registration came later
		}
		m.instance = after
		return t.instance(snap, m, time.Time{})
	}
	if before, after, ok := store.Connections.Of(c); ok && after != nil {
		m := t.machine(snap, c.Key)
		m.connection = after
		if before != nil && before.Connected == after.Connected && before.Epoch == after.Epoch {
			return nil
		}
		return t.instance(snap, m, after.Since)
	}
	if before, after, ok := store.Reservations.Of(c); ok && after != nil {
		m := t.machine(snap, c.Key)
		m.reservation = after
		if after.Version == wire.Value(before).Version {
			return nil
		}
		return t.instance(snap, m, time.Time{})
	}
	if before, after, ok := store.ServiceHistories.Of(c); ok && after != nil {
		return t.service(before, after)
	}
	if before, after, ok := store.Deployments.Of(c); ok && after != nil {
		return t.hooks(before, after)
	}
	if before, after, ok := store.PostedEvents.Of(c); ok && before == nil {
		return []Happening{{Source: after.Source, Type: after.DetailType, Resources: after.Resources, At: after.At, ID: after.ID,
			Detail: func() (json.RawMessage, error) { return after.Detail, nil }}}
	}
	if _, after, ok := store.EventFirings.Of(c); ok && after != nil {
		return []Happening{{Source: sourceSchedules, Type: scheduledEvent, Resources: []string{string(t.Place.EventRule(after.Rule))}, At: after.At, Rule: after.Rule,
			Detail: func() (json.RawMessage, error) { return json.RawMessage("{}"), nil }}}
	}
	return nil
}

// task tells of every change of a task that a user can see.
func (t *Teller) task(snap *store.Snapshot, before, after *gantry.Task) []Happening {
	if after == nil || before != nil && before.Version == after.Version {
		return nil
	}
	h := Happening{
		Source: sourceECS, Type: taskStateChange, Resources: []string{string(t.Place.Task(after.Cluster, after.ID))},
		At: latest(before, after), Detail: func() (json.RawMessage, error) {
			return taskDetail(t.Show.ShowTask(snap, after), latest(before, after))
		},
	}
	if after.LastStatus == gantry.Stopped {
		h.Ended = after
	}
	return []Happening{h}
}

// latest is the newest time that a change has written into a task; zero where it has written none.
func latest(before, after *gantry.Task) (at time.Time) {
	had := times(before)
	for i, now := range times(after) {
		if now.After(at) && !now.Equal(had[i]) {
			at = now
		}
	}
	return at
}

func times(t *gantry.Task) [8]time.Time {
	if t == nil {
		return [8]time.Time{}
	}
	return [8]time.Time{t.CreatedAt, t.ConnectivityAt, t.PullStartedAt, t.PullStoppedAt, t.StartedAt, t.StoppingAt, t.ExecutionStoppedAt, t.StoppedAt}
}

// machine is what is known of a container instance, from snap where no change has told.
func (t *Teller) machine(snap *store.Snapshot, key string) *machine {
	if m := t.machines[key]; m != nil {
		return m
	}
	m := new(machine)
	m.instance, _ = store.Instances.Get(snap, key)
	m.connection, _ = store.Connections.Get(snap, key)
	m.reservation, _ = store.Reservations.Get(snap, key)
	if t.machines == nil {
		t.machines = map[string]*machine{}
	}
	t.machines[key] = m
	return m
}

func (t *Teller) instance(snap *store.Snapshot, m *machine, at time.Time) []Happening {
	if m.instance == nil {
		return nil
	}
	then := *m // the next change is not this one's
	arn := string(t.Place.Instance(then.instance.Cluster, then.instance.ID))
	cluster := string(t.Place.Cluster(then.instance.Cluster))
	return []Happening{{Source: sourceECS, Type: instanceStateChange, Resources: []string{arn}, At: at, Detail: func() (json.RawMessage, error) {
		return instanceDetail(t.Show.ShowInstance(snap, then.instance, then.connection, then.reservation), cluster, at)
	}}}
}

// service tells the events that a service's history has got, the oldest first.
func (t *Teller) service(before, after *gantry.ServiceHistory) (out []Happening) {
	var had []gantry.ServiceEvent
	if before != nil {
		had = before.Events
	}
	for _, e := range slices.Backward(after.Events) {
		if e.Name == "" || slices.ContainsFunc(had, func(old gantry.ServiceEvent) bool { return old.ID == e.ID }) {
			continue
		}
		h := Happening{
			Source: sourceECS, Type: serviceAction, Resources: []string{string(t.Place.Service(after.Cluster, string(after.Service)))}, At: e.At,
			Detail: func() (json.RawMessage, error) { return actionDetail(t.Place, after, e) },
		}
		if strings.HasPrefix(e.Name, "SERVICE_DEPLOYMENT_") {
			h.Type = deploymentStateChange
			h.Detail = func() (json.RawMessage, error) { return deploymentDetail(e) }
		}
		out = append(out, h)
	}
	return out
}

// hooks tells of the PAUSE hooks that a deployment has come to, where it waits until somebody says go.
func (t *Teller) hooks(before, after *gantry.Deployment) (out []Happening) {
	var had []gantry.Hook
	if before != nil {
		had = before.Hooks
	}
	for _, hook := range after.Hooks {
		known := slices.ContainsFunc(had, func(old gantry.Hook) bool { return old.ID == hook.ID })
		if known || hook.Status != ecsapi.DeploymentLifecycleHookStatusAwaitingAction {
			continue
		}
		out = append(out, Happening{
			Source: sourceECS, Type: hookStateChange, Resources: []string{string(t.Place.Service(after.Cluster, string(after.Service)))}, At: hook.StartedAt,
			Detail: func() (json.RawMessage, error) { return hookDetail(t.Place, after, hook) },
		})
	}
	return out
}

// idOf is the id of the nth event of a revision, in the form of a UUID. Seed is the gantry's own.
func idOf(seed string, revision store.Revision, n int) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s/%d/%d", seed, revision, n))
	b := sum[:16]
	b[6], b[8] = b[6]&0x0f|0x80, b[8]&0x3f|0x80 // version 8: as its maker likes
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
