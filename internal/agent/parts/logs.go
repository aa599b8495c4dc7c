package parts

import (
	"context"

	"gantry/internal/agent/engine"
	"gantry/internal/agent/logdriver"
)

// Logs makes the agent's part of log drivers. Their directory is the machine's OutputDir.
func Logs(d *logdriver.Drivers) engine.Logs { return logs{d} }

// LogDrivers are the drivers that Logs has.
func LogDrivers() []string { return logdriver.Names() }

type logs struct{ *logdriver.Drivers }

func (l logs) Attach(ctx context.Context, out engine.LogOutput) error {
	return l.Drivers.Attach(ctx, logdriver.Output{
		ContainerID: out.ContainerID, ContainerName: out.ContainerName, TaskID: string(out.TaskID),
		Driver: out.Driver, Options: out.Options,
	})
}
