package ecs

import (
	"slices"

	"gantry"
	"gantry/internal/service"
	"gantry/internal/store"
	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"
)

// showDeployment is a service deployment as ECS answers it.
func (s *Service) showDeployment(snap *store.Snapshot, sv *gantry.Service, d *gantry.Deployment) ecsapi.ServiceDeployment {
	place := s.cfg.Place
	history, ok := store.ServiceHistories.Get(snap, sv.Key())
	if !ok {
		history = &gantry.ServiceHistory{}
	}
	desired := service.Desired(sv, history)
	out := ecsapi.ServiceDeployment{
		ServiceDeploymentArn: new(string(place.ServiceDeployment(d))),
		ServiceArn:           new(string(place.Service(d.Cluster, string(d.Service)))),
		ClusterArn:           new(string(place.Cluster(d.Cluster))),
		Status:               d.Status, StatusReason: some(d.StatusReason),
		CreatedAt: at(d.CreatedAt), StartedAt: at(d.StartedAt), UpdatedAt: at(d.UpdatedAt),
		FinishedAt: at(d.FinishedAt), StoppedAt: at(d.StoppedAt),
		DeploymentConfiguration:  d.Configuration,
		DeploymentCircuitBreaker: service.Breaker(d, desired),
		Alarms:                   &ecsapi.ServiceDeploymentAlarms{Status: ecsapi.ServiceDeploymentRollbackMonitorsStatusDisabled},
		LifecycleStage:           d.Stage,
		SourceServiceRevisions:   []ecsapi.ServiceRevisionSummary{},
	}
	entries := service.Entries(desired, newestWith(snap, sv, d), service.TallyOf(snap, sv))
	out.TargetServiceRevision = new(s.summary(d, d.Target.Revision, entries))
	for _, source := range d.Sources {
		out.SourceServiceRevisions = append(out.SourceServiceRevisions, s.summary(d, source, entries))
	}
	if d.Stage != "" {
		weighTraffic(d, out.TargetServiceRevision, out.SourceServiceRevisions)
	}
	if b := d.Rollback; b != nil {
		out.Rollback = &ecsapi.Rollback{Reason: some(d.Target.Reason), StartedAt: at(b.StartedAt), ServiceRevisionArn: new(s.revisionARN(d, b.Revision))}
	}
	for _, h := range d.Hooks {
		out.LifecycleHookDetails = append(out.LifecycleHookDetails, showHook(d, h))
	}
	return out
}

// newestWith are the deployments whose revisions are counted: the service's newest,
// which gets its tasks, and the one that is shown.
func newestWith(r store.Reader, sv *gantry.Service, d *gantry.Deployment) []*gantry.Deployment {
	all := deploymentsOf(r, sv)
	if len(all) > 0 && all[0].ID == d.ID {
		return all
	}
	return append(slices.Clip(all), d)
}

// summary counts the tasks of a revision.
func (s *Service) summary(d *gantry.Deployment, revision gantry.RevisionID, entries []service.Entry) ecsapi.ServiceRevisionSummary {
	var n service.Entry
	if i := slices.IndexFunc(entries, func(e service.Entry) bool { return e.Rollout.Revision == revision }); i >= 0 {
		n = entries[i]
	}
	return ecsapi.ServiceRevisionSummary{
		Arn: new(s.revisionARN(d, revision)), RequestedTaskCount: new(int32(n.Desired)),
		RunningTaskCount: new(int32(n.Running)), PendingTaskCount: new(int32(n.Pending)),
	}
}

// weighTraffic tells which share of the traffic each revision is to have, in percent:
// what the target does not get is the source's.
func weighTraffic(d *gantry.Deployment, target *ecsapi.ServiceRevisionSummary, sources []ecsapi.ServiceRevisionSummary) {
	const whole = 100.0
	target.RequestedProductionTrafficWeight, target.RequestedTestTrafficWeight = new(d.Weight), new(d.TestWeight)
	for i := range sources {
		share, test := 0.0, 0.0
		if i == 0 {
			share, test = whole-d.Weight, whole-d.TestWeight
		}
		sources[i].RequestedProductionTrafficWeight, sources[i].RequestedTestTrafficWeight = &share, &test
	}
}

func showHook(d *gantry.Deployment, h gantry.Hook) ecsapi.DeploymentLifecycleHookDetail {
	out := ecsapi.DeploymentLifecycleHookDetail{
		HookId: new(h.ID), Status: h.Status, ExpiresAt: at(h.ExpiresAt),
		TargetType: ecsapi.DeploymentLifecycleHookTargetTypePause, TimeoutAction: ecsapi.DeploymentLifecycleHookActionRollback,
	}
	if c := d.Configuration.LifecycleHooks[h.Config].TimeoutConfiguration; c != nil && c.Action != "" {
		out.TimeoutAction = c.Action
	}
	return out
}

func (s *Service) revisionARN(d *gantry.Deployment, id gantry.RevisionID) string {
	return string(s.cfg.Place.ServiceRevision(&gantry.ServiceRevision{ID: id, Cluster: d.Cluster, Service: d.Service}))
}

// showRevision is a service revision as ECS answers it.
func (s *Service) showRevision(r store.Reader, revision *gantry.ServiceRevision) ecsapi.ServiceRevision {
	place := s.cfg.Place
	out := ecsapi.ServiceRevision{
		ServiceRevisionArn: new(string(place.ServiceRevision(revision))),
		ServiceArn:         new(string(place.Service(revision.Cluster, string(revision.Service)))),
		ClusterArn:         new(string(place.Cluster(revision.Cluster))),
		TaskDefinition:     new(string(place.Definition(revision.Definition))),
		LaunchType:         launchShown(revision),
		CreatedAt:          at(revision.CreatedAt),
		ContainerImages:    []ecsapi.ContainerImage{},
		GuardDutyEnabled:   new(false),
		LoadBalancers:      []ecsapi.LoadBalancer{},
		ServiceRegistries:  []ecsapi.ServiceRegistry{},
		ServiceConnectConfiguration: &ecsapi.ServiceConnectConfiguration{
			Enabled: new(false),
		},
	}
	out.CapacityProviderStrategy = revision.Providers
	if d, ok := store.Definitions.Get(r, string(revision.Definition)); ok {
		for i := range d.Wire.ContainerDefinitions {
			c := &d.Wire.ContainerDefinitions[i]
			out.ContainerImages = append(out.ContainerImages, ecsapi.ContainerImage{
				ContainerName: c.Name, Image: new(wire.Value(c.Image)), ImageDigest: some(revision.Digest(c)),
			})
		}
	}
	return out
}
