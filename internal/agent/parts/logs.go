package parts

import (
	"context"

	"gantry/internal/agent/engine"
	"gantry/internal/agent/logdriver"
)

// Logs are the log drivers, which must read from the Machine's OutputDir.
func Logs(d *logdriver.Drivers) engine.Logs { return logs{d} }

type logs struct{ drivers *logdriver.Drivers }

func (l logs) Attach(ctx context.Context, out engine.LogOutput) error {
	return l.drivers.Attach(ctx, logdriver.Output{
		ContainerID: out.ContainerID, ContainerName: out.ContainerName, TaskID: string(out.TaskID),
		Driver: out.Driver, Options: out.Options,
	})
}

func (l logs) Drain(ctx context.Context, id string) error  { return l.drivers.Drain(ctx, id) }
func (l logs) Forget(ctx context.Context, id string) error { return l.drivers.Forget(ctx, id) }
