package ecs

import (
	"context"

	"gantry"
	"gantry/internal/extension"
	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"
)

// startTask starts one task on each container instance that the caller names. It
// goes past the scheduler: constraints and strategies do not count, room and the
// definition's requiresAttributes do.
func (s *Service) startTask(ctx context.Context, in *ecsapi.StartTaskInput) (*ecsapi.StartTaskOutput, error) {
	if err := checkLaunch(in.VolumeConfigurations); err != nil {
		return nil, err
	}
	if extension.QueueOf(in.Tags) > 0 || extension.RetriesOf(in.Tags) > 0 {
		return nil, invalid("The tags %s and %s are for RunTask: StartTask goes past the scheduler, which would act on them.", extension.Queue, extension.Retries)
	}
	snap, c, err := s.freshCluster(ctx, in.Cluster)
	if err != nil {
		return nil, err
	}
	b, err := s.prepare(snap, c, launchRequest{
		definition: wire.Value(in.TaskDefinition), network: in.NetworkConfiguration, overrides: in.Overrides, group: in.Group, startedBy: in.StartedBy,
		tags: in.Tags, propagate: in.PropagateTags,
		managedTags: wire.Value(in.EnableECSManagedTags), exec: wire.Value(in.EnableExecuteCommand),
	})
	if err != nil {
		return nil, err
	}
	b.On = make([]gantry.InstanceID, len(in.ContainerInstances))
	for i, ref := range in.ContainerInstances {
		if b.On[i], err = s.instanceID(c.Name, ref); err != nil {
			return nil, err
		}
	}
	launched, err := s.launch(ctx, b, len(b.On))
	if err != nil {
		return nil, err
	}
	out := &ecsapi.StartTaskOutput{Tasks: s.showTasks(launched.Tasks), Failures: []ecsapi.Failure{}}
	for _, e := range launched.Refused {
		out.Failures = append(out.Failures, s.failure(c.Name, e))
	}
	return out, nil
}
