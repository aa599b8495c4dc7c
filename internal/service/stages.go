package service

import (
	"maps"
	"slices"
	"strconv"
	"time"

	"gantry"
	"gantry/internal/wire/ecsapi"
)

// This file is BLUE_GREEN, LINEAR and CANARY: the new revision, green, comes up whole
// beside the old one, blue, which is stopped only at the end. What moves traffic obeys
// the deployment's Weight and TestWeight; without a load balancer nothing does, and the
// stages are passed all the same.

// stages are in their order.
var stages = []ecsapi.ServiceDeploymentLifecycleStage{
	ecsapi.ServiceDeploymentLifecycleStageReconcileService,
	ecsapi.ServiceDeploymentLifecycleStagePreScaleUp,
	ecsapi.ServiceDeploymentLifecycleStageScaleUp,
	ecsapi.ServiceDeploymentLifecycleStagePostScaleUp,
	ecsapi.ServiceDeploymentLifecycleStageTestTrafficShift,
	ecsapi.ServiceDeploymentLifecycleStagePostTestTrafficShift,
	ecsapi.ServiceDeploymentLifecycleStageProductionTrafficShift,
	ecsapi.ServiceDeploymentLifecycleStagePostProductionTrafficShift,
	ecsapi.ServiceDeploymentLifecycleStageBakeTime,
	ecsapi.ServiceDeploymentLifecycleStageCleanUp,
}

// wholeTraffic is in percent, as weights are.
const wholeTraffic = 100

// Where the user says nothing.
const (
	linearStep    = 10.0 // percent
	linearBake    = 6    // minutes
	canaryStep    = 5.0
	canaryBake    = 10
	leastStep     = 0.1
	hookTimeout   = 1440
	reasonHook    = "Lifecycle hook failed."
	reasonExpired = "Lifecycle hook timed out."
	reasonLambda  = "Lifecycle hooks with an AWS_LAMBDA target are not offered by gantry."
	textHook      = "lifecycle hook failed."
)

// staged reports whether the rollout under way goes by stages. A rollback never does.
func (p *planner) staged() bool {
	d := p.deployment
	if d.Configuration == nil || d.Over() || d.Rollback != nil || p.look.Service.Scheduling == ecsapi.SchedulingStrategyDaemon {
		return false
	}
	switch d.Configuration.Strategy {
	case ecsapi.DeploymentStrategyBlueGreen, ecsapi.DeploymentStrategyLinear, ecsapi.DeploymentStrategyCanary:
		return p.look.Service.Status == gantry.ServiceActive
	}
	return false
}

// cleaning reports whether the stages are passed but for the old tasks.
func (p *planner) cleaning() bool {
	return p.deployment.Stage == ecsapi.ServiceDeploymentLifecycleStageCleanUp
}

// advance moves a staged deployment on as far as it goes now. It reports whether it was
// turned round instead.
func (p *planner) advance() bool {
	d := p.deployment
	if !p.staged() {
		return false
	}
	if d.Stage == "" {
		first := stages[1]
		if p.others() > 0 {
			first = stages[0]
		}
		d.Stage, d.StageAt = first, p.now
	}
	for i, stage := range stages[:len(stages)-1] {
		if stage != d.Stage {
			continue
		}
		done, f := p.passed(stage)
		if f != nil {
			return p.turn(*f)
		}
		if !done {
			return false
		}
		d.Stage, d.StageAt = stages[i+1], p.now
	}
	return false
}

// passed reports whether a stage is done, or what is wrong.
func (p *planner) passed(stage ecsapi.ServiceDeploymentLifecycleStage) (bool, *failure) {
	if done, f := p.hooks(ecsapi.DeploymentLifecycleHookStage(stage), 0); !done || f != nil {
		return false, f
	}
	d := p.deployment
	switch stage {
	case ecsapi.ServiceDeploymentLifecycleStageReconcileService:
		return p.others() == 0, nil
	case ecsapi.ServiceDeploymentLifecycleStageScaleUp:
		return p.number((*member).good, in(healthy)) >= p.bounds.Desired, nil
	case ecsapi.ServiceDeploymentLifecycleStageTestTrafficShift:
		d.TestWeight = wholeTraffic
	case ecsapi.ServiceDeploymentLifecycleStageProductionTrafficShift:
		return p.shift()
	case ecsapi.ServiceDeploymentLifecycleStageBakeTime:
		over := d.StageAt.Add(bakeTime(d))
		p.again(over)
		return !p.now.Before(over), nil
	}
	return true, nil
}

// shift gives green its production traffic, in one step or in several with a pause
// after each but the last. Hooks may stop it before every step.
func (p *planner) shift() (bool, *failure) {
	d := p.deployment
	step, bake := float64(wholeTraffic), 0
	switch c := d.Configuration; c.Strategy {
	case ecsapi.DeploymentStrategyLinear:
		step, bake = linearStep, linearBake
		if l := c.LinearConfiguration; l != nil {
			step, bake = weight(l.StepPercent, step), percent(l.StepBakeTimeInMinutes, bake)
		}
	case ecsapi.DeploymentStrategyCanary:
		step, bake = canaryStep, canaryBake
		if l := c.CanaryConfiguration; l != nil {
			step, bake = weight(l.CanaryPercent, step), percent(l.CanaryBakeTimeInMinutes, bake)
		}
		if d.Weight > 0 {
			step = wholeTraffic
		}
	}
	for d.Weight < wholeTraffic {
		if until := d.WeightAt.Add(time.Duration(bake) * time.Minute); d.Weight > 0 && p.now.Before(until) {
			p.again(until)
			return false, nil
		}
		if done, f := p.hooks(ecsapi.DeploymentLifecycleHookStagePreProductionTrafficShift, d.Steps); !done || f != nil {
			return false, f
		}
		d.Weight, d.WeightAt = min(wholeTraffic, d.Weight+max(step, leastStep)), p.now
		d.Steps++
		if d.Configuration.Strategy == ecsapi.DeploymentStrategyCanary {
			step = wholeTraffic // the rest
		}
	}
	return true, nil
}

func weight(given *float64, otherwise float64) float64 {
	if given == nil {
		return otherwise
	}
	return *given
}

// hooks comes to the hooks of a stage and reports whether all have succeeded, or which
// failure has the deployment rolled back.
func (p *planner) hooks(stage ecsapi.DeploymentLifecycleHookStage, step int) (bool, *failure) {
	done := true
	for i, c := range p.deployment.Configuration.LifecycleHooks {
		for _, s := range c.LifecycleStages {
			if s != stage {
				continue
			}
			if c.TargetType != ecsapi.DeploymentLifecycleHookTargetTypePause {
				return false, &failure{reason: reasonLambda, event: textHook, by: "Lifecycle hook"}
			}
			ok, f := p.await(p.hook(i, stage, step), c.TimeoutConfiguration)
			if f != nil {
				return false, f
			}
			done = done && ok
		}
	}
	return done, nil
}

// hook finds the record of a hook, or makes it: the deployment has come to it.
func (p *planner) hook(config int, stage ecsapi.DeploymentLifecycleHookStage, step int) *gantry.Hook {
	d := p.deployment
	for i := range d.Hooks {
		if h := &d.Hooks[i]; h.Config == config && h.Stage == stage && h.Step == step {
			return h
		}
	}
	minutes := hookTimeout
	if t := d.Configuration.LifecycleHooks[config].TimeoutConfiguration; t != nil {
		minutes = percent(t.TimeoutInMinutes, minutes)
	}
	d.Hooks = append(d.Hooks, gantry.Hook{
		ID: hookID(d, len(d.Hooks)), Stage: stage, Status: ecsapi.DeploymentLifecycleHookStatusAwaitingAction,
		Config: config, Step: step, StartedAt: p.now, ExpiresAt: p.now.Add(time.Duration(minutes) * time.Minute),
	})
	return &d.Hooks[len(d.Hooks)-1]
}

// await reports whether a hook lets the deployment go on.
func (p *planner) await(h *gantry.Hook, timeout *ecsapi.DeploymentLifecycleHookTimeoutConfiguration) (bool, *failure) {
	if h.Status == ecsapi.DeploymentLifecycleHookStatusAwaitingAction && !p.now.Before(h.ExpiresAt) {
		h.Status = ecsapi.DeploymentLifecycleHookStatusTimedOut
	}
	switch h.Status {
	case ecsapi.DeploymentLifecycleHookStatusSucceeded:
		return true, nil
	case ecsapi.DeploymentLifecycleHookStatusFailed:
		return false, &failure{reason: reasonHook, event: textHook, by: "Lifecycle hook"}
	case ecsapi.DeploymentLifecycleHookStatusTimedOut:
		if timeout != nil && timeout.Action == ecsapi.DeploymentLifecycleHookActionContinue {
			return true, nil
		}
		return false, &failure{reason: reasonExpired, event: textHook, by: "Lifecycle hook"}
	}
	p.again(h.ExpiresAt)
	return false, nil
}

// blue is the revision that green replaces: the last that completed if it still has
// tasks, else the one with the most; "" where there is nothing to replace.
func (p *planner) blue() gantry.RevisionID {
	n := map[gantry.RevisionID]int{}
	for _, m := range p.where(stale) {
		n[m.Revision()]++
	}
	if n[p.deployment.Fallback] > 0 {
		return p.deployment.Fallback
	}
	var most gantry.RevisionID
	for _, revision := range slices.Sorted(maps.Keys(n)) {
		if n[revision] > n[most] {
			most = revision
		}
	}
	return most
}

// neither asks for the tasks that are neither green nor blue.
func (p *planner) neither() func(*member) bool {
	blue := p.blue()
	return func(m *member) bool { return !m.fresh && m.Revision() != blue }
}

func (p *planner) others() int { return p.number(p.neither()) }

// stand keeps blue, brings green up, and lets the others go.
func (p *planner) stand() {
	green, d := p.rollout().Revision, p.deployment
	reason := scaling(green)
	neither := p.neither()
	for _, m := range p.where(neither, in(pending)) {
		p.stop(m, reason)
	}
	p.choose(p.alive, p.number(in(healthy))-max(p.bounds.Floor, p.bounds.Desired), neither, unprotected)
	if blue := p.blue(); blue != "" {
		p.keep(blue)
	}
	if d.Stage == ecsapi.ServiceDeploymentLifecycleStageReconcileService || d.Stage == ecsapi.ServiceDeploymentLifecycleStagePreScaleUp {
		return
	}
	p.keep(green)
	if p.number((*member).good) >= p.bounds.Desired {
		p.history.Unplaced = nil
	}
}

// keep keeps as many tasks of a revision as desired: it replaces unhealthy ones and
// those on DRAINING instances, and stops those too many.
func (p *planner) keep(revision gantry.RevisionID) {
	of := func(m *member) bool { return m.Revision() == revision }
	fit := func(m *member) bool { return !m.draining && m.standing != unhealthy }
	leaving := func(m *member) bool { return m.draining }
	reason := scaling(p.rollout().Revision)
	for _, m := range p.where(of, leaving, in(pending)) {
		p.stop(m, reason)
	}
	need := p.bounds.Desired - p.number(of, fit)
	free := p.bounds.Ceiling - p.living()
	if s := (Start{Revision: revision, Count: min(need, free)}); s.Count > 0 {
		p.start(s)
	}
	sick := p.where(of, in(unhealthy))
	if p.number(of, in(healthy)) < p.bounds.Desired && (need <= 0 || free > 0 || p.stopping > 0) {
		sick = nil // the replacement first
	} else if p.number(of, in(healthy)) < p.bounds.Desired {
		sick = sick[:min(1, len(sick))]
	}
	for _, m := range sick {
		p.stop(m, reasonUnhealthy)
	}
	spare := p.number(of, in(healthy)) - p.bounds.Desired
	p.choose(spare, spare, of, leaving, unprotected)
	unstarted := p.where(of, fit, in(pending))
	for _, m := range unstarted[:max(0, min(-need, len(unstarted)))] {
		p.stop(m, reason)
		need++
	}
	p.choose(-need, p.number(of, in(healthy))-p.bounds.Floor, of, fit, unprotected)
}

// hookID is unique among the hooks of all deployments.
func hookID(d *gantry.Deployment, n int) string { return string(d.ID) + "-" + strconv.Itoa(n+1) }
