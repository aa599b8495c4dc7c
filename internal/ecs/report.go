package ecs

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"gantry"
	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"
)

// What ECS writes into stoppedReason.
const (
	reasonEssentialExited = "Essential container in task exited"
	reasonFailedToStart   = "Task failed to start"
	reasonStoppedByUser   = "Task stopped by user"
)

// Agents cut what they report at these lengths, in bytes; a longer text is cut
// here, so that no agent can fill the store.
const (
	maxReason = 1024
	maxName   = 255
	// maxBindings bounds the network bindings of one container: two addresses for
	// each port of a hundred ranges and then some.
	maxBindings = 4096
)

// A report is what an agent says about one task.
type report struct {
	status                        gantry.TaskStatus // PENDING, RUNNING or STOPPED; "" where only containers changed
	reason                        string            // of the task; normally empty
	containers                    []ecsapi.ContainerStateChange
	pullStarted, pullStopped, end time.Time // zero where not told
}

// tell returns the task as it is after the report: a changed copy, or t itself
// where the report says nothing new. The state only moves forward; a late report
// does not move it back, but what it adds (exit codes, bindings, digests, times)
// is kept. essential tells whether the task ends with the named container.
func tell(t *gantry.Task, r report, essential func(string) bool, now time.Time) *gantry.Task {
	next := *t
	next.Containers = slices.Clone(t.Containers)
	changed := false
	for _, c := range r.containers {
		if to := next.Container(wire.Value(c.ContainerName)); to != nil && tellContainer(to, c) {
			changed = true
		}
	}
	for _, at := range []struct {
		to *time.Time
		is time.Time
	}{{&next.PullStartedAt, r.pullStarted}, {&next.PullStoppedAt, r.pullStopped}, {&next.ExecutionStoppedAt, r.end}} {
		if at.to.IsZero() && !at.is.IsZero() {
			*at.to, changed = at.is, true
		}
	}
	if t.LastStatus != gantry.Stopped && t.ConnectivityAt.IsZero() {
		next.ConnectivityAt, changed = now, true // the first that its agent tells of it
	}
	if next.DesiredStatus != gantry.Stopped && (r.status == gantry.Stopped || essentialEnded(&next, essential)) {
		next.DesiredStatus, changed = gantry.Stopped, true
		next.StopCode, next.StoppedReason = cause(&next, r.reason, essential)
		next.Failed = failed(&next, essential)
	}
	if next.DesiredStatus == gantry.Stopped && next.StoppingAt.IsZero() {
		next.StoppingAt, changed = now, true
	}
	if next.LastStatus.MayBecome(r.status) {
		next.LastStatus, changed = r.status, true
		arrive(&next, now)
	}
	if !changed {
		return t
	}
	next.Version++
	return &next
}

// arrive does what goes with reaching the task's present status.
func arrive(t *gantry.Task, now time.Time) {
	switch t.LastStatus {
	case gantry.Running:
		t.StartedAt = now
	case gantry.Stopped:
		t.StoppedAt = now
		for i := range t.Containers {
			t.Containers[i].LastStatus = gantry.Stopped
		}
	}
}

// tellContainer takes over what is new about a container and says whether anything was.
func tellContainer(c *gantry.Container, r ecsapi.ContainerStateChange) bool {
	changed := false
	if s := gantry.TaskStatus(wire.Value(r.Status)); c.LastStatus.MayBecome(s) {
		c.LastStatus, changed = s, true
	}
	for _, text := range []struct {
		to   *string
		is   *string
		most int
	}{{&c.RuntimeID, r.RuntimeId, maxName}, {&c.ImageDigest, r.ImageDigest, maxName}, {&c.Reason, r.Reason, maxReason}} {
		if is := shorten(wire.Value(text.is), text.most); is != "" && is != *text.to {
			*text.to, changed = is, true
		}
	}
	if r.ExitCode != nil && (c.ExitCode == nil || *c.ExitCode != *r.ExitCode) {
		c.ExitCode, changed = new(*r.ExitCode), true
	}
	if n := len(r.NetworkBindings); n > 0 && c.NetworkBindings == nil {
		c.NetworkBindings, changed = r.NetworkBindings[:min(n, maxBindings)], true
	}
	return changed
}

// essentialEnded reports whether a container that the task ends with has stopped.
func essentialEnded(t *gantry.Task, essential func(string) bool) bool {
	return slices.ContainsFunc(t.Containers, func(c gantry.Container) bool { return c.LastStatus == gantry.Stopped && essential(c.Name) })
}

// cause says why a task that nobody asked to stop has ended. A container that
// ran and exited ended it; else it never started, for the reason that the agent
// gives for the task, or for a container.
func cause(t *gantry.Task, reason string, essential func(string) bool) (gantry.StopCode, string) {
	reason = shorten(reason, maxReason)
	exited := func(c gantry.Container) bool { return essential(c.Name) && c.ExitCode != nil }
	if !t.StartedAt.IsZero() || slices.ContainsFunc(t.Containers, exited) {
		return ecsapi.TaskStopCodeEssentialContainerExited, cmp.Or(reason, reasonEssentialExited)
	}
	for _, c := range t.Containers {
		reason = cmp.Or(reason, c.Reason)
	}
	return ecsapi.TaskStopCodeTaskFailedToStart, cmp.Or(reason, reasonFailedToStart)
}

// failed reports whether a task that ends by itself does so with an error: it never ran,
// or one of the essential containers that have ended by now did not end with 0. One
// that was killed because another had ended well is no failure.
func failed(t *gantry.Task, essential func(string) bool) bool {
	if t.StopCode != ecsapi.TaskStopCodeEssentialContainerExited {
		return true
	}
	const interrupted, killed = 128 + 2, 128 + 9 // as shells tell of SIGINT, and of SIGKILL
	const terminated = 128 + 15
	well, badly, ended := false, false, false
	for _, c := range t.Containers {
		if c.LastStatus != gantry.Stopped || !essential(c.Name) {
			continue
		}
		ended = true
		switch {
		case c.ExitCode == nil:
			badly = true
		case *c.ExitCode == 0:
			well = true
		case !slices.Contains([]int32{interrupted, killed, terminated}, *c.ExitCode):
			badly = true
		}
	}
	return badly || ended && !well
}

// shorten cuts text to most bytes, at a character's boundary.
func shorten(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "")
}

// tellHealth returns the task with new health for the named containers; t itself
// where nothing changed.
func tellHealth(t *gantry.Task, health map[string]ecsapi.HealthStatus) *gantry.Task {
	next := *t
	next.Containers = slices.Clone(t.Containers)
	changed := false
	for name, h := range health {
		if c := next.Container(name); c != nil && c.Health != h && slices.Contains(h.Values(), h) {
			c.Health, changed = h, true
		}
	}
	if !changed {
		return t
	}
	next.Version++
	return &next
}
