package service

import (
	"strconv"
	"time"

	"gantry"
	"gantry/internal/wire/ecsapi"
)

// hookTimeout is how many minutes a hook waits where the user says nothing.
const hookTimeout = 1440

// Words of our own: AWS's are not documented.
const (
	byHook        = "Lifecycle hook"
	reasonHook    = "Lifecycle hook failed."
	reasonExpired = "Lifecycle hook timed out."
	reasonLambda  = "Lifecycle hooks with an AWS_LAMBDA target are not offered by gantry."
	textHook      = "lifecycle hook failed."
)

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
				return false, &failure{reason: reasonLambda, event: textHook, by: byHook}
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
		return false, &failure{reason: reasonHook, event: textHook, by: byHook}
	case ecsapi.DeploymentLifecycleHookStatusTimedOut:
		if timeout != nil && timeout.Action == ecsapi.DeploymentLifecycleHookActionContinue {
			return true, nil
		}
		return false, &failure{reason: reasonExpired, event: textHook, by: byHook}
	}
	p.again(h.ExpiresAt)
	return false, nil
}

// abandonHooks ends the hooks that a deployment waits at, which does not go on: they have
// not let it go on, so they have failed.
func abandonHooks(d *gantry.Deployment) {
	for i := range d.Hooks {
		if h := &d.Hooks[i]; h.Status == ecsapi.DeploymentLifecycleHookStatusAwaitingAction {
			h.Status = ecsapi.DeploymentLifecycleHookStatusFailed
		}
	}
}

// hookID is unique among the hooks of all deployments.
func hookID(d *gantry.Deployment, n int) string { return string(d.ID) + "-" + strconv.Itoa(n+1) }
