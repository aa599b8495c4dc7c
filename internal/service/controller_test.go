package service

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"gantry"
	"gantry/internal/ledger"
	"gantry/internal/store"
	"gantry/internal/wire/ecsapi"
)

func TestServiceIsKeptAndRolledOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "i1", "i2")
		b.deploy("1", func(s *gantry.Service) { s.DesiredCount = 4 })
		b.after(2 * time.Second)
		b.want("4 of 1 RUNNING")
		b.after(40 * time.Second)
		if b.status() != "SUCCESSFUL" || !b.told("(service web) has reached a steady state.") {
			t.Errorf("it is %s, and not steady", b.status())
		}

		stop := b.watch(4, 8)
		b.deploy("2", func(s *gantry.Service) {})
		b.after(2 * time.Second)
		b.want("4 of 1 RUNNING, 4 of 2 RUNNING")
		b.after(45 * time.Second)
		b.want("4 of 2 RUNNING")
		stop()
		if b.status() != "SUCCESSFUL" {
			t.Errorf("the deployment is %s", b.status())
		}

		var victim *gantry.Task
		for victim = range store.TasksByStatus.All(b.store.View(), "prod/RUNNING") {
			break
		}
		b.write(func(tx *store.Tx) {
			next := *victim
			next.LastStatus, next.DesiredStatus, next.StoppedAt = gantry.Stopped, gantry.Stopped, time.Now()
			next.StopCode = ecsapi.TaskStopCodeEssentialContainerExited
			store.Tasks.Put(tx, &next)
			ledger.Release(tx, &next)
		})
		synctest.Wait()
		b.want("1 of 2 PENDING, 3 of 2 RUNNING") // at once
	})
}

func TestControllerThatIsReplacedDuringARolloutGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "i1")
		b.deploy("1", func(s *gantry.Service) {
			s.DesiredCount = 10
			s.Configuration = &ecsapi.DeploymentConfiguration{MinimumHealthyPercent: new(int32(50)), MaximumPercent: new(int32(120))}
		})
		b.after(time.Minute)
		stop := b.watch(5, 12)
		b.deploy("2", func(*gantry.Service) {})
		for range 30 {
			b.after(7 * time.Second)
			b.rest()
			b.after(time.Second)
			b.control()
		}
		b.after(time.Minute)
		stop()
		b.want("10 of 2 RUNNING")
		if b.status() != "SUCCESSFUL" {
			t.Errorf("the deployment is %s", b.status())
		}
	})
}

func TestBrokenRevisionIsRolledBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "i1")
		b.deploy("1", func(s *gantry.Service) {
			s.DesiredCount = 2
			s.Configuration = &ecsapi.DeploymentConfiguration{DeploymentCircuitBreaker: &ecsapi.DeploymentCircuitBreaker{Enable: new(true), Rollback: new(true)}}
		})
		b.after(time.Minute)
		stop := b.watch(2, 4)
		b.bad["web:2"] = true
		b.deploy("2", func(*gantry.Service) {})
		b.after(time.Minute)
		stop()
		b.want("2 of 1 RUNNING")
		if b.status() != "ROLLBACK_SUCCESSFUL" || !b.told("rolling back to deployment ecs-svc/1.") {
			t.Errorf("the deployment is %s", b.status())
		}
		d, _ := store.Deployments.Get(b.store.View(), "prod/web/d2")
		if d.Target.Failures != 3 || d.Target.State != ecsapi.DeploymentRolloutStateFailed {
			t.Errorf("%d failures, and the rollout is %s", d.Target.Failures, d.Target.State)
		}
	})
}

func TestRoomIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.deploy("1", func(s *gantry.Service) { s.DesiredCount = 3 })
		b.after(time.Second)
		if !b.told("was unable to place a task because no container instance met all of its requirements.") {
			t.Error("it does not say that there is no container instance")
		}
		b.register("i1", 20)
		b.after(2 * time.Second)
		b.want("2 of 1 RUNNING")
		at := b.store.View().Revision()
		b.after(time.Minute) // it tries again and again, and writes nothing but that two are healthy
		if wrote := b.store.View().Revision() - at; wrote > 3 {
			t.Errorf("it wrote %d times while nothing changed", wrote)
		}
		b.register("i2", 1000)
		b.after(2 * time.Second)
		b.want("3 of 1 RUNNING")
		h, _ := store.ServiceHistories.Get(b.store.View(), "prod/web")
		if h.Unplaced != nil {
			t.Errorf("it still has no place: %+v", h.Unplaced)
		}
	})
}

func TestDrainingInstanceIsEmptied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "i1", "i2")
		b.deploy("1", func(s *gantry.Service) { s.DesiredCount = 4 })
		b.after(time.Minute)
		stop := b.watch(4, 8)
		b.write(func(tx *store.Tx) {
			if err := store.Instances.Change(tx, "prod/i1", func(i *gantry.Instance) error {
				i.Status = ecsapi.ContainerInstanceStatusDraining
				return nil
			}); err != nil {
				t.Error(err)
			}
		})
		b.after(time.Minute)
		stop()
		b.want("4 of 1 RUNNING")
		for task := range store.TasksByInstance.All(b.store.View(), "prod/i1") {
			if task.LastStatus != gantry.Stopped {
				t.Errorf("%s is still on the DRAINING instance", task.ID)
			}
		}
	})
}

// TestWhatChangesAtOnceFits: also an etcd that takes its usual 128 operations.
func TestWhatChangesAtOnceFits(t *testing.T) {
	for _, rows := range []int{127, 8_000} {
		n := changes(rows)
		starts, stops := n+n+1, n+n+3 // with reservations; with what is reckoned, deployment and service
		if n < 1 || starts > rows || stops > rows {
			t.Errorf("%d tasks at once are %d rows to start and %d to stop, of at most %d", n, starts, stops, rows)
		}
	}
}

func TestManyTasksStartAndAreDeleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.register("i1", 100_000)
		b.register("i2", 100_000)
		const many = 3*mostChanges + 1
		b.deploy("1", func(s *gantry.Service) { s.DesiredCount = many })
		b.after(2 * time.Second)
		b.want(fmt.Sprintf("%d of 1 RUNNING", many))
		b.update(func(s *gantry.Service) { s.Status = gantry.ServiceDraining })
		b.after(3 * time.Second)
		b.want("none")
		s, _ := store.Services.Get(b.store.View(), "prod/web")
		if s.Status != gantry.ServiceInactive {
			t.Errorf("the service is %s", s.Status)
		}
		for r := range store.Reservations.All(b.store.View(), "prod/") {
			if r.Tasks != 0 {
				t.Errorf("%d tasks are still counted on %s", r.Tasks, r.Instance)
			}
		}
	})
}

func TestDaemonFollowsItsInstances(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "i1", "i2")
		b.deploy("1", func(s *gantry.Service) { s.Scheduling = ecsapi.SchedulingStrategyDaemon })
		b.after(time.Minute)
		b.want("2 of 1 RUNNING")
		b.register("i3", 1000)
		b.after(2 * time.Second)
		b.want("3 of 1 RUNNING")
		b.write(func(tx *store.Tx) { // of another launch type: no place for it
			store.Instances.Put(tx, &gantry.Instance{ID: "x1", Cluster: "prod", Status: ecsapi.ContainerInstanceStatusActive,
				LaunchType: ecsapi.LaunchTypeExternal, Registered: gantry.Resources{CPU: 4096, Memory: 1000}})
			store.Connections.Put(tx, &gantry.Connection{Cluster: "prod", Instance: "x1", Connected: true})
		})
		b.after(2 * time.Second)
		b.want("3 of 1 RUNNING")
		if s, _ := store.Services.Get(b.store.View(), "prod/web"); Desired(s, b.history()) != 3 {
			t.Errorf("%d tasks are desired, on 3 instances of its launch type", Desired(s, b.history()))
		}
		b.register("i4", 5)
		b.after(2 * time.Second)
		b.want("3 of 1 RUNNING")
		if !b.told("The closest matching container-instance i4 has insufficient memory available.") {
			t.Error("it does not say that there is no room")
		}
		b.write(func(tx *store.Tx) {
			connection, _ := store.Connections.Get(tx, "prod/i1")
			store.Connections.Put(tx, &gantry.Connection{Cluster: "prod", Instance: "i1", Epoch: connection.Epoch + 1})
		})
		b.after(2 * time.Second)
		b.want("3 of 1 RUNNING") // silent for now
		b.deploy("2", func(*gantry.Service) {})
		b.after(10 * time.Second)
		b.want("2 of 2 RUNNING") // the silent one gets none
	})
}

// When a deployment has failed, the places are those of the revision that is wanted again.
func TestDaemonAfterAFailedDeployment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "i1", "i2")
		breaker := func(s *gantry.Service) {
			s.Scheduling = ecsapi.SchedulingStrategyDaemon
			s.Configuration = &ecsapi.DeploymentConfiguration{DeploymentCircuitBreaker: &ecsapi.DeploymentCircuitBreaker{Enable: new(true)}}
		}
		b.deploy("1", breaker)
		b.after(time.Minute)
		b.want("2 of 1 RUNNING")
		b.write(func(tx *store.Tx) {
			if err := store.Instances.Change(tx, "prod/i1", func(i *gantry.Instance) error {
				i.Attributes = []ecsapi.Attribute{{Name: new("only"), Value: new("here")}}
				return nil
			}); err != nil {
				t.Error(err)
			}
			if err := store.Definitions.Change(tx, "web:2", func(d *gantry.Definition) error {
				d.Wire.PlacementConstraints = []ecsapi.TaskDefinitionPlacementConstraint{{Type: ecsapi.TaskDefinitionPlacementConstraintTypeMemberOf, Expression: new("attribute:only == here")}}
				return nil
			}); err != nil {
				t.Error(err)
			}
		})
		b.bad["web:2"] = true
		b.deploy("2", breaker)
		b.after(time.Hour)
		if got := b.status(); got != string(ecsapi.ServiceDeploymentStatusStopped) {
			t.Errorf("the deployment whose tasks fail to start is %s", got)
		}
		b.want("2 of 1 RUNNING")
		if s, _ := store.Services.Get(b.store.View(), "prod/web"); Desired(s, b.history()) != 2 {
			t.Errorf("%d tasks are desired, on 2 instances", Desired(s, b.history()))
		}
	})
}

// On a DRAINING instance the daemon goes last: when nothing but daemons is left.
func TestDaemonLeavesLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "i1", "i2")
		b.deploy("1", func(s *gantry.Service) { s.Scheduling = ecsapi.SchedulingStrategyDaemon })
		b.write(func(tx *store.Tx) {
			store.Tasks.Put(tx, &gantry.Task{ID: "alone", Cluster: "prod", Instance: "i1", Group: "family:web", LastStatus: gantry.Running, DesiredStatus: gantry.Running})
		})
		b.after(time.Minute)
		b.want("1 of  RUNNING, 2 of 1 RUNNING")
		b.write(func(tx *store.Tx) {
			if err := store.Instances.Change(tx, "prod/i1", func(i *gantry.Instance) error {
				i.Status = ecsapi.ContainerInstanceStatusDraining
				return nil
			}); err != nil {
				t.Error(err)
			}
		})
		b.after(time.Minute)
		b.want("1 of  RUNNING, 2 of 1 RUNNING")
		b.write(func(tx *store.Tx) {
			if err := store.Tasks.Change(tx, "prod/alone", func(t *gantry.Task) error { t.DesiredStatus = gantry.Stopped; return nil }); err != nil {
				t.Error(err)
			}
		})
		b.after(10 * time.Second)
		b.want("1 of 1 RUNNING")
	})
}

func TestTaskTags(t *testing.T) {
	tags := func(key string) []ecsapi.Tag { return []ecsapi.Tag{{Key: &key, Value: new("x")}} }
	d := &gantry.Definition{Tags: tags("definition")}
	for propagate, want := range map[ecsapi.PropagateTags]string{
		ecsapi.PropagateTagsNone: "[]", ecsapi.PropagateTagsService: "[service]", ecsapi.PropagateTagsTaskDefinition: "[definition]",
	} {
		keys := []string{}
		for _, tag := range taskTags(&gantry.Service{Tags: tags("service"), PropagateTags: propagate}, d) {
			keys = append(keys, *tag.Key)
		}
		if got := fmt.Sprint(keys); got != want {
			t.Errorf("propagated from %s: %s, want %s", propagate, got, want)
		}
	}
}

// Zones, tags and health checks come from the records of others.
func TestServiceOverTwoZones(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		zone := func(id gantry.InstanceID, name string, memory int64) {
			b.write(func(tx *store.Tx) {
				store.Instances.Put(tx, &gantry.Instance{ID: id, Cluster: "prod", Status: ecsapi.ContainerInstanceStatusActive, LaunchType: ecsapi.LaunchTypeEc2,
					Registered: gantry.Resources{CPU: 4096, Memory: memory},
					Attributes: []ecsapi.Attribute{{Name: new(gantry.AttributeZone), Value: new(name)}}})
				store.Connections.Put(tx, &gantry.Connection{Cluster: "prod", Instance: id, Connected: true})
			})
		}
		zone("i1", "eu-1a", 1000)
		b.deploy("1", func(s *gantry.Service) {
			s.DesiredCount, s.Rebalancing = 4, ecsapi.AvailabilityZoneRebalancingEnabled
			s.PropagateTags, s.Tags, s.EnableManagedTags = ecsapi.PropagateTagsService, []ecsapi.Tag{{Key: new("team"), Value: new("a")}}, true
		})
		b.after(time.Minute)
		zone("i2", "eu-1b", 5) // no room
		b.after(time.Minute)
		b.want("4 of 1 RUNNING")
		// Asking whether there is room now writes nothing.
		b.after(20 * time.Second)
		before, _ := store.ServiceHistories.Get(b.store.View(), "prod/web")
		b.after(10 * time.Minute)
		if after, _ := store.ServiceHistories.Get(b.store.View(), "prod/web"); after.Version != before.Version {
			t.Errorf("the history was written %d times while there was no room", after.Version-before.Version)
		}
		zone("i2", "eu-1b", 1000)
		b.after(2 * time.Minute)
		b.want("4 of 1 RUNNING")
		zones := map[string]int{}
		for task := range store.Tasks.All(b.store.View(), "prod/") {
			if task.LastStatus == gantry.Running {
				zones[task.Zone+" tasks"]++
			}
			if len(task.Tags) != 3 || *task.Tags[0].Key != "team" || *task.Tags[2].Value != "web" {
				t.Errorf("task %s has the tags %+v", task.ID, task.Tags)
			}
		}
		if got := counted(zones); got != "2 of eu-1a tasks, 2 of eu-1b tasks" {
			t.Errorf("there are %s", got)
		}
		for _, text := range []string{"is not AZ balanced with 4 tasks in eu-1a, 0 tasks in eu-1b. AZ Rebalancing in progress.",
			"is unable to place a task in eu-1b because no container instance met all of its requirements.",
			"has started 2 tasks in eu-1b to AZ Rebalance: ", "has stopped 2 running tasks in eu-1a due to AZ rebalancing: ", "is AZ balanced with 2 tasks in eu-1a, 2 tasks in eu-1b."} {
			if !b.told(text) {
				t.Errorf("it does not say that it %s", text)
			}
		}
	})
}

// A health check that never passes keeps the deployment where it is.
func TestHealthChecksDecide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "i1")
		b.write(func(tx *store.Tx) {
			d, _ := store.Definitions.Get(tx, "web:2")
			d = store.Definitions.Clone(d)
			d.Wire.ContainerDefinitions[0].HealthCheck = &ecsapi.HealthCheck{Command: []string{"CMD", "true"}}
			store.Definitions.Put(tx, d)
		})
		b.deploy("1", func(s *gantry.Service) { s.DesiredCount = 2 })
		b.after(time.Minute)
		b.deploy("2", func(*gantry.Service) {})
		b.after(10 * time.Minute)
		b.want("2 of 1 RUNNING, 2 of 2 RUNNING")
		if b.status() != "IN_PROGRESS" {
			t.Errorf("it is %s", b.status())
		}
		b.write(func(tx *store.Tx) {
			for t := range store.Tasks.All(tx, "prod/") {
				next := store.Tasks.Clone(t)
				next.Containers[0].Health = ecsapi.HealthStatusHealthy
				store.Tasks.Put(tx, next)
			}
		})
		b.after(2 * time.Second)
		b.want("2 of 2 RUNNING")
		if b.status() != "SUCCESSFUL" {
			t.Errorf("it is %s", b.status())
		}
	})
}

// A decision that is not fresh any more starts nothing.
func TestStaleDecisionStartsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "i1")
		b.rest()
		b.deploy("1", func(s *gantry.Service) { s.DesiredCount = 4 })
		c := &Controller{Store: b.store, Ledger: b.ledger, Settings: DefaultSettings, Now: time.Now,
			NewTaskID: func() gantry.TaskID { return gantry.TaskID(b.id("t")) }, NewUUID: func() string { return b.id("u") }, NewSeed: func() uint64 { return 1 }}
		decide := func() (d decision) {
			b.write(func(tx *store.Tx) {
				var err error
				if d, err = c.decide(tx, "prod/web", ""); err != nil {
					t.Fatal(err)
				}
			})
			return d
		}
		first, second := decide(), decide()
		if len(first.plan.Starts) != 1 || len(second.plan.Starts) != 1 {
			t.Fatalf("they start %+v and %+v", first.plan.Starts, second.plan.Starts)
		}
		if err := c.start(t.Context(), &second, second.plan.Starts[0]); err != nil {
			t.Error(err)
		}
		if err := c.start(t.Context(), &first, first.plan.Starts[0]); !errors.Is(err, errStale) {
			t.Errorf("the first was overtaken, and gives %v", err)
		}
		third := decide()
		third.plan.Starts = second.plan.Starts
		b.update(func(s *gantry.Service) { s.DesiredCount = 1 })
		if err := c.start(t.Context(), &third, third.plan.Starts[0]); !errors.Is(err, errStale) {
			t.Errorf("the service was updated, and starting gives %v", err)
		}
		if got := store.Tasks.Len(b.store.View()); got != 1 {
			t.Errorf("there are %d tasks, want the one that finds out what the tags mean", got)
		}
		b.control()
	})
}
