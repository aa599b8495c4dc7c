package ecs

import (
	"context"
	"encoding/json"
	"iter"
	"slices"

	"gantry"
	"gantry/internal/store"
	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"
)

// livingStatuses are all but STOPPED.
var livingStatuses = []gantry.TaskStatus{
	gantry.Provisioning, gantry.Pending, gantry.Activating, gantry.Running,
	gantry.Deactivating, gantry.Stopping, gantry.Deprovisioning,
}

// livingTasks are the tasks of a cluster that are not STOPPED.
func livingTasks(r store.Reader, cluster gantry.ClusterName) iter.Seq[*gantry.Task] {
	return func(yield func(*gantry.Task) bool) {
		for _, status := range livingStatuses {
			for t := range store.TasksByStatus.All(r, string(cluster)+"/"+string(status)) {
				if !yield(t) {
					return
				}
			}
		}
	}
}

func (s *Service) describeTasks(ctx context.Context, in *ecsapi.DescribeTasksInput) (*ecsapi.DescribeTasksOutput, error) {
	snap, c, err := s.freshCluster(ctx, in.Cluster)
	if err != nil {
		return nil, err
	}
	tags := slices.Contains(in.Include, ecsapi.TaskFieldTags)
	out := &ecsapi.DescribeTasksOutput{EncodedTasks: make([]json.RawMessage, 0, len(in.Tasks)), Failures: []ecsapi.Failure{}}
	for _, ref := range in.Tasks {
		id, err := s.taskID(c.Name, ref)
		if err != nil {
			return nil, err
		}
		if raw, ok := s.encodedTask(snap, string(c.Name)+"/"+string(id), tags); ok {
			out.EncodedTasks = append(out.EncodedTasks, raw)
		} else {
			out.Failures = append(out.Failures, missing(s.cfg.Place.Task(c.Name, id)))
		}
	}
	return out, nil
}

func (s *Service) listTasks(ctx context.Context, in *ecsapi.ListTasksInput) (*ecsapi.ListTasksOutput, error) {
	if in.StartedBy != nil && (in.Family != nil || in.ServiceName != nil || in.ContainerInstance != nil || in.LaunchType != "") {
		return nil, invalid("When startedBy is used it must be the only filter.")
	}
	if in.DaemonName != nil {
		return nil, notYet("The filter daemonName is not offered by gantry yet.")
	}
	filters := *in
	filters.NextToken, filters.MaxResults = nil, nil
	p, err := newPage("ListTasks", in.NextToken, in.MaxResults, maxPage, filters)
	if err != nil {
		return nil, err
	}
	snap, c, err := s.freshCluster(ctx, in.Cluster)
	if err != nil {
		return nil, err
	}
	if in.ServiceName != nil {
		name, err := s.inCluster(c.Name, *in.ServiceName, "service")
		if err != nil {
			return nil, err
		}
		filters.ServiceName = new(name)
	}
	tasks, err := s.tasksToList(snap, c.Name, &filters, p.after)
	if err != nil {
		return nil, err
	}
	out := &ecsapi.ListTasksOutput{TaskArns: []string{}}
	last := ""
	for t := range tasks {
		if !listed(t, &filters) {
			continue
		}
		if len(out.TaskArns) == p.limit {
			out.NextToken = new(p.token(last))
			break
		}
		out.TaskArns = append(out.TaskArns, string(s.cfg.Place.Task(c.Name, t.ID)))
		last = t.Key()
	}
	return out, nil
}

// tasksToList picks the index by which a list finds its tasks fastest; listed
// checks the filters that the index does not cover.
func (s *Service) tasksToList(snap *store.Snapshot, cluster gantry.ClusterName, in *ecsapi.ListTasksInput, after string) (iter.Seq[*gantry.Task], error) {
	under := func(x *store.Index[gantry.Task], value string) (iter.Seq[*gantry.Task], error) {
		return x.After(snap, string(cluster)+"/"+value, after), nil
	}
	switch {
	case in.ContainerInstance != nil:
		id, err := s.instanceID(cluster, *in.ContainerInstance)
		if err != nil {
			return nil, err
		}
		return under(store.TasksByInstance, string(id))
	case in.ServiceName != nil:
		if _, ok := store.Services.Get(snap, string(cluster)+"/"+*in.ServiceName); !ok {
			return nil, serviceNotFound()
		}
		return under(store.TasksByGroup, string(gantry.ServiceGroup(*in.ServiceName)))
	case in.StartedBy != nil:
		return under(store.TasksByStartedBy, *in.StartedBy)
	case in.Family != nil:
		return under(store.TasksByFamily, *in.Family)
	}
	return under(store.TasksByDesired, string(desired(in)))
}

// desired is the filter that always applies: RUNNING where none is given. No task
// ever has the desired status PENDING.
func desired(in *ecsapi.ListTasksInput) ecsapi.DesiredStatus {
	if in.DesiredStatus == "" {
		return ecsapi.DesiredStatusRunning
	}
	return in.DesiredStatus
}

func listed(t *gantry.Task, in *ecsapi.ListTasksInput) bool {
	return string(t.DesiredStatus) == string(desired(in)) &&
		(in.Family == nil || string(t.Definition.Family()) == *in.Family) &&
		(in.ServiceName == nil || t.Group.Service() == *in.ServiceName) &&
		(in.StartedBy == nil || t.StartedBy == wire.Value(in.StartedBy)) &&
		(in.LaunchType == "" || t.LaunchType == in.LaunchType)
}

// waiting reports whether a task has yet to run.
func waiting(s gantry.TaskStatus) bool {
	return s == gantry.Provisioning || s == gantry.Pending || s == gantry.Activating
}
