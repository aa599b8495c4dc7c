package logdriver

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"

	"gantry/internal/wire"
	"gantry/internal/wire/logsapi"
)

// awslogs delivers to a stream of CloudWatch Logs, which nobody else should write to.
type awslogs struct {
	client        *client
	group, stream string
	createGroup   bool
	known         uint64 // the number of the stream's next event, 0 where that is not known
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
	a.known = countOf(wire.Value(out.NextSequenceToken))
	if isCode(err, logsapi.CodeResourceNotFoundException) {
		// Somebody deleted it. What a container prints from now on should not be lost.
		if err = a.ensure(ctx); err == nil {
			err = a.client.call(ctx, "PutLogEvents", in, &out)
			a.known = countOf(wire.Value(out.NextSequenceToken))
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

// next asks what DescribeLogStreams says, once. It needs the permission to call it;
// without it nothing is known.
func (a *awslogs) next(ctx context.Context) (uint64, error) {
	if a.known != 0 {
		return a.known, nil
	}
	in := &logsapi.DescribeLogStreamsInput{LogGroupName: &a.group, LogStreamNamePrefix: &a.stream, Limit: new(int32(1))}
	var out logsapi.DescribeLogStreamsOutput
	err := a.client.call(ctx, "DescribeLogStreams", in, &out)
	if e, ok := errors.AsType[*wire.Error](err); ok && e.Status == http.StatusBadRequest {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	for _, s := range out.LogStreams { // in the order of their names: the stream itself is the first with its prefix
		if wire.Value(s.LogStreamName) == a.stream {
			a.known = countOf(wire.Value(s.UploadSequenceToken))
		}
	}
	return a.known, nil
}

// tokenDigits is the length of a sequence token.
const tokenDigits = 56

// countOf is the number of a stream's next event, which gantry's sequence tokens
// are, with zeros in front. It is 0 for a token of AWS: those count nothing.
func countOf(token string) uint64 {
	if len(token) != tokenDigits {
		return 0
	}
	n, err := strconv.ParseUint(token, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func isCode(err error, code string) bool {
	e, ok := errors.AsType[*wire.Error](err)
	return ok && e.Code == code
}

func (a *awslogs) size() int64  { return 0 }
func (a *awslogs) close() error { return nil }
