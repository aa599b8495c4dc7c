// Package engine runs the ECS tasks that a container instance was given: it decides what is next for each container,
// does it, remembers how far it is, and tells the control plane.
//
// A task arrives as a payload, is read into a Definition (what is asked for) and a Task (how far it is), and both are
// in the journal before anybody is told that it was taken. From then on one goroutine per task looks at them, lets
// MakePlan decide, writes down what is about to be done, does it, and looks again when something has happened. Nothing
// is decided anywhere else, so a start after kill -9 is no special case: the runtime is asked what it still has, that
// goes into the Tasks, and the same look decides how to carry on.
//
// It never touches a network, a runtime or a log driver itself: see parts.go for the little it needs of them. And it
// never knows the control plane: it is given payloads, and a Submitter.
package engine

import (
	"fmt"
	"slices"
	"time"

	"gantry"
)

// A StepKind is something that can be done next.
type StepKind string

const (
	// For the task.
	Admit   StepKind = "admit"   // take its resources in the host's ledger, once they are free
	Prepare StepKind = "prepare" // make its cgroup and its volumes
	Release StepKind = "release" // give back what only living tasks need
	Forget  StepKind = "forget"  // remove its containers, volumes and records

	// For one container.
	Pull    StepKind = "pull"
	Launch  StepKind = "launch"  // connect, create and start it
	Restart StepKind = "restart" // start it again, as its restart policy asks
	Probe   StepKind = "probe"   // run its health check
	Signal  StepKind = "signal"  // ask it to end
	Kill    StepKind = "kill"    // make it end
	Finish  StepKind = "finish"  // it has ended: ship its last output, return its network
	Abandon StepKind = "abandon" // it never started and never will
)

// A Step is one thing to do now. Container is empty for a step of the task.
type Step struct {
	Kind      StepKind
	Container string
	// Reason is why a container is abandoned; empty if merely its task stops.
	Reason string
}

func (s Step) String() string {
	text := string(s.Kind)
	if s.Container != "" {
		text += " " + s.Container
	}
	if s.Reason != "" {
		text += ": " + s.Reason
	}
	return text
}

// A Plan is what one look at a task decided to do. It is complete: whoever carries it out has nothing left to choose.
type Plan struct {
	// Stop says that from now on the task is wanted STOPPED, though nobody asked: it cannot go on.
	Stop  bool
	Steps []Step
	// Wake is when to look again if nothing happens before; zero means never.
	Wake time.Time
}

// Rules are the settings that decisions depend on.
type Rules struct {
	// Cleanup is how long a stopped task's containers stay, for those who want to look at them.
	Cleanup time.Duration
}

// killAgain is how long a killed container may take to end before it is killed once more: a process in an
// uninterruptible wait takes its time, and the first signal may have been lost to a dying shim.
const killAgain = 10 * time.Second

// MakePlan decides what is next for a task. It is pure.
func MakePlan(now time.Time, rules Rules, def *Definition, t *Task) Plan {
	p := &planner{now: now, rules: rules, def: def, task: t}
	if t.Desired != gantry.Stopped {
		p.plan.Stop = p.cannotGoOn()
	}
	if t.Desired == gantry.Stopped || p.plan.Stop {
		p.windDown()
	} else {
		p.goOn()
	}
	return p.plan
}

type planner struct {
	now   time.Time
	rules Rules
	def   *Definition
	task  *Task
	plan  Plan
}

func (p *planner) step(kind StepKind, container string) {
	p.plan.Steps = append(p.plan.Steps, Step{Kind: kind, Container: container})
}

// wake asks for another look at a time; the earliest wins.
func (p *planner) wake(at time.Time) {
	if !at.IsZero() && (p.plan.Wake.IsZero() || at.Before(p.plan.Wake)) {
		p.plan.Wake = at
	}
}

// cannotGoOn reports whether something has happened that ends the task.
func (p *planner) cannotGoOn() bool {
	if p.task.Reason != "" || p.def.Refusal != nil {
		return true
	}
	for i := range p.task.Containers {
		c, def := &p.task.Containers[i], &p.def.Containers[i]
		ended := c.Phase == Ended || c.Phase == Exited && !p.mayRestart(c, def)
		if ended && def.Essential {
			return true
		}
		if c.Phase == Waiting || c.Phase == Pulled {
			if verdict, _ := p.mayLaunch(def); verdict.never != "" {
				return true
			}
		}
	}
	return false
}

// goOn plans for a task that is wanted RUNNING.
func (p *planner) goOn() {
	t := p.task
	if !t.Admitted {
		if t.Busy == "" {
			p.step(Admit, "")
		}
		return
	}
	if !t.Prepared && t.Busy == "" {
		p.step(Prepare, "")
	}
	for i := range t.Containers {
		c, def := &t.Containers[i], &p.def.Containers[i]
		p.probe(c, def)
		if c.Busy != "" {
			continue
		}
		switch c.Phase {
		case Waiting:
			// All images are pulled at once, also of containers that have to wait for others: the task is up sooner.
			p.step(Pull, c.Name)
		case Pulled:
			verdict, until := p.mayLaunch(def)
			if verdict.now && t.Prepared {
				p.step(Launch, c.Name)
			}
			p.wake(until)
		case Launching: // an agent was killed while it made the container
			p.step(Launch, c.Name)
		case Restarting:
			p.step(Restart, c.Name)
		case Exited:
			if p.mayRestart(c, def) {
				p.step(Restart, c.Name)
			} else {
				p.step(Finish, c.Name)
			}
		}
	}
}

func (p *planner) probe(c *Container, def *ContainerDefinition) {
	if def.HealthCheck == nil || c.Phase != Up || c.Probing || c.Busy != "" {
		return
	}
	if c.Health.Next.After(p.now) {
		p.wake(c.Health.Next)
		return
	}
	p.step(Probe, c.Name)
}

// mayRestart reports whether a container that exited starts again in place: only if it ran at least
// restartAttemptPeriod since its latest start, and with an exit code that is not ignored.
func (p *planner) mayRestart(c *Container, def *ContainerDefinition) bool {
	policy := def.RestartPolicy
	if policy == nil || !policy.Enabled || c.Exit == nil || p.task.Desired == gantry.Stopped {
		return false
	}
	ran := c.Exit.At.Sub(c.StartedAt)
	return ran >= restartPeriod(policy.RestartAttemptPeriod) && !slices.Contains(policy.IgnoredExitCodes, c.Exit.Code)
}

// defaultRestartPeriod is ECS's restartAttemptPeriod where the policy names none.
const defaultRestartPeriod = 300 * time.Second

func restartPeriod(seconds int64) time.Duration {
	if seconds <= 0 {
		return defaultRestartPeriod
	}
	return time.Duration(seconds) * time.Second
}

// A verdict says whether a container's dependencies let it start: now, not yet, or never and why.
type verdict struct {
	now   bool
	never string
}

// mayLaunch looks at a container's dependencies, and says when a start timeout will change the answer.
func (p *planner) mayLaunch(def *ContainerDefinition) (v verdict, until time.Time) {
	v.now = true
	for _, dep := range def.Order {
		on, onDef := p.task.Container(dep.ContainerName), p.def.Container(dep.ContainerName)
		if on == nil || onDef == nil {
			continue // refused when the payload was read
		}
		met, never := meets(on, dep.Condition)
		if met {
			continue
		}
		v.now = false
		if never == "" && onDef.StartTimeout > 0 && !on.LaunchedAt.IsZero() {
			deadline := on.LaunchedAt.Add(onDef.StartTimeout)
			if p.now.Before(deadline) {
				if until.IsZero() || deadline.Before(until) {
					until = deadline
				}
			} else {
				never = fmt.Sprintf("container %s did not reach %s within its startTimeout of %v", on.Name, dep.Condition, onDef.StartTimeout)
			}
		}
		if never != "" && v.never == "" {
			v.never = never
		}
	}
	return v, until
}

// meets reports whether a container meets a condition, or why it never will.
func meets(on *Container, condition string) (met bool, never string) {
	ended := on.Phase == Ended
	switch {
	case ended && !on.Started():
		return false, fmt.Sprintf("container %s did not start", on.Name)
	case condition == OnStart:
		return on.Started(), ""
	case condition == OnComplete:
		return ended, ""
	case condition == OnSuccess && ended && (on.Exit == nil || on.Exit.Code != 0):
		return false, fmt.Sprintf("container %s did not exit with 0", on.Name)
	case condition == OnSuccess:
		return ended, ""
	case condition == OnHealthy && ended:
		return false, fmt.Sprintf("container %s ended before it was healthy", on.Name)
	case condition == OnHealthy:
		return on.Phase == Up && on.Health.Status == Healthy, ""
	}
	return false, fmt.Sprintf("the condition %q is unknown", condition)
}
