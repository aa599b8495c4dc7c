package ecs

import (
	"cmp"

	"gantry/internal/wire/ecsapi"
)

// The percentages that hold where the user says nothing.
const (
	replicaMinimum, replicaMaximum = 100, 200
	daemonMinimum, daemonMaximum   = 0, 100
)

// configure is a deployment configuration after a request: what is absent there stays
// as it was, and what was never said is ECS's default, so that it is answered whole.
func configure(have, given *ecsapi.DeploymentConfiguration, scheduling ecsapi.SchedulingStrategy) *ecsapi.DeploymentConfiguration {
	out := ecsapi.DeploymentConfiguration{}
	if have != nil {
		out = *have
	}
	if given != nil {
		out.Alarms = firstOf(given.Alarms, out.Alarms)
		out.BakeTimeInMinutes = firstOf(given.BakeTimeInMinutes, out.BakeTimeInMinutes)
		out.CanaryConfiguration = firstOf(given.CanaryConfiguration, out.CanaryConfiguration)
		out.DeploymentCircuitBreaker = firstOf(given.DeploymentCircuitBreaker, out.DeploymentCircuitBreaker)
		out.EarlySuccessCriteria = firstOf(given.EarlySuccessCriteria, out.EarlySuccessCriteria)
		out.LinearConfiguration = firstOf(given.LinearConfiguration, out.LinearConfiguration)
		out.MaximumPercent = firstOf(given.MaximumPercent, out.MaximumPercent)
		out.MinimumHealthyPercent = firstOf(given.MinimumHealthyPercent, out.MinimumHealthyPercent)
		out.Strategy = cmp.Or(given.Strategy, out.Strategy)
		if given.LifecycleHooks != nil {
			out.LifecycleHooks = given.LifecycleHooks // an empty list removes them
		}
	}
	least, most := int32(replicaMinimum), int32(replicaMaximum)
	if scheduling == ecsapi.SchedulingStrategyDaemon {
		least, most = daemonMinimum, daemonMaximum
	}
	out.MinimumHealthyPercent = firstOf(out.MinimumHealthyPercent, &least)
	out.MaximumPercent = firstOf(out.MaximumPercent, &most)
	out.DeploymentCircuitBreaker = firstOf(out.DeploymentCircuitBreaker, &ecsapi.DeploymentCircuitBreaker{Enable: new(false), Rollback: new(false)})
	out.Alarms = firstOf(out.Alarms, &ecsapi.DeploymentAlarms{AlarmNames: []string{}, Enable: new(false), Rollback: new(false)})
	out.Strategy = cmp.Or(out.Strategy, ecsapi.DeploymentStrategyRolling)
	out.BakeTimeInMinutes = firstOf(out.BakeTimeInMinutes, new(int32(0)))
	return &out
}
