package service

import (
	"slices"
	"time"

	"gantry"
	"gantry/internal/wire/ecsapi"
)

// A census is the service's tasks as a plan counts them.
type census struct {
	bounds Bounds
	// members are the tasks that are to run; alive is how many of them the plan lets run on.
	members []*member
	alive   int
	// stopping tasks are to stop and have not, the plan's own included; staleStopping
	// are those of other revisions than the one wanted.
	stopping, staleStopping int
	// stopped are the members that the plan stops.
	stopped []*member
}

// A member is a task that is to run.
type member struct {
	*gantry.Task
	standing  standing
	fresh     bool // of the revision that is wanted, or of any where the deployment has failed
	draining  bool // its container instance is
	protected bool // from scale-in and deployments
	gone      bool // the plan stops it
	moved     bool // and it goes since another was started in an emptier zone
}

// A standing is how far a task is in being of use.
type standing int

const (
	pending   standing = iota // not RUNNING yet
	warming                   // RUNNING, and not yet known to be healthy
	healthy                   // counts for the floor
	unhealthy                 // to be replaced
)

// good reports whether a task is one to keep.
func (m *member) good() bool { return m.fresh && !m.draining && m.standing != unhealthy }

// doomed reports whether a task is one to be replaced.
func (m *member) doomed() bool { return !m.good() }

// count takes the census for the revision that is wanted now.
func (p *planner) count() {
	p.census = census{}
	p.bounds = BoundsOf(p.look.Service, p.desired())
	if p.staged() {
		p.bounds.Ceiling = max(p.bounds.Ceiling, 2*p.bounds.Desired) // both revisions, whole
	}
	wanted := p.rollout().Revision
	made := make([]member, 0, len(p.look.Tasks)) // never grows: members points into it
	for _, t := range p.look.Tasks {
		switch {
		case t.LastStatus == gantry.Stopped:
		case t.DesiredStatus == gantry.Stopped:
			p.stopping++
			if t.Revision() != wanted {
				p.staleStopping++
			}
		default:
			made = append(made, member{
				Task: t, standing: p.standing(t), fresh: t.Revision() == wanted || p.deployment.Halted(),
				draining: p.leaving(t.Instance), protected: p.now.Before(t.ProtectedUntil),
			})
			m := &made[len(made)-1]
			if m.protected {
				p.again(t.ProtectedUntil)
			}
			p.members = append(p.members, m)
			p.alive++
		}
	}
}

// leaving reports whether tasks are to leave an instance: it is DRAINING, or no place
// for the daemon.
func (p *planner) leaving(id gantry.InstanceID) bool {
	if p.look.Service.Scheduling != ecsapi.SchedulingStrategyDaemon {
		return p.look.Draining[id]
	}
	state := p.look.Hosts[id]
	return state != HostWants && state != HostKeeps
}

// desired is how many tasks the service wants.
func (p *planner) desired() int {
	switch {
	case p.look.Service.Status == gantry.ServiceDraining:
		return 0
	case p.look.Service.Scheduling == ecsapi.SchedulingStrategyDaemon:
		return DaemonCount(p.look.Hosts)
	}
	return p.look.Service.DesiredCount
}

// standing tells how far a task is. One without a health check is healthy when it has
// been RUNNING for the warm-up; a failing check counts once the grace period is over.
func (p *planner) standing(t *gantry.Task) standing {
	if t.LastStatus != gantry.Running {
		return pending
	}
	checked := p.look.Checked[t.Revision()]
	if len(checked) == 0 {
		if at := t.StartedAt.Add(p.set.Warmup); p.now.Before(at) {
			p.again(at)
			return warming
		}
		return healthy
	}
	switch Health(t, checked) {
	case ecsapi.HealthStatusHealthy:
		return healthy
	case ecsapi.HealthStatusUnhealthy:
		if over := t.StartedAt.Add(p.look.Service.GracePeriod); p.now.Before(over) {
			p.again(over)
			return warming
		}
		return unhealthy
	}
	return warming
}

// Health is a task's health by its essential containers that have a health check:
// UNHEALTHY if one is, else UNKNOWN unless all are HEALTHY.
func Health(t *gantry.Task, checked []string) ecsapi.HealthStatus {
	out := ecsapi.HealthStatusHealthy
	for _, name := range checked {
		c := t.Container(name)
		switch {
		case c != nil && c.Health == ecsapi.HealthStatusUnhealthy:
			return ecsapi.HealthStatusUnhealthy
		case c == nil || c.Health != ecsapi.HealthStatusHealthy:
			out = ecsapi.HealthStatusUnknown
		}
	}
	return out
}

// living is how many tasks are not STOPPED, with those that the plan starts.
func (p *planner) living() int {
	n := p.alive + p.stopping
	for _, s := range p.plan.Starts {
		n += s.Count
	}
	return n
}

// where are the members for which all of the questions hold, less those the plan stops.
func (p *planner) where(is ...func(*member) bool) []*member {
	var out []*member
	for _, m := range p.members {
		if m.all(is) {
			out = append(out, m)
		}
	}
	return out
}

// number is how many where gives.
func (p *planner) number(is ...func(*member) bool) int {
	n := 0
	for _, m := range p.members {
		if m.all(is) {
			n++
		}
	}
	return n
}

func (m *member) all(is []func(*member) bool) bool {
	for _, holds := range is {
		if !holds(m) {
			return false
		}
	}
	return !m.gone
}

// in asks for one of some standings.
func in(some ...standing) func(*member) bool {
	return func(m *member) bool { return slices.Contains(some, m.standing) }
}

func stale(m *member) bool { return !m.fresh }

// stop plans the end of a task.
func (p *planner) stop(m *member, reason string) {
	if len(p.plan.Stops) == p.look.Changes {
		p.again(p.now.Add(time.Millisecond))
		return
	}
	p.plan.Stops = append(p.plan.Stops, Stop{Task: m.ID, Code: ecsapi.TaskStopCodeServiceSchedulerInitiated, Reason: reason})
	p.stopped = append(p.stopped, m)
	m.gone = true
	p.alive--
	p.stopping++
	if !m.fresh {
		p.staleStopping++
	}
}

// since is how long ago a time was.
func (p *planner) since(at time.Time) time.Duration { return p.now.Sub(at) }
