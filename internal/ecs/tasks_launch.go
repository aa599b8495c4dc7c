package ecs

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"gantry"
	"gantry/internal/extension"
	"gantry/internal/ledger"
	"gantry/internal/placement"
	"gantry/internal/store"
	"gantry/internal/taskdef"
	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"
)

const (
	maxOverrides = 8192 // characters of JSON, ECS's limit
	// managedTagCluster is the tag by which ECS, where it is to manage tags, names the cluster.
	managedTagCluster = "aws:ecs:clusterName"
)

// A launchRequest is what RunTask and StartTask ask for alike.
type launchRequest struct {
	definition        string
	launchType        ecsapi.LaunchType
	platform          *string
	network           *ecsapi.NetworkConfiguration
	overrides         *ecsapi.TaskOverride
	group, startedBy  *string
	tags              []ecsapi.Tag
	propagate         ecsapi.PropagateTags
	managedTags, exec bool
}

// prepare checks a request and makes the batch of it; the tasks' ids and places
// are the caller's to add.
func (s *Service) prepare(snap store.Reader, c *gantry.Cluster, r launchRequest) (ledger.Batch, error) {
	d, err := s.runnable(snap, r.definition)
	if err != nil {
		return ledger.Batch{}, err
	}
	if err := checkOverrides(d.Wire, r.overrides); err != nil {
		return ledger.Batch{}, err
	}
	if err := taskdef.NotYet(d.Wire, r.overrides); err != nil {
		return ledger.Batch{}, err
	}
	if r.exec {
		return ledger.Batch{}, notYet("enableExecuteCommand asks for ECS Exec, which gantry does not offer yet: run the task without it.")
	}
	if r.launchType != "" && !slices.Contains(d.Wire.Compatibilities, ecsapi.Compatibility(r.launchType)) {
		return ledger.Batch{}, invalid("Task definition does not support launch_type %s.", r.launchType)
	}
	if err := checkFor(cmp.Or(r.launchType, ecsapi.LaunchTypeEc2), r.platform, r.network); err != nil {
		return ledger.Batch{}, err
	}
	group, err := taskGroup(r.group, d.Name.Family())
	if err != nil {
		return ledger.Batch{}, err
	}
	tags, err := launchTags(c, d, r)
	if err != nil {
		return ledger.Batch{}, err
	}
	return ledger.Batch{
		Definition: d,
		Task: gantry.Task{
			Cluster: c.Name, LaunchType: cmp.Or(r.launchType, ecsapi.LaunchTypeEc2),
			LastStatus: gantry.Pending, DesiredStatus: gantry.Running, Version: 1,
			Group: group, StartedBy: wire.Value(r.startedBy),
			Overrides: r.overrides, Tags: tags, CreatedAt: s.now(),
		},
		NewContainerID: s.cfg.NewUUID,
		Seed:           s.cfg.NewSeed(),
	}, nil
}

// launch starts a batch, and says in ECS's words what was wrong with it.
func (s *Service) launch(ctx context.Context, b ledger.Batch, count int) (ledger.Launched, error) {
	b.IDs = make([]gantry.TaskID, count)
	for i := range b.IDs {
		b.IDs[i] = gantry.TaskID(s.cfg.NewID())
	}
	out, err := s.cfg.Ledger.Launch(ctx, b)
	if wrong, ok := errors.AsType[*placement.InvalidError](err); ok {
		return out, ecsapi.NewInvalidParameterException(wrong.Message)
	}
	if errors.Is(err, ledger.ErrInactive) {
		return out, ecsapi.NewClusterNotFoundException(clusterInactive)
	}
	if errors.Is(err, ledger.ErrNotAssociated) {
		return out, invalid("The specified capacity provider strategy cannot contain a capacity provider that is not associated with the cluster. Associate the capacity provider with the cluster and try again.")
	}
	if errors.Is(err, ledger.ErrTooManyWait) {
		return out, client("You've reached the limit on the number of tasks in a provisioning state: %d in a cluster.", ledger.MaxWaiting)
	}
	return out, err
}

// showTasks are new tasks as RunTask and StartTask answer them.
func (s *Service) showTasks(tasks []*gantry.Task) []ecsapi.Task {
	out := make([]ecsapi.Task, len(tasks))
	snap := s.store.View()
	for i, t := range tasks {
		out[i] = *s.showWhole(snap, t)
	}
	return out
}

// failure is an instance that cannot take a task, with the reason and the numbers.
func (s *Service) failure(cluster gantry.ClusterName, e placement.Examined) ecsapi.Failure {
	arn := s.cfg.Place.Instance(cluster, e.Instance)
	if len(e.Lacks) == 0 {
		return missing(arn)
	}
	return ecsapi.Failure{Arn: new(string(arn)), Reason: new(string(e.Reason())), Detail: new(e.Detail())}
}

// runnable finds the definition to run, which has to be ACTIVE.
func (s *Service) runnable(r store.Reader, ref string) (*gantry.Definition, error) {
	d, err := s.findDefinition(r, ref, "TaskDefinition not found.")
	if err != nil {
		return nil, err
	}
	if d.Status != gantry.Active {
		return nil, client("TaskDefinition is inactive")
	}
	return d, nil
}

// checkOverrides checks that overrides name containers and stay in their limits.
func checkOverrides(def *ecsapi.TaskDefinition, over *ecsapi.TaskOverride) error {
	if over == nil {
		return nil
	}
	if text, err := json.Marshal(over); err != nil {
		return err
	} else if len(text) > maxOverrides {
		return invalid("The overrides have %d characters of JSON; at most %d are allowed.", len(text), maxOverrides)
	}
	if _, ok := taskdef.CPUUnits(wire.Value(over.Cpu)); over.Cpu != nil && !ok {
		return client("Invalid 'cpu' setting for task.")
	}
	if _, ok := taskdef.MemoryMiB(wire.Value(over.Memory)); over.Memory != nil && !ok {
		return client("Invalid 'memory' setting for task.")
	}
	for _, o := range over.ContainerOverrides {
		if containerDefinition(def, wire.Value(o.Name)) == nil {
			return invalid("Override for container named %s is not a container in the TaskDefinition.", wire.Value(o.Name))
		}
	}
	return taskdef.CheckOverridden(def, over)
}

// taskGroup is the group that the caller gave, else "family:<family>". The groups
// of services belong to the service scheduler.
func taskGroup(given *string, family gantry.Family) (gantry.Group, error) {
	group := gantry.Group(wire.Value(given))
	switch {
	case group == "":
		return gantry.FamilyGroup(family), nil
	case strings.HasPrefix(string(group), string(gantry.ServiceGroup(""))):
		return "", invalid("Group name with prefix 'service:' is reserved for the tasks of services.")
	}
	return group, nil
}

// launchTags are the request's tags, over those of the definition where these are
// to be propagated, and the tags that ECS itself manages.
func launchTags(c *gantry.Cluster, d *gantry.Definition, r launchRequest) ([]ecsapi.Tag, error) {
	if err := checkTags(extension.Task, r.tags); err != nil {
		return nil, err
	}
	var tags []ecsapi.Tag
	switch r.propagate {
	case ecsapi.PropagateTagsTaskDefinition:
		tags = d.Tags
	case ecsapi.PropagateTagsService:
		return nil, invalid("propagateTags SERVICE is for the tasks of services; use TASK_DEFINITION or NONE.")
	}
	tags = mergeTags(tags, r.tags)
	if len(tags) > maxTags {
		return nil, invalid("The task would have %d tags; at most %d are allowed.", len(tags), maxTags)
	}
	if r.managedTags {
		tags = append(tags, ecsapi.Tag{Key: new(managedTagCluster), Value: new(string(c.Name))})
	}
	return tags, nil
}
