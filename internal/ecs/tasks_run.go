package ecs

import (
	"context"
	"errors"
	"fmt"

	"gantry"
	"gantry/internal/ecs/taskdef"
	"gantry/internal/ledger"
	"gantry/internal/placement"
	"gantry/internal/store"
	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"
)

const (
	// maxRun is how many tasks one RunTask starts.
	maxRun = 10
	// maxAttempts is how often a RunTask looks for places when other servers take
	// them first. Each attempt sees everything that beat the one before.
	maxAttempts = 5
)

func (s *Service) runTask(ctx context.Context, in *ecsapi.RunTaskInput) (*ecsapi.RunTaskOutput, error) {
	if err := checkRun(in); err != nil {
		return nil, err
	}
	snap := s.store.View() // the transaction holds what it decides by against the newest state
	c, err := s.cluster(snap, in.Cluster)
	if err != nil {
		return nil, err
	}
	token, earlier, err := s.runToken(ctx, c.Name, in)
	if err != nil || earlier != nil {
		return earlier, err
	}
	if len(c.DefaultStrategy) > 0 && in.LaunchType == "" {
		return nil, notYet("Cluster %s has a default capacity provider strategy, which gantry does not offer yet: set the launchType to EC2 or EXTERNAL.", c.Name)
	}
	l, err := s.prepare(ctx, c, launchRequest{
		definition: wire.Value(in.TaskDefinition), launchType: in.LaunchType, overrides: in.Overrides, group: in.Group,
		startedBy: in.StartedBy, tags: in.Tags, propagate: in.PropagateTags,
		managedTags: wire.Value(in.EnableECSManagedTags), exec: wire.Value(in.EnableExecuteCommand),
		constraints: in.PlacementConstraints, strategies: in.PlacementStrategy,
	})
	if err != nil {
		return nil, err
	}
	count := int(wire.Value(firstOf(in.Count, new(int32(1)))))
	for range maxAttempts {
		out, err := s.tryRun(ctx, l, count, token)
		switch {
		case errors.Is(err, errRepeated):
			return s.repeated(s.store.View(), token)
		case !errors.Is(err, errTaken):
			return out, err
		}
	}
	return nil, fmt.Errorf("run %d tasks of %s: other servers took the places %d times in a row", count, l.definition.Name, maxAttempts)
}

func checkRun(in *ecsapi.RunTaskInput) error {
	if in.Count != nil && (*in.Count < 1 || *in.Count > maxRun) {
		return invalid("count should be between 1 and %d", maxRun)
	}
	if in.LaunchType != "" && in.CapacityProviderStrategy != nil {
		return invalid("Specify either launchType or capacityProviderStrategy, not both.")
	}
	switch {
	case len(in.CapacityProviderStrategy) > 0:
		return notYet("A capacityProviderStrategy is not offered by gantry yet: use the launchType EC2 or EXTERNAL.")
	case in.LaunchType == ecsapi.LaunchTypeFargate || in.LaunchType == ecsapi.LaunchTypeManagedInstances:
		return notYet("The launchType %s is not offered by gantry yet: use EC2 or EXTERNAL.", in.LaunchType)
	case in.PlatformVersion != nil:
		return notYet("A platformVersion belongs to the launchType FARGATE, which gantry does not offer yet.")
	}
	return checkLaunch(in.NetworkConfiguration, in.VolumeConfigurations, in.StartedBy, maxStartedBy)
}

// checkLaunch checks what RunTask and StartTask have in common.
func checkLaunch(network *ecsapi.NetworkConfiguration, volumes []ecsapi.TaskVolumeConfiguration, startedBy *string, most int) error {
	if network != nil {
		return notYet("A networkConfiguration belongs to the network mode awsvpc, which gantry does not offer yet.")
	}
	if len(volumes) > 0 {
		return notYet("volumeConfigurations are not offered by gantry yet.")
	}
	if n := len(wire.Value(startedBy)); n > most {
		return invalid("startedBy has %d characters; at most %d are allowed.", n, most)
	}
	return nil
}

// tryRun claims places and writes the tasks that got one. It fails with errTaken
// where another server was faster; then the next try sees what that one did.
func (s *Service) tryRun(ctx context.Context, l *launch, count int, token *gantry.ClientToken) (*ecsapi.RunTaskOutput, error) {
	ids := make([]gantry.TaskID, count)
	for i := range ids {
		ids[i] = gantry.TaskID(s.cfg.NewID())
	}
	l.spec.Seed = s.cfg.NewSeed()
	claim, err := s.cfg.Ledger.Place(l.cluster.Name, l.launchType, l.spec, ids)
	if err != nil {
		return nil, refused(err)
	}
	defer claim.Done()
	out := &ecsapi.RunTaskOutput{Tasks: []ecsapi.Task{}, Failures: s.failures(l, claim)}
	if claim.Instances == 0 {
		return nil, s.noInstances(l)
	}
	if len(claim.Places) == 0 {
		return out, nil
	}
	tasks, err := s.write(ctx, l, claim.Places, token)
	if err != nil {
		return nil, err
	}
	snap := s.store.View()
	for _, t := range tasks {
		out.Tasks = append(out.Tasks, *s.showTask(snap, t, true))
	}
	return out, nil
}

// noInstances is what ECS says of a cluster without container instances of the
// launch type; where only the other type is there, that is said too.
func (s *Service) noInstances(l *launch) error {
	message := "No Container Instances were found in your cluster."
	other := ecsapi.LaunchTypeExternal
	if l.launchType == other {
		other = ecsapi.LaunchTypeEc2
	}
	for i := range store.Instances.All(s.store.View(), string(l.cluster.Name)+"/") {
		if i.LaunchType == other && i.Status != gantry.InstanceInactive {
			return invalid("%s It has container instances of launch type %s, and the task asks for %s.", message, other, l.launchType)
		}
	}
	return invalid("%s", message)
}

// failures tells why the tasks without a place have none: each instance that was
// considered, the closest match first, with its reason and the numbers.
func (s *Service) failures(l *launch, claim *ledger.Claim) []ecsapi.Failure {
	out := []ecsapi.Failure{}
	if claim.Refusal == nil {
		return out
	}
	for _, e := range claim.Refusal.Closest {
		out = append(out, s.failure(l.cluster.Name, e))
	}
	return out
}

func (s *Service) failure(cluster gantry.ClusterName, e placement.Examined) ecsapi.Failure {
	return ecsapi.Failure{
		Arn: new(string(s.cfg.Place.Instance(cluster, e.Instance))), Reason: new(string(e.Reason())), Detail: new(e.Detail()),
	}
}

// refused turns what placement says of a request into what ECS says.
func refused(err error) error {
	if wrong, ok := errors.AsType[*placement.InvalidError](err); ok {
		return ecsapi.NewInvalidParameterException(wrong.Message)
	}
	return err
}

// gpuIDs deals free devices out to the containers of a task.
func gpuIDs(d taskdef.Demand, registered, taken []string) (perContainer [][]string, ok bool) {
	free := gantry.Resources{GPUs: registered}.Minus(gantry.Resources{GPUs: taken}).GPUs
	perContainer = make([][]string, len(d.GPUs))
	for i, n := range d.GPUs {
		if n > len(free) {
			return nil, false
		}
		perContainer[i], free = free[:n:n], free[n:]
	}
	return perContainer, true
}
