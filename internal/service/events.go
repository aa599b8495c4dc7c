package service

import (
	"fmt"
	"strings"

	"gantry"
)

// An Event is something to tell about a service.
type Event struct {
	// Name is EventBridge's for it; "" for what stands in service.events only.
	Name string
	// Message is without the prefix "(service <name>) " or "(service <name>, taskSet <id>) ";
	// "" for what is EventBridge's only.
	Message string
	// Deployment is the one whose state changes, and Reason what EventBridge says of it, or
	// of what it alone is told.
	Deployment gantry.RevisionID
	Reason     string
	// TaskSet is the one that the event is about; "" where it is the whole service.
	TaskSet gantry.RevisionID
	// Providers are the capacity providers that it is about.
	Providers []string
	// Cause is what the event is told for, once; "" for what happens at one moment.
	Cause string
}

// The names of events.
const (
	DeploymentInProgress = "SERVICE_DEPLOYMENT_IN_PROGRESS"
	DeploymentCompleted  = "SERVICE_DEPLOYMENT_COMPLETED"
	DeploymentFailed     = "SERVICE_DEPLOYMENT_FAILED"
	SteadyState          = "SERVICE_STEADY_STATE"
	TaskSetSteadyState   = "TASKSET_STEADY_STATE"
	ProviderSteadyState  = "CAPACITY_PROVIDER_STEADY_STATE"
	TasksStarted         = "TASKS_STARTED"
	TasksStopped         = "TASKS_STOPPED"
	StartImpaired        = "SERVICE_TASK_START_IMPAIRED"
	PlacementFailure     = "SERVICE_TASK_PLACEMENT_FAILURE"
	DaemonViolation      = "SERVICE_DAEMON_PLACEMENT_CONSTRAINT_VIOLATED"
	RebalancingStarted   = "SERVICE_REBALANCING_STARTED"
	RebalancingCompleted = "SERVICE_REBALANCING_COMPLETED"
)

// What ECS says, where AWS documents the words.
const (
	textSteady      = "has reached a steady state."
	textTooManyWait = "was unable to place a task. Reason: You've reached the limit on the number of tasks in a provisioning state."
	textImpaired    = "is unable to consistently start tasks successfully."
	textStuck       = "was unable to stop or start tasks during a deployment because of the service deployment configuration. Update the minimumHealthyPercent or maximumPercent value and try again."

	reasonUnhealthy     = "Task failed container health checks"
	reasonFailedToStart = "ECS deployment circuit breaker: tasks failed to start."
)

// Words of our own, where AWS's are not documented.
const (
	textStuckReplacing = "was unable to stop or start tasks to replace others because of the service deployment configuration. Update the minimumHealthyPercent or maximumPercent value and try again."
	textFailedToStart  = "tasks failed to start."
	textFailedHealth   = "tasks failed health checks."
	textAlarm          = "alarm detected."
	textStopped        = "stopped by user."

	reasonFailedHealth = "ECS deployment circuit breaker: tasks failed health checks."
	reasonStopped      = "Deployment stopped by user."
	reasonSuperseded   = "Deployment superseded by a newer deployment."
	reasonDeleted      = "Service deleted."

	byBreaker = "ECS deployment circuit breaker"
	byAlarms  = "ECS deployment alarms"
)

// scaling is why the scheduler stops a task.
func scaling(r gantry.RevisionID) string {
	return "Scaling activity initiated by (deployment " + r.StartedBy() + ")"
}

func reasonInProgress(r gantry.RevisionID) string {
	return "ECS deployment " + r.StartedBy() + " in progress."
}

func reasonCompleted(r gantry.RevisionID) string {
	return "ECS deployment " + r.StartedBy() + " completed."
}

func reasonRollback(by string, r gantry.RevisionID) string {
	return by + ": rolling back to deploymentId " + r.StartedBy() + "."
}

func reasonAlarm(name string) string { return byAlarms + ": alarm " + name + " is in ALARM." }

// textHeld tells that tasks on container instances whose agents are away are not replaced.
func textHeld(tasks, instances int) string {
	return fmt.Sprintf("was unable to replace %d tasks on %d container instances whose agents are disconnected, because too many of the cluster's agents are disconnected at once. "+
		"Set the container instances to DRAINING to have the tasks replaced.", tasks, instances)
}

func reasonViolation(t gantry.TaskID, i gantry.InstanceID) string {
	return "(task " + string(t) + ") no longer satisfies the placement constraints on container-instance " + string(i) + "."
}

func textCompleted(r gantry.RevisionID) string {
	return "(deployment " + r.StartedBy() + ") deployment completed."
}

func textFailed(r gantry.RevisionID, why string) string {
	return "(deployment " + r.StartedBy() + ") deployment failed: " + why
}

func textRollback(r gantry.RevisionID) string {
	return "rolling back to deployment " + r.StartedBy() + "."
}

// textHalted tells that a failed deployment starts nothing, and that there is nothing else to start.
func textHalted(r gantry.RevisionID) string {
	return "is not starting tasks because (deployment " + r.StartedBy() + ") failed and there is no other deployment that completed. Update the service to start a new deployment."
}

func textNoZone(zone string) string {
	return "is unable to place a task in " + zone + " because no container instance met all of its requirements."
}

func textProtected(r gantry.RevisionID) string {
	return "was unable to reach steady state because task set (" + r.StartedBy() + ") was unable to scale in. Reason: The number of protected tasks are more than the desired count of tasks."
}

// Started tells that tasks were started, of one Start.
func Started(s Start, tasks []gantry.TaskID) Event {
	if s.Zone != "" {
		return Event{Name: TasksStarted, Message: fmt.Sprintf("has started %d tasks in %s to AZ Rebalance: %s.", len(tasks), s.Zone, named(tasks))}
	}
	return Event{Name: TasksStarted, Message: fmt.Sprintf("has started %d tasks: %s.", len(tasks), named(tasks))}
}

// stoppedText tells that tasks are stopped; verb has the place of their number.
func stoppedText(verb string, tasks []gantry.TaskID) string {
	return fmt.Sprintf(verb+": %s.", len(tasks), named(tasks))
}

// maxNamed is how many tasks an event names: the record of a service's events stays
// small when thousands of tasks start at once.
const maxNamed = 20

// named lists tasks as events do.
func named(tasks []gantry.TaskID) string {
	var b strings.Builder
	for i, id := range tasks {
		if i == maxNamed {
			fmt.Fprintf(&b, " and %d more", len(tasks)-maxNamed)
			break
		}
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString("(task " + string(id) + ")")
	}
	return b.String()
}

// condition is an event told once for as long as it holds.
func condition(name, message string) Event {
	return Event{Name: name, Message: message, Cause: message}
}
