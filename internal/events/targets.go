package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"gantry"
	"gantry/internal/wire"
	"gantry/internal/wire/eventsapi"
	"gantry/internal/wire/logsapi"
)

// A targetKind is what an ARN leads to.
type targetKind int

const (
	unknownTarget targetKind = iota
	logTarget
	destinationTarget
	taskTarget
)

func kindOf(arn string) targetKind {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) != 6 {
		return unknownTarget
	}
	switch service, resource := parts[2], parts[5]; {
	case service == "logs" && strings.HasPrefix(resource, "log-group:"):
		return logTarget
	case service == "events" && strings.HasPrefix(resource, "api-destination/"):
		return destinationTarget
	case service == "ecs" && strings.HasPrefix(resource, "cluster/"):
		return taskTarget
	}
	return unknownTarget
}

// logGroupOf is the name in the ARN of a log group, which may end in ":*".
func logGroupOf(arn string) string {
	_, name, _ := strings.Cut(arn, ":log-group:")
	return strings.TrimSuffix(name, ":*")
}

// mostLogged bounds the bytes of a batch to a log group, within what PutLogEvents takes.
const mostLogged = 1 << 19

// sendToLogs puts events into the log group, in a stream of the rule's and target's own.
func (e *Engine) sendToLogs(ctx context.Context, rule *gantry.EventRule, target *eventsapi.Target, batch []message) (n int, err error) {
	group, stream := logGroupOf(*target.Arn), rule.Name+"/"+*target.Id
	in := &logsapi.PutLogEventsInput{LogGroupName: &group, LogStreamName: &stream}
	size, last := 0, int64(0)
	for _, m := range batch {
		at, text := logged(m)
		if size += len(text); size > mostLogged && n > 0 {
			break
		}
		// A batch has to be chronological, and the order of events is theirs.
		last = max(last, at)
		in.LogEvents = append(in.LogEvents, logsapi.InputLogEvent{Timestamp: new(last), Message: &text})
		n++
	}
	if span := *in.LogEvents[n-1].Timestamp - *in.LogEvents[0].Timestamp; span > 23*time.Hour.Milliseconds() {
		in.LogEvents, n = in.LogEvents[:1], 1
	}
	out, err := e.PutLogEvents(ctx, in)
	if wrong, ok := errors.AsType[*wire.Error](err); ok && wrong.Code == logsapi.CodeResourceNotFoundException {
		_, err = e.CreateLogStream(ctx, &logsapi.CreateLogStreamInput{LogGroupName: &group, LogStreamName: &stream})
		if wrong, ok := errors.AsType[*wire.Error](err); ok && wrong.Code != logsapi.CodeResourceAlreadyExistsException {
			return 0, fmt.Errorf("log group %s: %s", group, wrong.Message) // it may yet be made
		}
		out, err = e.PutLogEvents(ctx, in)
	}
	if wrong, ok := errors.AsType[*wire.Error](err); ok && wrong.Code == logsapi.CodeInvalidParameterException {
		if n > 1 { // one of them is to blame
			return e.sendToLogs(ctx, rule, target, batch[:1])
		}
		return 0, refused{wrong.Message}
	}
	if err != nil {
		return 0, err
	}
	if out != nil && out.RejectedLogEventsInfo != nil {
		if n > 1 {
			return e.sendToLogs(ctx, rule, target, batch[:1])
		}
		return 0, refused{"its time is too far from now for the log group"}
	}
	return n, nil
}

// logged is a message as a log event: what a template has made with a timestamp and a message is that, all else is the
// message, at the event's time.
func logged(m message) (at int64, text string) {
	var made map[string]json.RawMessage
	var own struct {
		Timestamp *int64  `json:"timestamp"`
		Message   *string `json:"message"`
	}
	if json.Unmarshal(m.input, &made) == nil && len(made) == 2 && json.Unmarshal(m.input, &own) == nil && own.Timestamp != nil && own.Message != nil {
		return *own.Timestamp, *own.Message
	}
	return m.time.UnixMilli(), string(m.input)
}
