package service

import (
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
	linearStep = 10.0 // percent
	linearBake = 6    // minutes
	canaryStep = 5.0
	canaryBake = 10
	leastStep  = 0.1
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
