package ecs

import (
	"encoding/json"
	"slices"
	"time"

	"gantry"
	"gantry/internal/service"
	"gantry/internal/store"
	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"
)

// showService is a service as ECS answers it.
func (s *Service) showService(snap *store.Snapshot, sv *gantry.Service, tags bool) *ecsapi.Service {
	seen := lookAt(snap, sv)
	out := s.showWithoutEvents(snap, seen, tags)
	out.Events = showEvents(seen.history)
	return out
}

func showEvents(history *gantry.ServiceHistory) []ecsapi.ServiceEvent {
	out := make([]ecsapi.ServiceEvent, 0, len(history.Events))
	for _, e := range history.Events {
		if e.Message == "" {
			continue // EventBridge's only
		}
		out = append(out, ecsapi.ServiceEvent{Id: new(e.ID), CreatedAt: at(e.At), Message: new(e.Message)})
	}
	return out
}

// eventsJSON is the JSON of a service's events, which is most of what there is to tell of
// it, kept until there is another one.
var eventsJSON = store.NewFragment(store.ServiceHistories)

// serviceSize is about as large as a service without its events is, in bytes.
const serviceSize = 3 << 10

// encodedService is a service as DescribeServices answers it.
func (s *Service) encodedService(snap *store.Snapshot, sv *gantry.Service, tags bool) (json.RawMessage, error) {
	seen := lookAt(snap, sv)
	if raw, ok := s.answers.find(seen, tags); ok {
		return raw, nil
	}
	var events []json.RawMessage
	made, _ := eventsJSON.Get(snap, sv.Key(), func(history *gantry.ServiceHistory) []byte {
		list, err := json.Marshal(showEvents(history))
		if err != nil {
			panic("encode a service's events: " + err.Error()) // plain structs of text and times always encode
		}
		return list[1 : len(list)-1] // without the brackets
	})
	if len(made) > 0 {
		events = append(events, made)
	}
	raw, err := wire.AppendEncoded(make([]byte, 0, len(made)+serviceSize), "events", events, s.showWithoutEvents(snap, seen, tags))
	if err == nil {
		s.answers.keep(seen, tags, raw)
	}
	return raw, err
}

func (s *Service) showWithoutEvents(snap *store.Snapshot, seen serviceSeen, tags bool) *ecsapi.Service {
	place, sv := s.cfg.Place, seen.service
	out := &ecsapi.Service{
		ServiceArn:                    new(string(place.Service(sv.Cluster, string(sv.Name)))),
		ServiceName:                   new(string(sv.Name)),
		ClusterArn:                    new(string(place.Cluster(sv.Cluster))),
		Status:                        new(string(sv.Status)),
		DesiredCount:                  new(int32(service.Desired(sv, seen.history))),
		SchedulingStrategy:            sv.Scheduling,
		DeploymentController:          &ecsapi.DeploymentController{Type: ecsapi.DeploymentControllerTypeEcs},
		DeploymentConfiguration:       sv.Configuration,
		CapacityProviderStrategy:      sv.Providers,
		PlacementConstraints:          shown(sv.Constraints),
		PlacementStrategy:             shown(sv.Strategies),
		AvailabilityZoneRebalancing:   sv.Rebalancing,
		HealthCheckGracePeriodSeconds: new(int32(sv.GracePeriod / time.Second)),
		EnableECSManagedTags:          new(sv.EnableManagedTags),
		EnableExecuteCommand:          new(sv.EnableExecuteCommand),
		PropagateTags:                 sv.PropagateTags,
		LoadBalancers:                 []ecsapi.LoadBalancer{},
		ServiceRegistries:             []ecsapi.ServiceRegistry{},
		Deployments:                   []ecsapi.Deployment{},
		RunningCount:                  new(int32(0)),
		PendingCount:                  new(int32(0)),
		CreatedAt:                     at(sv.CreatedAt),
		CreatedBy:                     some(sv.CreatedBy),
	}
	if tags {
		out.Tags = shown(sv.Tags)
	}
	if sv.HasTaskSets() {
		out.DeploymentController.Type = ecsapi.DeploymentControllerTypeExternal
		s.showExternal(snap, sv, out)
		return out
	}
	newest := seen.newest
	if newest == nil {
		return out
	}
	if revision := serviceRevision(snap, sv, newest.Rollout().Revision); revision != nil {
		out.TaskDefinition, out.LaunchType = new(string(place.Definition(revision.Definition))), launchShown(revision)
	}
	if sv.Status == gantry.ServiceInactive {
		return out
	}
	out.CurrentServiceDeployment = new(string(place.ServiceDeployment(newest)))
	for _, e := range service.Entries(int(*out.DesiredCount), seen.deployments, seen.tallies) {
		out.Deployments = append(out.Deployments, s.showEntry(snap, sv, e))
		*out.RunningCount += int32(e.Running)
		*out.PendingCount += int32(e.Pending)
		if revision := serviceRevision(snap, sv, e.Rollout.Revision); revision != nil {
			out.CurrentServiceRevisions = append(out.CurrentServiceRevisions, ecsapi.ServiceCurrentRevisionSummary{
				Arn: new(string(place.ServiceRevision(revision))), RequestedTaskCount: new(int32(e.Desired)),
				RunningTaskCount: new(int32(e.Running)), PendingTaskCount: new(int32(e.Pending)),
			})
		}
	}
	return out
}

// showEntry is one of service.deployments.
func (s *Service) showEntry(r store.Reader, sv *gantry.Service, e service.Entry) ecsapi.Deployment {
	out := ecsapi.Deployment{
		Id:                 new(e.Rollout.Revision.StartedBy()),
		Status:             new(e.Status),
		DesiredCount:       new(int32(e.Desired)),
		RunningCount:       new(int32(e.Running)),
		PendingCount:       new(int32(e.Pending)),
		FailedTasks:        new(int32(e.Rollout.FailedTasks)),
		CreatedAt:          at(e.Rollout.StartedAt),
		UpdatedAt:          at(e.Rollout.UpdatedAt),
		RolloutState:       e.Rollout.State,
		RolloutStateReason: new(e.Rollout.Reason),
	}
	if revision := serviceRevision(r, sv, e.Rollout.Revision); revision != nil {
		out.TaskDefinition, out.LaunchType = new(string(s.cfg.Place.Definition(revision.Definition))), launchShown(revision)
		out.CapacityProviderStrategy = revision.Providers
	}
	return out
}

// launchShown is the launch type of a revision as it is answered: one with a capacity
// provider strategy has none.
func launchShown(revision *gantry.ServiceRevision) ecsapi.LaunchType {
	if len(revision.Providers) > 0 {
		return ""
	}
	return revision.LaunchType
}

// deploymentsOf are the deployments of a service, the newest first. Those of an earlier
// service of the name, which may be there for a while, are not among them.
func deploymentsOf(r store.Reader, sv *gantry.Service) []*gantry.Deployment {
	var out []*gantry.Deployment
	for d := range store.Deployments.All(r, sv.Key()+"/") {
		if !d.CreatedAt.Before(sv.CreatedAt) {
			out = append(out, d)
		}
	}
	slices.SortFunc(out, func(a, b *gantry.Deployment) int { return b.CreatedAt.Compare(a.CreatedAt) })
	return out
}
