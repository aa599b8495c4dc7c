package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"gantry"
	"gantry/bench/plane"
	"gantry/internal/api"
	"gantry/internal/service"
	"gantry/internal/store"
	"gantry/internal/wire/ecsapi"
)

const (
	cluster = "bench"
	// perInstance is how many tasks each seeded container instance holds; that fills it.
	perInstance = 100
	// perUpdate is how many tasks are seeded in one transaction.
	perUpdate = 500
)

// services is how many services have the seeded tasks, each as many, and events how many
// events each has: as many as are kept.
const services, events = 10, 100

func serviceName(i int) string { return fmt.Sprintf("web-%02d", i) }

// seed fills the state: a cluster, a definition, services, and so many tasks of theirs
// that run, on instances that they fill. It returns the ids of a hundred of the tasks,
// spread over all.
func seed(ctx context.Context, p *plane.Plane, tasks int) ([]string, error) {
	asRoot := api.WithPrincipal(ctx, plane.Root)
	ops := p.ECS.Operations()
	if _, err := ops.CreateCluster(asRoot, &ecsapi.CreateClusterInput{ClusterName: new(cluster)}); err != nil {
		return nil, err
	}
	registered, err := ops.RegisterTaskDefinition(asRoot, plane.Definition)
	if err != nil {
		return nil, err
	}
	startedBy := make([]string, services)
	for i := range services {
		made, err := ops.CreateService(asRoot, &ecsapi.CreateServiceInput{
			Cluster: new(cluster), ServiceName: new(serviceName(i)), TaskDefinition: new(plane.Family), DesiredCount: new(int32(tasks / services)),
		})
		if err != nil {
			return nil, err
		}
		startedBy[i] = *made.Service.Deployments[0].Id
	}
	now := time.Now().UTC().Truncate(time.Millisecond)
	if _, err := p.Store.Update(ctx, func(tx *store.Tx) error {
		for i := range services {
			store.ServiceHistories.Put(tx, history(serviceName(i), now))
		}
		return nil
	}); err != nil {
		return nil, err
	}
	for from := 0; from < tasks; from += perUpdate {
		if _, err := p.Store.Update(ctx, func(tx *store.Tx) error {
			for i := from; i < min(from+perUpdate, tasks); i++ {
				if i%perInstance == 0 {
					putInstance(tx, fullInstance(i/perInstance), registered.TaskDefinition.RequiresAttributes, now)
				}
				store.Tasks.Put(tx, runningTask(i, startedBy[i%services], now))
			}
			return nil
		}); err != nil {
			return nil, fmt.Errorf("seed tasks: %w", err)
		}
	}
	var some []string
	for i := range 100 {
		some = append(some, string(taskID(i*(tasks/100))))
	}
	return some, nil
}

func taskID(i int) gantry.TaskID {
	return gantry.TaskID(fmt.Sprintf("%032x", uint64(i)*0x9E3779B97F4A7C15))
}

// fullPrefix starts the ids of the seeded instances, so that they can be told from the one that works.
const fullPrefix = "f0110000"

func fullInstance(i int) gantry.InstanceID {
	return gantry.InstanceID(fmt.Sprintf("%s%024x", fullPrefix, i))
}

func isFull(id gantry.InstanceID) bool { return strings.HasPrefix(string(id), fullPrefix) }

// putInstance writes an instance that could run the task, had it any room left.
func putInstance(tx *store.Tx, id gantry.InstanceID, attributes []ecsapi.Attribute, now time.Time) {
	room := gantry.Resources{CPU: perInstance * plane.TaskCPU, Memory: perInstance * plane.TaskMiB}
	store.Instances.Put(tx, &gantry.Instance{
		ID: id, Cluster: cluster, Status: ecsapi.ContainerInstanceStatusActive, LaunchType: ecsapi.LaunchTypeEc2,
		Version: 1, Attributes: attributes, Registered: room, RegisteredAt: now,
	})
	store.Reservations.Put(tx, &gantry.Reservation{Cluster: cluster, Instance: id, Taken: room, Tasks: perInstance, Version: 1})
	store.Connections.Put(tx, &gantry.Connection{Cluster: cluster, Instance: id, Connected: true, Epoch: 1, Since: now})
}

// runningTask is the i-th task, of the service that has started it.
func runningTask(i int, startedBy string, now time.Time) *gantry.Task {
	return &gantry.Task{
		ID: taskID(i), Cluster: cluster, Definition: plane.Family + ":1", Instance: fullInstance(i / perInstance),
		Zone: string(plane.Place.Region) + "a", Architecture: "x86_64", LaunchType: ecsapi.LaunchTypeEc2,
		LastStatus: gantry.Running, DesiredStatus: gantry.Running, Version: 3,
		Group: gantry.ServiceGroup(serviceName(i % services)), StartedBy: startedBy,
		Containers: []gantry.Container{{
			Name: "web", ID: fmt.Sprintf("00000000-0000-4000-8000-%012x", i), LastStatus: gantry.Running,
			RuntimeID: fmt.Sprintf("%064x", i), ImageDigest: "sha256:" + strings.Repeat("7", 64),
			NetworkBindings: []ecsapi.NetworkBinding{{
				BindIP: new("0.0.0.0"), ContainerPort: new(int32(8080)), HostPort: new(int32(32768 + i%perInstance)), Protocol: "tcp",
			}},
		}},
		Reserved:  gantry.Resources{CPU: plane.TaskCPU, Memory: plane.TaskMiB},
		CreatedAt: now, ConnectivityAt: now, PullStartedAt: now, PullStoppedAt: now, StartedAt: now,
	}
}

// history is that of a service which has been steady for long.
func history(name string, now time.Time) *gantry.ServiceHistory {
	h := &gantry.ServiceHistory{Cluster: cluster, Service: gantry.ServiceName(name)}
	for i := range events {
		h.Events = append(h.Events, gantry.ServiceEvent{
			ID: fmt.Sprintf("00000000-0000-4000-8000-%012x", i), At: now.Add(-6 * time.Hour * time.Duration(i)), Name: service.SteadyState,
			Message: "(service " + name + ") has reached a steady state.",
		})
	}
	return h
}
