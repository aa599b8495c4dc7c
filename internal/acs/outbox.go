package acs

import (
	"slices"
	"time"

	"gantry"
)

const (
	// ackTimeout is how long an agent may take to acknowledge a payload. It writes
	// each task to its disk first; a message that it could not read it drops silently.
	ackTimeout = 20 * time.Second
	// maxFlying bounds the payloads that one agent has not acknowledged yet. More
	// would only wait in the agent's socket.
	maxFlying = 32
)

// An outbox knows what an agent has been told in this session, and what is due.
// It forgets nothing that was not acknowledged, and tells nothing twice.
type outbox struct {
	// all is true if the agent has just started and may have lost what it knew:
	// then it is told of the tasks again that it has already reported as running.
	all    bool
	told   map[gantry.TaskID]gantry.TaskStatus // the desired status it was told, acknowledged or not
	flying []flight                            // in the order sent
}

// A flight is a payload that has not been acknowledged.
type flight struct {
	message  string
	tasks    []gantry.TaskID
	deadline time.Time
}

func newOutbox(all bool) *outbox {
	return &outbox{all: all, told: map[gantry.TaskID]gantry.TaskStatus{}}
}

// due is the desired status that the agent has to be told of a task, "" for none.
func (o *outbox) due(t *gantry.Task) gantry.TaskStatus {
	if t.LastStatus == gantry.Stopped {
		delete(o.told, t.ID)
		return ""
	}
	known := o.told[t.ID]
	if known == "" && !o.all && t.LastStatus != gantry.Provisioning && t.LastStatus != gantry.Pending {
		known = gantry.Running // it has reported the task, so it has it
	}
	if known == t.DesiredStatus {
		return ""
	}
	return t.DesiredStatus
}

// sent records a payload on its way.
func (o *outbox) sent(message string, tasks []*gantry.Task, now time.Time) {
	f := flight{message: message, deadline: now.Add(ackTimeout)}
	for _, t := range tasks {
		o.told[t.ID] = t.DesiredStatus
		f.tasks = append(f.tasks, t.ID)
	}
	o.flying = append(o.flying, f)
}

// acked records an acknowledgement. One that comes late or twice changes nothing.
func (o *outbox) acked(message string) {
	o.flying = slices.DeleteFunc(o.flying, func(f flight) bool { return f.message == message })
}

// overdue takes the tasks of payloads that were not acknowledged in time; they
// count as not told.
func (o *outbox) overdue(now time.Time) []gantry.TaskID {
	var again []gantry.TaskID
	for len(o.flying) > 0 && !now.Before(o.flying[0].deadline) {
		for _, id := range o.flying[0].tasks {
			delete(o.told, id)
			again = append(again, id)
		}
		o.flying = o.flying[1:]
	}
	return again
}

// full reports whether the agent has to acknowledge something first.
func (o *outbox) full() bool { return len(o.flying) >= maxFlying }

// next is when overdue has to be asked again; zero for never.
func (o *outbox) next() time.Time {
	if len(o.flying) == 0 {
		return time.Time{}
	}
	return o.flying[0].deadline
}
