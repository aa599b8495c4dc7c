package service

import (
	"maps"
	"reflect"
	"slices"
	"time"

	"gantry"
)

// event tells what happens with this plan.
func (p *planner) event(name, message string) {
	p.plan.Events = append(p.plan.Events, Event{Name: name, Message: message})
}

// deployed tells of a rollout's new state, which has been written into it.
func (p *planner) deployed(name, message string, r *gantry.Rollout) {
	p.plan.Events = append(p.plan.Events, Event{Name: name, Message: message, Deployment: r.Revision, Reason: r.Reason})
}

// announce tells what the plan stops, and which conditions hold.
func (p *planner) announce() {
	p.announceStops()
	if p.look.Service.Status != gantry.ServiceActive {
		return
	}
	if u := p.history.Unplaced; u != nil {
		p.conditions = append(p.conditions, Event{Name: PlacementFailure, Message: u.Message, Cause: PlacementFailure})
	}
	p.announceMove()
	p.announceWaiting()
	if starts, _ := p.pauses(p.revision()); starts.Step >= impairedAfter {
		p.conditions = append(p.conditions, condition(StartImpaired, textImpaired))
	}
	if n := p.number(p.held); n > 0 {
		p.conditions = append(p.conditions, Event{Message: textHeld(n, len(p.look.Held)), Cause: causeHeld})
	}
	if p.steady() {
		p.conditions = append(p.conditions, condition(SteadyState, textSteady))
		p.announceProviders()
	}
}

// causeHeld is what the event of textHeld is told for: once, whatever the numbers are.
const causeHeld = "lost agents"

// held reports whether a task is on a container instance whose loss waits for a word.
func (p *planner) held(m *member) bool { return p.look.Held[m.Instance] }

// steady reports whether the service is as its user wants it: one deployment, which has
// succeeded, and as many healthy tasks as desired and no others. It stays so while a zone
// that had no room is tried again.
func (p *planner) steady() bool {
	return p.deployment.Over() && !p.deployment.Halted() && (len(p.plan.Starts) == 0 || p.retries()) && p.stopping == 0 &&
		p.alive == p.bounds.Desired && p.number((*member).good, in(healthy)) == p.bounds.Desired
}

// announceStops tells what the plan stops: what moves between zones by zone.
func (p *planner) announceStops() {
	by := map[string][]gantry.TaskID{}
	for _, m := range p.stopped {
		text := "has stopped %d running tasks"
		switch {
		case m.standing == pending:
			text = "has stopped %d pending tasks"
		case m.moved && m.Zone != "":
			text += " in " + m.Zone + " due to AZ rebalancing"
		}
		by[text] = append(by[text], m.ID)
	}
	for _, text := range slices.Backward(slices.Sorted(maps.Keys(by))) {
		p.event(TasksStopped, stoppedText(text, by[text]))
	}
}

// tellConditions tells the conditions that have not been told, or not for long, and
// forgets those that hold no more.
func (p *planner) tellConditions() {
	var told []gantry.Told
	for _, c := range p.conditions {
		at := p.now
		if i := slices.IndexFunc(p.history.Told, func(t gantry.Told) bool { return t.Cause == c.Cause }); i >= 0 && p.since(p.history.Told[i].At) < p.set.TellAgain {
			at = p.history.Told[i].At
		} else {
			p.plan.Events = append(p.plan.Events, c)
		}
		told = append(told, gantry.Told{Cause: c.Cause, At: at})
		p.again(at.Add(p.set.TellAgain))
	}
	p.history.Told = told
}

// maxEvents is how many events a service keeps, as on AWS.
const maxEvents = 100

// Record puts events into a service's history, the newest first. NewID makes UUIDs. Those
// that service.events do not show have been read by whoever tells them, and go.
func Record(h *gantry.ServiceHistory, events []Event, now time.Time, newID func() string) {
	if len(events) == 0 {
		return
	}
	newest := make([]gantry.ServiceEvent, 0, len(events)+len(h.Events))
	for _, e := range slices.Backward(events) {
		told := gantry.ServiceEvent{ID: newID(), At: now, Name: e.Name, Deployment: e.Deployment, Reason: e.Reason, Providers: e.Providers}
		if e.Message != "" {
			told.Message = e.of(h.Service) + e.Message
		}
		newest = append(newest, told)
	}
	for _, e := range h.Events {
		if e.Message != "" {
			newest = append(newest, e)
		}
	}
	h.Events = newest[:min(len(newest), maxEvents)]
}

// of is what an event's message begins with.
func (e *Event) of(service gantry.ServiceName) string {
	if e.TaskSet == "" {
		return "(service " + string(service) + ") "
	}
	return "(service " + string(service) + ", taskSet " + e.TaskSet.StartedBy() + ") "
}

func cloneHistory(h *gantry.ServiceHistory) *gantry.ServiceHistory {
	next := *h
	next.Told, next.Events = slices.Clone(h.Told), slices.Clone(h.Events)
	if h.Unplaced != nil {
		next.Unplaced = new(*h.Unplaced)
	}
	if h.Rebalance != nil {
		next.Rebalance = new(*h.Rebalance)
	}
	next.TaskSets = slices.Clone(h.TaskSets)
	return &next
}

func sameDeployment(a, b *gantry.Deployment) bool { return reflect.DeepEqual(a, b) }

func sameHistory(a, b *gantry.ServiceHistory) bool {
	return a.Hosts == b.Hosts && slices.Equal(a.Told, b.Told) && reflect.DeepEqual(a.Unplaced, b.Unplaced) && reflect.DeepEqual(a.Rebalance, b.Rebalance) &&
		reflect.DeepEqual(a.TaskSets, b.TaskSets)
}
