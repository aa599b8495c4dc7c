package ecs

import (
	"gantry"
	"gantry/internal/store"
	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"
)

// This file is what differs for services whose deployment controller is EXTERNAL: what
// their tasks are made from is said by their task sets.

func external(c *ecsapi.DeploymentController) bool {
	return c != nil && c.Type == ecsapi.DeploymentControllerTypeExternal
}

// completeExternal checks a new service that has no task sets yet, and fills in what
// differs.
func completeExternal(made *gantry.Service, in *ecsapi.CreateServiceInput) error {
	for _, elsewhere := range []struct {
		used bool
		what string
	}{
		{in.TaskDefinition != nil, "TaskDefinition"},
		{in.LaunchType != "", "LaunchType"},
		{len(in.CapacityProviderStrategy) > 0, "CapacityProviderStrategy"},
		{in.PlatformVersion != nil, "PlatformVersion"},
		{in.NetworkConfiguration != nil, "NetworkConfiguration"},
	} {
		if elsewhere.used {
			return invalid("%s must be blank: a service with the deploymentController EXTERNAL gets it by CreateTaskSet.", elsewhere.what)
		}
	}
	switch {
	case made.Scheduling == ecsapi.SchedulingStrategyDaemon:
		return invalid("The daemon scheduling strategy does not support the deploymentController EXTERNAL.")
	case in.AvailabilityZoneRebalancing == ecsapi.AvailabilityZoneRebalancingEnabled:
		return invalid("The deploymentController EXTERNAL does not support availabilityZoneRebalancing. Set it to DISABLED and try again.")
	case made.EnableExecuteCommand:
		return notYet("enableExecuteCommand asks for ECS Exec, which gantry does not offer yet: leave it out.")
	}
	if err := checkExternalConfiguration(in.DeploymentConfiguration); err != nil {
		return err
	}
	made.Rebalancing = ecsapi.AvailabilityZoneRebalancingDisabled
	return checkPlacement(made, ecsapi.LaunchTypeEc2, &gantry.Definition{Wire: &ecsapi.TaskDefinition{}})
}

// checkExternalConfiguration lets nothing but the defaults pass, which some clients send
// whether they are asked to or not.
func checkExternalConfiguration(c *ecsapi.DeploymentConfiguration) error {
	if c == nil {
		return nil
	}
	breaks := c.DeploymentCircuitBreaker != nil && wire.Value(c.DeploymentCircuitBreaker.Enable)
	alarms := c.Alarms != nil && wire.Value(c.Alarms.Enable)
	if breaks || alarms || c.MaximumPercent != nil && *c.MaximumPercent != replicaMaximum || c.MinimumHealthyPercent != nil && *c.MinimumHealthyPercent != replicaMinimum ||
		c.Strategy != "" && c.Strategy != ecsapi.DeploymentStrategyRolling || wire.Value(c.BakeTimeInMinutes) > 0 || len(c.LifecycleHooks) > 0 || c.EarlySuccessCriteria != nil {
		return invalid("deploymentConfiguration is not for a service with the deploymentController EXTERNAL: leave it out.")
	}
	return nil
}

// changeExternal changes what the request names of a service with task sets: its desired
// count, placement, grace period and tag options.
func changeExternal(tx *store.Tx, sv *gantry.Service, in *ecsapi.UpdateServiceInput) (*gantry.Service, error) {
	for _, elsewhere := range []struct {
		used bool
		what string
	}{
		{in.TaskDefinition != nil, "task definition"},
		{len(in.CapacityProviderStrategy) > 0, "capacity provider strategy"},
		{in.PlatformVersion != nil, "platform version"},
		{in.NetworkConfiguration != nil, "network configuration"},
		{checkExternalConfiguration(in.DeploymentConfiguration) != nil, "deployment configuration"},
		{in.AvailabilityZoneRebalancing == ecsapi.AvailabilityZoneRebalancingEnabled, "availability zone rebalancing"},
		{wire.Value(in.EnableExecuteCommand), "execute command"},
	} {
		if elsewhere.used {
			return nil, invalid("Unable to update %s on services with an EXTERNAL deployment controller. Use its task sets.", elsewhere.what)
		}
	}
	if wire.Value(in.ForceNewDeployment) {
		return nil, invalid("Cannot force a new deployment on services with an EXTERNAL deployment controller. Use its task sets.")
	}
	next := changed(sv, in)
	next.Configuration, next.Rebalancing = sv.Configuration, sv.Rebalancing
	if err := checkPlacement(next, ecsapi.LaunchTypeEc2, &gantry.Definition{Wire: &ecsapi.TaskDefinition{}}); err != nil {
		return nil, err
	}
	store.Services.Put(tx, next)
	return next, nil
}

// showExternal puts the task sets of a service into what is shown of it, and what comes
// from its primary one.
func (s *Service) showExternal(r store.Reader, sv *gantry.Service, out *ecsapi.Service) {
	out.TaskSets = s.showTaskSets(r, sv, false)
	out.LaunchType = ecsapi.LaunchTypeEc2
	for _, set := range out.TaskSets {
		*out.RunningCount += *set.RunningCount
		*out.PendingCount += *set.PendingCount
		if *set.Id == sv.PrimaryTaskSet.StartedBy() {
			out.TaskDefinition, out.LaunchType = set.TaskDefinition, set.LaunchType
		}
	}
}
