package parts

import (
	"context"
	"errors"

	"gantry/internal/agent"
	"gantry/internal/agent/network"
	"gantry/internal/agent/runtime"
)

func (m meter) Measure(ctx context.Context, id string) (agent.Usage, bool, error) {
	s, err := m.Runtime.Stats(ctx, runtime.ContainerID(id))
	if errors.Is(err, runtime.ErrNotFound) {
		return agent.Usage{}, false, nil
	}
	if err != nil {
		return agent.Usage{}, false, err
	}
	u := agent.Usage{At: s.At, CPUNanos: s.CPU.TotalNanos, Memory: s.Memory.WithoutCache()}
	for _, b := range s.BlockIO {
		u.ReadBytes += b.ReadBytes
		u.WriteBytes += b.WriteBytes
	}
	c, ok, err := m.Network.Counters(network.SandboxID(id))
	if err != nil {
		return agent.Usage{}, false, err
	}
	if ok {
		u.Network = &agent.NetworkUsage{
			RxBytes: c.RxBytes, RxPackets: c.RxPackets, RxErrors: c.RxErrors, RxDropped: c.RxDropped,
			TxBytes: c.TxBytes, TxPackets: c.TxPackets, TxErrors: c.TxErrors, TxDropped: c.TxDropped,
		}
	}
	return u, true, nil
}
