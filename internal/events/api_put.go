package events

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"gantry"
	"gantry/internal/events/pattern"
	"gantry/internal/store"
	"gantry/internal/wire"
	"gantry/internal/wire/eventsapi"
)

// mostPut is how many bytes the entries of one PutEvents may have together, AWS's limit.
const mostPut = 256 << 10

// putEvents takes events. What it has answered an id for is durable, and is told in the order of the request.
func (a *api) putEvents(ctx context.Context, in *eventsapi.PutEventsInput) (*eventsapi.PutEventsOutput, error) {
	if in.EndpointId != nil {
		return nil, invalid("EndpointId: gantry has no global endpoints.")
	}
	size := 0
	for _, e := range in.Entries {
		size += entrySize(e)
	}
	if size > mostPut {
		return nil, invalid("Total size of the entries in the request is over the limit: they have %d bytes, of at most %d.", size, mostPut)
	}
	out := &eventsapi.PutEventsOutput{FailedEntryCount: new(int32(0))}
	now := a.now()
	for _, e := range in.Entries {
		code, message := a.checkEntry(e)
		if code != "" {
			*out.FailedEntryCount++
			out.Entries = append(out.Entries, eventsapi.PutEventsResultEntry{ErrorCode: &code, ErrorMessage: &message})
			continue
		}
		posted := &gantry.PostedEvent{
			ID: a.NewID(), Source: *e.Source, DetailType: *e.DetailType, Detail: json.RawMessage(*e.Detail), Resources: e.Resources, At: now,
		}
		if e.Time != nil {
			posted.At = e.Time.Time
		}
		// Each in a transaction of its own: the revision is an event's place in the order of all events.
		if _, err := a.store.Update(ctx, func(tx *store.Tx) error { store.PostedEvents.Put(tx, posted); return nil }); err != nil {
			return nil, err
		}
		out.Entries = append(out.Entries, eventsapi.PutEventsResultEntry{EventId: &posted.ID})
	}
	return out, nil
}

// entrySize is what an entry counts, by AWS's rule.
func entrySize(e eventsapi.PutEventsRequestEntry) int {
	size := len(wire.Value(e.Source)) + len(wire.Value(e.DetailType)) + len(wire.Value(e.Detail))
	if e.Time != nil {
		size += 14
	}
	for _, r := range e.Resources {
		size += len(r)
	}
	return size
}

// checkEntry says why one entry is not taken; the others are.
func (a *api) checkEntry(e eventsapi.PutEventsRequestEntry) (code, message string) {
	for _, m := range []struct {
		name  string
		value *string
	}{{"Source", e.Source}, {"DetailType", e.DetailType}, {"Detail", e.Detail}} {
		if wire.Value(m.value) == "" {
			return "InvalidArgument", "Parameter " + m.name + " is not valid. Reason: " + m.name + " is a required argument."
		}
	}
	if err := a.checkBus(e.EventBusName); err != nil {
		return "InvalidArgument", "Parameter EventBusName is not valid. Reason: the only event bus is " + defaultBus + "."
	}
	if strings.HasPrefix(*e.Source, "aws.") {
		return "NotAuthorizedForSourceException", "Not authorized for the source."
	}
	v, err := pattern.Decode([]byte(*e.Detail))
	if _, ok := v.(map[string]any); err != nil || !ok {
		return "MalformedDetail", "Detail is malformed."
	}
	if e.Time != nil && (e.Time.Year() < 1970 || e.Time.After(a.Now().Add(100*365*24*time.Hour))) {
		return "InvalidArgument", "Parameter Time is not valid. Reason: it is not within a hundred years."
	}
	return "", ""
}
