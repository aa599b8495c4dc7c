package placement

import (
	"cmp"

	"gantry"
)

// Place chooses the instance for a task, or says why there is none. It changes no tasks:
// see AddTask. The same Cluster, Spec and task give the same choice.
func Place(c *Cluster, r *Request, task gantry.TaskID) (Choice, *Refusal) {
	o := r.bind(c)
	found, ok := r.best(c, o, hash32(string(task)))
	if !ok && r.resort != nil {
		return Place(c, r.resort, task)
	}
	if !ok {
		return Choice{}, explain(c, r)
	}
	return Choice{Instance: c.nodes.get(found.slot).instance.ID}, nil
}

// bind looks up what the request needs in a cluster, as it is now.
func (r *Request) bind(c *Cluster) *order {
	o := c.order(r.shape)
	if r.family != c.family {
		r.family, r.memo = c.family, memo{}
		c.family.want(r.shape)
	}
	for i, id := range o.dimensions {
		r.tasks[i] = c.spreadOver(r.spec.Group, c.dimensionByID(id))
	}
	if r.levels || r.distinct {
		r.group, _ = c.groups.get(r.spec.Group)
	}
	return o
}

// A candidate is the best instance of a class.
type candidate struct {
	entry
	class *class
	level uint32 // tasks of the group on the instance; 0 where that does not matter
	run   int    // how many are equal to it, as far as the order tells; random only
}

// best gives the best instance of all classes.
func (r *Request) best(c *Cluster, o *order, pivot uint32) (best candidate, ok bool) {
	s := search{Request: r, cluster: c, pivot: pivot, state: mix(r.spec.Seed ^ uint64(pivot)<<32 ^ uint64(pivot))}
	equal := 0 // how many the classes have together that are as good as best; random only
	for i := range o.classes {
		k := &o.classes[i]
		if len(k.blocks) == 0 || ok && r.compareLead(k, best.class) > 0 {
			continue
		}
		s.class, s.memo = k, r.memo.class(i, len(k.blocks))
		found, some := s.best()
		if !some {
			continue
		}
		found.class = k
		switch by := r.compare(&found, &best, ok); {
		case by < 0:
			best, ok, equal = found, true, found.run
		case by > 0:
		case r.random:
			equal += found.run
			if s.random(equal) < found.run {
				best = found
			}
		case ring(&found, pivot) < ring(&best, pivot):
			best = found
		}
	}
	return best, ok
}

// compareLead compares two classes by the attribute spreads that come first.
func (r *Request) compareLead(a, b *class) int {
	for _, by := range r.chain[:r.lead] {
		if x, y := r.value(a, by.at), r.value(b, by.at); x != y {
			return cmp.Compare(x, y)
		}
	}
	return 0
}

// value gives how many tasks of the group have the class's value of an attribute.
func (r *Request) value(k *class, attribute int) int32 {
	tasks, v := r.tasks[attribute], k.values[attribute]
	if int(v) < len(tasks) {
		return tasks[v]
	}
	return 0
}

// compare compares two candidates by the whole chain, then by tasks. Anything is better
// than nothing.
func (r *Request) compare(a, b *candidate, some bool) int {
	if !some {
		return -1
	}
	for _, by := range r.chain {
		var c int
		switch by.kind {
		case tasksByAttribute:
			c = cmp.Compare(r.value(a.class, by.at), r.value(b.class, by.at))
		case tasksByInstance:
			c = cmp.Compare(a.level, b.level)
		case left:
			shift := 32 - 32*by.at
			c = cmp.Compare(uint32(a.key>>shift), uint32(b.key>>shift))
		}
		if c != 0 {
			return c
		}
	}
	return cmp.Compare(a.tie>>32, b.tie>>32)
}

// ring gives how far an instance's hash lies after the pivot on the ring of all hashes.
func ring(c *candidate, pivot uint32) uint32 { return uint32(c.tie) - pivot }
