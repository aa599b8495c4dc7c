package ecs

import (
	"cmp"
	"math"
	"slices"

	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"
)

const (
	mostPercent = 100
	// mostBake is a day and mostHookTimeout a fortnight, in minutes: AWS's own bounds.
	mostBake        = 1_440
	mostHookTimeout = 20_160
)

// checkConfiguration checks a deployment configuration that is whole.
func checkConfiguration(c *ecsapi.DeploymentConfiguration) error {
	if wire.Value(c.Alarms.Enable) {
		return notYet("Deployment alarms are not offered by gantry yet: set deploymentConfiguration.alarms.enable to false.")
	}
	for _, number := range []struct {
		name        string
		given       *int32
		least, most int32
	}{
		{"minimumHealthyPercent", c.MinimumHealthyPercent, 0, mostPercent},
		{"maximumPercent", c.MaximumPercent, mostPercent, math.MaxInt32},
		{"bakeTimeInMinutes", c.BakeTimeInMinutes, 0, mostBake},
	} {
		if err := within(number.name, number.given, number.least, number.most); err != nil {
			return err
		}
	}
	for _, err := range []error{checkBreaker(c.DeploymentCircuitBreaker), checkEarly(c), checkShift(c)} {
		if err != nil {
			return err
		}
	}
	for i := range c.LifecycleHooks {
		if err := checkHook(c, &c.LifecycleHooks[i]); err != nil {
			return err
		}
	}
	return nil
}

// within checks a number of the deployment configuration, where it is given.
func within[N int32 | float64](name string, given *N, least, most N) error {
	if given == nil || *given >= least && *given <= most {
		return nil
	}
	return invalid("deploymentConfiguration.%s is %v; it must be between %v and %v.", name, *given, least, most)
}

// tenths checks a percentage that may have one digit behind the point.
func tenths(name string, given *float64) error {
	const almost = 1e-6 // what is written 33.3 is not quite that
	if given == nil || math.Abs(*given*10-math.Round(*given*10)) < almost {
		return nil
	}
	return invalid("deploymentConfiguration.%s is %v; it must be a multiple of 0.1.", name, *given)
}

func checkBreaker(b *ecsapi.DeploymentCircuitBreaker) error {
	c := b.ThresholdConfiguration
	if c == nil {
		return nil
	}
	most := int32(mostPercent)
	if c.Type == ecsapi.ThresholdTypeCount {
		most = math.MaxInt32
		if c.Value == nil {
			return invalid("deploymentConfiguration.deploymentCircuitBreaker.thresholdConfiguration.value is required where the type is COUNT: a number of tasks.")
		}
	}
	return within("deploymentCircuitBreaker.thresholdConfiguration.value", c.Value, 1, most)
}

func checkEarly(c *ecsapi.DeploymentConfiguration) error {
	e := c.EarlySuccessCriteria
	if e == nil || !wire.Value(e.Enable) {
		return nil
	}
	if c.Strategy != ecsapi.DeploymentStrategyRolling {
		return invalid("deploymentConfiguration.earlySuccessCriteria are for the deployment strategy ROLLING; this is %s.", c.Strategy)
	}
	if err := within("earlySuccessCriteria.healthyPercent", e.HealthyPercent, 0, mostPercent); err != nil {
		return err
	}
	if e.HealthyPercent != nil && *e.HealthyPercent < *c.MinimumHealthyPercent {
		return invalid("deploymentConfiguration.earlySuccessCriteria.healthyPercent is %d; it must be at least the minimumHealthyPercent, which is %d.",
			*e.HealthyPercent, *c.MinimumHealthyPercent)
	}
	return nil
}

// checkShift checks how traffic is to be shifted.
func checkShift(c *ecsapi.DeploymentConfiguration) error {
	if l := c.LinearConfiguration; l != nil {
		if c.Strategy != ecsapi.DeploymentStrategyLinear {
			return invalid("deploymentConfiguration.linearConfiguration is for the deployment strategy LINEAR; this is %s.", c.Strategy)
		}
		const leastStep = 3.0
		if err := cmp.Or(within("linearConfiguration.stepPercent", l.StepPercent, leastStep, mostPercent), tenths("linearConfiguration.stepPercent", l.StepPercent)); err != nil {
			return err
		}
		if err := within("linearConfiguration.stepBakeTimeInMinutes", l.StepBakeTimeInMinutes, 0, mostBake); err != nil {
			return err
		}
	}
	if l := c.CanaryConfiguration; l != nil {
		if c.Strategy != ecsapi.DeploymentStrategyCanary {
			return invalid("deploymentConfiguration.canaryConfiguration is for the deployment strategy CANARY; this is %s.", c.Strategy)
		}
		const leastCanary = 0.1
		if err := cmp.Or(within("canaryConfiguration.canaryPercent", l.CanaryPercent, leastCanary, mostPercent), tenths("canaryConfiguration.canaryPercent", l.CanaryPercent)); err != nil {
			return err
		}
		return within("canaryConfiguration.canaryBakeTimeInMinutes", l.CanaryBakeTimeInMinutes, 0, mostBake)
	}
	return nil
}

// lambdaStages are those whose hooks can only call a function.
var lambdaStages = []ecsapi.DeploymentLifecycleHookStage{
	ecsapi.DeploymentLifecycleHookStageTestTrafficShift, ecsapi.DeploymentLifecycleHookStageProductionTrafficShift,
}

// checkHook takes hooks that pause a deployment: nothing here can call a function.
func checkHook(c *ecsapi.DeploymentConfiguration, h *ecsapi.DeploymentLifecycleHook) error {
	const name = "deploymentConfiguration.lifecycleHooks"
	switch {
	case c.Strategy == ecsapi.DeploymentStrategyRolling:
		return invalid("%s are for the deployment strategies BLUE_GREEN, LINEAR and CANARY; this is ROLLING, which has no lifecycle stages.", name)
	case h.TargetType != ecsapi.DeploymentLifecycleHookTargetTypePause:
		return notYet("%s with the targetType AWS_LAMBDA are not offered by gantry yet: use PAUSE.", name)
	case h.HookTargetArn != nil || h.RoleArn != nil:
		return invalid("%s with the targetType PAUSE have neither a hookTargetArn nor a roleArn.", name)
	case len(h.LifecycleStages) == 0:
		return invalid("%s: lifecycleStages cannot be empty.", name)
	}
	for _, stage := range h.LifecycleStages {
		if slices.Contains(lambdaStages, stage) {
			return invalid("%s with the targetType PAUSE cannot be at the stage %s: it takes AWS_LAMBDA.", name, stage)
		}
	}
	if t := h.TimeoutConfiguration; t != nil {
		return within("lifecycleHooks.timeoutConfiguration.timeoutInMinutes", t.TimeoutInMinutes, 1, mostHookTimeout)
	}
	return nil
}
