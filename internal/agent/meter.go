package agent

import (
	"context"
	"time"
)

// A Meter measures containers.
type Meter interface {
	// Measure is what a container has used so far; false where it is not there any more.
	Measure(ctx context.Context, containerID string) (Usage, bool, error)
}

// Usage is what a container has used since it was made. Counters only rise.
type Usage struct {
	At       time.Time
	CPUNanos uint64
	// Memory is in bytes, without the page cache.
	Memory uint64
	// ReadBytes and WriteBytes went to and from block devices.
	ReadBytes, WriteBytes uint64
	// Network is nil in network modes host and none.
	Network *NetworkUsage
}

// NetworkUsage is what passed a container's interface, as the container sees it.
type NetworkUsage struct {
	RxBytes, RxPackets, RxErrors, RxDropped uint64
	TxBytes, TxPackets, TxErrors, TxDropped uint64
}
