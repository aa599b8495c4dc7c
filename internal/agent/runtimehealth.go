package agent

import (
	"context"
	"time"

	"gantry/internal/agent/engine"
	"gantry/internal/wire/acsapi"
)

// runtimeCheckTimeout is how long the container runtime may take to answer before it counts as IMPAIRED.
const runtimeCheckTimeout = 10 * time.Second

// runtimeHealth is the instance's ContainerRuntime status. It belongs to the telemetry's goroutine.
type runtimeHealth struct {
	status  string
	changed time.Time
}

// check asks the runtime for its containers and says how that went.
func (h *runtimeHealth) check(ctx context.Context, containers engine.Containers, now time.Time) acsapi.InstanceStatus {
	ctx, cancel := context.WithTimeout(ctx, runtimeCheckTimeout)
	defer cancel()
	status := "OK"
	if _, err := containers.List(ctx); err != nil {
		status = "IMPAIRED"
	}
	if status != h.status {
		h.status, h.changed = status, now
	}
	return acsapi.InstanceStatus{
		Type: "ContainerRuntime", Status: h.status, LastUpdated: seconds(now), LastStatusChange: seconds(h.changed),
	}
}
