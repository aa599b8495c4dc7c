package main

import (
	"context"

	"gantry"
	"gantry/internal/wire/ecsapi"
)

// healthDoor hands health on to the tasks, from the instance that has them only.
type healthDoor struct {
	control *control
}

func (h healthDoor) ReportHealth(ctx context.Context, cluster gantry.ClusterName, instance gantry.InstanceID, task gantry.TaskID,
	health map[string]ecsapi.HealthStatus) error {
	if (taskPlaces{h.control.store}).InstanceOf(cluster, task) != string(cluster)+"/"+string(instance) {
		return nil
	}
	return h.control.ecs.ReportHealth(ctx, cluster, task, health)
}
