package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"gantry"
	"gantry/internal/store"
	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"
	"gantry/internal/wire/logsapi"
)

// followEvery is how often a followed log is asked for more.
const followEvery = 200 * time.Millisecond

// output prints what a container has printed: from CloudWatch Logs where its
// driver put it there, else from what the driver keeps on this machine.
func (c *control) output(ctx context.Context, m machine, w io.Writer, from outputRequest) error {
	var containers []ecsapi.ContainerDefinition // none where the definition was deleted: then files are all there can be
	if def, ok := store.Definitions.Get(c.store.View(), string(from.task.Definition)); ok {
		containers = def.Wire.ContainerDefinitions
	}
	for _, d := range containers {
		if l := d.LogConfiguration; wire.Value(d.Name) == from.container && l != nil && l.LogDriver == ecsapi.LogDriverAwslogs {
			return c.logStream(ctx, w, from, l.Options)
		}
	}
	if from.task.Container(from.container).RuntimeID == "" {
		return fmt.Errorf("container %s has not been started", from.container)
	}
	if at := from.task.Instance; at != m.instances()[from.task.Cluster] {
		return fmt.Errorf("the task is on container instance %s, which this machine is not, or no more; its own keeps what container %s prints, and the log driver awslogs brings it here", at, from.container)
	}
	return m.output(ctx, w, from)
}

// logStream prints a stream of CloudWatch Logs from its beginning.
func (c *control) logStream(ctx context.Context, w io.Writer, from outputRequest, options map[string]string) error {
	read := c.logOps.GetLogEvents
	in := &logsapi.GetLogEventsInput{
		LogGroupName: new(options["awslogs-group"]), LogStreamName: new(streamOf(from, options)), StartFromHead: new(true),
	}
	for {
		ended := c.ended(from) // asked before reading, so that nothing is missed
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
func (c *control) ended(from outputRequest) bool {
	t, ok := store.Tasks.Get(c.store.View(), from.task.Key())
	if !ok {
		return true
	}
	k := t.Container(from.container)
	return k == nil || k.LastStatus == gantry.Stopped
}
