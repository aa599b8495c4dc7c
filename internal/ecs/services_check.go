package ecs

import (
	"errors"
	"slices"
	"strings"

	"gantry"
	"gantry/internal/ledger"
	"gantry/internal/placement"
	"gantry/internal/store"
	"gantry/internal/taskdef"
	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"
)

// offered are the members of CreateService and UpdateService that are about what gantry
// does not offer yet.
type offered struct {
	balancers  []ecsapi.LoadBalancer
	registries []ecsapi.ServiceRegistry
	connect    *ecsapi.ServiceConnectConfiguration
	volumes    []ecsapi.ServiceVolumeConfiguration
	lattice    []ecsapi.VpcLatticeConfiguration
	gateways   []ecsapi.GatewayConnector
	monitoring *ecsapi.MonitoringConfiguration
}

// checkOffered refuses them where they ask for something: an empty list asks for
// nothing, nor does a Service Connect that is turned off.
func checkOffered(o offered) error {
	for _, absent := range []struct {
		used bool
		what string
	}{
		{len(o.balancers) > 0, "loadBalancers"},
		{len(o.registries) > 0, "serviceRegistries"},
		{o.connect != nil && wire.Value(o.connect.Enabled), "serviceConnectConfiguration"},
		{len(o.volumes) > 0, "volumeConfigurations"},
		{len(o.lattice) > 0, "vpcLatticeConfigurations"},
		{len(o.gateways) > 0, "gatewayConnectors"},
		{o.monitoring != nil, "monitoring"},
	} {
		if absent.used {
			name, hint, _ := strings.Cut(absent.what, ": ")
			if hint != "" {
				hint = " (" + hint + ")"
			}
			return notYet("%s of a service is not offered by gantry yet%s.", name, hint)
		}
	}
	return nil
}

// checkFor refuses what belongs to Fargate, or to the network mode awsvpc, of tasks that have
// neither: what has is refused before.
func checkFor(launch ecsapi.LaunchType, platform *string, network *ecsapi.NetworkConfiguration) error {
	switch {
	case platform != nil:
		return invalid("The platform version must be null when specifying an %s launch type.", launch)
	case network != nil:
		return invalid("Network Configuration is not valid for the given networkMode of this task definition.")
	}
	return nil
}

func checkController(c *ecsapi.DeploymentController) error {
	if c == nil || c.Type == ecsapi.DeploymentControllerTypeEcs || c.Type == ecsapi.DeploymentControllerTypeExternal {
		return nil
	}
	return notYet("The deploymentController %s is not offered by gantry yet: use ECS or EXTERNAL.", c.Type)
}

// deployable finds the task definition of a new revision.
func (s *Service) deployable(r store.Reader, ref *string) (*gantry.Definition, error) {
	if wire.Value(ref) == "" {
		return nil, invalid("taskDefinition is required: a family, family:revision or an ARN.")
	}
	return s.runnable(r, *ref)
}

// checkScheduling checks what the scheduling strategy rules out. Given is the desired
// count of the request.
func checkScheduling(sv *gantry.Service, given *int32) error {
	if sv.Scheduling != ecsapi.SchedulingStrategyDaemon {
		if given == nil {
			return invalid("desiredCount is required where the schedulingStrategy is REPLICA: a number of tasks.")
		}
		return nil
	}
	switch {
	case given != nil:
		return invalid("The daemon scheduling strategy does not support a desired count for services. Remove the desired count value and try again")
	case len(sv.Strategies) > 0:
		return invalid("The daemon scheduling strategy does not support placement strategies. Remove the placement strategy and try again")
	case *sv.Configuration.MaximumPercent > 100:
		return invalid("The daemon scheduling strategy does not support values above 100 for maximumPercent on a deployment configuration. Change the maximumPercent value to 100, and try again")
	case sv.Configuration.Strategy != ecsapi.DeploymentStrategyRolling:
		return invalid("The daemon scheduling strategy supports the deployment strategy ROLLING only.")
	case sv.Rebalancing == ecsapi.AvailabilityZoneRebalancingEnabled:
		return invalid("The daemon scheduling strategy does not support availabilityZoneRebalancing. Set it to DISABLED and try again.")
	}
	return nil
}

// checkService checks a service as it is to be, with the revision that its tasks are
// to be made from.
func checkService(sv *gantry.Service, revision *gantry.ServiceRevision, d *gantry.Definition) error {
	if sv.EnableExecuteCommand {
		return notYet("enableExecuteCommand asks for ECS Exec, which gantry does not offer yet: leave it out.")
	}
	if !slices.Contains(d.Wire.Compatibilities, ecsapi.Compatibility(revision.LaunchType)) {
		return invalid("Task definition does not support launch_type %s.", revision.LaunchType)
	}
	if err := taskdef.NotYet(d.Wire, nil); err != nil {
		return err
	}
	if err := checkConfiguration(sv.Configuration); err != nil {
		return err
	}
	if err := checkRebalancing(sv); err != nil {
		return err
	}
	return checkPlacement(sv, revision.LaunchType, d)
}

// checkPlacement checks a service's constraints and strategies, together with those of
// the definition.
func checkPlacement(sv *gantry.Service, launch ecsapi.LaunchType, d *gantry.Definition) error {
	_, err := placement.Compile(ledger.Spec(ledger.Batch{
		Definition:  d,
		Task:        gantry.Task{Cluster: sv.Cluster, LaunchType: launch, Group: gantry.ServiceGroup(string(sv.Name))},
		Constraints: sv.Constraints, Strategies: sv.Strategies,
	}))
	if wrong, ok := errors.AsType[*placement.InvalidError](err); ok {
		return ecsapi.NewInvalidParameterException(wrong.Message)
	}
	return err
}

// checkRebalancing refuses to move tasks between zones where that has no room beside the
// desired count, or where zones are what the tasks are placed by otherwise.
func checkRebalancing(sv *gantry.Service) error {
	if sv.Rebalancing != ecsapi.AvailabilityZoneRebalancingEnabled {
		return nil
	}
	switch {
	case !spreadsZones(sv):
		return invalid("availabilityZoneRebalancing needs a placementStrategy that spreads over attribute:ecs.availability-zone first, or none. Set it to DISABLED, or change the placementStrategy, and try again.")
	case *sv.Configuration.MaximumPercent <= 100:
		return invalid("AvailabilityZoneRebalancing does not support maximumPercent <= 100. Set it to DISABLED, or raise the maximumPercent, and try again.")
	case bindsZones(sv):
		return invalid("AvailabilityZoneRebalancing does not support placementConstraints on attribute:ecs.availability-zone. Set it to DISABLED, or leave the constraint out, and try again.")
	}
	return nil
}

// suitsRebalancing reports whether a service may be rebalanced.
func suitsRebalancing(sv *gantry.Service) bool {
	asked := *sv
	asked.Rebalancing = ecsapi.AvailabilityZoneRebalancingEnabled
	return sv.Scheduling != ecsapi.SchedulingStrategyDaemon && checkRebalancing(&asked) == nil
}

// bindsZones reports whether a service's constraints say in which zones its tasks are to be.
func bindsZones(sv *gantry.Service) bool {
	return slices.ContainsFunc(sv.Constraints, func(c ecsapi.PlacementConstraint) bool {
		return strings.Contains(wire.Value(c.Expression), "attribute:"+gantry.AttributeZone)
	})
}

// spreadsZones reports whether a service's tasks are spread over the zones first.
func spreadsZones(sv *gantry.Service) bool {
	if len(sv.Strategies) == 0 {
		return true
	}
	first := sv.Strategies[0]
	return first.Type == ecsapi.PlacementStrategyTypeSpread && wire.Value(first.Field) == "attribute:"+gantry.AttributeZone
}

// defaultRebalancing is ENABLED for every service that it suits.
func defaultRebalancing(sv *gantry.Service) ecsapi.AvailabilityZoneRebalancing {
	if suitsRebalancing(sv) {
		return ecsapi.AvailabilityZoneRebalancingEnabled
	}
	return ecsapi.AvailabilityZoneRebalancingDisabled
}
