package service

import (
	"testing"
	"testing/synctest"
	"time"

	"gantry"
	"gantry/internal/store"
	"gantry/internal/wire/ecsapi"
)

// taskSet makes a task set of the task definition of the same number, or scales it.
func (b *bench) taskSet(id gantry.RevisionID, percent float64) {
	b.Helper()
	b.write(func(tx *store.Tx) {
		store.ServiceRevisions.Put(tx, &gantry.ServiceRevision{ID: id, Cluster: "prod", Service: "web", Definition: gantry.DefinitionName("web:" + id), LaunchType: ecsapi.LaunchTypeEc2})
		store.TaskSets.Put(tx, &gantry.TaskSet{ID: id, Cluster: "prod", Service: "web", Scale: ecsapi.Scale{Value: &percent}, CreatedAt: time.Now()})
	})
}

// TestTaskSetsAreKept: two task sets side by side, one of which cannot start; a controller that is replaced; the end of
// both and of their service.
func TestTaskSetsAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "i1", "i2")
		b.bad["web:2"] = true
		b.write(func(tx *store.Tx) {
			store.Services.Put(tx, &gantry.Service{Name: "web", Cluster: "prod", Status: gantry.ServiceActive, DesiredCount: 4,
				Scheduling: ecsapi.SchedulingStrategyReplica, Controller: ecsapi.DeploymentControllerTypeExternal})
		})
		b.taskSet("1", 100)
		b.after(2 * time.Second)
		b.want("4 of 1 RUNNING")
		b.after(40 * time.Second)
		if !b.told("(service web, taskSet ecs-svc/1) has reached a steady state.") {
			t.Error("the task set is not told to be steady")
		}

		stop := b.watch(4, 6)
		b.taskSet("2", 50)
		b.after(5 * time.Minute)
		h, _ := store.ServiceHistories.Get(b.store.View(), "prod/web")
		if len(h.TaskSets) != 2 || h.TaskSets[1].ID != "2" || h.TaskSets[1].Rollout.Starts.Step < 4 || h.TaskSets[0].Rollout.Starts.Step != 0 {
			t.Errorf("after five minutes it is remembered of the task sets: %+v", h.TaskSets)
		}
		if !b.told("(service web, taskSet ecs-svc/2) is unable to consistently start tasks successfully.") {
			t.Error("that tasks fail to start is not told")
		}
		stop()

		b.rest()
		b.taskSet("1", 25)
		b.taskSet("3", 75)
		b.control()
		b.after(2 * time.Minute)
		b.write(func(tx *store.Tx) { // DeleteTaskSet
			if err := store.TaskSets.Change(tx, "prod/web/2", func(s *gantry.TaskSet) error { s.Draining = true; return nil }); err != nil {
				t.Error(err)
			}
		})
		b.after(2 * time.Second)
		b.want("1 of 1 RUNNING, 3 of 3 RUNNING")
		if _, there := store.TaskSets.Get(b.store.View(), "prod/web/2"); there {
			t.Error("a task set without tasks that was deleted is still there")
		}

		b.update(func(s *gantry.Service) { s.Status, s.DesiredCount = gantry.ServiceDraining, 0 })
		b.after(3 * time.Second)
		b.want("none")
		s, _ := store.Services.Get(b.store.View(), "prod/web")
		if left := store.TaskSets.Len(b.store.View()); s.Status != gantry.ServiceInactive || s.InactiveAt.IsZero() || left != 0 {
			t.Errorf("the deleted service is %s, with %d task sets", s.Status, left)
		}
	})
}
