package logs

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"gantry/internal/wire"
	"gantry/internal/wire/logsapi"
)

func (a *api) createLogStream(_ context.Context, in *logsapi.CreateLogStreamInput) (*logsapi.CreateLogStreamOutput, error) {
	if err := checkName("logStreamName", *in.LogStreamName, streamName); err != nil {
		return nil, err
	}
	return nil, exception(a.engine.createStream(*in.LogGroupName, *in.LogStreamName, a.now()))
}

func (a *api) deleteLogStream(_ context.Context, in *logsapi.DeleteLogStreamInput) (*logsapi.DeleteLogStreamOutput, error) {
	return nil, exception(a.engine.deleteStream(*in.LogGroupName, *in.LogStreamName))
}

// streamKey is where a list of streams goes on.
type streamKey struct {
	Last int64  `json:"last,omitzero"` // timestamp of the newest event, where that is the order
	Name string `json:"name"`
}

func (a *api) describeLogStreams(_ context.Context, in *logsapi.DescribeLogStreamsInput) (*logsapi.DescribeLogStreamsOutput, error) {
	group, err := a.group(in.LogGroupName, in.LogGroupIdentifier)
	if err != nil {
		return nil, err
	}
	byTime := in.OrderBy == logsapi.OrderByLastEventTime
	if byTime && in.LogStreamNamePrefix != nil {
		return nil, invalid("Cannot order by LastEventTime with a logStreamNamePrefix.")
	}
	prefix := wire.Value(in.LogStreamNamePrefix)
	streams, _, err := a.engine.streams(group, func(name string) bool { return strings.HasPrefix(name, prefix) })
	if err != nil {
		return nil, exception(err)
	}
	states := make([]streamState, len(streams))
	for i, s := range streams {
		states[i] = s.state()
	}
	key := func(s streamState) streamKey {
		if !byTime {
			return streamKey{Name: s.Name}
		}
		return streamKey{s.Last, s.Name}
	}
	order := func(a, b streamKey) int { return cmp.Or(cmp.Compare(a.Last, b.Last), strings.Compare(a.Name, b.Name)) }
	if descending := wire.Value(in.Descending); descending {
		ascending := order
		order = func(a, b streamKey) int { return ascending(b, a) }
	}
	slices.SortFunc(states, func(a, b streamState) int { return order(key(a), key(b)) })

	t, err := tokensOf("DescribeLogStreams", group, prefix, in.OrderBy, in.Descending)
	if err != nil {
		return nil, err
	}
	states, next, err := page(t, in.NextToken, limit(in.Limit, groupsPage), states, key,
		func(s streamState, last streamKey) bool { return order(key(s), last) > 0 })
	if err != nil {
		return nil, err
	}
	out := &logsapi.DescribeLogStreamsOutput{LogStreams: []logsapi.LogStream{}, NextToken: next}
	for _, s := range states {
		out.LogStreams = append(out.LogStreams, a.logStream(group, s))
	}
	return out, nil
}

func (a *api) logStream(group string, s streamState) logsapi.LogStream {
	ls := logsapi.LogStream{
		LogStreamName: &s.Name, Arn: new(a.streamARN(group, s.Name)), CreationTime: &s.Created,
		StoredBytes:         new(int64(0)), // as on AWS since 2019: only groups tell it
		UploadSequenceToken: new(sequenceToken(s.Next)),
	}
	if s.LastIngested != 0 {
		ls.FirstEventTimestamp, ls.LastEventTimestamp, ls.LastIngestionTime = &s.First, &s.Last, &s.LastIngested
	}
	return ls
}

// sequenceToken is what clients of before 2023 send back with their next batch.
// Like AWS we answer it and do not look at it again.
func sequenceToken(next uint64) string { return fmt.Sprintf("%056d", next) }
