package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"gantry"
	"gantry/internal/agent/logdriver"
	"gantry/internal/store"
	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"
	"gantry/internal/wire/logsapi"
)

// followEvery is how often a followed log is asked for more.
const followEvery = 200 * time.Millisecond

// output prints what a container has printed: from CloudWatch Logs where its
// driver put it there, else from what the driver keeps on this machine.
func (m *linuxMachine) output(ctx context.Context, w io.Writer, from outputRequest) error {
	snap := m.control.store.View()
	def, ok := store.Definitions.Get(snap, string(from.task.Definition))
	if !ok {
		return fmt.Errorf("task definition %s is gone", from.task.Definition)
	}
	for _, c := range def.Wire.ContainerDefinitions {
		if wire.Value(c.Name) != from.container {
			continue
		}
		if l := c.LogConfiguration; l != nil && l.LogDriver == ecsapi.LogDriverAwslogs {
			return m.logStream(ctx, w, from, l.Options)
		}
	}
	c := from.task.Container(from.container)
	if c.RuntimeID == "" {
		return fmt.Errorf("container %s has not been started", c.Name)
	}
	m.mu.Lock()
	member := m.members[from.task.Cluster]
	m.mu.Unlock()
	if member == nil || member.drivers.Load() == nil {
		return fmt.Errorf("this machine has not joined cluster %s", from.task.Cluster)
	}
	until := logdriver.UntilNow
	if from.follow {
		until = logdriver.UntilEnd
	}
	return member.drivers.Load().Print(ctx, w, c.RuntimeID, until)
}

// logStream prints a stream of CloudWatch Logs from its beginning.
func (m *linuxMachine) logStream(ctx context.Context, w io.Writer, from outputRequest, options map[string]string) error {
	read := m.control.logOps.GetLogEvents
	in := &logsapi.GetLogEventsInput{
		LogGroupName: new(options["awslogs-group"]), LogStreamName: new(streamOf(from, options)), StartFromHead: new(true),
	}
	for {
		ended := m.ended(from) // asked before reading, so that nothing is missed
		out, err := read(ctx, in)
		if e, ok := errors.AsType[*wire.Error](err); ok && e.Code == "ResourceNotFoundException" && from.follow && !ended {
			out, err = &logsapi.GetLogEventsOutput{NextForwardToken: in.NextToken}, nil // it has printed nothing yet
		}
		if err != nil {
			return err
		}
		for _, e := range out.Events {
			if _, err := io.WriteString(w, strings.TrimSuffix(wire.Value(e.Message), "\n")+"\n"); err != nil {
				return err
			}
		}
		atEnd := len(out.Events) == 0
		in.NextToken = out.NextForwardToken
		if !atEnd {
			continue
		}
		if !from.follow || ended {
			return nil
		}
		select {
		case <-time.After(followEvery):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// streamOf is the stream into which the awslogs driver puts a container's output.
func streamOf(from outputRequest, options map[string]string) string {
	c := from.task.Container(from.container)
	if prefix, ok := options["awslogs-stream-prefix"]; ok {
		return prefix + "/" + c.Name + "/" + string(from.task.ID)
	}
	if stream, ok := options["awslogs-stream"]; ok {
		return stream
	}
	return c.RuntimeID
}

// ended reports whether a container will print no more. The agent reports its end
// after its output was delivered.
func (m *linuxMachine) ended(from outputRequest) bool {
	t, ok := store.Tasks.Get(m.control.store.View(), from.task.Key())
	if !ok {
		return true
	}
	c := t.Container(from.container)
	return c == nil || c.LastStatus == gantry.Stopped
}
