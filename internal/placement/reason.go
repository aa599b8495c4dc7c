package placement

import (
	"fmt"
	"strings"
)

// A Reason says why an instance is no place for a task, in the words of
// failures[].reason. Further countable resources have the reason RESOURCE:<NAME>.
type Reason string

const (
	ReasonInactive  Reason = "INACTIVE" // not ACTIVE: DRAINING, for one
	ReasonAgent     Reason = "AGENT"    // its agent is not connected
	ReasonCPU       Reason = "RESOURCE:CPU"
	ReasonMemory    Reason = "RESOURCE:MEMORY"
	ReasonGPU       Reason = "RESOURCE:GPU"
	ReasonPorts     Reason = "RESOURCE:PORTS"
	ReasonAttribute Reason = "ATTRIBUTE"
	ReasonMemberOf  Reason = "MemberOf placement constraint unsatisfied."
	ReasonDistinct  Reason = "DistinctInstance placement constraint unsatisfied."
)

// hardness orders reasons by what it takes to remove them: of two instances the one whose
// hardest reason is softer is the closer match.
func (r Reason) hardness() int {
	switch r {
	case ReasonAttribute, ReasonMemberOf:
		return 3 // it is another kind of instance
	case ReasonInactive:
		return 2
	case ReasonAgent:
		return 1
	}
	return 0 // it is full
}

// A Lack is one thing that a task needs and an instance has not.
type Lack struct {
	Reason Reason
	// Needs and Has are amounts, in CPU units, MiB or pieces, for resources; 0 for others.
	Needs, Has int64
	// What is the port, the attribute, the expression, the status, or the resource's name.
	What string
}

// String says it as a clause with the numbers, such as: needs 2048 CPU units, 512 available.
func (l Lack) String() string {
	switch l.Reason {
	case ReasonInactive:
		return fmt.Sprintf("is %s, not ACTIVE", l.What)
	case ReasonAgent:
		return "its agent is not connected"
	case ReasonCPU:
		return fmt.Sprintf("needs %d CPU units, %d available", l.Needs, l.Has)
	case ReasonMemory:
		return fmt.Sprintf("needs %d MiB of memory, %d available", l.Needs, l.Has)
	case ReasonGPU:
		return fmt.Sprintf("needs %d GPUs, %d available", l.Needs, l.Has)
	case ReasonPorts:
		return fmt.Sprintf("needs host port %s, which is taken", l.What)
	case ReasonAttribute:
		return fmt.Sprintf("needs attribute %s, which it has not", l.What)
	case ReasonMemberOf:
		return fmt.Sprintf("is not a member of %q", l.What)
	case ReasonDistinct:
		return fmt.Sprintf("has a task of group %s already", l.What)
	}
	return fmt.Sprintf("needs %d %s, %d available", l.Needs, l.What, l.Has)
}

// shortfall is how much of what is needed is missing, from 0 to 1.
func (l Lack) shortfall() float64 {
	if l.Needs <= 0 {
		return 0
	}
	return min(1, float64(l.Needs-l.Has)/float64(l.Needs))
}

// lacks appends everything that stands between the task and an instance, in the order in
// which ECS checks it: what fits, then constraints.
func (r *Request) lacks(found []Lack, n *node) []Lack {
	d := &r.spec.Demand
	short := func(reason Reason, what string, needs, has int64) {
		if needs > 0 && has < needs {
			found = append(found, Lack{Reason: reason, What: what, Needs: needs, Has: has})
		}
	}
	if status := n.instance.Status; status != active {
		found = append(found, Lack{Reason: ReasonInactive, What: string(status)})
	}
	if !n.instance.Connected {
		found = append(found, Lack{Reason: ReasonAgent})
	}
	short(ReasonCPU, "CPU", d.CPU, n.free.CPU)
	short(ReasonMemory, "MEMORY", d.Memory, n.free.Memory)
	short(ReasonGPU, "GPU", d.GPUs, n.free.GPUs)
	for _, p := range d.Ports {
		if n.holds(p) {
			found = append(found, Lack{Reason: ReasonPorts, What: p.String()})
		}
	}
	for _, a := range d.Other {
		short(Reason("RESOURCE:"+strings.ToUpper(a.Name)), a.Name, a.N, of(n.free.Other, a.Name))
	}
	for i := range r.shape.requires {
		if a := &r.shape.requires[i]; !has(n.instance, a) {
			what := deref(a.Name)
			if v := deref(a.Value); v != "" {
				what += "=" + v
			}
			found = append(found, Lack{Reason: ReasonAttribute, What: what})
		}
	}
	subject := n.subject()
	for _, q := range r.shape.queries {
		if !q.Match(&subject) {
			found = append(found, Lack{Reason: ReasonMemberOf, What: q.String()})
		}
	}
	if r.distinct && n.tasksOf(r.spec.Group) > 0 {
		found = append(found, Lack{Reason: ReasonDistinct, What: string(r.spec.Group)})
	}
	return found
}
