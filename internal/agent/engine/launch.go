package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
)

// launch connects, creates and starts a container. t is the task as it was decided, and stays as it is.
func (w *worker) launch(t *Task, container string) func(context.Context) {
	return func(ctx context.Context) {
		c := t.Container(container)
		network, startedAt, err := w.make(ctx, t, w.def.Container(container), c)
		if err != nil {
			w.dismantle(ctx, container, c.RuntimeID)
		}
		w.note(ctx, container, func(c *Container) {
			c.Busy, c.Network = "", network
			if err != nil {
				w.ended(c, err.Error())
				return
			}
			w.up(ctx, c, startedAt)
		})
	}
}

// make does the steps of launch in their order. Each may find that an agent that was killed had done it before.
func (w *worker) make(ctx context.Context, t *Task, def *ContainerDefinition, c *Container) (Attached, time.Time, error) {
	var fileEnv []string
	for _, file := range def.EnvironmentFiles {
		env, err := readEnvironmentFile(file.Value)
		if err != nil {
			return Attached{}, time.Time{}, fmt.Errorf("%s: %w", errResourceInitialization, err)
		}
		fileEnv = append(env, fileEnv...) // ECS: the first file that names a variable wins
	}
	network, err := w.e.parts.Network.Attach(ctx, AttachRequest{ContainerID: c.RuntimeID, Mode: NetworkMode(def), Ports: portsOf(def)})
	if err != nil {
		return Attached{}, time.Time{}, err
	}
	c.Network = network
	spec, err := buildSpec(w.e.cfg.Identity, w.def, def, t, fileEnv)
	if err != nil {
		return network, time.Time{}, err
	}
	// The log's own preparations (a stream to be made at an endpoint) and the container's go on at once.
	var both errgroup.Group
	both.Go(func() error { return w.e.parts.Logs.Attach(ctx, w.output(def, c)) })
	both.Go(func() error {
		return within(ctx, createTimeout, "CREATED", func(ctx context.Context) error {
			return w.e.parts.Containers.Create(ctx, spec)
		})
	})
	if err := both.Wait(); err != nil {
		return network, time.Time{}, err
	}
	var startedAt time.Time
	err = within(ctx, startTimeout, "RUNNING", func(ctx context.Context) (err error) {
		startedAt, err = w.e.parts.Containers.Start(ctx, c.RuntimeID)
		return err
	})
	return network, startedAt, err
}

// How long the genuine agent gives the runtime.
const (
	createTimeout = 4 * time.Minute
	startTimeout  = 3 * time.Minute
)

// within gives a transition of a container so much time. The limit goes along with the calls to the runtime, whose clock
// may be the first to say that it has passed.
func within(ctx context.Context, limit time.Duration, state string, do func(context.Context) error) error {
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	began := time.Now()
	err := do(limited)
	passed := limited.Err() != nil || errors.Is(err, context.DeadlineExceeded) && time.Since(began) > limit-time.Second
	if err != nil && passed && ctx.Err() == nil {
		return fmt.Errorf("ContainerRuntimeTimeoutError: Could not transition to %s; timed out after waiting %v", state, limit)
	}
	return err
}

// NetworkMode is bridge where nothing else is said, as for the genuine agent, and none where networking is disabled,
// whatever the task's mode is.
func NetworkMode(def *ContainerDefinition) string {
	switch {
	case def.Config.NetworkDisabled:
		return "none"
	case def.Host.NetworkMode == "" || def.Host.NetworkMode == "default":
		return "bridge"
	}
	return def.Host.NetworkMode
}

func (w *worker) output(def *ContainerDefinition, c *Container) LogOutput {
	return LogOutput{
		ContainerID: c.RuntimeID, ContainerName: c.Name, DockerName: c.DockerName,
		TaskARN: w.def.ARN, TaskID: w.def.ID, Family: w.def.Task.Family, Revision: w.def.Task.Version,
		Driver: def.Host.LogConfig.Type, Options: def.Host.LogConfig.Config,
	}
}

// up notes that a container was started, and waits for its end.
func (w *worker) up(ctx context.Context, c *Container, startedAt time.Time) {
	c.Phase, c.Busy, c.StartedAt = Up, "", startedAt
	c.Health = firstHealth(w.def.Container(c.Name).HealthCheck, startedAt)
	w.await(ctx, c)
}

// await notes a container's exit when it comes.
func (w *worker) await(ctx context.Context, c *Container) {
	name, id := c.Name, c.RuntimeID
	w.steps.Go(func() {
		exit, err := w.e.parts.Containers.Wait(ctx, id)
		w.note(ctx, name, func(c *Container) {
			c.Phase, c.Exit = Exited, &exit
			if err != nil {
				c.Exit, c.Reason = nil, fmt.Sprintf("ContainerVanishedError: %v", err)
			}
		})
	})
}

// restart starts a container again in place.
func (w *worker) restart(container, id string) func(context.Context) {
	return func(ctx context.Context) {
		var startedAt time.Time
		err := within(ctx, startTimeout, "RUNNING", func(ctx context.Context) (err error) {
			startedAt, err = w.e.parts.Containers.Restart(ctx, id)
			return err
		})
		w.note(ctx, container, func(c *Container) {
			if err != nil {
				c.Phase, c.Busy, c.Reason = Exited, "", err.Error()
				return
			}
			w.up(ctx, c, startedAt)
		})
	}
}

// probe runs a health check once. A probe that cannot be run counts as failed, as in Docker.
func (w *worker) probe(container, id string, startedAt time.Time) func(context.Context) {
	check := w.def.Container(container).HealthCheck
	return func(ctx context.Context) {
		code, output, err := w.e.parts.Prober.Probe(ctx, id, check.Command, check.Timeout)
		result := ProbeResult{At: time.Now(), ExitCode: code, Output: output}
		if err != nil {
			result.ExitCode, result.Output = -1, err.Error()
		}
		w.note(ctx, container, func(c *Container) {
			c.Probing = false
			if c.Phase == Up && c.StartedAt.Equal(startedAt) {
				c.Health = c.Health.after(result, check, startedAt)
			}
		})
	}
}
