package placement

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"gantry"
)

// A Refusal says why no instance of a cluster can have a task.
type Refusal struct {
	// Instances is how many there are. 0 is for RunTask an InvalidParameterException of
	// its own: "No Container Instances were found in your cluster."
	Instances int
	// Counts has the instances by their first reason.
	Counts map[Reason]int
	// Closest are the instances that come closest, the best first; at most MaxClosest.
	Closest []Examined
}

// MaxClosest is how many instances a Refusal lists, so that an answer stays small in a
// large cluster: as many as one DescribeContainerInstances can describe.
const MaxClosest = 100

// Examined is an instance and what it lacks: nothing where the task could go there.
type Examined struct {
	Instance gantry.InstanceID
	Lacks    []Lack
}

// Reason gives the failures[].reason of an instance that lacks something.
func (e Examined) Reason() Reason { return e.Lacks[0].Reason }

// Detail gives the failures[].detail: everything the instance lacks, with numbers.
func (e Examined) Detail() string {
	clauses := make([]string, len(e.Lacks))
	for i, l := range e.Lacks {
		clauses[i] = l.String()
	}
	return strings.Join(clauses, "; ")
}

// Examine tells what keeps a task of the request from one named instance, as StartTask
// has to know. It is false where the instance is not in the cluster.
func Examine(c *Cluster, r *Request, id gantry.InstanceID) (Examined, bool) {
	slot, known := c.ids.get(id)
	if !known {
		return Examined{}, false
	}
	return Examined{id, r.lacks(nil, c.nodes.get(slot))}, true
}

// Eligible gives the instances that accept tasks, have the required attributes and satisfy
// the request's memberOf constraints, whether they have room or not: those where a
// service of the DAEMON strategy wants a task. The cluster must not change meanwhile.
func Eligible(c *Cluster, r *Request) iter.Seq[gantry.InstanceID] {
	return func(yield func(gantry.InstanceID) bool) {
		for slot := range c.slots {
			if n := c.nodes.get(slot); n.accepts() && r.shape.admits(n) && !yield(n.instance.ID) {
				return
			}
		}
	}
}

// nearness orders instances by how close they come to having the task.
type nearness struct {
	slot     int32
	hardest  int
	lacks    int
	short    float64
	instance gantry.InstanceID
}

func compareNearness(a, b nearness) int {
	return cmp.Or(
		cmp.Compare(a.hardest, b.hardest),
		cmp.Compare(a.lacks, b.lacks),
		cmp.Compare(a.short, b.short),
		cmp.Compare(a.instance, b.instance))
}

// explain looks at every instance: a refusal is the one answer that costs a scan.
func explain(c *Cluster, r *Request) *Refusal {
	refusal := &Refusal{Instances: c.Len(), Counts: map[Reason]int{}}
	var lacks []Lack
	near := make([]nearness, 0, c.Len())
	for slot := range c.slots {
		n := c.nodes.get(slot)
		if n.instance == nil {
			continue
		}
		lacks = r.lacks(lacks[:0], n)
		if len(lacks) == 0 {
			continue // unreachable while the index tells the truth; the tests hold it to that
		}
		refusal.Counts[lacks[0].Reason]++
		this := nearness{slot: slot, lacks: len(lacks), instance: n.instance.ID}
		for _, l := range lacks {
			this.hardest = max(this.hardest, l.Reason.hardness())
			this.short += l.shortfall()
		}
		near = append(near, this)
	}
	slices.SortFunc(near, compareNearness)
	for _, x := range near[:min(len(near), MaxClosest)] {
		refusal.Closest = append(refusal.Closest, Examined{x.instance, r.lacks(nil, c.nodes.get(x.slot))})
	}
	return refusal
}

// Event gives the text of the service event, without its prefix "(service <name>) ": ECS's
// own sentences, and after them the numbers.
func (r *Refusal) Event() string {
	text := "was unable to place a task because no container instance met all of its requirements."
	if len(r.Closest) == 0 {
		return text
	}
	closest := r.Closest[0]
	text += fmt.Sprintf(" The closest matching container-instance %s ", closest.Instance)
	switch reason := closest.Reason(); reason {
	case ReasonCPU:
		text += "has insufficient CPU units available."
	case ReasonMemory:
		text += "has insufficient memory available."
	case ReasonPorts:
		text += "is already using a port required by your task."
	case ReasonAttribute:
		text += "is missing an attribute required by your task."
	default:
		text += fmt.Sprintf("encountered error %q.", strings.TrimSuffix(string(reason), "."))
	}
	return text + " " + r.String()
}

// String says how many instances there are, what they lack, and what the closest lacks.
func (r *Refusal) String() string {
	if r.Instances == 0 {
		return "There are no container instances."
	}
	var parts []string
	for _, reason := range slices.Sorted(maps.Keys(r.Counts)) {
		parts = append(parts, fmt.Sprintf("%s: %d", strings.TrimSuffix(string(reason), "."), r.Counts[reason]))
	}
	return fmt.Sprintf("(Container instances: %d; %s. Closest: %s.)",
		r.Instances, strings.Join(parts, ", "), r.Closest[0].Detail())
}
