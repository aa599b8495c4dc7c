package placement

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"gantry"
	"gantry/internal/placement/query"
	"gantry/internal/wire/ecsapi"
)

// A model is a cluster without any index: the slow, obviously right twin.
type model struct {
	instances map[gantry.InstanceID]Instance
	tasks     []modelTask
}

type modelTask struct {
	instance gantry.InstanceID
	group    gantry.Group
	demand   Demand
}

func newModel() *model { return &model{instances: map[gantry.InstanceID]Instance{}} }

func (m *model) clone() *model {
	return &model{maps.Clone(m.instances), slices.Clone(m.tasks)}
}

func (m *model) remove(id gantry.InstanceID) {
	delete(m.instances, id)
	m.tasks = slices.DeleteFunc(m.tasks, func(t modelTask) bool { return t.instance == id })
}

// on gives the tasks of one instance.
func (m *model) on(id gantry.InstanceID) []modelTask {
	var on []modelTask
	for _, t := range m.tasks {
		if t.instance == id {
			on = append(on, t)
		}
	}
	return on
}

// free gives what an instance has left.
func (m *model) free(id gantry.InstanceID) Resources {
	free := m.instances[id].Total
	free.Other = slices.Clone(free.Other)
	for _, t := range m.on(id) {
		free.CPU -= t.demand.CPU
		free.Memory -= t.demand.Memory
		free.GPUs -= t.demand.GPUs
		for _, a := range t.demand.Other {
			i := slices.IndexFunc(free.Other, func(b Amount) bool { return a.Name == b.Name })
			if i < 0 {
				i, free.Other = len(free.Other), append(free.Other, Amount{Name: a.Name})
			}
			free.Other[i].N -= a.N
		}
	}
	return free
}

// reasons gives the first reason why a task cannot go to an instance, "" where it can.
func (m *model) reason(inst Instance, spec Spec) Reason {
	free, on, d := m.free(inst.ID), m.on(inst.ID), spec.Demand
	switch {
	case inst.Status != "ACTIVE":
		return ReasonInactive
	case !inst.Connected:
		return ReasonAgent
	case d.CPU > 0 && d.CPU > free.CPU:
		return ReasonCPU
	case d.Memory > 0 && d.Memory > free.Memory:
		return ReasonMemory
	case d.GPUs > 0 && d.GPUs > free.GPUs:
		return ReasonGPU
	}
	taken := slices.Clone(inst.Reserved)
	groups := []string{}
	for _, t := range on {
		taken = append(taken, t.demand.Ports...)
		groups = append(groups, string(t.group))
	}
	for _, p := range d.Ports {
		if slices.Contains(taken, p) {
			return ReasonPorts
		}
	}
	for _, a := range d.Other {
		if a.N > 0 && of(free.Other, a.Name) < a.N {
			return Reason("RESOURCE:" + strings.ToUpper(a.Name))
		}
	}
	for _, a := range spec.Requires {
		if v, ok := inst.Attributes[*a.Name]; !ok || a.Value != nil && v != *a.Value {
			return ReasonAttribute
		}
	}
	for _, c := range spec.Constraints {
		if c.Type != "memberOf" {
			continue
		}
		q, err := query.Parse(*c.Expression)
		if err != nil {
			panic(err)
		}
		if !q.Match(&query.Subject{Attributes: inst.Attributes, AgentConnected: true, RunningTasksCount: len(on), Groups: slices.Values(groups)}) {
			return ReasonMemberOf
		}
	}
	for _, c := range spec.Constraints {
		if c.Type == "distinctInstance" && slices.Contains(groups, string(spec.Group)) {
			return ReasonDistinct
		}
	}
	return ""
}

// place gives the instances that are as good as each other and better than all others, by
// applying strategy after strategy. Without random it is one instance.
func (m *model) place(spec Spec, task gantry.TaskID) []gantry.InstanceID {
	var left []gantry.InstanceID
	for id, inst := range m.instances {
		if m.reason(inst, spec) == "" {
			left = append(left, id)
		}
	}
	averse := func(id gantry.InstanceID) bool { return slices.Contains(spec.Averse, id) }
	if others := slices.DeleteFunc(slices.Clone(left), averse); len(others) > 0 {
		left = others
	}
	for _, s := range spec.Strategies {
		if s.Type == "random" {
			slices.Sort(left)
			return left
		}
		left = lowest(left, func(id gantry.InstanceID) int64 { return m.measure(s, spec.Group, id) })
	}
	left = lowest(left, func(id gantry.InstanceID) int64 { return int64(len(m.on(id))) })
	return lowest(left, func(id gantry.InstanceID) int64 {
		return int64(hash32(string(id)) - hash32(string(task)))
	})
}

// measure is what a strategy wants to be low.
func (m *model) measure(s ecsapi.PlacementStrategy, group gantry.Group, id gantry.InstanceID) int64 {
	switch {
	case s.Type == "binpack" && *s.Field == "cpu":
		return max(0, m.free(id).CPU)
	case s.Type == "binpack":
		return max(0, m.free(id).Memory)
	}
	same := func(other gantry.InstanceID) bool { return other == id }
	if name, ok := strings.CutPrefix(*s.Field, "attribute:"); ok {
		mine, has := m.instances[id].Attributes[name]
		same = func(other gantry.InstanceID) bool {
			v, alsoHas := m.instances[other].Attributes[name]
			return v == mine && has == alsoHas
		}
	}
	n := int64(0)
	for _, t := range m.tasks {
		if t.group == group && same(t.instance) {
			n++
		}
	}
	return n
}

// lowest keeps those whose measure is the lowest.
func lowest[T any, N cmp.Ordered](items []T, measure func(T) N) []T {
	var kept []T
	var low N
	for _, item := range items {
		n := measure(item)
		if len(kept) == 0 || n < low {
			kept, low = kept[:0], n
		}
		if n == low {
			kept = append(kept, item)
		}
	}
	return kept
}
