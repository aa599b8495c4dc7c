package engine

import (
	"slices"

	"gantry"
	"gantry/internal/wire/acsapi"
)

// windDown plans for a task that is wanted STOPPED: containers end in the reverse order of their dependencies, then the
// task gives back what it holds, and later everything of it is removed.
func (p *planner) windDown() {
	t := p.task
	ended := true
	for i := range t.Containers {
		c, def := &t.Containers[i], &p.def.Containers[i]
		ended = ended && c.Phase == Ended
		p.windDownContainer(c, def)
	}
	switch {
	case !ended || t.Busy != "":
	case !t.Released:
		p.step(Release, "")
	case t.Told.Status != gantry.Stopped && !t.Told.GivenUp:
		// It stays until the control plane knows how it ended.
	case len(t.Containers) > 0 && p.now.Before(t.StoppedAt.Add(p.rules.Cleanup)):
		p.wake(t.StoppedAt.Add(p.rules.Cleanup))
	default:
		p.step(Forget, "")
	}
}

func (p *planner) windDownContainer(c *Container, def *ContainerDefinition) {
	switch c.Phase {
	case Waiting, Pulled:
		if c.Busy == "" || c.Busy == Pull {
			p.plan.Steps = append(p.plan.Steps, Step{Kind: Abandon, Container: c.Name, Reason: p.whyAbandoned(def)})
		}
	case Launching, Restarting:
		// What is under way is let finish; what a killed agent left half done is not begun again.
		if c.Busy == "" && c.Phase == Launching {
			p.step(Abandon, c.Name)
		} else if c.Busy == "" {
			p.step(Finish, c.Name)
		}
	case Exited:
		if c.Busy == "" {
			p.step(Finish, c.Name)
		}
	case Up:
		p.end(c, def)
	}
}

// whyAbandoned is the reason of a container that is not started because its dependencies can't be met, or because it
// is the one that was refused.
func (p *planner) whyAbandoned(def *ContainerDefinition) string {
	if r := p.def.Refusal; r != nil {
		if r.Container == def.Name {
			return r.Reason
		}
		return ""
	}
	if p.task.Desired == gantry.Stopped {
		return ""
	}
	if v, _ := p.mayLaunch(def); v.never != "" {
		return errTaskDependency + ": " + v.never
	}
	return ""
}

// end asks a running container to end, once nothing that depends on it is alive, and later makes it.
func (p *planner) end(c *Container, def *ContainerDefinition) {
	if c.Busy != "" {
		return
	}
	for i := range p.task.Containers {
		other, otherDef := &p.task.Containers[i], &p.def.Containers[i]
		needs := slices.ContainsFunc(otherDef.Order, func(d acsapi.DependsOn) bool { return d.ContainerName == c.Name })
		if needs && (other.Phase == Up || other.Phase == Launching || other.Phase == Restarting) {
			return
		}
	}
	if c.StopSentAt.IsZero() {
		p.step(Signal, c.Name)
		return
	}
	deadline := c.StopSentAt.Add(def.StopTimeout)
	if !c.KillSentAt.IsZero() {
		deadline = c.KillSentAt.Add(killAgain)
	}
	if p.now.Before(deadline) {
		p.wake(deadline)
		return
	}
	p.step(Kill, c.Name)
}
