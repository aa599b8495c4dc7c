package placement

import (
	"cmp"

	"gantry"
)

// A Placed task is one that scale-in may look at. All tasks of the service that count for
// its spread have to be given, also those that must not be stopped.
type Placed struct {
	Task      gantry.TaskID
	Instance  gantry.InstanceID // empty where it is not placed yet
	Running   bool              // reached RUNNING
	Draining  bool              // its instance is DRAINING
	Protected bool              // by scale-in protection, which has not expired
	Demand    Demand
}

// ChooseToStop gives the tasks to stop, at most n, in the order in which to stop them: those
// that are not RUNNING yet, those on DRAINING instances, then what the strategies of spec
// leave: spread stops where the group has the most tasks, binpack where the most is left
// after stopping, and what is left equal is chosen at random by the seed. Where spec has
// no strategy the caller passes ServiceStrategies, as for placing. Protected tasks are
// never chosen: the answer may be shorter than n.
//
// An instance that c does not know has no attributes and nothing left. The cluster is not
// changed. The time it takes grows with the number of tasks times n.
func ChooseToStop(c *Cluster, r *Request, tasks []Placed, n int) []gantry.TaskID {
	s := newScaleIn(c, r, tasks)
	var chosen []gantry.TaskID
	for len(chosen) < n {
		t := s.next()
		if t == nil {
			break
		}
		chosen = append(chosen, t.Task)
		t.stop()
	}
	return chosen
}

// scaleIn is the state between two choices.
type scaleIn struct {
	request *Request
	tasks   []stoppable
}

// A stoppable is a task with what it is compared by. Tasks with the same value of an
// attribute share the count, those of one instance what is left on it.
type stoppable struct {
	Placed
	counts [MaxStrategies]*int // by criterion, where it counts tasks
	left   *Resources
	lot    uint64 // decides between equals
	gone   bool   // chosen already, or protected
}

func newScaleIn(c *Cluster, r *Request, tasks []Placed) *scaleIn {
	s := &scaleIn{request: r, tasks: make([]stoppable, 0, len(tasks))}
	left := map[gantry.InstanceID]*Resources{}
	counts := map[counted]*int{}
	for _, task := range tasks {
		t := stoppable{Placed: task, gone: task.Protected, lot: mix(mix(r.spec.Seed) + uint64(hash32(string(task.Task))))}
		if left[task.Instance] == nil {
			free, _ := c.Free(task.Instance)
			left[task.Instance] = &free
		}
		t.left = left[task.Instance]
		for i, by := range r.chain {
			key := counted{i, c.spreadValue(r, by, task.Instance)}
			if counts[key] == nil {
				counts[key] = new(int)
			}
			t.counts[i] = counts[key]
		}
		t.count(1)
		s.tasks = append(s.tasks, t)
	}
	return s
}

// counted is a value that a criterion counts tasks by.
type counted struct {
	criterion int
	value     string
}

// spreadValue gives the value of an instance that a criterion counts tasks by.
func (c *Cluster) spreadValue(r *Request, by criterion, id gantry.InstanceID) string {
	if by.kind == tasksByInstance {
		return string(id)
	}
	if slot, known := c.ids.get(id); known && by.kind == tasksByAttribute {
		if v, has := c.nodes.get(slot).instance.Attributes[r.shape.spread[by.at]]; has {
			return "=" + v // so that an empty value is not an absent one
		}
	}
	return ""
}

// next gives the best task to stop, nil where none may be.
func (s *scaleIn) next() *stoppable {
	var best *stoppable
	for i := range s.tasks {
		if t := &s.tasks[i]; !t.gone && (best == nil || s.compare(t, best) < 0) {
			best = t
		}
	}
	return best
}

// compare tells which of two tasks is to be stopped first.
func (s *scaleIn) compare(a, b *stoppable) int {
	switch {
	case a.Running != b.Running:
		return first(!a.Running)
	case a.Draining != b.Draining:
		return first(a.Draining)
	}
	for i, by := range s.request.chain {
		var c int
		if by.kind == left {
			resource := s.request.shape.packs[by.at]
			c = cmp.Compare(b.leftAfter(resource), a.leftAfter(resource))
		} else {
			c = cmp.Compare(*b.counts[i], *a.counts[i])
		}
		if c != 0 {
			return c
		}
	}
	return cmp.Or(cmp.Compare(a.lot, b.lot), cmp.Compare(a.Task, b.Task))
}

// first gives the order of two tasks of which one comes first: a, if it is a.
func first(isA bool) int {
	if isA {
		return -1
	}
	return 1
}

// leftAfter gives how much the task's instance has left once it has stopped.
func (t *stoppable) leftAfter(r resource) int64 {
	if r == memory {
		return t.left.Memory + t.Demand.Memory
	}
	return t.left.CPU + t.Demand.CPU
}

// stop takes a task out of what others are compared by.
func (t *stoppable) stop() {
	t.gone = true
	t.count(-1)
	t.left.CPU += t.Demand.CPU
	t.left.Memory += t.Demand.Memory
}

// count adds the task to the counts (n 1) or takes it out (n -1). One that is not placed
// counts nowhere.
func (t *stoppable) count(n int) {
	if t.Instance == "" {
		return
	}
	for _, count := range t.counts {
		if count != nil {
			*count += n
		}
	}
}
