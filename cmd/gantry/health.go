package main

import (
	"context"

	"gantry"
	"gantry/internal/ecs"
	"gantry/internal/wire/ecsapi"
)

// healthDoor hands health on to the tasks, from the instance that has them only.
type healthDoor struct {
	ecs    *ecs.Service
	places taskPlaces
}

func (h healthDoor) ReportHealth(ctx context.Context, cluster gantry.ClusterName, instance gantry.InstanceID, task gantry.TaskID,
	health map[string]ecsapi.HealthStatus) error {
	if h.places.InstanceOf(cluster, task) != string(cluster)+"/"+string(instance) {
		return nil
	}
	return h.ecs.ReportHealth(ctx, cluster, task, health)
}
