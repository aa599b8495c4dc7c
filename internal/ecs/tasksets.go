package ecs

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"gantry"
	"gantry/internal/extension"
	"gantry/internal/service"
	"gantry/internal/store"
	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"
)

// maxTaskSets is how many task sets a service can have, as on AWS.
const maxTaskSets = 5

func (s *Service) createTaskSet(ctx context.Context, in *ecsapi.CreateTaskSetInput) (*ecsapi.CreateTaskSetOutput, error) {
	if err := checkCreateTaskSet(in); err != nil {
		return nil, err
	}
	sv, set, err := s.updateTaskSets(ctx, in.Cluster, in.Service, func(tx *store.Tx, sv *gantry.Service) (*gantry.TaskSet, error) {
		return s.makeTaskSet(tx, sv, in)
	})
	if err != nil {
		return nil, err
	}
	return &ecsapi.CreateTaskSetOutput{TaskSet: s.showTaskSet(s.store.View(), sv, set, true)}, nil
}

// checkCreateTaskSet checks what the request can tell by itself.
func checkCreateTaskSet(in *ecsapi.CreateTaskSetInput) error {
	if in.ClientToken != nil {
		if err := checkToken(*in.ClientToken); err != nil {
			return err
		}
	}
	switch {
	case in.LaunchType != "" && len(in.CapacityProviderStrategy) > 0:
		return invalid(bothLaunchAndStrategy)
	case in.LaunchType == ecsapi.LaunchTypeFargate || in.LaunchType == ecsapi.LaunchTypeManagedInstances:
		return notYet("The launchType %s is not offered by gantry yet: use EC2 or EXTERNAL.", in.LaunchType)
	case len(in.LoadBalancers) > 0:
		return notYet("loadBalancers of a task set is not offered by gantry yet.")
	case len(in.ServiceRegistries) > 0:
		return notYet("serviceRegistries of a task set is not offered by gantry yet.")
	}
	if err := checkTags(extension.TaskSet, in.Tags); err != nil {
		return err
	}
	return checkScale(in.Scale)
}

func checkScale(scale *ecsapi.Scale) error {
	if scale == nil || scale.Value == nil {
		return nil
	}
	if v := *scale.Value; v < 0 || v > 100 { // NaN does not come over the wire
		return invalid("scale.value is %v; it has to be a percentage between 0 and 100.", v)
	}
	return nil
}

// scaled is a scale as it is kept: none means none of the tasks.
func scaled(scale *ecsapi.Scale) ecsapi.Scale {
	out := ecsapi.Scale{Unit: ecsapi.ScaleUnitPercent, Value: new(0.0)}
	if scale != nil && scale.Value != nil {
		out.Value = scale.Value
	}
	return out
}

// makeTaskSet writes a new task set with the revision that its tasks are made from. A
// token that a task set of the service was created with answers that one.
func (s *Service) makeTaskSet(tx *store.Tx, sv *gantry.Service, in *ecsapi.CreateTaskSetInput) (*gantry.TaskSet, error) {
	n := 0
	for have := range store.TaskSets.All(tx, sv.Key()+"/") {
		if have.Token != "" && have.Token == wire.Value(in.ClientToken) {
			return have, nil
		}
		n++
	}
	if n >= maxTaskSets {
		return nil, invalid("%d deployments exist on the service. Unable to create new TaskSet since this exceeds the maximum limit.", n)
	}
	d, err := s.deployable(tx, in.TaskDefinition)
	if err != nil {
		return nil, err
	}
	c, err := s.cluster(tx, in.Cluster)
	if err != nil {
		return nil, err
	}
	strategy, err := strategyOf(c, in.LaunchType, in.CapacityProviderStrategy)
	if err != nil {
		return nil, err
	}
	now := s.now()
	revision := &gantry.ServiceRevision{
		ID: s.cfg.NewRevision(), Cluster: sv.Cluster, Service: sv.Name, Definition: d.Name,
		LaunchType: cmp.Or(in.LaunchType, ecsapi.LaunchTypeEc2), Providers: strategy, CreatedAt: now,
	}
	if err := checkService(sv, revision, d); err != nil {
		return nil, err
	}
	if err := checkFor(revision.LaunchType, in.PlatformVersion, in.NetworkConfiguration); err != nil {
		return nil, err
	}
	made := &gantry.TaskSet{
		ID: revision.ID, Cluster: sv.Cluster, Service: sv.Name, ExternalID: wire.Value(in.ExternalId), Scale: scaled(in.Scale),
		Tags: mergeTags(nil, in.Tags), Token: wire.Value(in.ClientToken), CreatedAt: now, UpdatedAt: now,
	}
	store.ServiceRevisions.Put(tx, revision)
	store.TaskSets.Put(tx, made)
	return made, nil
}

func (s *Service) updateTaskSet(ctx context.Context, in *ecsapi.UpdateTaskSetInput) (*ecsapi.UpdateTaskSetOutput, error) {
	if in.Scale.Value == nil {
		return nil, invalid("scale.value is required: a percentage between 0 and 100.")
	}
	if err := checkScale(in.Scale); err != nil {
		return nil, err
	}
	sv, set, err := s.updateTaskSets(ctx, in.Cluster, in.Service, func(tx *store.Tx, sv *gantry.Service) (*gantry.TaskSet, error) {
		return s.changeTaskSet(tx, sv, *in.TaskSet, func(next *gantry.TaskSet) { next.Scale = scaled(in.Scale) })
	})
	if err != nil {
		return nil, err
	}
	return &ecsapi.UpdateTaskSetOutput{TaskSet: s.showTaskSet(s.store.View(), sv, set, true)}, nil
}

// deleteTaskSet has a task set's tasks stopped and then the task set gone. Without
// force it has to be scaled to 0.
func (s *Service) deleteTaskSet(ctx context.Context, in *ecsapi.DeleteTaskSetInput) (*ecsapi.DeleteTaskSetOutput, error) {
	sv, set, err := s.updateTaskSets(ctx, in.Cluster, in.Service, func(tx *store.Tx, sv *gantry.Service) (*gantry.TaskSet, error) {
		have, err := s.taskSet(tx, sv, *in.TaskSet)
		if err != nil || have.Draining {
			return have, err
		}
		if *have.Scale.Value > 0 && !wire.Value(in.Force) {
			return nil, invalid("The task set cannot be deleted while it is scaled above 0: scale it down with UpdateTaskSet, or use force.")
		}
		return s.changeTaskSet(tx, sv, *in.TaskSet, func(next *gantry.TaskSet) { next.Draining = true })
	})
	if err != nil {
		return nil, err
	}
	return &ecsapi.DeleteTaskSetOutput{TaskSet: s.showTaskSet(s.store.View(), sv, set, true)}, nil
}

func (s *Service) updateServicePrimaryTaskSet(ctx context.Context, in *ecsapi.UpdateServicePrimaryTaskSetInput) (*ecsapi.UpdateServicePrimaryTaskSetOutput, error) {
	sv, set, err := s.updateTaskSets(ctx, in.Cluster, in.Service, func(tx *store.Tx, sv *gantry.Service) (*gantry.TaskSet, error) {
		next, err := s.changeTaskSet(tx, sv, *in.PrimaryTaskSet, func(*gantry.TaskSet) {})
		if err == nil {
			leads := *sv
			leads.PrimaryTaskSet = next.ID
			store.Services.Put(tx, &leads)
		}
		return next, err
	})
	if err != nil {
		return nil, err
	}
	return &ecsapi.UpdateServicePrimaryTaskSetOutput{TaskSet: s.showTaskSet(s.store.View(), sv, set, true)}, nil
}

func (s *Service) describeTaskSets(ctx context.Context, in *ecsapi.DescribeTaskSetsInput) (*ecsapi.DescribeTaskSetsOutput, error) {
	snap, c, err := s.freshCluster(ctx, in.Cluster)
	if err != nil {
		return nil, err
	}
	sv, err := s.serviceOfTaskSets(snap, c.Name, *in.Service)
	if err != nil {
		return nil, err
	}
	tags := slices.Contains(in.Include, ecsapi.TaskSetFieldTags)
	out := &ecsapi.DescribeTaskSetsOutput{TaskSets: []ecsapi.TaskSet{}, Failures: []ecsapi.Failure{}}
	if len(in.TaskSets) == 0 {
		out.TaskSets = s.showTaskSets(snap, sv, tags)
	}
	for _, ref := range in.TaskSets {
		id, err := s.taskSetID(sv, ref)
		if err != nil {
			return nil, err
		}
		if set, ok := store.TaskSets.Get(snap, sv.Key()+"/"+string(id)); ok {
			out.TaskSets = append(out.TaskSets, *s.showTaskSet(snap, sv, set, tags))
		} else {
			out.Failures = append(out.Failures, missing(s.cfg.Place.TaskSet(&gantry.TaskSet{ID: id, Cluster: sv.Cluster, Service: sv.Name})))
		}
	}
	return out, nil
}

// updateTaskSets lets change do something about a service's task sets, in one
// transaction, and returns the service as it is then.
func (s *Service) updateTaskSets(ctx context.Context, cluster, name *string, change func(*store.Tx, *gantry.Service) (*gantry.TaskSet, error)) (sv *gantry.Service, set *gantry.TaskSet, err error) {
	_, err = s.store.Update(ctx, func(tx *store.Tx) error {
		c, err := s.cluster(tx, cluster)
		if err != nil {
			return err
		}
		if sv, err = s.serviceOfTaskSets(tx, c.Name, *name); err != nil {
			return err
		}
		if set, err = change(tx, sv); err != nil {
			return err
		}
		sv, _ = store.Services.Get(tx, sv.Key())
		return nil
	})
	return sv, set, err
}

// serviceOfTaskSets is an ACTIVE service whose deployment controller is EXTERNAL.
func (s *Service) serviceOfTaskSets(r store.Reader, cluster gantry.ClusterName, ref string) (*gantry.Service, error) {
	sv, err := s.activeService(r, cluster, ref)
	if err == nil && !sv.HasTaskSets() {
		return nil, invalid("Amazon ECS only supports task set management on services configured to use external deployment controllers.")
	}
	return sv, err
}

// taskSetID reads a reference to a task set of a service: "ecs-svc/<digits>", or its ARN.
func (s *Service) taskSetID(sv *gantry.Service, ref string) (gantry.RevisionID, error) {
	if gantry.IsARN(ref) {
		arn, err := s.ownARN(ref, "task-set")
		if err != nil {
			return "", err
		}
		id, ok := strings.CutPrefix(arn.Path, sv.Key()+"/")
		if !ok {
			return "", invalid("Identifier is for a task set of another service: %s. Your service is %s", wire.Shorten(ref), sv.Name)
		}
		ref = id
	}
	return gantry.RevisionID(strings.TrimPrefix(ref, "ecs-svc/")), nil
}

// taskSet finds a task set of a service.
func (s *Service) taskSet(r store.Reader, sv *gantry.Service, ref string) (*gantry.TaskSet, error) {
	id, err := s.taskSetID(sv, ref)
	if err != nil {
		return nil, err
	}
	set, ok := store.TaskSets.Get(r, sv.Key()+"/"+string(id))
	if !ok {
		return nil, ecsapi.NewTaskSetNotFoundException("The specified task set does not exist.")
	}
	return set, nil
}

// changeTaskSet writes a task set that is not draining as change makes it.
func (s *Service) changeTaskSet(tx *store.Tx, sv *gantry.Service, ref string, change func(*gantry.TaskSet)) (*gantry.TaskSet, error) {
	have, err := s.taskSet(tx, sv, ref)
	if err != nil {
		return nil, err
	}
	if have.Draining {
		return nil, invalid("The task set is DRAINING: it is being deleted.")
	}
	next := *have
	next.UpdatedAt = s.now()
	change(&next)
	store.TaskSets.Put(tx, &next)
	return &next, nil
}

// showTaskSets are all task sets of a service, the oldest first.
func (s *Service) showTaskSets(r store.Reader, sv *gantry.Service, tags bool) []ecsapi.TaskSet {
	sets := slices.Collect(store.TaskSets.All(r, sv.Key()+"/"))
	slices.SortStableFunc(sets, func(a, b *gantry.TaskSet) int { return a.CreatedAt.Compare(b.CreatedAt) })
	out := []ecsapi.TaskSet{}
	for _, set := range sets {
		out = append(out, *s.showTaskSet(r, sv, set, tags))
	}
	return out
}

// showTaskSet is a task set as ECS answers it.
func (s *Service) showTaskSet(r store.Reader, sv *gantry.Service, set *gantry.TaskSet, tags bool) *ecsapi.TaskSet {
	place := s.cfg.Place
	history, ok := store.ServiceHistories.Get(r, sv.Key())
	if !ok {
		history = &gantry.ServiceHistory{}
	}
	counts := service.CountsOf(sv, history, set, slices.Collect(store.TasksByStartedBy.All(r, string(set.Cluster)+"/"+set.ID.StartedBy())))
	out := &ecsapi.TaskSet{
		Id:                   new(set.ID.StartedBy()),
		TaskSetArn:           new(string(place.TaskSet(set))),
		ServiceArn:           new(string(place.Service(sv.Cluster, string(sv.Name)))),
		ClusterArn:           new(string(place.Cluster(sv.Cluster))),
		ExternalId:           some(set.ExternalID),
		Status:               new(taskSetStatus(sv, set)),
		Scale:                &set.Scale,
		ComputedDesiredCount: new(int32(counts.Desired)),
		RunningCount:         new(int32(counts.Running)),
		PendingCount:         new(int32(counts.Pending)),
		StabilityStatus:      ecsapi.StabilityStatusStabilizing,
		StabilityStatusAt:    at(s.now()),
		CreatedAt:            at(set.CreatedAt),
		UpdatedAt:            at(set.UpdatedAt),
		LoadBalancers:        []ecsapi.LoadBalancer{},
		ServiceRegistries:    []ecsapi.ServiceRegistry{},
	}
	if counts.Steady {
		out.StabilityStatus = ecsapi.StabilityStatusSteadyState
	}
	if revision := serviceRevision(r, sv, set.ID); revision != nil {
		out.TaskDefinition, out.LaunchType = new(string(place.Definition(revision.Definition))), launchShown(revision)
		out.CapacityProviderStrategy = revision.Providers
	}
	if tags {
		out.Tags = shown(set.Tags)
	}
	return out
}

func taskSetStatus(sv *gantry.Service, set *gantry.TaskSet) string {
	switch {
	case set.Draining || sv.Status == gantry.ServiceDraining:
		return "DRAINING"
	case sv.PrimaryTaskSet == set.ID:
		return "PRIMARY"
	}
	return "ACTIVE"
}
