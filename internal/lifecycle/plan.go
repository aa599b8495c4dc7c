// Package lifecycle ends what nobody else can end, and forgets what has ended.
//
// Agents report how their tasks go on, and package ecs writes that down. What is
// left is here: a task that was asked to stop before any container instance had
// it, the tasks of an instance that was deregistered, those of services on an
// instance whose agent stays away, and everything that ECS shows for a while after
// its end: STOPPED tasks, INACTIVE clusters, services and container instances, service
// deployments, deleted task definitions, and the tokens of idempotent calls.
//
// This file and lost.go decide, and controller.go, lost_watch.go and sweep.go carry it
// out. Nothing here moves a task that an agent can still report on: one that comes back
// although it was given up is told by its manifest to stop what it still runs.
package lifecycle

import (
	"time"

	"gantry"
	"gantry/internal/wire/ecsapi"
)

// What ECS writes into stoppedReason.
const (
	reasonDeregistered = "Container instance deregistration forced by user"
	reasonGone         = "Host instance stopped/terminated"
)

// Limits say how long things stay visible after their end.
type Limits struct {
	// Stopped is for STOPPED tasks. AWS keeps them for an hour at least, and
	// clients that wait for a task's end rely on that.
	Stopped time.Duration
	// Inactive is for deleted clusters, services and capacity providers, and
	// deregistered container instances.
	Inactive time.Duration
}

// DefaultLimits are AWS's hour, for everything.
var DefaultLimits = Limits{Stopped: time.Hour, Inactive: time.Hour}

// An Ending is why a task is STOPPED although no agent has said so. Code and
// Reason are empty where the task was asked to stop and says itself why.
type Ending struct {
	Code   gantry.StopCode
	Reason string
}

// EndOf says how a task ends that no agent will report on, or nil. Instance is
// where the task is placed; nil where nobody knows the instance any more. Connection
// is that of its agent; nil where it never connected.
func EndOf(t *gantry.Task, instance *gantry.Instance, connection *gantry.Connection) *Ending {
	switch {
	case t.LastStatus == gantry.Stopped:
		return nil
	case t.Instance == "":
		if t.DesiredStatus == gantry.Stopped {
			return &Ending{} // no agent ever had it
		}
		return nil // it waits for capacity
	case instance == nil:
		return &Ending{Reason: reasonGone}
	case instance.Status == gantry.InstanceInactive:
		return &Ending{Reason: reasonDeregistered}
	case lost(t, connection):
		return &Ending{Code: ecsapi.TaskStopCodeInfrastructureHealth, Reason: reasonLost(connection)}
	}
	return nil
}

// End returns the task as it is after its ending. Why a task was asked to stop
// is kept: only a task that was to run on gets the ending's reason.
func End(t *gantry.Task, e Ending, now time.Time) *gantry.Task {
	next := *t
	next.LastStatus = gantry.Stopped
	next.StoppedAt = now
	next.Version++
	if t.DesiredStatus != gantry.Stopped {
		next.DesiredStatus = gantry.Stopped
		next.StopCode, next.StoppedReason = e.Code, e.Reason
		next.Failed = true
	}
	if next.StoppingAt.IsZero() {
		next.StoppingAt = now
	}
	next.Containers = make([]gantry.Container, len(t.Containers))
	for i, c := range t.Containers {
		c.LastStatus = gantry.Stopped
		next.Containers[i] = c
	}
	return &next
}

// TaskOver reports whether a task has been STOPPED for so long that it is forgotten.
func TaskOver(t *gantry.Task, l Limits, now time.Time) bool {
	return t.LastStatus == gantry.Stopped && !now.Before(t.StoppedAt.Add(l.Stopped))
}

// ClusterOver is TaskOver for a deleted cluster.
func ClusterOver(c *gantry.Cluster, l Limits, now time.Time) bool {
	return c.Status == gantry.Inactive && !now.Before(c.DeletedAt.Add(l.Inactive))
}

// ProviderOver is TaskOver for a deleted capacity provider.
func ProviderOver(p *gantry.CapacityProvider, l Limits, now time.Time) bool {
	return p.Status == ecsapi.CapacityProviderStatusInactive && !now.Before(p.DeletedAt.Add(l.Inactive))
}

// InstanceOver is TaskOver for a deregistered container instance. Tasks is how
// many tasks are still known to have been on it, and connection its connection's
// record, nil where it never connected.
func InstanceOver(i *gantry.Instance, connection *gantry.Connection, tasks int, l Limits, now time.Time) bool {
	if i.Status != gantry.InstanceInactive || tasks > 0 {
		return false
	}
	last := i.RegisteredAt
	if connection != nil && connection.Since.After(last) {
		last = connection.Since
	}
	return !now.Before(last.Add(l.Inactive))
}

// DefinitionOver reports whether a deleted task definition can go: nothing, neither
// task nor service, uses it. Its revision number is never used again all the same.
func DefinitionOver(d *gantry.Definition, uses int) bool {
	return d.Status == gantry.DeleteInProgress && uses == 0
}

// TokenOver reports whether the token of an idempotent call has expired. Tokens
// without an end are those by which instances register; they go with the instance.
func TokenOver(t *gantry.ClientToken, now time.Time) bool {
	return !t.ExpiresAt.IsZero() && !now.Before(t.ExpiresAt)
}
