package main

import (
	"context"
	"fmt"
	"io"

	"gantry/internal/agent/logdriver"
)

// output prints what a log driver keeps on this machine.
func (h *host) output(ctx context.Context, w io.Writer, from outputRequest) error {
	member := h.member(from.task.Cluster)
	if member == nil || member.drivers.Load() == nil {
		return fmt.Errorf("this machine has not joined cluster %s", from.task.Cluster)
	}
	until := logdriver.UntilNow
	if from.follow {
		until = logdriver.UntilEnd
	}
	return member.drivers.Load().Print(ctx, w, from.task.Container(from.container).RuntimeID, until)
}
