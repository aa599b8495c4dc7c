package ecs

import (
	"context"
	"errors"

	"gantry"
	"gantry/internal/extension"
	"gantry/internal/ledger"
	"gantry/internal/placement"
	"gantry/internal/store"
	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"
)

func (s *Service) runTask(ctx context.Context, in *ecsapi.RunTaskInput) (*ecsapi.RunTaskOutput, error) {
	if err := checkRun(in); err != nil {
		return nil, err
	}
	snap, c, err := s.freshCluster(ctx, in.Cluster)
	if err != nil {
		return nil, err
	}
	token, earlier, err := s.runToken(snap, c.Name, in)
	if err != nil || earlier != nil {
		return earlier, err
	}
	strategy, err := strategyOf(c, in.LaunchType, in.CapacityProviderStrategy)
	if err != nil {
		return nil, err
	}
	b, err := s.prepare(snap, c, launchRequest{
		definition: wire.Value(in.TaskDefinition), launchType: in.LaunchType, overrides: in.Overrides, group: in.Group,
		platform: in.PlatformVersion, network: in.NetworkConfiguration, startedBy: in.StartedBy, tags: in.Tags, propagate: in.PropagateTags,
		managedTags: wire.Value(in.EnableECSManagedTags), exec: wire.Value(in.EnableExecuteCommand),
	})
	if err != nil {
		return nil, err
	}
	count := int(*firstOf(in.Count, new(int32(1))))
	b.Providers = deal(snap, &b.Task, strategy, count)
	b.Waits = b.Providers != nil || extension.QueueOf(in.Tags) > 0
	if b.Constraints, b.Strategies = in.PlacementConstraints, in.PlacementStrategy; len(b.Constraints)+len(b.Strategies) > 0 {
		b.Task.Asked = &gantry.Asked{Constraints: b.Constraints, Strategies: b.Strategies}
	}
	if len(b.Strategies) == 0 {
		b.Strategies = placement.RunTaskStrategies()
	}
	b.With = func(tx *store.Tx, tasks []*gantry.Task) error { return writeToken(tx, token, s.arns(tasks)) }
	launched, err := s.launch(ctx, b, count)
	if errors.Is(err, errRepeated) {
		return s.repeated(s.store.View(), token)
	}
	if err != nil {
		return nil, err
	}
	out := &ecsapi.RunTaskOutput{Tasks: s.showTasks(launched.Tasks), Failures: []ecsapi.Failure{}}
	if b.Waits {
		return out, nil // those without a place wait for one
	}
	if launched.Instances == 0 {
		return nil, s.noInstances(b)
	}
	out.Failures = s.failures(c.Name, launched)
	return out, nil
}

func checkRun(in *ecsapi.RunTaskInput) error {
	switch {
	case in.LaunchType != "" && in.CapacityProviderStrategy != nil:
		return invalid(bothLaunchAndStrategy)
	case in.LaunchType == ecsapi.LaunchTypeFargate || in.LaunchType == ecsapi.LaunchTypeManagedInstances:
		return notYet("The launchType %s is not offered by gantry yet: use EC2 or EXTERNAL.", in.LaunchType)
	}
	return checkLaunch(in.VolumeConfigurations)
}

// checkLaunch checks what RunTask and StartTask have in common.
func checkLaunch(volumes []ecsapi.TaskVolumeConfiguration) error {
	if len(volumes) > 0 {
		return notYet("volumeConfigurations are not offered by gantry yet.")
	}
	return nil
}

// noInstances is what ECS says of a cluster without container instances of the
// launch type; where only the other type is there, that is said too.
func (s *Service) noInstances(b ledger.Batch) error {
	const message = "No Container Instances were found in your cluster."
	other := ecsapi.LaunchTypeExternal
	if b.Task.LaunchType == other {
		other = ecsapi.LaunchTypeEc2
	}
	for i := range store.Instances.All(s.store.View(), string(b.Task.Cluster)+"/") {
		if i.LaunchType == other && i.Status != gantry.InstanceInactive {
			return invalid("%s It has container instances of launch type %s, and the task asks for %s.", message, other, b.Task.LaunchType)
		}
	}
	return invalid(message)
}

// failures tells why the tasks without a place have none: each instance that was
// considered, the closest match first, with its reason and the numbers.
func (s *Service) failures(cluster gantry.ClusterName, launched ledger.Launched) []ecsapi.Failure {
	out := []ecsapi.Failure{}
	if launched.Refusal != nil {
		for _, e := range launched.Refusal.Closest {
			out = append(out, s.failure(cluster, e))
		}
	}
	return out
}

func (s *Service) arns(tasks []*gantry.Task) []string {
	var out []string
	for _, t := range tasks {
		out = append(out, string(s.cfg.Place.Task(t.Cluster, t.ID)))
	}
	return out
}
