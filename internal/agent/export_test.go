package agent

import (
	"context"

	"gantry"
)

// AwaitEndTold returns when the control plane's answer to the end of a task has arrived.
func (a *Agent) AwaitEndTold(ctx context.Context, arn string) error {
	for {
		changed := a.engine.Changed()
		for v := range a.engine.All() {
			if v.Def.ARN == arn && v.Task.Told.Status == gantry.Stopped {
				return nil
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
