package engine

import (
	"cmp"
	"context"
	"fmt"
	"time"
)

// takeUp compares the journal with what the runtime still has, and removes containers of this cluster that no task
// speaks of.
func (e *Engine) takeUp(ctx context.Context) error {
	list, err := e.parts.Containers.List(ctx)
	if err != nil {
		return fmt.Errorf("take up containers: %w", err)
	}
	found := map[string]Found{}
	for _, f := range list {
		found[f.ID] = f
	}
	for _, w := range e.workers {
		takeUpTask(time.Now(), e.cfg.Boot, w.task, found)
		for i := range w.task.Containers {
			delete(found, w.task.Containers[i].RuntimeID)
		}
		w.seen.Store(w.task.clone())
		if w.task.Admitted && !w.task.Released {
			e.ledger.hold(w.def.ARN, w.needs)
		}
	}
	for _, stray := range found {
		if stray.Cluster != e.cfg.Identity.Cluster {
			continue
		}
		e.log.Warn("removing a container that belongs to no task", "container", stray.ID)
		if err := e.removeStray(ctx, stray); err != nil {
			e.log.Warn("a container that belongs to no task stays", "container", stray.ID, "err", err)
		}
	}
	return nil
}

// strayTimeout is how long a container that belongs to no task may take to end: the start waits for it.
const strayTimeout = 10 * time.Second

func (e *Engine) removeStray(ctx context.Context, stray Found) error {
	if stray.State == FoundRunning {
		ctx, cancel := context.WithTimeout(ctx, strayTimeout)
		defer cancel()
		if err := e.parts.Containers.Kill(ctx, stray.ID); err != nil {
			return err
		}
		if _, err := e.parts.Containers.Wait(ctx, stray.ID); err != nil {
			return err
		}
	}
	if err := e.parts.Containers.Delete(ctx, stray.ID); err != nil {
		return err
	}
	return e.parts.Network.Detach(ctx, stray.ID)
}

// takeUpTask brings a task of the journal up to what the runtime knows of its containers. It is pure.
//
// The record of a first launch may have come too late for the disk, so a container may be found whatever its phase says.
// What was only made and never started, while the machine stayed up, is made again: the plan launches a container whose
// phase is Launching.
func takeUpTask(now time.Time, boot string, t *Task, found map[string]Found) {
	rebooted := t.Boot != boot
	if rebooted {
		t.Prepared = false // cgroups and namespaces end with the machine
		t.Boot = boot
	}
	for i := range t.Containers {
		c := &t.Containers[i]
		f, here := found[c.RuntimeID]
		if unrecorded := c.Phase == Waiting || c.Phase == Pulled; unrecorded && !here {
			c.HalfMade = true
		} else if unrecorded {
			// Its task had what it needs, or it would not have been launched.
			c.Phase, t.Admitted, t.Prepared = Launching, true, t.Prepared || !rebooted
			c.LaunchedAt = cmp.Or(f.StartedAt, now)
			c.CreatedAt = c.LaunchedAt
		}
		if here && c.ImageDigest == "" { // its agent was killed before it could note what it had pulled
			c.ImageID, c.ImageDigest = f.Image.ID, f.Image.Digest
		}
		ran := c.Phase == Up || c.Phase == Restarting
		switch {
		case c.Phase != Launching && !ran:
		case here && f.State == FoundRunning:
			takeUpRunning(now, c, f)
		case here && f.State == FoundExited && !sameExit(c, f):
			takeUpRunning(now, c, f)
			c.Phase, c.Exit = Exited, f.Exit
		case c.Phase == Restarting && !rebooted && here:
			// Not started again yet: the plan does.
		case ran:
			vanished(c, "its container was gone when the agent came back")
		case rebooted && here:
			vanished(c, "the machine was restarted while the container was being started")
		}
		if c.Phase == Exited && c.Exit == nil && rebooted && ran {
			c.Reason = "ContainerVanishedError: the machine was restarted while the container ran"
		}
	}
}

// takeUpRunning notes that a container was started, if that was not known, and whether it has still to be signalled.
func takeUpRunning(now time.Time, c *Container, f Found) {
	if c.Phase != Up {
		c.StartedAt = f.StartedAt
		if c.StartedAt.IsZero() {
			c.StartedAt = now
		}
	}
	c.Phase = Up
	if !c.Signalled {
		c.StopSentAt = time.Time{} // the agent was killed before it sent the signal, or knew that it had
	}
}

// sameExit reports whether an exit is the one before a restart that was not done yet.
func sameExit(c *Container, f Found) bool {
	return c.Phase == Restarting && c.Exit != nil && f.Exit != nil && c.Exit.At.Equal(f.Exit.At)
}

func vanished(c *Container, why string) {
	c.Phase, c.Exit, c.Reason = Exited, nil, "ContainerVanishedError: "+why
}

// resume goes on with what a container that was found needs beside it: its log, and somebody who waits for its end.
func (w *worker) resume(ctx context.Context) {
	for i := range w.task.Containers {
		c := &w.task.Containers[i]
		def := &w.def.Containers[i]
		if c.Phase != Up && c.Phase != Exited && c.Phase != Restarting {
			continue
		}
		if err := w.e.parts.Logs.Attach(ctx, w.output(def, c)); err != nil {
			w.e.log.Warn("a container's output is not shipped", "task", w.def.ARN, "container", c.Name, "err", err)
		}
		w.resumeNetwork(ctx, def, c)
		if c.Phase != Up {
			continue
		}
		if def.HealthCheck != nil && c.Health.Status == "" {
			c.Health = firstHealth(def.HealthCheck, time.Now())
		}
		w.await(ctx, c)
	}
}

// resumeNetwork asks for the network of a container whose agent was killed before it could note what it had got.
func (w *worker) resumeNetwork(ctx context.Context, def *ContainerDefinition, c *Container) {
	if c.Network.Namespace != "" || c.Network.IP.IsValid() || len(c.Network.Bindings) > 0 {
		return
	}
	network, err := w.e.parts.Network.Attach(ctx, AttachRequest{ContainerID: c.RuntimeID, Mode: NetworkMode(def), Ports: portsOf(def)})
	if err != nil {
		w.e.log.Warn("the network of a running container is not known", "task", w.def.ARN, "container", c.Name, "err", err)
		return
	}
	c.Network = network
}
