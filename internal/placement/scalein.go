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
// changed. The time it takes grows with the number of tasks, and with n times the number of
// instances and of tasks alike on one.
func ChooseToStop(c *Cluster, r *Request, tasks []Placed, n int) []gantry.TaskID {
	s := newScaleIn(c, r, tasks)
	var chosen []gantry.TaskID
	for len(chosen) < n {
		q := s.next()
		if q == nil {
			break
		}
		t := q.pop()
		chosen = append(chosen, t.Task)
		t.stop()
	}
	return chosen
}

// scaleIn is the state between two choices.
type scaleIn struct {
	request *Request
	queues  []*queue
}

// A site is what the tasks of one instance have in common. Instances with the same value
// of an attribute share the count.
type site struct {
	placed bool                // false of the one of tasks that are on no instance yet
	counts [MaxStrategies]*int // by criterion, where it counts tasks
	left   Resources
	queues []*queue
}

// A queue is tasks of one instance that nothing but their lots tells apart: each choice
// compares only the first of every queue.
type queue struct{ tasks []*stoppable }

// A stoppable is a task with what it is compared by.
type stoppable struct {
	Placed
	at  *site
	lot uint64 // decides between equals
}

func newScaleIn(c *Cluster, r *Request, tasks []Placed) *scaleIn {
	s := &scaleIn{request: r}
	sites, counts := map[gantry.InstanceID]*site{}, map[counted]*int{}
	all := make([]stoppable, len(tasks))
	for i, task := range tasks {
		at := sites[task.Instance]
		if at == nil {
			at = c.site(r, task.Instance, counts)
			sites[task.Instance] = at
		}
		at.count(1)
		if task.Protected {
			continue
		}
		t := &all[i]
		*t = stoppable{task, at, mix(mix(r.spec.Seed) + uint64(hash32(string(task.Task))))}
		s.enqueue(t)
	}
	for _, q := range s.queues {
		q.arrange()
	}
	return s
}

// site finds what tasks on an instance are compared by; counts are shared by all sites.
func (c *Cluster) site(r *Request, id gantry.InstanceID, counts map[counted]*int) *site {
	s := &site{placed: id != ""}
	s.left, _ = c.Free(id)
	for i, by := range r.chain {
		key := counted{i, c.spreadValue(r, by, id)}
		if counts[key] == nil {
			counts[key] = new(int)
		}
		s.counts[i] = counts[key]
	}
	return s
}

// enqueue puts a task behind those of its instance that are like it.
func (s *scaleIn) enqueue(t *stoppable) {
	for _, q := range t.at.queues {
		if o := q.tasks[0]; o.Running == t.Running && o.Draining == t.Draining && o.Demand.CPU == t.Demand.CPU && o.Demand.Memory == t.Demand.Memory {
			q.tasks = append(q.tasks, t)
			return
		}
	}
	q := &queue{[]*stoppable{t}}
	t.at.queues, s.queues = append(t.at.queues, q), append(s.queues, q)
}

// arrange brings the task with the lowest lot to the front.
func (q *queue) arrange() {
	for i := range q.tasks {
		if q.tasks[i].byLot(q.tasks[0]) < 0 {
			q.tasks[0], q.tasks[i] = q.tasks[i], q.tasks[0]
		}
	}
}

func (q *queue) pop() *stoppable {
	t := q.tasks[0]
	q.tasks = q.tasks[1:]
	q.arrange()
	return t
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

// next gives the queue whose first is the best task to stop, nil where none may be.
func (s *scaleIn) next() *queue {
	var best *queue
	for _, q := range s.queues {
		if len(q.tasks) > 0 && (best == nil || s.compare(q.tasks[0], best.tasks[0]) < 0) {
			best = q
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
			c = cmp.Compare(*b.at.counts[i], *a.at.counts[i])
		}
		if c != 0 {
			return c
		}
	}
	return a.byLot(b)
}

// byLot compares tasks that nothing else tells apart.
func (t *stoppable) byLot(other *stoppable) int {
	return cmp.Or(cmp.Compare(t.lot, other.lot), cmp.Compare(t.Task, other.Task))
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
		return t.at.left.Memory + t.Demand.Memory
	}
	return t.at.left.CPU + t.Demand.CPU
}

// stop takes a task out of what others are compared by.
func (t *stoppable) stop() {
	t.at.count(-1)
	if t.at.placed {
		t.at.left.CPU += t.Demand.CPU
		t.at.left.Memory += t.Demand.Memory
	}
}

// count adds a task to the counts (n 1) or takes one out (n -1). Those that are not placed
// count nowhere.
func (s *site) count(n int) {
	if !s.placed {
		return
	}
	for _, count := range s.counts {
		if count != nil {
			*count += n
		}
	}
}
