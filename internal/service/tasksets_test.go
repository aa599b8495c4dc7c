package service

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"gantry"
	"gantry/internal/wire/ecsapi"

	"pgregory.net/rapid"
)

// external makes a service with the deployment controller EXTERNAL, on a big instance if
// there is none.
func (w *world) external(desired int) {
	if len(w.hosts) == 0 {
		w.hosts["i1"] = &host{zone: "a", room: 1000}
	}
	w.service = &gantry.Service{
		Name: "web", Cluster: "prod", Status: gantry.ServiceActive, Scheduling: ecsapi.SchedulingStrategyReplica,
		Controller: ecsapi.DeploymentControllerTypeExternal, DesiredCount: desired, CreatedAt: w.now,
	}
	w.deployments = []*gantry.Deployment{{}}
	w.history = &gantry.ServiceHistory{Cluster: "prod", Service: "web"}
}

// scaleSet makes a task set, or gives it another scale.
func (w *world) scaleSet(id gantry.RevisionID, percent float64) {
	next := &gantry.TaskSet{ID: id, Cluster: "prod", Service: "web", Scale: ecsapi.Scale{Value: &percent}, CreatedAt: w.now}
	if i := slices.IndexFunc(w.taskSets, func(s *gantry.TaskSet) bool { return s.ID == id }); i >= 0 {
		w.taskSets[i] = next
		return
	}
	w.taskSets = append(w.taskSets, next)
}

// drainSet is DeleteTaskSet.
func (w *world) drainSet(id gantry.RevisionID) {
	for i, s := range w.taskSets {
		if s.ID == id {
			next := *s
			next.Draining = true
			w.taskSets[i] = &next
		}
	}
}

// stepSets looks at every task set once and carries out what was decided. The plans are
// returned as one.
func (w *world) stepSets(check func(*gantry.TaskSet, Look, *Plan)) (all Plan) {
	for _, set := range slices.Clone(w.taskSets) {
		look := LookAtTaskSet(w.look(), set)
		plan := MakePlan(w.now, look, w.set)
		check(set, look, &plan)
		all.Starts, all.Stops = append(all.Starts, plan.Starts...), append(all.Stops, plan.Stops...)
		all.Events, all.Reckon = append(all.Events, plan.Events...), append(all.Reckon, plan.Reckon...)
		w.history = cloneHistory(w.history)
		RememberTaskSet(w.history, set, &plan)
		if plan.Status == gantry.ServiceInactive {
			w.taskSets = slices.DeleteFunc(w.taskSets, func(s *gantry.TaskSet) bool { return s.ID == set.ID })
			all.Status = plan.Status
		}
		starts, events := plan.Starts, plan.Events
		plan.Starts, plan.Events, plan.Deployment, plan.History, plan.Status = nil, nil, nil, nil, ""
		w.apply(plan)
		Record(w.history, eventsOf(set, events), w.now, func() string { return "e" })
		for _, s := range starts {
			w.startOf(set, s)
		}
	}
	return all
}

// startOf starts tasks of a task set.
func (w *world) startOf(set *gantry.TaskSet, s Start) {
	whole, before := w.history, len(w.tasks)
	w.history = &gantry.ServiceHistory{Cluster: "prod", Service: "web", Unplaced: stateOf(whole, set).Unplaced}
	w.start(s, (&Plan{Starts: []Start{s}}).asks)
	setState(whole, set).Unplaced = w.history.Unplaced
	w.history = whole
	var ids []gantry.TaskID
	for _, t := range w.tasks[before:] {
		ids = append(ids, t.ID)
	}
	if len(ids) > 0 {
		Record(w.history, eventsOf(set, []Event{Started(s, ids)}), w.now, func() string { return "e" })
	}
}

// playSets does a line of a scenario about task sets; known is false where it is none.
func (s *stage) playSets(words []string) (got string, known bool) {
	number := func(text string) float64 { n, _ := strconv.ParseFloat(text, 64); return n }
	switch words[0] {
	case "external":
		s.external(int(number(words[1])))
	case "desire":
		next := *s.service
		next.DesiredCount = int(number(words[1]))
		s.service = &next
	case "taskset":
		s.scaleSet(gantry.RevisionID(words[1]), number(words[2]))
	case "drain":
		s.drainSet(gantry.RevisionID(words[1]))
	case "tasksets":
		var parts []string
		for _, set := range s.taskSets {
			c := CountsOf(s.service, s.history, set, s.tasks)
			part := fmt.Sprintf("%s %d/%d/%d", set.ID, c.Desired, c.Pending, c.Running)
			if c.Steady {
				part += " steady"
			}
			parts = append(parts, part)
		}
		return strings.Join(parts, ", "), true
	default:
		return "", false
	}
	return "", true
}

// TestTaskSetsKeepTheirCounts: whatever happens, a task set never has more tasks on
// their way than its share, but for replacements of those that leave, never more than
// twice its share in all, touches no task of another, spares protected tasks, and is as
// large as it should be when all is quiet.
func TestTaskSetsKeepTheirCounts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld()
		w.set.Warmup = 0
		for i := range rapid.IntRange(1, 3).Draw(t, "instances") {
			w.hosts[gantry.InstanceID(fmt.Sprint("i", i))] = &host{zone: "a", room: rapid.SampledFrom([]int{1, 4, 1000}).Draw(t, "room")}
		}
		w.external(rapid.IntRange(0, 7).Draw(t, "desired"))
		check := func(set *gantry.TaskSet, look Look, plan *Plan) { holdSet(t, w, set, look, plan) }
		some := func(what string, may func(*gantry.Task) bool, do func(gantry.TaskID)) func(*rapid.T) {
			return (&history{world: w}).some(what, may, do)
		}
		made := 0
		t.Repeat(map[string]func(*rapid.T){
			"look":   func(*rapid.T) { w.stepSets(check) },
			"look 2": func(*rapid.T) { w.stepSets(check) },
			"run":    some("run", func(t *gantry.Task) bool { return wanted(t) && t.LastStatus == gantry.Pending }, w.run),
			"end":    some("end", wanted, w.end),
			"stop":   some("stop", func(t *gantry.Task) bool { return t.DesiredStatus == gantry.Stopped }, w.end),
			"protect": some("protect", running, func(id gantry.TaskID) {
				w.change(id, func(t *gantry.Task) { t.ProtectedUntil = w.now.Add(time.Hour) })
			}),
			"wait": func(t *rapid.T) {
				w.now = w.now.Add(rapid.SampledFrom([]time.Duration{time.Second, time.Minute, 2 * time.Hour}).Draw(t, "for"))
			},
			"create": func(t *rapid.T) {
				made++
				w.scaleSet(gantry.RevisionID(fmt.Sprint(made)), percentage(t))
			},
			"scale": func(t *rapid.T) {
				if set := aSet(t, w); set != nil && !set.Draining {
					w.scaleSet(set.ID, percentage(t))
				}
			},
			"delete": func(t *rapid.T) {
				if set := aSet(t, w); set != nil {
					w.drainSet(set.ID)
				}
			},
			"desired": func(t *rapid.T) {
				next := *w.service
				next.DesiredCount = rapid.IntRange(0, 7).Draw(t, "desired")
				w.service = &next
			},
		})
		// All is quiet: there is room, and nothing fails any more.
		w.hosts["big"] = &host{zone: "a", room: 1000}
		for range 30 {
			w.stepSets(check)
			(&history{world: w}).proceed()
			w.now = w.now.Add(time.Hour)
		}
		for _, set := range w.taskSets {
			if c := CountsOf(w.service, w.history, set, w.tasks); set.Draining || !c.Steady {
				t.Fatalf("when all is quiet task set %s (draining %t) is %+v", set.ID, set.Draining, c)
			}
		}
		for _, task := range w.tasks {
			if task.LastStatus != gantry.Stopped && !slices.ContainsFunc(w.taskSets, func(s *gantry.TaskSet) bool { return s.ID == task.Revision() }) {
				t.Fatalf("task %s of task set %s, which is gone, is %s", task.ID, task.Revision(), task.LastStatus)
			}
		}
	})
}

func percentage(t *rapid.T) float64 {
	return rapid.SampledFrom([]float64{0, 0.1, 30, 50, 100}).Draw(t, "scale")
}

func aSet(t *rapid.T, w *world) *gantry.TaskSet {
	if len(w.taskSets) == 0 {
		return nil
	}
	return rapid.SampledFrom(w.taskSets).Draw(t, "task set")
}

// holdSet checks one plan for one task set.
func holdSet(t *rapid.T, w *world, set *gantry.TaskSet, look Look, plan *Plan) {
	share, living, going := set.Desired(w.service.DesiredCount), 0, 0
	for _, task := range look.Tasks {
		if task.LastStatus != gantry.Stopped {
			living++
			if task.DesiredStatus == gantry.Stopped {
				going++
			}
		}
	}
	starts := 0
	for _, s := range plan.Starts {
		starts += s.Count
		if s.Revision != set.ID {
			t.Fatalf("a plan for task set %s starts tasks of %s", set.ID, s.Revision)
		}
	}
	if starts > 0 && (living+starts > 2*share || living-going+starts > share) {
		t.Fatalf("task set %s is to have %d tasks, has %d of which %d are stopping, and starts %d", set.ID, share, living, going, starts)
	}
	for _, s := range plan.Stops {
		i := slices.IndexFunc(w.tasks, func(t *gantry.Task) bool { return t.ID == s.Task })
		switch task := w.tasks[i]; {
		case task.Revision() != set.ID:
			t.Fatalf("a plan for task set %s stops %s of %s", set.ID, task.ID, task.Revision())
		case w.now.Before(task.ProtectedUntil) && !set.Draining:
			t.Fatalf("it stops %s, which is protected", task.ID)
		}
	}
}
