package engine

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	// drainTimeout is how long a container's last output may take to reach its log; then its end is told without it.
	drainTimeout = 15 * time.Second
	// stopCallTimeout bounds the sending of a signal, as the runtime may hang.
	stopCallTimeout = 30 * time.Second
)

// intend notes in the task that a step is about to be done, and returns what does it. Steps that are done by noting
// them return nil and say that the plan has to be made anew.
func (w *worker) intend(s Step) (do func(context.Context), changed bool) {
	c := w.task.Container(s.Container)
	switch s.Kind {
	case Admit:
		return nil, w.admit()
	case Prepare:
		w.task.Busy = Prepare
		return w.prepare, false
	case Release:
		w.task.Busy = Release
		w.task.StoppedAt = time.Now()
		return w.release, false
	case Forget:
		w.task.Busy = Forget
		return w.forget(w.task.clone()), false
	case Pull:
		c.Busy, c.PullBeganAt = Pull, time.Now()
		return w.pull(c.Name), false
	case Abandon:
		return w.abandon(c, s.Reason)
	case Launch:
		c.Phase, c.Busy, c.LaunchedAt = Launching, Launch, time.Now()
		c.CreatedAt = c.LaunchedAt
		w.task.Boot = w.e.cfg.Boot
		return w.launch(w.task.clone(), c.Name), false
	case Restart:
		if c.Phase != Restarting {
			c.Restarts++
		}
		c.Phase, c.Busy, c.LaunchedAt = Restarting, Restart, time.Now()
		return w.restart(c.Name, c.RuntimeID), false
	case Probe:
		c.Probing = true
		return w.probe(c.Name, c.RuntimeID, c.StartedAt), false
	case Signal:
		c.Busy, c.StopSentAt = Signal, time.Now()
		return w.signal(c.Name, c.RuntimeID), false
	case Kill:
		c.Busy, c.KillSentAt = Kill, time.Now()
		return w.signal(c.Name, c.RuntimeID), false
	case Finish:
		c.Busy = Finish
		return w.finish(c.Name, c.RuntimeID), false
	}
	panic("engine: no such step: " + s.Kind)
}

// note puts into the mail what a step came to; the container it is about is looked up when the note is read. Once ctx
// has ended nothing is noted: a step that was cut off has not failed, and the next start carries it on.
func (w *worker) note(ctx context.Context, container string, note func(c *Container)) {
	if ctx.Err() != nil {
		return
	}
	w.mail.put(func() { note(w.task.Container(container)) })
}

// admit takes the task's resources, or says why they can never be had. It reports whether anything changed: a task that
// has to wait is woken by the ledger.
func (w *worker) admit() bool {
	if why := w.e.ledger.unplaceable(w.needs); why != "" {
		w.task.Reason = errResourceInitialization + ": " + why
		return true
	}
	free, err := w.e.parts.Disk.Free()
	if err != nil {
		w.task.Reason = fmt.Sprintf("%s: look for room on disk: %v", errResourceInitialization, err)
		return true
	}
	if free < w.e.cfg.LeastDisk {
		w.task.Reason = fmt.Sprintf("%s: no space left on the instance's disk: %d MiB are free and %d MiB must be",
			errResourceInitialization, free/MiB, w.e.cfg.LeastDisk/MiB)
		return true
	}
	w.task.Admitted = w.e.ledger.take(w.def.ARN)
	return w.task.Admitted
}

func (w *worker) prepare(ctx context.Context) {
	err := w.e.parts.Sandboxes.Prepare(ctx, TaskSandbox{
		ID: w.def.ID, VCPU: w.def.Task.CPU, CPUShares: taskShares(w.def), Memory: w.def.Task.Memory * MiB,
		SharePID: w.def.Task.PIDMode == "task", ShareIPC: w.def.Task.IPCMode == "task",
		SharedMemory: taskSharedMemory(w.def), Volumes: volumesOf(w.def),
	})
	w.note(ctx, "", func(*Container) {
		w.task.Busy = ""
		if w.task.Prepared = err == nil; err != nil {
			w.task.Reason = err.Error()
		}
	})
}

// taskShares is the weight of a task: what it asks for itself, or else what its containers have together.
func taskShares(def *Definition) (sum int64) {
	if units := int64(def.Task.CPU * unitsOfVCPU); units > 0 {
		return min(max(units, leastCPUShares), mostCPUShares)
	}
	for i := range def.Containers {
		sum += max(def.Containers[i].Host.CPUShares, leastCPUShares)
	}
	return min(sum, mostCPUShares)
}

// taskSharedMemory is the size of the one /dev/shm that a task's containers share in ipcMode task: the most that one of
// them asks for, since none of them would have its own.
func taskSharedMemory(def *Definition) (size int64) {
	for i := range def.Containers {
		size = max(size, sharedMemory(&def.Containers[i]))
	}
	return size
}

// pull brings an image. Tasks that want the same image at the same time share one pull, which goes on when one of them
// is stopped.
func (w *worker) pull(container string) func(context.Context) {
	ref := w.def.Container(container).Config.Image
	abandoned, abandon := context.WithCancel(context.Background())
	w.pulls[container] = abandon
	return func(ctx context.Context) {
		defer abandon()
		pulled := w.e.pulls.DoChan(ref, func() (any, error) {
			if err := w.e.pullSlots.Acquire(ctx, 1); err != nil {
				return Image{}, err
			}
			defer w.e.pullSlots.Release(1)
			return w.e.parts.Images.Pull(ctx, ref)
		})
		select {
		case <-abandoned.Done():
		case r := <-pulled:
			w.note(ctx, container, func(c *Container) { w.hasPulled(c, r.Val.(Image), r.Err) })
		}
	}
}

func (w *worker) hasPulled(c *Container, image Image, err error) {
	delete(w.pulls, c.Name)
	if c.Phase != Waiting {
		return // abandoned meanwhile
	}
	c.Busy = ""
	if !image.Cached { // as the genuine agent, which tells no times of pulls that were none
		if w.task.PullStartedAt.IsZero() || c.PullBeganAt.Before(w.task.PullStartedAt) {
			w.task.PullStartedAt = c.PullBeganAt
		}
		w.task.PullStoppedAt = time.Now()
	}
	if err != nil {
		w.ended(c, err.Error())
		return
	}
	c.Phase, c.ImageID, c.ImageDigest = Pulled, image.ID, image.Digest
}

// ended notes that a container is over.
func (w *worker) ended(c *Container, reason string) {
	c.Phase, c.Busy = Ended, ""
	if c.Reason == "" {
		c.Reason = reason
	}
	if def := w.def.Container(c.Name); def.Essential && w.task.ExecutionStoppedAt.IsZero() {
		w.task.ExecutionStoppedAt = time.Now()
		if c.Exit != nil {
			w.task.ExecutionStoppedAt = c.Exit.At
		}
	}
}

func (w *worker) abandon(c *Container, reason string) (do func(context.Context), changed bool) {
	if cancel := w.pulls[c.Name]; cancel != nil {
		cancel()
		delete(w.pulls, c.Name)
	}
	if c.Phase != Launching && !c.HalfMade {
		w.ended(c, reason)
		return nil, true
	}
	c.Busy = Abandon
	name, id := c.Name, c.RuntimeID
	return func(ctx context.Context) {
		w.persist(ctx, "remove a container that did not start", func() error {
			return errors.Join(w.e.parts.Containers.Delete(ctx, id), w.e.parts.Network.Detach(ctx, id))
		})
		w.note(ctx, name, func(c *Container) { w.ended(c, reason) })
	}, false
}

// signal asks or, if it was asked before and the time is over, makes a container end. That it has ended is known when
// its exit arrives, so an error is no more than a delay: the plan kills it later, and again.
func (w *worker) signal(container, id string) func(context.Context) {
	kill := !w.task.Container(container).KillSentAt.IsZero()
	stopSignal := w.def.Container(container).Config.StopSignal
	return func(ctx context.Context) {
		call, cancel := context.WithTimeout(ctx, stopCallTimeout)
		defer cancel()
		var err error
		if kill {
			err = w.e.parts.Containers.Kill(call, id)
		} else {
			err = w.e.parts.Containers.Stop(call, id, stopSignal)
		}
		if err != nil && ctx.Err() == nil {
			w.e.log.Warn("a container could not be signalled", "task", w.def.ARN, "container", container, "err", err)
		}
		w.note(ctx, container, func(c *Container) { c.Busy, c.Signalled = "", true })
	}
}

// finish removes an ended container, ships what it printed last and returns its network, so that its ports are free and
// its log is complete when the control plane hears of its end. Its exit is on disk by now.
func (w *worker) finish(container, id string) func(context.Context) {
	return func(ctx context.Context) {
		w.dismantle(ctx, container, id)
		w.note(ctx, container, func(c *Container) {
			reason := ""
			if c.Exit != nil && c.Exit.OOMKilled {
				reason = "OutOfMemoryError: Container killed due to memory usage"
			}
			w.ended(c, reason)
		})
	}
}

// dismantle takes a container apart. What does not succeed is told and not waited for: forget tries again.
func (w *worker) dismantle(ctx context.Context, container, id string) {
	warn := func(what string, err error) {
		if err != nil && ctx.Err() == nil {
			w.e.log.Warn(what, "task", w.def.ARN, "container", container, "err", err)
		}
	}
	warn("an ended container was not removed", w.e.parts.Containers.Delete(ctx, id))
	warn("a container's network was not returned", w.e.parts.Network.Detach(ctx, id))
	drain, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	warn("the last output of a container is still on its way", w.e.parts.Logs.Drain(drain, id))
}

// release gives the task's resources to those who wait for them, and its cgroup and namespaces back.
func (w *worker) release(ctx context.Context) {
	w.e.ledger.give(w.def.ARN)
	w.persist(ctx, "release a task", func() error { return w.e.parts.Sandboxes.Release(ctx, w.def.ID) })
	w.note(ctx, "", func(*Container) { w.task.Busy, w.task.Released = "", true })
}

// forget removes what a stopped task left: containers, output, volumes and at last its records.
func (w *worker) forget(t *Task) func(context.Context) {
	return func(ctx context.Context) {
		w.persist(ctx, "remove a stopped task", func() error {
			var errs []error
			for i := range t.Containers {
				errs = append(errs,
					w.e.parts.Containers.Delete(ctx, t.Containers[i].RuntimeID),
					w.e.parts.Network.Detach(ctx, t.Containers[i].RuntimeID),
					w.e.parts.Logs.Forget(ctx, t.Containers[i].RuntimeID))
			}
			if err := errors.Join(errs...); err != nil {
				return err
			}
			if err := w.e.parts.Sandboxes.RemoveVolumes(ctx, w.def.ID); err != nil {
				return err
			}
			return w.e.journal.put(
				&entry{recordID: recordID{bucketTasks, w.key}},
				&entry{recordID: recordID{bucketPayloads, w.key}})
		})
		w.note(ctx, "", func(*Container) {
			w.gone = true
			w.e.drop(w)
		})
	}
}

// persist does something that has to succeed, until it does or ctx ends, waiting a little longer each time.
func (w *worker) persist(ctx context.Context, what string, do func() error) {
	const first, last = time.Second, time.Minute
	for pause := first; ; pause = min(2*pause, last) {
		err := do()
		if err == nil || ctx.Err() != nil {
			return
		}
		w.e.log.Warn(what+" did not succeed; trying again", "task", w.def.ARN, "err", err, "in", pause)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
}
