package gantry

import (
	"encoding/json"
	"time"

	"gantry/internal/wire/eventsapi"
)

// An EventRule is a rule of EventBridge on the default event bus: what it looks for, when it fires by itself, and who is
// told. Pattern, schedule and targets are kept as the user gave them.
type EventRule struct {
	Name        string              `json:"name"`
	Description string              `json:"description,omitzero"`
	Pattern     string              `json:"pattern,omitzero"`
	Schedule    string              `json:"schedule,omitzero"`
	State       eventsapi.RuleState `json:"state"`
	RoleARN     string              `json:"roleArn,omitzero"`
	Targets     []eventsapi.Target  `json:"targets,omitzero"`
	Tags        []eventsapi.Tag     `json:"tags,omitzero"`
	CreatedAt   time.Time           `json:"createdAt"`
	// Anchor is since when the schedule has been counting: a rate counts from here, and nothing before it was missed. It
	// is set when the rule is made or enabled, and when its schedule changes.
	Anchor time.Time `json:"anchor,omitzero"`
}

// Enabled reports whether the rule matches events and fires.
func (r *EventRule) Enabled() bool { return r.State != eventsapi.RuleStateDisabled }

// Target finds a target by its id; nil where there is none.
func (r *EventRule) Target(id string) *eventsapi.Target {
	for i := range r.Targets {
		if *r.Targets[i].Id == id {
			return &r.Targets[i]
		}
	}
	return nil
}

// An EventFiring is the newest time at which a rule's schedule has fired: the time that it was due, not the moment it came.
type EventFiring struct {
	Rule string    `json:"rule"`
	At   time.Time `json:"at"`
}

// A PostedEvent is one that PutEvents has acknowledged and that has not been recorded yet.
type PostedEvent struct {
	ID         string          `json:"id"`
	Source     string          `json:"source"`
	DetailType string          `json:"detailType"`
	Detail     json.RawMessage `json:"detail"`
	Resources  []string        `json:"resources,omitzero"`
	At         time.Time       `json:"at"`
}

// An EventCursor is how far events have been delivered to a target: all up to and including the Nth event of a revision
// of the store have been delivered or given up.
type EventCursor struct {
	Rule     string `json:"rule"`
	Target   string `json:"target"`
	Revision int64  `json:"revision"`
	N        int    `json:"n"`
}

// Key is the cursor's place in the store: "<rule>/<target id>".
func (c *EventCursor) Key() string { return c.Rule + "/" + c.Target }

// An EventConnection is how an API destination is told who calls.
type EventConnection struct {
	Name        string                                           `json:"name"`
	ID          string                                           `json:"id"` // a UUID, the end of the ARN
	Description string                                           `json:"description,omitzero"`
	Type        eventsapi.ConnectionAuthorizationType            `json:"type"`
	Auth        *eventsapi.CreateConnectionAuthRequestParameters `json:"auth"`
	CreatedAt   time.Time                                        `json:"createdAt"`
	ModifiedAt  time.Time                                        `json:"modifiedAt"`
}

// An EventDestination is an HTTP endpoint that events are sent to.
type EventDestination struct {
	Name        string                             `json:"name"`
	ID          string                             `json:"id"` // a UUID, the end of the ARN
	Description string                             `json:"description,omitzero"`
	Connection  string                             `json:"connection"` // its name
	Endpoint    string                             `json:"endpoint"`
	Method      eventsapi.ApiDestinationHttpMethod `json:"method"`
	// PerSecond bounds the calls; 0 where the user set no bound.
	PerSecond  int32     `json:"perSecond,omitzero"`
	CreatedAt  time.Time `json:"createdAt"`
	ModifiedAt time.Time `json:"modifiedAt"`
}

func (p Place) events(resource string) ARN {
	return ARN("arn:aws:events:" + string(p.Region) + ":" + string(p.Account) + ":" + resource)
}

// EventBus is the only one there is.
func (p Place) EventBus() ARN { return p.events("event-bus/default") }

func (p Place) EventRule(name string) ARN { return p.events("rule/" + name) }

func (p Place) EventConnection(c *EventConnection) ARN {
	return p.events("connection/" + c.Name + "/" + c.ID)
}

func (p Place) EventDestination(d *EventDestination) ARN {
	return p.events("api-destination/" + d.Name + "/" + d.ID)
}
