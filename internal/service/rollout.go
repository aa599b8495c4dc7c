package service

import (
	"slices"
	"time"

	"gantry"
	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"
)

// Begin makes the deployment that brings a service to a revision. Previous is the
// service's deployment so far, nil for a new service; where it is not over it comes
// back as superseded, ended.
func Begin(now time.Time, id gantry.DeploymentID, s *gantry.Service, revision gantry.RevisionID, previous *gantry.Deployment) (next, superseded *gantry.Deployment) {
	next = &gantry.Deployment{
		ID: id, Cluster: s.Cluster, Service: s.Name, Configuration: s.Configuration,
		Status: ecsapi.ServiceDeploymentStatusPending, CreatedAt: now, UpdatedAt: now,
		Target: newRollout(now, revision, reasonInProgress(revision)),
	}
	if previous == nil {
		return next, nil
	}
	next.Fallback = previous.Fallback
	if previous.Rollout().State == ecsapi.DeploymentRolloutStateCompleted {
		next.Fallback = previous.Rollout().Revision
	}
	if previous.Over() {
		return next, nil
	}
	superseded = previous.Clone()
	end(now, superseded, ecsapi.ServiceDeploymentStatusStopped, reasonSuperseded)
	return next, superseded
}

func newRollout(now time.Time, revision gantry.RevisionID, reason string) gantry.Rollout {
	return gantry.Rollout{
		Revision: revision, State: ecsapi.DeploymentRolloutStateInProgress, Reason: reason,
		StartedAt: now, UpdatedAt: now,
	}
}

// end ends a deployment. Its rollout keeps the state it has.
func end(now time.Time, d *gantry.Deployment, status ecsapi.ServiceDeploymentStatus, reason string) {
	abandonHooks(d)
	d.Status, d.StatusReason, d.UpdatedAt = status, reason, now
	if status == ecsapi.ServiceDeploymentStatusStopped {
		d.StoppedAt = now
	}
	d.FinishedAt = now
}

// begin starts a deployment that waits for it.
func (p *planner) begin() {
	d := p.deployment
	if d.Status != ecsapi.ServiceDeploymentStatusPending {
		return
	}
	d.Status, d.StartedAt = ecsapi.ServiceDeploymentStatusInProgress, p.now
	for _, m := range p.where(stale) {
		if !slices.Contains(d.Sources, m.Revision()) {
			d.Sources = append(d.Sources, m.Revision())
		}
	}
	slices.Sort(d.Sources)
	d.Found = p.number(stale)
	p.deployed(DeploymentInProgress, "", &d.Target) // service.events do not tell it
}

// steer ends the deployment or turns it round where that is due, and reports whether
// the service is to have another revision from now on.
func (p *planner) steer() bool {
	d := p.deployment
	if d.Over() {
		return false
	}
	if p.look.Service.Status == gantry.ServiceDraining {
		end(p.now, d, ecsapi.ServiceDeploymentStatusStopped, reasonDeleted)
		return false
	}
	switch d.Status {
	case ecsapi.ServiceDeploymentStatusStopRequested:
		p.fail(failure{reason: reasonStopped, event: textStopped})
	case ecsapi.ServiceDeploymentStatusRollbackRequested:
		return p.turn(failure{reason: reasonStopped, event: textStopped, by: "Stopped by user"})
	default:
		f := p.failed()
		if f == nil {
			return false
		}
		if f.rollback && d.Rollback == nil {
			return p.turn(*f)
		}
		p.fail(*f)
	}
	return false
}

// A failure is why a rollout does not go on.
type failure struct {
	reason   string // the rollout's reason
	event    string // what is wrong with the tasks
	by       string // who found it
	rollback bool   // is asked for
}

// failed says whether the circuit breaker or an alarm has found the rollout failed;
// nil while it may go on.
func (p *planner) failed() *failure {
	d, r := p.deployment, p.rollout()
	unresolved := r.FailedTasks >= mostAttempts && !r.Ran && p.look.Unresolved[r.Revision]
	if b := breaker(d); b != nil && r.Failures > 0 && (unresolved || r.Failures >= Threshold(b, p.bounds.Desired)) {
		f := &failure{by: byBreaker, reason: reasonFailedToStart, event: textFailedToStart, rollback: wire.Value(b.Rollback)}
		if r.Ran {
			f.reason, f.event = reasonFailedHealth, textFailedHealth
		}
		return f
	}
	if d.Configuration == nil || d.Configuration.Alarms == nil || !wire.Value(d.Configuration.Alarms.Enable) || d.Rollback != nil {
		return nil
	}
	if !d.AlarmsSeen {
		d.AlarmsSeen, d.AlarmsIgnored = true, p.look.Alarm != ""
	}
	if d.AlarmsIgnored {
		return nil
	}
	if p.look.Alarm == "" {
		p.again(p.now.Add(p.set.AlarmsAgain))
		return nil
	}
	return &failure{
		by: byAlarms, reason: reasonAlarm(p.look.Alarm), event: textAlarm,
		rollback: wire.Value(d.Configuration.Alarms.Rollback),
	}
}

// fail ends the deployment where it stands.
func (p *planner) fail(f failure) {
	d, r := p.deployment, p.rollout()
	r.State, r.Reason, r.UpdatedAt = ecsapi.DeploymentRolloutStateFailed, f.reason, p.now
	status := ecsapi.ServiceDeploymentStatusStopped
	if d.Rollback != nil {
		status = ecsapi.ServiceDeploymentStatusRollbackFailed
	}
	end(p.now, d, status, f.reason)
	p.deployed(DeploymentFailed, textFailed(r.Revision, f.event), r)
}

// turn rolls the deployment back to the last revision that completed, if there is one.
func (p *planner) turn(f failure) bool {
	d := p.deployment
	if d.Fallback == "" || d.Rollback != nil {
		p.fail(f)
		return false
	}
	d.Target.State, d.Target.Reason, d.Target.UpdatedAt = ecsapi.DeploymentRolloutStateFailed, f.reason, p.now
	d.Status, d.StatusReason = ecsapi.ServiceDeploymentStatusRollbackInProgress, f.reason
	d.Weight, d.TestWeight = 0, 0 // all traffic to the old revision
	abandonHooks(d)
	d.Rollback = new(newRollout(p.now, d.Fallback, reasonRollback(f.by, d.Fallback)))
	p.history.Unplaced = nil
	p.deployed(DeploymentFailed, textFailed(d.Target.Revision, f.event), &d.Target)
	p.deployed(DeploymentInProgress, textRollback(d.Fallback), d.Rollback)
	return true
}

// finish ends the deployment with success once its tasks are as asked for, and have
// been for the bake time.
func (p *planner) finish() {
	d, r := p.deployment, p.rollout()
	if d.Over() || p.staged() && !p.cleaning() {
		return
	}
	well, left := p.number((*member).good, in(healthy)), p.number(stale)+p.staleStopping
	steady := well >= p.bounds.Desired && left == 0
	if early := earlySuccess(d); early != nil {
		enough := shareUp(p.bounds.Desired, percent(early.HealthyPercent, 100))
		blocks := early.SourceServiceRevisionCleanup == ecsapi.ServiceRevisionCleanupBlocking
		steady = well >= enough && (left == 0 || !blocks)
	}
	if !steady {
		r.SteadyAt = time.Time{}
		return
	}
	if r.SteadyAt.IsZero() {
		r.SteadyAt = p.now
	}
	if bake := bakeTime(d); p.since(r.SteadyAt) < bake && !p.staged() { // which has a stage for it
		p.again(r.SteadyAt.Add(bake))
		return
	}
	r.State, r.Reason, r.UpdatedAt = ecsapi.DeploymentRolloutStateCompleted, reasonCompleted(r.Revision), p.now
	status := ecsapi.ServiceDeploymentStatusSuccessful
	if d.Rollback != nil {
		status = ecsapi.ServiceDeploymentStatusRollbackSuccessful
	}
	end(p.now, d, status, d.StatusReason)
	// A success by early criteria needs nothing any more that makes up for others.
	p.plan.Starts = slices.DeleteFunc(p.plan.Starts, func(s Start) bool { return s.Revision != r.Revision })
	p.deployed(DeploymentCompleted, textCompleted(r.Revision), r)
}

// earlySuccess is when a rolling deployment succeeds before it is done; nil where it
// does not. A rollback is always done whole.
func earlySuccess(d *gantry.Deployment) *ecsapi.DeploymentEarlySuccessCriteria {
	if d.Rollback != nil || d.Stage != "" || d.Configuration == nil || d.Configuration.EarlySuccessCriteria == nil ||
		!wire.Value(d.Configuration.EarlySuccessCriteria.Enable) {
		return nil
	}
	return d.Configuration.EarlySuccessCriteria
}

// bakeTime is how long a deployment is watched after its tasks are as asked for.
func bakeTime(d *gantry.Deployment) time.Duration {
	if d.Rollback != nil || d.Configuration == nil {
		return 0
	}
	return time.Duration(wire.Value(d.Configuration.BakeTimeInMinutes)) * time.Minute
}
