package ecs

import (
	"context"
	"slices"

	"gantry"
	"gantry/internal/ledger"
	"gantry/internal/placement/query"
	"gantry/internal/store"
	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"
)

// findInstance finds a container instance that was not deregistered.
func (s *Service) findInstance(r store.Reader, cluster gantry.ClusterName, ref string) (*gantry.Instance, error) {
	id, err := s.instanceID(cluster, ref)
	if err != nil {
		return nil, err
	}
	i, ok := store.Instances.Get(r, string(cluster)+"/"+string(id))
	if !ok || i.Status == gantry.InstanceInactive {
		return nil, invalid("The referenced container instance was not found.")
	}
	return i, nil
}

// deregisterContainerInstance makes an instance INACTIVE. Tasks that it still runs
// go on without gantry; the lifecycle engine declares them lost.
func (s *Service) deregisterContainerInstance(ctx context.Context, in *ecsapi.DeregisterContainerInstanceInput) (*ecsapi.DeregisterContainerInstanceOutput, error) {
	var out *gantry.Instance
	_, err := s.store.Update(ctx, func(tx *store.Tx) error {
		c, err := s.cluster(tx, in.Cluster)
		if err != nil {
			return err
		}
		i, err := s.findInstance(tx, c.Name, wire.Value(in.ContainerInstance))
		if err != nil {
			return err
		}
		if !wire.Value(in.Force) && hasLivingTasks(tx, i) {
			return invalid("Found running tasks on the instance.")
		}
		next := *i
		next.Status = gantry.InstanceInactive
		next.Version++
		out = &next
		store.Instances.Put(tx, out)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &ecsapi.DeregisterContainerInstanceOutput{ContainerInstance: s.showInstance(s.store.View(), out, nil)}, nil
}

func hasLivingTasks(r store.Reader, i *gantry.Instance) bool {
	for t := range store.TasksByInstance.All(r, i.Key()) {
		if t.LastStatus != gantry.Stopped {
			return true
		}
	}
	return false
}

func (s *Service) describeContainerInstances(ctx context.Context, in *ecsapi.DescribeContainerInstancesInput) (*ecsapi.DescribeContainerInstancesOutput, error) {
	snap, c, err := s.freshCluster(ctx, in.Cluster)
	if err != nil {
		return nil, err
	}
	out := &ecsapi.DescribeContainerInstancesOutput{ContainerInstances: []ecsapi.ContainerInstance{}, Failures: []ecsapi.Failure{}}
	for _, ref := range in.ContainerInstances {
		id, err := s.instanceID(c.Name, ref)
		if err != nil {
			return nil, err
		}
		if i, ok := store.Instances.Get(snap, string(c.Name)+"/"+string(id)); ok {
			out.ContainerInstances = append(out.ContainerInstances, *s.showInstance(snap, i, in.Include))
		} else {
			out.Failures = append(out.Failures, missing(s.cfg.Place.Instance(c.Name, id)))
		}
	}
	return out, nil
}

func (s *Service) listContainerInstances(ctx context.Context, in *ecsapi.ListContainerInstancesInput) (*ecsapi.ListContainerInstancesOutput, error) {
	p, err := newPage("ListContainerInstances", in.NextToken, in.MaxResults, maxPage, []any{in.Cluster, in.Filter, in.Status})
	if err != nil {
		return nil, err
	}
	var filter *query.Query
	if text := wire.Value(in.Filter); text != "" {
		if filter, err = query.Parse(text); err != nil {
			return nil, invalid("%s", err)
		}
	}
	snap, c, err := s.freshCluster(ctx, in.Cluster)
	if err != nil {
		return nil, err
	}
	out := &ecsapi.ListContainerInstancesOutput{ContainerInstanceArns: []string{}}
	last := ""
	for i := range store.Instances.After(snap, string(c.Name)+"/", p.after) {
		// Without a status all are meant that were not deregistered.
		if i.Status == gantry.InstanceInactive || in.Status != "" && i.Status != in.Status {
			continue
		}
		if filter != nil && !matches(snap, filter, i) {
			continue
		}
		if len(out.ContainerInstanceArns) == p.limit {
			out.NextToken = new(p.token(last))
			break
		}
		out.ContainerInstanceArns = append(out.ContainerInstanceArns, string(s.cfg.Place.Instance(c.Name, i.ID)))
		last = i.Key()
	}
	return out, nil
}

// matches asks a query about an instance as it is in a snapshot.
func matches(snap *store.Snapshot, q *query.Query, i *gantry.Instance) bool {
	connection, _ := store.Connections.Get(snap, i.Key())
	facts := ledger.Describe(i, connection)
	running, groups := 0, map[string]bool{}
	for t := range store.TasksByInstance.All(snap, i.Key()) {
		if t.LastStatus != gantry.Stopped {
			groups[string(t.Group)] = true
		}
		if t.LastStatus == gantry.Running {
			running++
		}
	}
	return q.Match(&query.Subject{
		Attributes: facts.Attributes, AgentConnected: facts.Connected, AgentVersion: facts.AgentVersion,
		EC2InstanceID: facts.EC2InstanceID, RegisteredAt: facts.RegisteredAt, RunningTasksCount: running,
		Groups: func(yield func(string) bool) {
			for g := range groups {
				if !yield(g) {
					return
				}
			}
		},
	})
}

// updateContainerInstancesState moves instances between ACTIVE and DRAINING. What
// draining means for the tasks of services is the service scheduler's to do;
// standalone tasks are untouched.
func (s *Service) updateContainerInstancesState(ctx context.Context, in *ecsapi.UpdateContainerInstancesStateInput) (*ecsapi.UpdateContainerInstancesStateOutput, error) {
	if !slices.Contains(movable, in.Status) {
		return nil, invalid("Container instance status should be one of [ACTIVE,DRAINING]")
	}
	var keys []string
	var failures []ecsapi.Failure
	_, err := s.store.Update(ctx, func(tx *store.Tx) error {
		keys, failures = nil, []ecsapi.Failure{}
		c, err := s.cluster(tx, in.Cluster)
		if err != nil {
			return err
		}
		for _, ref := range in.ContainerInstances {
			id, err := s.instanceID(c.Name, ref)
			if err != nil {
				return err
			}
			i, ok := store.Instances.Get(tx, string(c.Name)+"/"+string(id))
			if !ok {
				failures = append(failures, missing(s.cfg.Place.Instance(c.Name, id)))
				continue
			}
			if !slices.Contains(movable, i.Status) {
				failures = append(failures, ecsapi.Failure{Arn: new(string(s.cfg.Place.Instance(c.Name, id))), Reason: new("INACTIVE")})
				continue
			}
			if i.Status != in.Status {
				next := *i
				next.Status = in.Status
				next.Version++
				store.Instances.Put(tx, &next)
			}
			keys = append(keys, i.Key())
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	snap := s.store.View()
	out := &ecsapi.UpdateContainerInstancesStateOutput{ContainerInstances: []ecsapi.ContainerInstance{}, Failures: failures}
	for _, key := range keys {
		if i, ok := store.Instances.Get(snap, key); ok {
			out.ContainerInstances = append(out.ContainerInstances, *s.showInstance(snap, i, nil))
		}
	}
	return out, nil
}

// movable are the statuses between which a caller may move an instance.
var movable = []ecsapi.ContainerInstanceStatus{ecsapi.ContainerInstanceStatusActive, ecsapi.ContainerInstanceStatusDraining}

// updateContainerAgent: an agent is updated by updating gantry, so that there is
// never an update to hand out.
func (s *Service) updateContainerAgent(ctx context.Context, in *ecsapi.UpdateContainerAgentInput) (*ecsapi.UpdateContainerAgentOutput, error) {
	snap, c, err := s.freshCluster(ctx, in.Cluster)
	if err != nil {
		return nil, err
	}
	if _, err := s.findInstance(snap, c.Name, wire.Value(in.ContainerInstance)); err != nil {
		return nil, err
	}
	return nil, ecsapi.NewNoUpdateAvailableException("There is no update available for this container agent.")
}
