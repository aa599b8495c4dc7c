// Package service keeps the tasks of ECS services running: as many as desired, of the
// newest revision, replaced when they end, rolled out and rolled back.
//
// A Look is what one look at a service sees. MakePlan, which is pure, decides what is
// to be done about it: the whole of the scheduling. A Controller looks and carries
// plans out, one after the other.
//
// Two bounds hold for whatever is decided. With floor = ⌈desired × minimumHealthyPercent⌉
// and ceiling = ⌊desired × maximumPercent⌋, no plan starts a task that would make the
// tasks that are not STOPPED more than the ceiling, and no plan stops a healthy task
// that would leave fewer than the floor. Replacements are started first; healthy tasks
// are stopped down to the floor only where the ceiling, or room, keeps replacements
// from starting, and on DRAINING instances also where there is no other place at all.
//
// BLUE_GREEN, LINEAR and CANARY deployments have both revisions whole side by side,
// twice the desired count whatever the ceiling is. They go through all their stages, and
// wait at PAUSE hooks; who moves traffic obeys the weights in the Deployment. Hooks that
// call a function are not offered, and fail the deployment, saying so.
//
// A service whose deployment controller is EXTERNAL has task sets instead of deployments:
// LookAtTaskSet narrows a look to one of them, and the same plan is made for it.
//
// Everything is decided by levels: what tasks there are, what the records say, what
// time it is. A plan that was carried out in part, or twice, does no harm. Nothing
// here talks to agents: a task that is to stop has its desired status changed.
package service

import (
	"time"

	"gantry"
	"gantry/internal/placement"
	"gantry/internal/wire/ecsapi"
)

// A Look is what one look at a service sees. Nothing in it is changed.
type Look struct {
	Service    *gantry.Service
	Deployment *gantry.Deployment // the newest
	History    *gantry.ServiceHistory
	// Tasks are all of the service that the store knows, STOPPED ones too.
	Tasks []*gantry.Task
	// Checked has the essential containers with a health check, by revision.
	Checked map[gantry.RevisionID][]string
	// Unresolved are the revisions of which it is not known yet which images all of their
	// tags mean.
	Unresolved map[gantry.RevisionID]bool
	// Silent are the container instances whose agents are not connected.
	Silent map[gantry.InstanceID]bool
	// Shares have the capacity provider strategy of each revision that has one.
	Shares map[gantry.RevisionID][]placement.ProviderShare
	// NoRoom says of capacity providers why the service's tasks that wait for them have no place.
	NoRoom map[string]gantry.Unplaced
	// Draining are the container instances that are not ACTIVE.
	Draining map[gantry.InstanceID]bool
	// Held are those whose agents are lost together with too many others: their tasks are
	// not replaced until somebody says so.
	Held map[gantry.InstanceID]bool
	// Zones are the availability zones with an ACTIVE container instance, and ZonesOf those
	// where the capacity providers of the strategies have one.
	Zones   []string
	ZonesOf map[string][]string
	// Hosts is where a DAEMON service belongs; nil for a REPLICA service.
	Hosts map[gantry.InstanceID]HostState
	// Instances and Spread are what scale-in chooses by; asked for only then.
	Instances func() *placement.Cluster
	Spread    *placement.Request
	// Fits says whether one task of a start would have a place now; asked for only where an
	// availability zone had no room.
	Fits func(Start) bool
	// Changes is how many tasks one plan stops at most, how many it reckons, and how many
	// start at once: together they fit one transaction. The next plan goes on.
	Changes int
	// Alarm is the name of one of the deployment's alarms that is in ALARM; "" for none.
	Alarm string
}

// A Plan is what one look at a service decided to do. It is complete: whoever carries
// it out has nothing left to choose but the container instances.
type Plan struct {
	Stops  []Stop
	Starts []Start // carried out after the rest
	// Reckon are the tasks whose failure has been counted.
	Reckon []gantry.TaskID
	// Deployment is the deployment as it is from now on; nil where it stays as it is.
	Deployment *gantry.Deployment
	// History is what is to be remembered from now on, Events not yet in it; nil where
	// nothing changes.
	History *gantry.ServiceHistory
	// Status is what the service becomes; "" where it stays as it is.
	Status gantry.ServiceStatus
	Events []Event
	// Again is when to look again, unless something changes before; 0 for never.
	Again time.Duration
}

// A Start is tasks to be started, all alike.
type Start struct {
	Revision gantry.RevisionID
	Count    int
	// Zone is the availability zone they have to be in; "" for any.
	Zone string
	// On names the container instances, one for each task: DAEMON only.
	On []gantry.InstanceID
	// Providers names the capacity providers, one for each task; nil for tasks by launch type.
	Providers []string
	// Averse are the container instances that get such a task only where no other takes it.
	Averse []gantry.InstanceID
}

// A Stop is a task to be stopped.
type Stop struct {
	Task   gantry.TaskID
	Code   gantry.StopCode
	Reason string
}

// Empty reports whether there is nothing to be done now.
func (p *Plan) Empty() bool {
	return len(p.Stops)+len(p.Starts)+len(p.Reckon)+len(p.Events) == 0 && p.Deployment == nil && p.History == nil && p.Status == ""
}

// MakePlan decides what to do about a service.
func MakePlan(now time.Time, look Look, set Settings) Plan {
	if look.Service.Status == gantry.ServiceInactive {
		return Plan{}
	}
	p := &planner{
		now: now, look: look, set: set,
		deployment: look.Deployment.Clone(), history: cloneHistory(look.History),
	}
	p.count()
	if look.Service.Scheduling == ecsapi.SchedulingStrategyDaemon {
		p.history.Hosts = p.bounds.Desired
	}
	p.begin()
	p.reckon()
	halted := p.deployment.Halted()
	if turned := p.steer() || p.advance(); turned || p.deployment.Halted() != halted {
		p.count() // another revision is wanted from now on, or any will do
	}
	switch {
	case look.Service.Status == gantry.ServiceDraining:
		p.leave()
	case p.deployment.Halted():
		p.hold()
	case look.Service.Scheduling == ecsapi.SchedulingStrategyDaemon:
		p.occupy()
	case p.staged() && !p.cleaning():
		p.stand()
	default:
		p.roll()
	}
	p.finish()
	p.announce()
	return p.result()
}

// A planner is a plan being made.
type planner struct {
	now  time.Time
	look Look
	set  Settings

	deployment *gantry.Deployment // a copy, changed as the plan goes on
	history    *gantry.ServiceHistory
	plan       Plan

	census
	// conditions hold now, and are told once and then again every six hours.
	conditions []Event
}

// rollout is the one under way.
func (p *planner) rollout() *gantry.Rollout { return p.deployment.Rollout() }

// revision is the one that new tasks are of.
func (p *planner) revision() gantry.RevisionID { return p.deployment.Wanted() }

// kept is the revision whose tasks make up for what is missing while the deployment is not
// a success: the last that completed, of a REPLICA service while it goes on. "" for none.
func (p *planner) kept() gantry.RevisionID {
	d := p.deployment
	goesOn := !d.Over() && d.Rollback == nil && !p.staged() && p.look.Service.Scheduling != ecsapi.SchedulingStrategyDaemon
	if d.Fallback == p.rollout().Revision || !d.Halted() && !goesOn {
		return ""
	}
	return d.Fallback
}

// pauses are those between starts of a revision's tasks that fail, or crash.
func (p *planner) pauses(revision gantry.RevisionID) (starts, crashes gantry.Backoff) {
	if revision == p.kept() {
		return p.deployment.KeptStarts, p.deployment.KeptCrashes
	}
	return p.rollout().Starts, p.rollout().Crashes
}

// again asks for another look at a time to come.
func (p *planner) again(at time.Time) {
	if d := at.Sub(p.now); d > 0 && (p.plan.Again == 0 || d < p.plan.Again) {
		p.plan.Again = d
	}
}

// result is the finished plan: what did not change is left out.
func (p *planner) result() Plan {
	p.tellConditions()
	if !sameDeployment(p.deployment, p.look.Deployment) {
		p.deployment.UpdatedAt = p.now
		p.plan.Deployment = p.deployment
	}
	if !sameHistory(p.history, p.look.History) {
		p.plan.History = p.history
	}
	return p.plan
}
