package gantry

import (
	"slices"
	"time"

	"gantry/internal/wire/ecsapi"
)

// A DeploymentID is the last part of a service deployment's ARN: 21 letters and digits.
type DeploymentID string

// A Deployment is a service deployment: one attempt to bring a service to a revision,
// with the rollback where the attempt failed. CreateService and UpdateService begin
// it, StopServiceDeployment asks for its end, and the scheduler moves it on.
type Deployment struct {
	ID      DeploymentID `json:"id"`
	Cluster ClusterName  `json:"cluster"`
	Service ServiceName  `json:"service"`

	Status       ecsapi.ServiceDeploymentStatus `json:"status"`
	StatusReason string                         `json:"statusReason,omitzero"`
	// Configuration is the service's when the deployment began.
	Configuration *ecsapi.DeploymentConfiguration `json:"configuration,omitzero"`

	// Target is the way to the new revision.
	Target Rollout `json:"target"`
	// Rollback is the way back; nil unless the deployment is rolled back.
	Rollback *Rollout `json:"rollback,omitzero"`
	// Sources are the revisions that had tasks when the deployment began.
	Sources []RevisionID `json:"sources,omitzero"`
	// Found is how many tasks of other revisions were to run then: no more of them are kept up.
	Found int `json:"found,omitzero"`
	// Fallback is the revision of the last deployment that completed: where a rollback
	// goes. Empty where none did.
	Fallback RevisionID `json:"fallback,omitzero"`
	// KeptStarts and KeptCrashes are for tasks of Fallback that make up for others what a
	// rollout's Starts and Crashes are for its own.
	KeptStarts  Backoff `json:"keptStarts,omitzero"`
	KeptCrashes Backoff `json:"keptCrashes,omitzero"`
	// Stage is how far a BLUE_GREEN, LINEAR or CANARY deployment is, and StageAt since
	// when; empty for ROLLING.
	Stage   ecsapi.ServiceDeploymentLifecycleStage `json:"stage,omitzero"`
	StageAt time.Time                              `json:"stageAt,omitzero"`
	// Weight and TestWeight are the percentages of production and test traffic that the
	// target is to have: what moves traffic obeys them. WeightAt is when Weight was last
	// raised, and Steps how often it was.
	Weight     float64   `json:"weight,omitzero"`
	TestWeight float64   `json:"testWeight,omitzero"`
	WeightAt   time.Time `json:"weightAt,omitzero"`
	Steps      int       `json:"steps,omitzero"`
	// Hooks are the lifecycle hooks that the deployment has come to.
	Hooks []Hook `json:"hooks,omitzero"`
	// AlarmsIgnored says that an alarm stood in ALARM already when the deployment began,
	// which switches its monitoring off, so that a fix can be shipped.
	AlarmsIgnored bool `json:"alarmsIgnored,omitzero"`
	// AlarmsSeen says that the alarms have been looked at.
	AlarmsSeen bool `json:"alarmsSeen,omitzero"`

	CreatedAt  time.Time `json:"createdAt"`
	StartedAt  time.Time `json:"startedAt,omitzero"`
	UpdatedAt  time.Time `json:"updatedAt,omitzero"`
	FinishedAt time.Time `json:"finishedAt,omitzero"`
	StoppedAt  time.Time `json:"stoppedAt,omitzero"`
}

// A Rollout is the way of a service to one revision: the entry of service.deployments
// with the revision's digits in its id.
type Rollout struct {
	Revision RevisionID `json:"revision"`
	// State and Reason are rolloutState and rolloutStateReason.
	State  ecsapi.DeploymentRolloutState `json:"state"`
	Reason string                        `json:"reason"`
	// FailedTasks are those that failed to start since a task last reached RUNNING.
	FailedTasks int `json:"failedTasks,omitzero"`
	// Ran says that a task has reached RUNNING: the circuit breaker's second stage.
	Ran bool `json:"ran,omitzero"`
	// Failures is the circuit breaker's count. FailedAt is when it last rose, and
	// HealthyThen how many tasks were healthy then, or fewer if fewer have been since.
	Failures    int       `json:"failures,omitzero"`
	FailedAt    time.Time `json:"failedAt,omitzero"`
	HealthyThen int       `json:"healthyThen,omitzero"`
	// Starts slows tasks down that fail before RUNNING, Crashes those that run and then
	// end before they counted as healthy.
	Starts  Backoff `json:"starts,omitzero"`
	Crashes Backoff `json:"crashes,omitzero"`
	// SteadyAt is since when the new tasks have been as many and as healthy as asked for:
	// the bake time counts from it. Zero while they are not.
	SteadyAt  time.Time `json:"steadyAt,omitzero"`
	StartedAt time.Time `json:"startedAt"`
	UpdatedAt time.Time `json:"updatedAt"`
}

// A Backoff is how long to wait before starting further tasks.
type Backoff struct {
	Step  int       `json:"step,omitzero"` // failed rounds in a row
	At    time.Time `json:"at,omitzero"`   // of the last failure
	Until time.Time `json:"until,omitzero"`
}

// A Hook is a lifecycle hook that a deployment has come to. While it is
// AWAITING_ACTION the deployment waits for ContinueServiceDeployment, which makes it
// SUCCEEDED, or FAILED to have it rolled back. It is FAILED as well where the deployment
// ends or is rolled back for another reason.
type Hook struct {
	ID     string                               `json:"id"`
	Stage  ecsapi.DeploymentLifecycleHookStage  `json:"stage"`
	Status ecsapi.DeploymentLifecycleHookStatus `json:"status"`
	// Config is its place in the configuration's lifecycleHooks, and Step the traffic
	// step that it stands before, 0 being the first.
	Config    int       `json:"config"`
	Step      int       `json:"step,omitzero"`
	StartedAt time.Time `json:"startedAt"`
	ExpiresAt time.Time `json:"expiresAt"`
}

// Key is the deployment's place in the store: "<cluster>/<service>/<id>".
func (d *Deployment) Key() string {
	return string(d.Cluster) + "/" + string(d.Service) + "/" + string(d.ID)
}

// Rollout is the one under way: the rollback, or the way to the target.
// Its revision's entry in service.deployments is PRIMARY.
func (d *Deployment) Rollout() *Rollout {
	if d.Rollback != nil {
		return d.Rollback
	}
	return &d.Target
}

// Clone is a copy whose rollouts can be changed.
func (d *Deployment) Clone() *Deployment {
	next := *d
	next.Hooks, next.Sources = slices.Clone(d.Hooks), slices.Clone(d.Sources)
	if d.Rollback != nil {
		next.Rollback = new(*d.Rollback)
	}
	return &next
}

// Over reports whether the deployment has come to an end, however it ended.
func (d *Deployment) Over() bool {
	switch d.Status {
	case ecsapi.ServiceDeploymentStatusSuccessful, ecsapi.ServiceDeploymentStatusStopped,
		ecsapi.ServiceDeploymentStatusRollbackSuccessful, ecsapi.ServiceDeploymentStatusRollbackFailed:
		return true
	}
	return false
}

// Halted reports whether the deployment failed for good: nothing of its revision is started
// any more, and what runs stays as it is, until the next deployment.
func (d *Deployment) Halted() bool {
	return d.Over() && d.Rollout().State == ecsapi.DeploymentRolloutStateFailed
}

// Wanted is the revision that new tasks are of: the rollout's, or, where that has failed for
// good, the last that completed; "" where there is none but the one that failed.
func (d *Deployment) Wanted() RevisionID {
	revision := d.Rollout().Revision
	switch {
	case !d.Halted():
		return revision
	case d.Fallback == revision:
		return ""
	}
	return d.Fallback
}
