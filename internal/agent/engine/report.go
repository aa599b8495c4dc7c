package engine

import (
	"context"
	"errors"
	"maps"
	"strings"
	"time"

	"gantry"
	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"
)

const (
	// maxReason is where the genuine agent cuts a reason, in characters.
	maxReason = 1024
	// maxRuntimeID is where it cuts runtime ids and digests.
	maxRuntimeID = 255
	// newsDelay collects news of containers that come without a change of their task, so that a task that starts takes
	// one call rather than one for each container.
	newsDelay = 200 * time.Millisecond
	// Submissions are repeated for a day, ever more slowly.
	submitFirstPause = 500 * time.Millisecond
	submitLastPause  = 5 * time.Minute
	submitFor        = 24 * time.Hour
)

// nextChange is the news of a task that the control plane has not acknowledged, and what it will have been told then.
// Urgent news changes the task's status. ok is false where there is none.
//
// A task that has been up is told RUNNING before it is told STOPPED, however short that was.
//
// A container that does not run yet is told where its image has been resolved to a digest:
// other tasks may wait for that.
func nextChange(cluster string, t *Task, def *Definition) (change *ecsapi.SubmitTaskStateChangeInput, told Told, urgent, ok bool) {
	if t.Told.GivenUp || t.Told.Status == gantry.Stopped {
		return nil, t.Told, false, false
	}
	status := t.Status()
	if status == gantry.Running && t.RunningAt.IsZero() {
		status = gantry.Pending // it stops before it was up
	}
	if status == gantry.Stopped && t.Told.Status != gantry.Running && !t.RunningAt.IsZero() {
		status = gantry.Running
	}
	told = Told{Status: status, Containers: maps.Clone(t.Told.Containers)}
	if told.Containers == nil {
		told.Containers = map[string]gantry.TaskStatus{}
	}
	change = &ecsapi.SubmitTaskStateChangeInput{Cluster: &cluster, Task: &def.ARN, Status: new(string(status))}
	for i := range t.Containers {
		c := &t.Containers[i]
		now := c.Status()
		if status == gantry.Running && now == gantry.Stopped && t.Status() == gantry.Stopped {
			now = gantry.Running // the end comes with the task's
		}
		resolved := c.ImageDigest != "" && !strings.Contains(def.Containers[i].Config.Image, "@")
		if before := told.Containers[c.Name]; now == gantry.Pending && !resolved || now == before || before == gantry.Stopped {
			continue
		}
		told.Containers[c.Name] = now
		change.Containers = append(change.Containers, containerChange(c, now))
	}
	urgent = status != t.Told.Status && (status != gantry.Pending)
	if !urgent && len(change.Containers) == 0 {
		return nil, t.Told, false, false
	}
	reason := ""
	if status == gantry.Stopped {
		reason = cut(t.Reason, maxReason)
		change.ExecutionStoppedAt = timestamp(t.ExecutionStoppedAt)
	}
	change.Reason = &reason
	change.PullStartedAt, change.PullStoppedAt = timestamp(t.PullStartedAt), timestamp(t.PullStoppedAt)
	return change, told, urgent, true
}

func containerChange(c *Container, status gantry.TaskStatus) ecsapi.ContainerStateChange {
	change := ecsapi.ContainerStateChange{ContainerName: &c.Name, Status: new(string(status))}
	if !c.LaunchedAt.IsZero() {
		change.RuntimeId = new(cut(c.RuntimeID, maxRuntimeID))
		change.NetworkBindings = c.Network.Bindings
	}
	if c.ImageDigest != "" {
		change.ImageDigest = new(cut(c.ImageDigest, maxRuntimeID))
	}
	if status == gantry.Stopped {
		if c.Exit != nil {
			change.ExitCode = new(c.Exit.Code)
		}
		if c.Reason != "" {
			change.Reason = new(cut(c.Reason, maxReason))
		}
	}
	return change
}

func timestamp(t time.Time) *wire.Timestamp {
	if t.IsZero() {
		return nil
	}
	return wire.At(t)
}

// cut shortens text to so many characters.
func cut(text string, most int) string {
	n := 0
	for i := range text {
		if n++; n > most {
			return strings.ToValidUTF8(text[:i], "")
		}
	}
	return strings.ToValidUTF8(text, "�")
}

// news is how the telling of a task's changes goes. It belongs to the worker's goroutine.
type news struct {
	sending bool
	since   time.Time     // when the news that was not told yet appeared
	failing time.Time     // since when telling fails
	pause   time.Duration // before the next try
	next    time.Time     // not before
}

// tell sends the news of the task if there is some and it is time. It says when to look again. One call per task is
// under way at a time, so that their order is kept.
func (w *worker) tell(ctx context.Context) (wake time.Time) {
	now := time.Now()
	n := &w.news
	if n.sending {
		return time.Time{}
	}
	change, told, urgent, ok := nextChange(w.e.cfg.Identity.Cluster, w.task, w.def)
	if !ok {
		n.since = time.Time{}
		return time.Time{}
	}
	if n.since.IsZero() {
		n.since = now
	}
	due := n.next
	if !urgent && due.Before(n.since.Add(newsDelay)) {
		due = n.since.Add(newsDelay)
	}
	if now.Before(due) {
		return due
	}
	n.sending = true
	w.steps.Go(func() {
		err := w.e.parts.Submitter.SubmitTaskStateChange(ctx, change)
		w.note(ctx, "", func(*Container) { w.hasTold(told, err) })
	})
	return time.Time{}
}

// hasTold notes how a submission ended.
func (w *worker) hasTold(told Told, err error) {
	now := time.Now()
	n := &w.news
	n.sending = false
	var rejected *Rejection
	switch {
	case err == nil:
		w.task.Told = told
		w.news = news{}
	case errors.As(err, &rejected), !n.failing.IsZero() && now.Sub(n.failing) > submitFor:
		w.e.log.Error("the control plane refuses to hear of a task; it will not be told again", "task", w.def.ARN, "err", err)
		w.task.Told.GivenUp = true
	default:
		if n.failing.IsZero() {
			n.failing = now
		}
		n.pause = min(max(2*n.pause, submitFirstPause), submitLastPause)
		n.next = now.Add(n.pause)
		w.e.log.Warn("a state change could not be submitted; trying again", "task", w.def.ARN, "err", err, "in", n.pause)
	}
}

// tellEndAgain makes the end of a task news again, if the control plane has acknowledged it and yet speaks of the task as
// of one that is not over. Whoever has heard of it takes no notice of the second time. A task of which it wanted to hear
// no more is told of again too, since it asks.
func (w *worker) tellEndAgain() {
	w.mail.put(func() {
		t := &w.task.Told
		if t.Status != gantry.Stopped && !t.GivenUp {
			return
		}
		// Told as running: the beginning was heard of, or is too long ago to be told as if it were now.
		*t = Told{Status: gantry.Running}
		w.retryNow()
	})
}

// retryNow forgets the pause before the next try.
func (w *worker) retryNow() {
	w.news.next, w.news.pause = time.Time{}, 0
}
