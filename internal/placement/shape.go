package placement

import (
	"fmt"
	"strings"

	"gantry/internal/placement/query"
	"gantry/internal/wire/ecsapi"
)

// A shape is what decides which instances an order holds and how it sorts them. Requests of
// the same shape share an order, whatever their sizes, ports and groups are.
type shape struct {
	key      string // equal for equal shapes
	spread   []string
	packs    []resource // at most both
	random   bool       // sorted without the number of tasks
	requires []ecsapi.Attribute
	queries  []*query.Query
	asks     bool // some query asks for tasks
}

// A resource is what binpack packs by.
type resource string

const (
	cpu    resource = "cpu"
	memory resource = "memory"
)

func (s *shape) setKey() {
	var b strings.Builder
	fmt.Fprintf(&b, "%q %q %v", s.spread, s.packs, s.random)
	for _, a := range s.requires {
		fmt.Fprintf(&b, " %q", deref(a.Name))
		if a.Value != nil {
			fmt.Fprintf(&b, "=%q", *a.Value)
		}
	}
	for _, q := range s.queries {
		fmt.Fprintf(&b, " %q", q)
	}
	s.key = b.String()
}

// admits tells whether the shape's constraints and required attributes hold for an
// instance.
func (s *shape) admits(n *node) bool {
	for i := range s.requires {
		if !has(n.instance, &s.requires[i]) {
			return false
		}
	}
	if len(s.queries) == 0 {
		return true
	}
	subject := n.subject()
	for _, q := range s.queries {
		if !q.Match(&subject) {
			return false
		}
	}
	return true
}

// has tells whether an instance has an attribute, with the value if one is asked for.
func has(inst *Instance, a *ecsapi.Attribute) bool {
	value, ok := inst.Attributes[deref(a.Name)]
	return ok && (deref(a.Value) == "" || value == *a.Value)
}

// entry gives the place of an instance in orders of the shape.
func (s *shape) entry(slot int32, n *node) entry {
	e := entry{position: position{slot: slot}, cpu: clamp(n.free.CPU), mem: clamp(n.free.Memory), gpus: clamp(n.free.GPUs)}
	for i, r := range s.packs {
		left := e.cpu
		if r == memory {
			left = e.mem
		}
		e.key |= uint64(left) << (32 - 32*i)
	}
	e.tie = uint64(n.hash)
	if !s.random {
		e.tie |= uint64(n.tasks) << 32
	}
	return e
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
