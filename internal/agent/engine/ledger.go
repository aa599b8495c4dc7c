package engine

import (
	"maps"
	"slices"
	"sync"
)

// Capacity is what the machine has for tasks. A zero CPU or Memory is not counted.
type Capacity struct {
	CPU    int64 // units
	Memory int64 // MiB
}

// needs is what one task takes of the machine while any of its containers may run.
type needs struct {
	cpu, memory int64
	ports       map[hostPort]bool // static ones only
	gpus        map[string]bool
}

type hostPort struct {
	protocol string
	port     uint16
}

// needsOf sums up a definition: the task's own sizes where it has them, else its containers'.
func needsOf(def *Definition) needs {
	n := needs{cpu: int64(def.Task.CPU * 1024), memory: def.Task.Memory, ports: map[hostPort]bool{}, gpus: map[string]bool{}}
	for i := range def.Containers {
		c := &def.Containers[i]
		if def.Task.CPU == 0 {
			n.cpu += c.CPU
		}
		if def.Task.Memory == 0 {
			n.memory += reserved(c)
		}
		for _, p := range portsOf(c) {
			if c.Host.NetworkMode == "host" {
				p.HostPort = p.Container
			}
			for k := range p.Count {
				if p.HostPort != 0 {
					n.ports[hostPort{p.Protocol, p.HostPort + uint16(k)}] = true
				}
			}
		}
		for _, id := range gpusOf(def, c.Name) {
			n.gpus[id] = true
		}
	}
	return n
}

// reserved is what ECS counts of a container's memory, MiB: its reservation, else its limit.
func reserved(c *ContainerDefinition) int64 {
	if c.Host.MemoryReservation > 0 {
		return c.Host.MemoryReservation / MiB
	}
	return c.Host.Memory / MiB
}

// A ledger holds what tasks take of the machine, so that one starts only when what it needs is free: a replacement may
// arrive while its predecessor is still stopping. Of several that fit the one that arrived first starts first; one that
// does not fit lets others pass, since what it waits for may be a port that is theirs no matter what.
type ledger struct {
	capacity Capacity

	mu      sync.Mutex
	taken   map[string]needs     // guarded by mu; by task ARN
	waiting map[string]candidate // guarded by mu; by task ARN
}

// A candidate is a task that has not started.
type candidate struct {
	needs needs
	order int64
	wake  func() // called, without the lock, when it should ask again
}

func newLedger(capacity Capacity) *ledger {
	return &ledger{capacity: capacity, taken: map[string]needs{}, waiting: map[string]candidate{}}
}

// await lets a task wait for its turn.
func (l *ledger) await(arn string, c candidate) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting[arn] = c
}

// take takes what a waiting task needs if that is free and nobody is before it; else the task is woken later.
func (l *ledger) take(arn string) bool {
	l.mu.Lock()
	me, ok := l.waiting[arn]
	if !ok || !l.fits(me.needs) || l.isBefore(me) {
		l.mu.Unlock()
		return false
	}
	delete(l.waiting, arn)
	l.taken[arn] = me.needs
	l.wakeAll()
	return true
}

// isBefore reports whether a task that arrived earlier could start now; the caller holds mu.
func (l *ledger) isBefore(me candidate) bool {
	for _, other := range l.waiting {
		if other.order < me.order && l.fits(other.needs) {
			return true
		}
	}
	return false
}

// hold takes what a task needs whether or not it fits: it runs already.
func (l *ledger) hold(arn string, n needs) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.taken[arn] = n
}

// give gives back what a task took, and ends its waiting.
func (l *ledger) give(arn string) {
	l.mu.Lock()
	delete(l.taken, arn)
	delete(l.waiting, arn)
	l.wakeAll()
}

// wakeAll releases mu and lets everybody who waits ask again.
func (l *ledger) wakeAll() {
	woken := slices.Collect(maps.Values(l.waiting))
	l.mu.Unlock()
	for _, c := range woken {
		c.wake()
	}
}

func (l *ledger) fits(n needs) bool {
	cpu, memory := n.cpu, n.memory
	for _, other := range l.taken {
		cpu += other.cpu
		memory += other.memory
		for p := range n.ports {
			if other.ports[p] {
				return false
			}
		}
		for g := range n.gpus {
			if other.gpus[g] {
				return false
			}
		}
	}
	return (l.capacity.CPU == 0 || cpu <= l.capacity.CPU) && (l.capacity.Memory == 0 || memory <= l.capacity.Memory)
}

// unplaceable says why a task can never run on this machine, however long it waits; empty if it may.
func (l *ledger) unplaceable(n needs) string {
	switch {
	case l.capacity.CPU > 0 && n.cpu > l.capacity.CPU:
		return "the task needs more CPU than the instance has"
	case l.capacity.Memory > 0 && n.memory > l.capacity.Memory:
		return "the task needs more memory than the instance has"
	}
	return ""
}
