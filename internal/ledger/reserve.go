package ledger

import (
	"errors"
	"slices"

	"gantry"
	"gantry/internal/store"
	"gantry/internal/wire/ecsapi"
)

// errTaken says that a place was gone when the transaction looked.
var errTaken = errors.New("the place was taken meanwhile")

// Reserve takes what t needs on its instance, in the instance's Reservation, and
// fills in what t learns from the instance: zone, architecture, launch type and
// GPUs, of which gpus is the number for each container (nil for none). It fails
// where the instance has no room or takes no tasks any more. The caller puts t.
func Reserve(tx *store.Tx, t *gantry.Task, gpus []int) error {
	key := string(t.Cluster) + "/" + string(t.Instance)
	instance, ok := store.Instances.Get(tx, key)
	if !ok || instance.Status != ecsapi.ContainerInstanceStatusActive {
		return errTaken
	}
	reservation := gantry.Reservation{Cluster: t.Cluster, Instance: t.Instance}
	if have, ok := store.Reservations.Get(tx, key); ok {
		reservation = *have
	}
	t.LaunchType = instance.LaunchType
	t.Zone, t.Architecture = instance.Attribute(gantry.AttributeZone), instance.Attribute(gantry.AttributeArchitecture)
	if !dealGPUs(t, gpus, without(instance.Registered.GPUs, reservation.Taken.GPUs)) || !fits(instance.Registered, reservation.Taken, t.Reserved) {
		return errTaken
	}
	reservation.Take(t.Reserved)
	store.Reservations.Put(tx, &reservation)
	return nil
}

// Release gives back what a task took on its instance. Call it once, in the
// transaction that makes the task STOPPED. A task that was never placed, or whose
// instance is forgotten, takes nothing.
func Release(tx *store.Tx, t *gantry.Task) {
	if t.Instance == "" {
		return
	}
	have, ok := store.Reservations.Get(tx, string(t.Cluster)+"/"+string(t.Instance))
	if !ok {
		return
	}
	next := *have
	next.Free(t.Reserved)
	store.Reservations.Put(tx, &next)
}

// dealGPUs deals free devices out to the containers; false where they do not suffice.
func dealGPUs(t *gantry.Task, gpus []int, free []string) bool {
	t.Reserved.GPUs = nil
	for i, n := range gpus {
		if n > len(free) {
			return false
		}
		t.Containers[i].GPUs = free[:n:n]
		t.Reserved.GPUs = append(t.Reserved.GPUs, free[:n]...)
		free = free[n:]
	}
	return true
}

func without(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(x string) bool { return slices.Contains(b, x) })
}

// fits reports whether an instance that registered so much, of which some is
// taken, has room for what a task needs. The registered ports are the host's own.
func fits(registered, taken, need gantry.Resources) bool {
	free := func(need, own, busy []uint16) bool {
		return !slices.ContainsFunc(need, func(p uint16) bool { return slices.Contains(own, p) || slices.Contains(busy, p) })
	}
	return taken.CPU+need.CPU <= registered.CPU && taken.Memory+need.Memory <= registered.Memory &&
		free(need.Ports, registered.Ports, taken.Ports) && free(need.UDPPorts, registered.UDPPorts, taken.UDPPorts)
}
