package agent

import (
	"context"

	"gantry/internal/agent/metadata"
)

// A Meter measures containers.
type Meter interface {
	// Measure is what a container has used so far, with its page cache as Memory.Details["cache"]; false where it is not
	// there any more.
	Measure(ctx context.Context, containerID string) (metadata.Stats, bool, error)
}

// memoryUsed is what ECS counts as memory, in bytes: without the page cache.
func memoryUsed(m metadata.MemoryStats) uint64 { return m.Usage - min(m.Details["cache"], m.Usage) }

// blockBytes is what a container read from, and wrote to, all devices.
func blockBytes(s metadata.Stats) (read, write uint64) {
	for _, b := range s.BlockIO {
		switch b.Op {
		case "Read":
			read += b.Bytes
		case "Write":
			write += b.Bytes
		}
	}
	return read, write
}

// traffic adds up a container's interfaces; false where it has none of its own.
func traffic(s metadata.Stats) (sum metadata.InterfaceStats, ok bool) {
	for _, n := range s.Networks {
		sum.RxBytes += n.RxBytes
		sum.RxPackets += n.RxPackets
		sum.RxErrors += n.RxErrors
		sum.RxDropped += n.RxDropped
		sum.TxBytes += n.TxBytes
		sum.TxPackets += n.TxPackets
		sum.TxErrors += n.TxErrors
		sum.TxDropped += n.TxDropped
	}
	return sum, len(s.Networks) > 0
}
