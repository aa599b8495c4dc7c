package logs

import (
	"context"
	"time"

	"gantry/internal/wire"
	"gantry/internal/wire/logsapi"
)

// The limits of PutLogEvents, as its reference gives them. The number of events is
// checked by the generated code.
const (
	maxBatchBytes = 1 << 20 // the messages in UTF-8, and eventOverhead for each
	maxEventBytes = 1 << 20 // one message and its overhead; AWS raised it from 256 KiB in 2025
	eventOverhead = 26
	maxBatchSpan  = 24 * time.Hour
	maxFuture     = 2 * time.Hour
	maxPast       = 14 * 24 * time.Hour
)

func (a *api) putLogEvents(_ context.Context, in *logsapi.PutLogEventsInput) (*logsapi.PutLogEventsOutput, error) {
	if err := checkBatch(in.LogEvents); err != nil {
		return nil, err
	}
	meta, err := a.engine.groupMeta(*in.LogGroupName)
	if err != nil {
		return nil, exception(err)
	}
	s, err := a.engine.stream(*in.LogGroupName, *in.LogStreamName)
	if err != nil {
		return nil, exception(err)
	}
	now := a.now()
	kept, rejected := reject(in.LogEvents, now, meta.oldest(now))
	events := make([]Event, len(kept))
	for i, e := range kept {
		events[i] = Event{Timestamp: *e.Timestamp, Message: *e.Message}
	}
	next, err := a.engine.put(s, now, events)
	if err != nil {
		return nil, exception(err)
	}
	return &logsapi.PutLogEventsOutput{NextSequenceToken: new(sequenceToken(next)), RejectedLogEventsInfo: rejected}, nil
}

// checkBatch refuses what AWS refuses as a whole.
func checkBatch(events []logsapi.InputLogEvent) error {
	size := 0
	for i, e := range events {
		n := len(*e.Message) + eventOverhead
		if n > maxEventBytes {
			return invalid("Log event too large: %d bytes exceeds limit of %d", n, maxEventBytes)
		}
		size += n
		if i > 0 && *e.Timestamp < *events[i-1].Timestamp {
			return invalid("Log events in a single PutLogEvents request must be in chronological order.")
		}
	}
	if size > maxBatchBytes {
		return invalid("Upload too large: %d bytes exceeds limit of %d", size, maxBatchBytes)
	}
	span := *events[len(events)-1].Timestamp - *events[0].Timestamp
	if span > maxBatchSpan.Milliseconds() {
		return invalid("The batch of log events in a single PutLogEvents request cannot span more than 24 hours.")
	}
	return nil
}

// reject leaves out the events of a chronological batch that are too old, too new,
// or older than the group keeps (expired, in milliseconds since 1970), and tells
// which: the first index that is not too old or expired, the first that is too new.
func reject(events []logsapi.InputLogEvent, now time.Time, expired int64) ([]logsapi.InputLogEvent, *logsapi.RejectedLogEventsInfo) {
	var info logsapi.RejectedLogEventsInfo
	past, future := now.Add(-maxPast).UnixMilli(), now.Add(maxFuture).UnixMilli()
	first, end := 0, len(events)
	for i, e := range events {
		ts := *e.Timestamp
		if ts < past {
			info.TooOldLogEventEndIndex = new(int32(i + 1))
			first = i + 1
		}
		if ts < expired {
			info.ExpiredLogEventEndIndex = new(int32(i + 1))
			first = i + 1
		}
		if ts > future {
			info.TooNewLogEventStartIndex = new(int32(i))
			end = i
			break
		}
	}
	if wire.Value(info.TooOldLogEventEndIndex) == 0 && wire.Value(info.ExpiredLogEventEndIndex) == 0 && info.TooNewLogEventStartIndex == nil {
		return events, nil
	}
	return events[first:max(first, end)], &info
}
