package ecs

import (
	"cmp"
	"context"
	"time"

	"gantry"
	"gantry/internal/store"
	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"
)

// updateService changes what the request names: an absent member keeps what was, an
// empty list removes it. Another task definition, and forceNewDeployment, start a
// deployment; everything else holds at once or for the next one.
func (s *Service) updateService(ctx context.Context, in *ecsapi.UpdateServiceInput) (*ecsapi.UpdateServiceOutput, error) {
	if err := checkController(in.DeploymentController); err != nil {
		return nil, err
	}
	if err := checkOffered(offered{
		balancers: in.LoadBalancers, registries: in.ServiceRegistries, connect: in.ServiceConnectConfiguration,
		volumes: in.VolumeConfigurations, lattice: in.VpcLatticeConfigurations, gateways: in.GatewayConnectors,
		monitoring: in.Monitoring,
	}); err != nil {
		return nil, err
	}
	out, err := s.changeOne(ctx, in.Cluster, *in.Service, func(tx *store.Tx, c *gantry.Cluster, sv *gantry.Service) (*gantry.Service, error) {
		if err := checkActive(sv); err != nil {
			return nil, err
		}
		return s.changeService(tx, c, sv, in)
	})
	if err != nil {
		return nil, err
	}
	return &ecsapi.UpdateServiceOutput{Service: out}, nil
}

// changeOne lets change write a service anew, in one transaction, and shows what has become
// of it.
func (s *Service) changeOne(ctx context.Context, cluster *string, ref string, change func(*store.Tx, *gantry.Cluster, *gantry.Service) (*gantry.Service, error)) (*ecsapi.Service, error) {
	var out *gantry.Service
	_, err := s.store.Update(ctx, func(tx *store.Tx) error {
		c, err := s.cluster(tx, cluster)
		if err != nil {
			return err
		}
		sv, err := s.service(tx, c.Name, ref)
		if err != nil {
			return err
		}
		out, err = change(tx, c, sv)
		return err
	})
	if err != nil {
		return nil, err
	}
	return s.showService(s.store.View(), out, true), nil
}

// changeService writes a service as the request wants it, and begins a deployment
// where that takes one.
func (s *Service) changeService(tx *store.Tx, c *gantry.Cluster, sv *gantry.Service, in *ecsapi.UpdateServiceInput) (*gantry.Service, error) {
	if in.DeploymentController != nil && external(in.DeploymentController) != sv.HasTaskSets() {
		return nil, notYet("Changing the deploymentController of a service is not offered by gantry yet.")
	}
	if sv.HasTaskSets() {
		return changeExternal(tx, sv, in)
	}
	next := changed(sv, in)
	given := in.DesiredCount
	if next.Scheduling == ecsapi.SchedulingStrategyReplica {
		given = new(int32(next.DesiredCount))
	}
	if err := checkScheduling(next, given); err != nil {
		return nil, err
	}
	previous := newestDeployment(tx, sv)
	revision := *serviceRevision(tx, sv, previous.Rollout().Revision)
	d, ok := store.Definitions.Get(tx, string(revision.Definition))
	deploys := wire.Value(in.ForceNewDeployment)
	if ref := cmp.Or(wire.Value(in.TaskDefinition), string(revision.Definition)); in.TaskDefinition != nil || deploys || !ok {
		var err error
		if d, err = s.runnable(tx, ref); err != nil {
			return nil, err
		}
	}
	if in.CapacityProviderStrategy != nil {
		if err := changeProviders(c, next, &revision, in); err != nil {
			return nil, err
		}
	}
	deploys = deploys || d.Name != revision.Definition
	revision.Definition = d.Name
	if err := checkService(next, &revision, d); err != nil {
		return nil, err
	}
	if err := checkFor(revision.LaunchType, in.PlatformVersion, in.NetworkConfiguration); err != nil {
		return nil, err
	}
	if deploys {
		s.deploy(tx, s.now(), next, &revision, previous)
	}
	store.Services.Put(tx, next)
	return next, nil
}

// changed is a service with the members of a request laid over it.
func changed(sv *gantry.Service, in *ecsapi.UpdateServiceInput) *gantry.Service {
	next := *sv
	if in.DesiredCount != nil {
		next.DesiredCount = int(*in.DesiredCount)
	}
	next.Configuration = configure(sv.Configuration, in.DeploymentConfiguration, sv.Scheduling)
	if in.PlacementConstraints != nil {
		next.Constraints = in.PlacementConstraints
	}
	if in.PlacementStrategy != nil {
		next.Strategies = in.PlacementStrategy
	}
	next.Rebalancing = cmp.Or(in.AvailabilityZoneRebalancing, sv.Rebalancing)
	if in.HealthCheckGracePeriodSeconds != nil {
		next.GracePeriod = time.Duration(*in.HealthCheckGracePeriodSeconds) * time.Second
	}
	next.PropagateTags = cmp.Or(in.PropagateTags, sv.PropagateTags)
	if in.EnableECSManagedTags != nil {
		next.EnableManagedTags = *in.EnableECSManagedTags
	}
	if in.EnableExecuteCommand != nil {
		next.EnableExecuteCommand = *in.EnableExecuteCommand
	}
	return &next
}
