package service

import (
	"maps"
	"slices"
	"strings"
	"time"

	"gantry"
	"gantry/internal/extension"
	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"
)

// reckon counts the failures of the rollout's tasks that have not been counted yet: for
// the circuit breaker as long as the deployment goes on, for the pauses always.
func (p *planner) reckon() {
	p.reckonKept()
	if p.deployment.Halted() || p.look.Service.Status != gantry.ServiceActive {
		return
	}
	r := p.rollout()
	first, last := p.runs()
	p.recover(last)
	breaks := 0
	for _, t := range p.look.Tasks {
		if t.LastStatus != gantry.Stopped || t.Reckoned || !p.ours(t) || !endedByItself(t) {
			continue
		}
		if len(p.plan.Reckon) == p.look.Changes {
			p.again(p.now.Add(time.Millisecond))
			break
		}
		switch {
		case t.StartedAt.IsZero():
			if r.Ran = r.Ran || !first.IsZero() && first.Before(t.StoppedAt); !r.Ran || p.countsExits() {
				breaks++ // the first stage
			}
			if !t.StoppedAt.Before(last) {
				r.FailedTasks++
				p.pause(&r.Starts, t.StoppedAt, 1, p.set.StartDelay, p.set.MaxStartDelay)
			}
		case p.neverHealthy(t):
			if p.countsExits() {
				breaks++
			}
			p.pause(&r.Crashes, t.StoppedAt, 2, p.set.CrashDelay, p.set.MaxCrashDelay)
		default:
			continue
		}
		p.plan.Reckon = append(p.plan.Reckon, t.ID)
	}
	r.Ran = r.Ran || !first.IsZero()
	if p.deployment.Over() || breaker(p.deployment) == nil {
		return
	}
	for _, m := range p.where(in(unhealthy), func(m *member) bool { return m.fresh && !m.Reckoned }) {
		breaks++ // the second stage: it is RUNNING
		p.plan.Reckon = append(p.plan.Reckon, m.ID)
	}
	if breaks > 0 {
		r.Failures += breaks
		r.FailedAt, r.HealthyThen = p.now, p.number((*member).good, in(healthy))
	}
}

// reckonKept counts the failures of the tasks that make up for others, for their pauses.
func (p *planner) reckonKept() {
	kept, d := p.kept(), p.deployment
	if kept == "" || p.look.Service.Status != gantry.ServiceActive {
		return
	}
	mine := func(t *gantry.Task) bool { return t.Revision() == kept && !t.CreatedAt.Before(d.CreatedAt) }
	ran := func(t *gantry.Task) bool { return t.StartedAt.After(d.KeptStarts.At) && mine(t) }
	if d.KeptStarts.Step > 0 && slices.ContainsFunc(p.look.Tasks, ran) {
		d.KeptStarts = gantry.Backoff{}
	}
	well := func(m *member) bool { return m.StartedAt.After(d.KeptCrashes.At) && mine(m.Task) }
	if d.KeptCrashes.Step > 0 && p.number(in(healthy), well) > 0 {
		d.KeptCrashes = gantry.Backoff{}
	}
	for _, t := range p.look.Tasks {
		switch {
		case t.LastStatus != gantry.Stopped || t.Reckoned || !mine(t) || !endedByItself(t):
			continue
		case len(p.plan.Reckon) == p.look.Changes:
			p.again(p.now.Add(time.Millisecond))
			return
		case t.StartedAt.IsZero():
			p.pause(&d.KeptStarts, t.StoppedAt, 1, p.set.StartDelay, p.set.MaxStartDelay)
		case p.neverHealthy(t):
			p.pause(&d.KeptCrashes, t.StoppedAt, 2, p.set.CrashDelay, p.set.MaxCrashDelay)
		default:
			continue
		}
		p.plan.Reckon = append(p.plan.Reckon, t.ID)
	}
}

// ours reports whether a task was started by the rollout under way.
func (p *planner) ours(t *gantry.Task) bool {
	r := p.rollout()
	return t.Revision() == r.Revision && !t.CreatedAt.Before(r.StartedAt)
}

// runs are when a task of the rollout first and last became RUNNING. A task of the
// revision that runs from before, as in a rollback, is one that has run.
func (p *planner) runs() (first, last time.Time) {
	for _, t := range p.look.Tasks {
		if t.StartedAt.IsZero() || t.Revision() != p.rollout().Revision || t.LastStatus == gantry.Stopped && !p.ours(t) {
			continue
		}
		if first.IsZero() || t.StartedAt.Before(first) {
			first = t.StartedAt
		}
		if t.StartedAt.After(last) {
			last = t.StartedAt
		}
	}
	return first, last
}

// recover takes back what success takes back: a task that runs ends the pauses between
// starts, one that is healthy those after crashes, and it sets the circuit breaker's
// count to 0 unless that is to be cumulative.
func (p *planner) recover(lastRun time.Time) {
	r := p.rollout()
	if lastRun.After(r.Starts.At) {
		r.Starts, r.FailedTasks = gantry.Backoff{}, 0
	}
	well := p.where((*member).good, in(healthy))
	reached := len(well) > r.HealthyThen
	for _, m := range well {
		if m.StartedAt.After(r.Crashes.At) {
			r.Crashes = gantry.Backoff{}
		}
		reached = reached || p.healthySince(m.Task).After(r.FailedAt)
	}
	if r.Failures == 0 {
		return
	}
	if b := breaker(p.deployment); reached && (b == nil || b.ResetOnHealthyTask == nil || *b.ResetOnHealthyTask) {
		r.Failures, r.FailedAt, r.HealthyThen = 0, time.Time{}, 0
		return
	}
	r.HealthyThen = min(r.HealthyThen, len(well))
}

// healthySince is the earliest time at which a healthy task can have become so.
func (p *planner) healthySince(t *gantry.Task) time.Time {
	if len(p.look.Checked[t.Revision()]) > 0 {
		return t.StartedAt
	}
	return t.StartedAt.Add(p.set.Warmup)
}

// endedByItself reports whether a STOPPED task failed or exited, rather than that
// somebody stopped it or its container instance went away.
func endedByItself(t *gantry.Task) bool {
	return t.StopCode == ecsapi.TaskStopCodeTaskFailedToStart || t.StopCode == ecsapi.TaskStopCodeEssentialContainerExited
}

// neverHealthy reports whether a task that ran ended before it counted as healthy.
func (p *planner) neverHealthy(t *gantry.Task) bool {
	if checked := p.look.Checked[t.Revision()]; len(checked) > 0 {
		return Health(t, checked) != ecsapi.HealthStatusHealthy
	}
	return t.StoppedAt.Sub(t.StartedAt) < p.set.Warmup
}

// A container instance on which so many tasks of a revision in a row failed to start is
// avoided for so long after the last: what is broken there has the fewest tasks, and would
// get every replacement.
const (
	averseFrom = 2
	averseFor  = 10 * time.Minute
)

// averse are the container instances on which tasks of a revision fail to start, in order.
func (p *planner) averse(revision gantry.RevisionID) []gantry.InstanceID {
	started, failed := map[gantry.InstanceID]time.Time{}, map[gantry.InstanceID]int{}
	for _, t := range p.look.Tasks {
		if t.Revision() == revision && t.StartedAt.After(started[t.Instance]) {
			started[t.Instance] = t.StartedAt
		}
	}
	for _, t := range p.look.Tasks {
		if t.Revision() == revision && t.Instance != "" && t.StopCode == ecsapi.TaskStopCodeTaskFailedToStart &&
			t.StoppedAt.After(started[t.Instance]) && p.since(t.StoppedAt) < averseFor {
			failed[t.Instance]++
		}
	}
	var out []gantry.InstanceID
	for _, id := range slices.Sorted(maps.Keys(failed)) {
		if failed[id] >= averseFrom {
			out = append(out, id)
		}
	}
	return out
}

// pause makes the next tasks wait after a failure. Failures of one round count once, and
// the first rounds before the given one cost no time.
func (p *planner) pause(b *gantry.Backoff, failed time.Time, from int, first, most time.Duration) {
	if b.At.Before(failed) {
		b.At = failed
	}
	if b.Step > 0 && p.now.Before(b.Until) {
		return // started before the pause began
	}
	b.Step++
	b.Until = p.now
	if b.Step >= from {
		b.Until = p.now.Add(delay(b.Step-from+1, first, most))
	}
}

// The thresholds of a circuit breaker, as ECS clamps and chooses them.
const (
	leastFailures = 3   // what a BOUNDED_PERCENT threshold is at least
	mostFailures  = 200 // and at most
	halfOfTasks   = 50  // percent; the default threshold
)

// countsExits reports whether the service asks to count more than ECS does.
func (p *planner) countsExits() bool { return extension.CountsExits(p.look.Service.Tags) }

// breaker is the deployment's circuit breaker; nil where it has none.
func breaker(d *gantry.Deployment) *ecsapi.DeploymentCircuitBreaker {
	if d.Configuration == nil || d.Configuration.DeploymentCircuitBreaker == nil ||
		!wire.Value(d.Configuration.DeploymentCircuitBreaker.Enable) {
		return nil
	}
	return d.Configuration.DeploymentCircuitBreaker
}

// Breaker is how a deployment's circuit breaker stands, while the service wants so many
// tasks.
func Breaker(d *gantry.Deployment, desired int) *ecsapi.ServiceDeploymentCircuitBreaker {
	b := breaker(d)
	if b == nil {
		return &ecsapi.ServiceDeploymentCircuitBreaker{
			Status: ecsapi.ServiceDeploymentRollbackMonitorsStatusDisabled, FailureCount: new(int32(0)), Threshold: new(int32(0)),
		}
	}
	out := &ecsapi.ServiceDeploymentCircuitBreaker{
		Status:       ecsapi.ServiceDeploymentRollbackMonitorsStatusMonitoring,
		FailureCount: new(int32(d.Target.Failures)), Threshold: new(int32(Threshold(b, desired))),
	}
	switch {
	case strings.HasPrefix(d.Target.Reason, byBreaker):
		out.Status = ecsapi.ServiceDeploymentRollbackMonitorsStatusTriggered
	case d.Over():
		out.Status = ecsapi.ServiceDeploymentRollbackMonitorsStatusMonitoringComplete
	}
	return out
}

// Threshold is the number of failures at which a circuit breaker opens.
func Threshold(b *ecsapi.DeploymentCircuitBreaker, desired int) int {
	kind, value := ecsapi.ThresholdTypeBoundedPercent, halfOfTasks
	if c := b.ThresholdConfiguration; c != nil {
		if c.Type != "" {
			kind = c.Type
		}
		value = percent(c.Value, value)
	}
	switch kind {
	case ecsapi.ThresholdTypeCount:
		return value
	case ecsapi.ThresholdTypeUnboundedPercent:
		return shareUp(desired, value)
	}
	return min(max(shareUp(desired, value), leastFailures), mostFailures)
}
