package ecs

import (
	"cmp"
	"context"
	"time"

	"gantry"
	"gantry/internal/extension"
	"gantry/internal/service"
	"gantry/internal/store"
	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"
)

// notIdempotent is what ECS says where the service is there already.
const notIdempotent = "Creation of service was not idempotent."

func (s *Service) createService(ctx context.Context, in *ecsapi.CreateServiceInput) (*ecsapi.CreateServiceOutput, error) {
	if err := checkCreate(in); err != nil {
		return nil, err
	}
	var made *gantry.Service
	_, err := s.store.Update(ctx, func(tx *store.Tx) (err error) {
		made, err = s.makeService(ctx, tx, in)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &ecsapi.CreateServiceOutput{Service: s.showService(s.store.View(), made, true)}, nil
}

// checkCreate checks what the request can tell by itself.
func checkCreate(in *ecsapi.CreateServiceInput) error {
	name := wire.Value(in.ServiceName)
	switch {
	case !validName(name):
		return invalid("Service name %s is invalid: up to 255 letters, digits, hyphens and underscores are allowed.", wire.Shorten(name))
	case in.Role != nil:
		return invalid("A role is for services with a load balancer: leave it out.")
	case in.LaunchType != "" && len(in.CapacityProviderStrategy) > 0:
		return invalid(bothLaunchAndStrategy)
	case in.LaunchType == ecsapi.LaunchTypeFargate || in.LaunchType == ecsapi.LaunchTypeManagedInstances:
		return notYet("The launchType %s is not offered by gantry yet: use EC2 or EXTERNAL.", in.LaunchType)
	}
	if err := checkTags(extension.Service, in.Tags); err != nil {
		return err
	}
	if err := checkController(in.DeploymentController); err != nil {
		return err
	}
	return checkOffered(offered{
		balancers: in.LoadBalancers, registries: in.ServiceRegistries, connect: in.ServiceConnectConfiguration,
		volumes: in.VolumeConfigurations, lattice: in.VpcLatticeConfigurations, gateways: in.GatewayConnectors,
		monitoring: in.Monitoring,
	})
}

// makeService writes a new service with its first revision and deployment.
func (s *Service) makeService(ctx context.Context, tx *store.Tx, in *ecsapi.CreateServiceInput) (*gantry.Service, error) {
	c, err := s.cluster(tx, in.Cluster)
	if err != nil {
		return nil, err
	}
	token, earlier, err := s.serviceToken(tx, c.Name, in)
	if err != nil || earlier != nil {
		return earlier, err
	}
	now := s.now()
	if have, ok := store.Services.Get(tx, string(c.Name)+"/"+*in.ServiceName); ok {
		switch {
		case have.Status == gantry.ServiceActive:
			return nil, invalid(notIdempotent)
		case have.Status == gantry.ServiceDraining:
			return nil, invalid("Unable to Start a service that is still Draining.")
		case !now.After(have.InactiveAt):
			now = have.InactiveAt.Add(time.Millisecond) // what is older than a service is not its own
		}
	}
	made := &gantry.Service{
		Name: gantry.ServiceName(*in.ServiceName), Cluster: c.Name, Status: gantry.ServiceActive,
		Scheduling:    cmp.Or(in.SchedulingStrategy, ecsapi.SchedulingStrategyReplica),
		DesiredCount:  int(wire.Value(in.DesiredCount)),
		Constraints:   in.PlacementConstraints,
		Strategies:    in.PlacementStrategy,
		GracePeriod:   time.Duration(wire.Value(in.HealthCheckGracePeriodSeconds)) * time.Second,
		Tags:          mergeTags(nil, in.Tags),
		PropagateTags: cmp.Or(in.PropagateTags, ecsapi.PropagateTagsNone), EnableManagedTags: wire.Value(in.EnableECSManagedTags),
		EnableExecuteCommand: wire.Value(in.EnableExecuteCommand),
		CreatedAt:            now, CreatedBy: string(s.caller(ctx)),
	}
	if external(in.DeploymentController) {
		made.Controller = ecsapi.DeploymentControllerTypeExternal
	}
	made.Configuration = configure(nil, in.DeploymentConfiguration, made.Scheduling)
	made.Rebalancing = cmp.Or(in.AvailabilityZoneRebalancing, defaultRebalancing(made))
	if made.HasTaskSets() {
		err = completeExternal(made, in)
	} else {
		err = s.deployFirst(tx, now, c, made, in)
	}
	if err != nil {
		return nil, err
	}
	store.ServiceHistories.Put(tx, &gantry.ServiceHistory{Cluster: made.Cluster, Service: made.Name})
	store.Services.Put(tx, made)
	if token != nil {
		store.ClientTokens.Put(tx, token)
	}
	return made, nil
}

// deployFirst begins a new service's first deployment.
func (s *Service) deployFirst(tx *store.Tx, now time.Time, c *gantry.Cluster, made *gantry.Service, in *ecsapi.CreateServiceInput) error {
	if err := checkScheduling(made, in.DesiredCount); err != nil {
		return err
	}
	var err error
	if made.Providers, err = serviceStrategy(c, made, in.LaunchType, in.CapacityProviderStrategy); err != nil {
		return err
	}
	d, err := s.deployable(tx, in.TaskDefinition)
	if err != nil {
		return err
	}
	revision := &gantry.ServiceRevision{
		Cluster: made.Cluster, Service: made.Name, Definition: d.Name,
		LaunchType: cmp.Or(in.LaunchType, ecsapi.LaunchTypeEc2), Providers: made.Providers,
	}
	if err := checkService(made, revision, d); err != nil {
		return err
	}
	if err := checkFor(revision.LaunchType, in.PlatformVersion, in.NetworkConfiguration); err != nil {
		return err
	}
	s.deploy(tx, now, made, revision, nil)
	return nil
}

// deploy begins the deployment of a revision, of which it makes the id, and makes it
// the service's newest. Previous is the one so far; nil for a new service.
func (s *Service) deploy(tx *store.Tx, now time.Time, sv *gantry.Service, revision *gantry.ServiceRevision, previous *gantry.Deployment) {
	if previous != nil && !now.After(previous.CreatedAt) {
		now = previous.CreatedAt.Add(time.Millisecond) // they are told apart, and ordered, by their time
	}
	revision.ID, revision.CreatedAt = s.cfg.NewRevision(), now
	revision.Digests = nil // the tags may mean others by now
	next, superseded := service.Begin(now, s.cfg.NewDeployment(), sv, revision.ID, previous)
	if superseded != nil {
		store.Deployments.Put(tx, superseded)
	}
	store.ServiceRevisions.Put(tx, revision)
	store.Deployments.Put(tx, next)
	sv.Deployment = next.ID
}
