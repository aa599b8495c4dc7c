package api

import (
	"context"
	"strings"

	"gantry"
	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"
)

// TaskPlaces tells where tasks are.
type TaskPlaces interface {
	// InstanceOf returns the key of the instance that a task is placed on, "<cluster>/<id>"; "" for a
	// task that is not known, or not placed.
	InstanceOf(cluster gantry.ClusterName, task gantry.TaskID) string
}

// Guard returns a service's operations with a question in front of each: may the
// principal who signed the request call it? Root may call everything; an agent's
// key only what an agent needs, and that for its own container instance. Service
// is the prefix of the action in IAM's words: "ecs", "logs".
func Guard(place gantry.Place, service string, tasks TaskPlaces, table []wire.Operation) []wire.Operation {
	guarded := make([]wire.Operation, len(table))
	for i, op := range table {
		guarded[i] = op
		if !op.Offered() {
			continue
		}
		guarded[i].Call = func(ctx context.Context, in any) (any, error) {
			p := Principal(ctx)
			if p == nil {
				return nil, denied("anonymous", service, op.Name, "*")
			}
			resource, ok := "*", p.Kind == gantry.RootPrincipal
			if p.Kind == gantry.AgentPrincipal {
				resource, ok = agentMay(p, tasks, service, op.Name, in)
			}
			if !ok {
				return nil, denied(string(ARN(place, p)), service, op.Name, resource)
			}
			return op.Call(ctx, in)
		}
	}
	return guarded
}

func denied(who, service, operation, resource string) error {
	return ecsapi.NewAccessDeniedException("User: " + who + " is not authorized to perform: " + service + ":" + operation +
		" on resource: " + resource + " because no identity-based policy allows the " + service + ":" + operation + " action")
}

// agentLogs is what the awslogs driver calls on a task's behalf. It cannot read events; that a stream has grown tells it,
// after a kill, that a batch had arrived.
var agentLogs = map[string]bool{"CreateLogGroup": true, "CreateLogStream": true, "DescribeLogStreams": true, "PutLogEvents": true}

// agentMay says whether an agent's key may make the call, and else which resource it is denied.
// The operations are those of AWS's policy AmazonEC2ContainerServiceforEC2Role, ListTagsForResource, and the two by which
// the task protection endpoint speaks for a task of its instance.
func agentMay(p *gantry.Principal, tasks TaskPlaces, service, operation string, in any) (resource string, ok bool) {
	if service == "logs" {
		return "*", agentLogs[operation]
	}
	own := func(cluster, instance *string) bool { return refersTo(p.Instance, cluster, instance) }
	ownTask := func(cluster, task *string) bool {
		at := tasks.InstanceOf(split(cluster, task))
		// An agent that reports a task long forgotten gets its answer, or it would nag for a day.
		return p.Instance != "" && (at == "" || at == p.Instance)
	}
	switch in := in.(type) {
	case *ecsapi.CreateClusterInput:
		return "*", p.Cluster == "" || string(p.Cluster) == wire.Value(in.ClusterName)
	case *ecsapi.RegisterContainerInstanceInput:
		arn := wire.Value(in.ContainerInstanceArn)
		cluster, _ := split(in.Cluster, in.ContainerInstanceArn)
		return arn, (p.Cluster == "" || p.Cluster == cluster) && (arn == "" || p.Instance == "" || own(in.Cluster, in.ContainerInstanceArn))
	case *ecsapi.DeregisterContainerInstanceInput:
		return wire.Value(in.ContainerInstance), own(in.Cluster, in.ContainerInstance)
	case *ecsapi.DiscoverPollEndpointInput:
		return wire.Value(in.ContainerInstance), own(in.Cluster, in.ContainerInstance)
	case *ecsapi.UpdateContainerInstancesStateInput:
		for _, instance := range in.ContainerInstances {
			if !own(in.Cluster, &instance) {
				return instance, false
			}
		}
		return "", true
	case *ecsapi.SubmitTaskStateChangeInput:
		return wire.Value(in.Task), ownTask(in.Cluster, in.Task)
	case *ecsapi.SubmitContainerStateChangeInput:
		return wire.Value(in.Task), ownTask(in.Cluster, in.Task)
	case *ecsapi.SubmitAttachmentStateChangesInput:
		return "*", p.Instance != ""
	case *ecsapi.GetTaskProtectionInput:
		return agentsOwn(p, tasks, in.Cluster, in.Tasks)
	case *ecsapi.UpdateTaskProtectionInput:
		return agentsOwn(p, tasks, in.Cluster, in.Tasks)
	case *ecsapi.ListTagsForResourceInput:
		arn, err := gantry.ParseARN(wire.Value(in.ResourceArn))
		switch {
		case err == nil && arn.Type == "container-instance":
			return wire.Value(in.ResourceArn), own(nil, in.ResourceArn)
		case err == nil && arn.Type == "task":
			return wire.Value(in.ResourceArn), tasks.InstanceOf(split(nil, in.ResourceArn)) == p.Instance && p.Instance != ""
		}
		return wire.Value(in.ResourceArn), false
	}
	return "*", false
}

// agentsOwn says whether all of some tasks are placed on the agent's instance, and else which one is not.
func agentsOwn(p *gantry.Principal, tasks TaskPlaces, cluster *string, refs []string) (resource string, ok bool) {
	for _, ref := range refs {
		if p.Instance == "" || tasks.InstanceOf(split(cluster, &ref)) != p.Instance {
			return ref, false
		}
	}
	return "*", len(refs) > 0
}

// refersTo says whether a reference (an id, or an ARN) within a cluster is meant for the instance of that key.
func refersTo(key string, cluster, instance *string) bool {
	c, id := split(cluster, instance)
	return key != "" && string(c)+"/"+string(id) == key
}

// split takes a reference apart: an ARN tells the cluster itself, an id lies in the cluster named beside it.
func split(cluster, reference *string) (gantry.ClusterName, gantry.TaskID) {
	ref := wire.Value(reference)
	if arn, err := gantry.ParseARN(ref); err == nil {
		c, id, _ := strings.Cut(arn.Path, "/")
		return gantry.ClusterName(c), gantry.TaskID(id)
	}
	name := wire.Value(cluster)
	if arn, err := gantry.ParseARN(name); err == nil {
		name = arn.Path
	}
	if name == "" {
		name = string(gantry.DefaultCluster)
	}
	return gantry.ClusterName(name), gantry.TaskID(ref)
}
