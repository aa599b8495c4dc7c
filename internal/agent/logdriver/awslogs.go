package logdriver

import (
	"context"
	"errors"
	"log/slog"

	"gantry/internal/wire"
	"gantry/internal/wire/logsapi"
)

// awslogs delivers to a stream of CloudWatch Logs, which nobody else should write to.
type awslogs struct {
	client        *client
	group, stream string
	createGroup   bool
	log           *slog.Logger
}

// ensure makes the stream, and the group if it may; both may be there.
func (a *awslogs) ensure(ctx context.Context) error {
	err := a.createStream(ctx)
	if !isCode(err, logsapi.CodeResourceNotFoundException) || !a.createGroup {
		return err
	}
	in := &logsapi.CreateLogGroupInput{LogGroupName: &a.group}
	err = a.client.call(ctx, "CreateLogGroup", in, &logsapi.CreateLogGroupOutput{})
	if err != nil && !isCode(err, logsapi.CodeResourceAlreadyExistsException) {
		return err
	}
	return a.createStream(ctx)
}

func (a *awslogs) createStream(ctx context.Context) error {
	in := &logsapi.CreateLogStreamInput{LogGroupName: &a.group, LogStreamName: &a.stream}
	err := a.client.call(ctx, "CreateLogStream", in, &logsapi.CreateLogStreamOutput{})
	if isCode(err, logsapi.CodeResourceAlreadyExistsException) {
		return nil
	}
	return err
}

func (a *awslogs) put(ctx context.Context, events []event) error {
	in := &logsapi.PutLogEventsInput{LogGroupName: &a.group, LogStreamName: &a.stream, LogEvents: make([]logsapi.InputLogEvent, 0, len(events))}
	for i := range events {
		if e := &events[i]; len(e.text) > 0 { // the API takes no empty event
			in.LogEvents = append(in.LogEvents, logsapi.InputLogEvent{Message: new(string(e.text)), Timestamp: new(e.time.UnixMilli())})
		}
	}
	if len(in.LogEvents) == 0 {
		return nil
	}
	var out logsapi.PutLogEventsOutput
	err := a.client.call(ctx, "PutLogEvents", in, &out)
	if isCode(err, logsapi.CodeResourceNotFoundException) {
		// Somebody deleted it. What a container prints from now on should not be lost.
		if err = a.ensure(ctx); err == nil {
			err = a.client.call(ctx, "PutLogEvents", in, &out)
		}
	}
	switch {
	case isCode(err, logsapi.CodeDataAlreadyAcceptedException):
		return nil
	case isCode(err, logsapi.CodeInvalidParameterException), isCode(err, "SerializationException"), isCode(err, "RequestEntityTooLargeException"):
		return &refusal{err}
	case err != nil:
		return err
	}
	if out.RejectedLogEventsInfo != nil {
		a.log.Warn("CloudWatch Logs rejected events for their age", "events", len(events), "rejected", out.RejectedLogEventsInfo)
	}
	return nil
}

// accepted reports whether an attempt's last event is the newest of the stream.
func (a *awslogs) accepted(ctx context.Context, before attempt) (bool, error) {
	in := &logsapi.GetLogEventsInput{LogGroupName: &a.group, LogStreamName: &a.stream, Limit: new(int32(1)), StartTime: &before.time}
	var out logsapi.GetLogEventsOutput
	err := a.client.call(ctx, "GetLogEvents", in, &out)
	if isCode(err, logsapi.CodeResourceNotFoundException) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	for _, e := range out.Events {
		if wire.Value(e.Timestamp) == before.time && sumOf([]byte(wire.Value(e.Message))) == before.sum {
			return true, nil
		}
	}
	return false, nil
}

func isCode(err error, code string) bool {
	e, ok := errors.AsType[*wire.Error](err)
	return ok && e.Code == code
}

func (a *awslogs) size() int64  { return 0 }
func (a *awslogs) close() error { return nil }
