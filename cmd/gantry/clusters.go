package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gantry"
	"gantry/internal/api"
	"gantry/internal/store"
	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"
)

// joinTimeout bounds how long CreateCluster waits for this machine to join, which takes
// a moment, and on a busy machine with a slow disk, which has to write ten times for it,
// half a minute. If it takes longer the cluster is there all the same, and the machine
// comes later. Clients wait for a minute.
const joinTimeout = 45 * time.Second

// makeDefault makes the cluster `default` on the very first start, as AWS has one
// in every account that ever looked at ECS.
func (c *control) makeDefault(ctx context.Context) error {
	if store.Clusters.Len(c.store.View()) > 0 {
		return nil
	}
	ctx = api.WithPrincipal(ctx, c.root)
	_, err := c.ecs.Operations().CreateCluster(ctx, &ecsapi.CreateClusterInput{})
	if err != nil {
		return fmt.Errorf("make the default cluster: %w", err)
	}
	return nil
}

// joinCreated lets CreateCluster wait until this machine has joined.
func (c *control) joinCreated(ops *ecsapi.Operations, m machine) {
	create := ops.CreateCluster
	ops.CreateCluster = func(ctx context.Context, in *ecsapi.CreateClusterInput) (*ecsapi.CreateClusterOutput, error) {
		out, err := create(ctx, in)
		if err != nil {
			return nil, err
		}
		if api.Principal(ctx) == nil || api.Principal(ctx).Kind != gantry.RootPrincipal {
			return out, nil
		}
		wait, cancel := context.WithTimeout(ctx, joinTimeout)
		defer cancel()
		name := gantry.ClusterName(wire.Value(out.Cluster.ClusterName))
		if err := m.joined(wait, name); err != nil {
			c.log.Warn("this machine has not joined a new cluster yet", "cluster", name, "error", err)
		}
		return out, nil
	}
}

// leaveDeleted takes this machine out of a cluster that is being deleted and has
// no other instance and no task.
func (c *control) leaveDeleted(ops *ecsapi.Operations, m machine) {
	remove, deregister := ops.DeleteCluster, ops.DeregisterContainerInstance
	ops.DeleteCluster = func(ctx context.Context, in *ecsapi.DeleteClusterInput) (*ecsapi.DeleteClusterOutput, error) {
		out, err := remove(ctx, in)
		if e, ok := errors.AsType[*wire.Error](err); !ok || e.Code != ecsapi.CodeClusterContainsContainerInstancesException {
			return out, err
		}
		name := clusterOf(in.Cluster)
		mine, ok := m.instances()[name]
		if !ok {
			return out, err
		}
		if others := c.besides(name, mine); others != nil {
			return out, others
		}
		_, err2 := deregister(ctx, &ecsapi.DeregisterContainerInstanceInput{
			Cluster: new(string(name)), ContainerInstance: new(string(mine)),
		})
		if err2 != nil {
			return nil, err
		}
		return remove(ctx, in)
	}
}

// besides says what keeps a cluster from being deleted other than this machine,
// which joined by itself: other instances, or tasks. nil if there is nothing.
func (c *control) besides(cluster gantry.ClusterName, mine gantry.InstanceID) error {
	snap := c.store.View()
	prefix := string(cluster) + "/"
	for i := range store.Instances.All(snap, prefix) {
		if i.ID != mine && i.Status != gantry.InstanceInactive {
			return ecsapi.NewClusterContainsContainerInstancesException("The Cluster cannot be deleted while Container Instances are active or draining.")
		}
	}
	for t := range store.Tasks.All(snap, prefix) {
		if t.LastStatus != gantry.Stopped {
			return ecsapi.NewClusterContainsTasksException("The Cluster cannot be deleted while Tasks are active.")
		}
	}
	return nil
}

// clusterOf reads a cluster reference: a name, an ARN, or nothing for `default`.
func clusterOf(ref *string) gantry.ClusterName {
	name := wire.Value(ref)
	if arn, err := gantry.ParseARN(name); err == nil {
		name = arn.Path
	}
	if name == "" {
		return gantry.DefaultCluster
	}
	return gantry.ClusterName(name)
}
