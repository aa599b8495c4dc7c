package engine

import (
	"cmp"
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
			if NetworkMode(c) == "host" {
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

	mu    sync.Mutex
	taken map[string]needs // guarded by mu; by task ARN
	sum   sum              // guarded by mu; of taken
	// waiting is in the order of arrival; guarded by mu. The first of it that fits has been woken.
	waiting []candidate
}

// A sum is what several tasks take together, kept so that looking whether one more fits does not depend on how many
// there are. Ports and GPUs are counted: two tasks may hold one after a restart.
type sum struct {
	cpu, memory int64
	ports       map[hostPort]int
	gpus        map[string]int
}

// add counts a task in, or out where times is -1.
func (s *sum) add(n needs, times int) {
	s.cpu += int64(times) * n.cpu
	s.memory += int64(times) * n.memory
	for p := range n.ports {
		s.ports[p] += times
	}
	for g := range n.gpus {
		s.gpus[g] += times
	}
}

// A candidate is a task that has not started.
type candidate struct {
	arn   string
	needs needs
	order int64
	wake  func() // called, without the lock, when it should ask again
}

func newLedger(capacity Capacity) *ledger {
	return &ledger{
		capacity: capacity, taken: map[string]needs{},
		sum: sum{ports: map[hostPort]int{}, gpus: map[string]int{}},
	}
}

// await lets a task wait for its turn. It asks by take once by itself; after that it is woken.
func (l *ledger) await(c candidate) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.leave(c.arn)
	at, _ := slices.BinarySearchFunc(l.waiting, c.order, func(w candidate, order int64) int { return cmp.Compare(w.order, order) })
	l.waiting = slices.Insert(l.waiting, at, c)
}

// take takes what a waiting task needs if that is free and nobody is before it; else the task is woken later. Taking
// twice takes once.
func (l *ledger) take(arn string) bool {
	l.mu.Lock()
	if _, mine := l.taken[arn]; mine {
		l.mu.Unlock()
		return true
	}
	first := l.first()
	if first == nil || first.arn != arn {
		l.mu.Unlock()
		return false
	}
	n := first.needs
	l.leave(arn)
	l.put(arn, n)
	l.wakeFirst()
	return true
}

// first is the one whose turn it is: the first of those that wait and fit. The caller holds mu.
func (l *ledger) first() *candidate {
	for i := range l.waiting {
		if l.fits(l.waiting[i].needs) {
			return &l.waiting[i]
		}
	}
	return nil
}

// hold takes what a task needs whether or not it fits: it runs already.
func (l *ledger) hold(arn string, n needs) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.leave(arn)
	l.put(arn, n)
}

// give gives back what a task took, and ends its waiting.
func (l *ledger) give(arn string) {
	l.mu.Lock()
	l.remove(arn)
	l.leave(arn)
	l.wakeFirst()
}

// put counts a task in; the caller holds mu.
func (l *ledger) put(arn string, n needs) {
	l.remove(arn)
	l.taken[arn] = n
	l.sum.add(n, 1)
}

// remove counts a task out, if it is in; the caller holds mu.
func (l *ledger) remove(arn string) {
	if n, ok := l.taken[arn]; ok {
		delete(l.taken, arn)
		l.sum.add(n, -1)
	}
}

// leave ends a task's waiting, if it waits; the caller holds mu.
func (l *ledger) leave(arn string) {
	if at := slices.IndexFunc(l.waiting, func(c candidate) bool { return c.arn == arn }); at >= 0 {
		l.waiting = slices.Delete(l.waiting, at, at+1)
	}
}

// wakeFirst releases mu and lets the one whose turn it is ask again. Those behind it are woken when it has taken what
// it needs, one after the other: so a burst of tasks costs a wake-up each.
func (l *ledger) wakeFirst() {
	first := l.first()
	var wake func()
	if first != nil {
		wake = first.wake
	}
	l.mu.Unlock()
	if wake != nil {
		wake()
	}
}

// fits reports whether what a task needs is free; the caller holds mu.
func (l *ledger) fits(n needs) bool {
	for p := range n.ports {
		if l.sum.ports[p] > 0 {
			return false
		}
	}
	for g := range n.gpus {
		if l.sum.gpus[g] > 0 {
			return false
		}
	}
	cpu, memory := l.sum.cpu+n.cpu, l.sum.memory+n.memory
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
