package events

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gantry"
	"gantry/internal/store"
	"gantry/internal/wire/ecsapi"
	"gantry/internal/wire/eventsapi"

	"github.com/google/go-cmp/cmp"
)

// step writes the next version of a task.
func step(id string, version int64, last gantry.TaskStatus) func(*store.Tx) {
	return func(tx *store.Tx) {
		store.Tasks.Put(tx, &gantry.Task{ID: gantry.TaskID(id), Cluster: "prod", Version: version, LastStatus: last, DesiredStatus: gantry.Running, CreatedAt: time.Now()})
	}
}

// Every step is told once and in order, also those that happen while nobody tells.
func TestOnceAndInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.write(step("a", 1, gantry.Pending)) // before there is a rule
		w.everything()
		version := int64(1)
		for round := range 4 {
			for range 5 {
				version++
				w.write(step("a", version, gantry.Running))
				pass(time.Second)
			}
			if round%2 == 0 {
				w.stop()
				for range 3 {
					version++
					w.write(step("a", version, gantry.Running))
				}
				w.start()
			}
		}
		pass(time.Minute)
		ids := map[any]bool{}
		for i, e := range w.all() {
			if got := detail(e)["version"]; got != float64(i+2) {
				t.Fatalf("event %d is of version %v", i, got)
			}
			if ids[e["id"]] {
				t.Errorf("the id %v is there twice", e["id"])
			}
			ids[e["id"]] = true
		}
		if len(ids) != int(version)-1 {
			t.Errorf("%d events of %d steps", len(ids), version-1)
		}
	})
}

// A task's event has the task as ECS describes it, with the differences of events.
func TestTaskEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.everything()
		at := time.Date(2026, 11, 23, 12, 0, 0, 402e6, time.UTC)
		task := gantry.Task{ID: "a", Cluster: "prod", Version: 1, LastStatus: gantry.Pending, DesiredStatus: gantry.Running, CreatedAt: at.Add(-time.Hour),
			Containers: []gantry.Container{{Name: "web", Health: ecsapi.HealthStatusHealthy}}}
		w.write(func(tx *store.Tx) { store.Tasks.Put(tx, &task) })
		task.Reckoned = true // nothing that a user sees
		w.write(func(tx *store.Tx) { store.Tasks.Put(tx, &task) })
		task.Version, task.LastStatus, task.DesiredStatus, task.StoppedAt, task.StopCode = 2, gantry.Stopped, gantry.Stopped, at, ecsapi.TaskStopCodeUserInitiated
		w.write(func(tx *store.Tx) { store.Tasks.Put(tx, &task) })
		w.write(func(tx *store.Tx) { store.Tasks.Delete(tx, task.Key()) })
		pass(time.Second)
		all := w.all()
		if len(all) != 2 {
			t.Fatalf("%d events: %v", len(all), all)
		}
		e := all[1]
		if e["version"] != "0" || e["detail-type"] != "ECS Task State Change" || e["source"] != "aws.ecs" || e["account"] != "123456789012" ||
			e["region"] != "us-east-1" || e["time"] != "2026-11-23T12:00:00Z" || fmt.Sprint(e["resources"]) != "[arn:aws:ecs:us-east-1:123456789012:task/prod/a]" {
			t.Errorf("envelope %v", e)
		}
		d := detail(e)
		if d["stoppedAt"] != "2026-11-23T12:00:00.402Z" || d["createdAt"] != "2026-11-23T11:00:00.402Z" || d["updatedAt"] != "2026-11-23T12:00:00.402Z" ||
			d["version"] != 2.0 || d["stopCode"] != "UserInitiated" {
			t.Errorf("detail %v", d)
		}
		for _, absent := range []string{"healthStatus", "tags", "startedAt"} {
			if _, there := d[absent]; there {
				t.Errorf("%s is there", absent)
			}
		}
		if _, there := d["containers"].([]any)[0].(map[string]any)["healthStatus"]; there {
			t.Error("a container's health is there")
		}
		if got := d["attachments"].([]any)[0].(map[string]any)["type"]; got != "eni" {
			t.Errorf("attachment of type %v", got)
		}
	})
}

func TestInstanceEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.everything()
		instance := gantry.Instance{ID: "i", Cluster: "prod", Status: ecsapi.ContainerInstanceStatusActive, Version: 1, RegisteredAt: time.Now()}
		w.write(func(tx *store.Tx) {
			store.Instances.Put(tx, &instance)
			store.Reservations.Put(tx, &gantry.Reservation{Cluster: "prod", Instance: "i"})
		})
		w.write(func(tx *store.Tx) {
			store.Connections.Put(tx, &gantry.Connection{Cluster: "prod", Instance: "i", Connected: true, Epoch: 1})
		})
		for v := range int64(2) {
			w.write(func(tx *store.Tx) {
				store.Reservations.Put(tx, &gantry.Reservation{Cluster: "prod", Instance: "i", Tasks: 1, Version: v + 1})
			})
			pass(time.Second)
		}
		w.write(func(tx *store.Tx) {
			store.Connections.Put(tx, &gantry.Connection{Cluster: "prod", Instance: "i", Connected: false, Epoch: 1})
		})
		pass(time.Second)
		var got []string
		for _, e := range w.all() {
			if e["detail-type"] != "ECS Container Instance State Change" || detail(e)["clusterArn"] != "arn:aws:ecs:us-east-1:123456789012:cluster/prod" {
				t.Errorf("event %v", e)
			}
			got = append(got, fmt.Sprintf("%v/%v", detail(e)["version"], detail(e)["agentConnected"]))
		}
		if want := "1/false 1/true 2/true 3/true 3/false"; strings.Join(got, " ") != want {
			t.Errorf("got %s, want %s", strings.Join(got, " "), want)
		}
	})
}

func TestServiceEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.everything()
		h := gantry.ServiceHistory{Cluster: "prod", Service: "web"}
		say := func(name, message string) {
			h.Version++
			h.Events = append([]gantry.ServiceEvent{{ID: fmt.Sprint(h.Version), At: time.Now(), Name: name, Message: "(service web) " + message}}, h.Events...)
		}
		deployed := func(name, message, reason string) {
			say(name, message)
			h.Events[0].Deployment, h.Events[0].Reason = "12", reason
		}
		deployed("SERVICE_DEPLOYMENT_IN_PROGRESS", "", "ECS deployment ecs-svc/12 in progress.")
		say("TASKS_STARTED", "has started 1 tasks: (task a).")
		w.write(func(tx *store.Tx) { store.ServiceHistories.Put(tx, &h) })
		say("", "was unable to do what has no name.")
		say("SERVICE_TASK_PLACEMENT_FAILURE", "was unable to place a task because no container instance met all of its requirements. The closest matching container-instance abc has insufficient CPU units available.")
		h.Events[0].Providers = []string{"a"}
		deployed("SERVICE_DEPLOYMENT_COMPLETED", "(service web) (deployment ecs-svc/12) deployment completed.", "ECS deployment ecs-svc/12 completed.")
		say("SERVICE_DAEMON_PLACEMENT_CONSTRAINT_VIOLATED", "")
		h.Events[0].Message, h.Events[0].Reason = "", "(task t1) no longer satisfies the placement constraints on container-instance i1."
		deployed("SERVICE_DEPLOYMENT_FAILED", "(service web) (deployment ecs-svc/12) deployment failed: tasks failed to start.", "ECS deployment circuit breaker: tasks failed to start.")
		say("SERVICE_STEADY_STATE", "has reached a steady state.")
		say("CAPACITY_PROVIDER_STEADY_STATE", "")
		h.Events[0].Message, h.Events[0].Providers = "", []string{"a", "b"}
		w.write(func(tx *store.Tx) { store.ServiceHistories.Put(tx, &h) })
		pass(time.Second)
		var got []string
		for _, e := range w.all() {
			d := detail(e)
			got = append(got, strings.TrimSpace(fmt.Sprintf("%v | %v %v %v %v", e["detail-type"], d["eventType"], d["eventName"], d["deploymentId"], d["reason"])))
			if arns := d["capacityProviderArns"]; arns != nil {
				got[len(got)-1] += fmt.Sprint(" ", arns)
			}
			if fmt.Sprint(e["resources"]) != "[arn:aws:ecs:us-east-1:123456789012:service/prod/web]" {
				t.Errorf("resources %v", e["resources"])
			}
		}
		want := []string{
			"ECS Deployment State Change | INFO SERVICE_DEPLOYMENT_IN_PROGRESS ecs-svc/12 ECS deployment ecs-svc/12 in progress.",
			"ECS Service Action | INFO TASKS_STARTED <nil> <nil>",
			"ECS Service Action | ERROR SERVICE_TASK_PLACEMENT_FAILURE <nil> RESOURCE:CPU [arn:aws:ecs:us-east-1:123456789012:capacity-provider/a]",
			"ECS Deployment State Change | INFO SERVICE_DEPLOYMENT_COMPLETED ecs-svc/12 ECS deployment ecs-svc/12 completed.",
			"ECS Service Action | ERROR SERVICE_DAEMON_PLACEMENT_CONSTRAINT_VIOLATED <nil> (task t1) no longer satisfies the placement constraints on container-instance i1.",
			"ECS Deployment State Change | ERROR SERVICE_DEPLOYMENT_FAILED ecs-svc/12 ECS deployment circuit breaker: tasks failed to start.",
			"ECS Service Action | INFO SERVICE_STEADY_STATE <nil> <nil>",
			"ECS Service Action | INFO CAPACITY_PROVIDER_STEADY_STATE <nil> <nil> [arn:aws:ecs:us-east-1:123456789012:capacity-provider/a arn:aws:ecs:us-east-1:123456789012:capacity-provider/b]",
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("got\n%s", strings.Join(got, "\n"))
		}
	})
}

// A hook at which a deployment waits is told once, with what ContinueServiceDeployment needs.
func TestHooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.everything()
		at := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
		d := gantry.Deployment{ID: "abc", Cluster: "prod", Service: "web", Target: gantry.Rollout{Revision: "12"},
			Configuration: &ecsapi.DeploymentConfiguration{LifecycleHooks: []ecsapi.DeploymentLifecycleHook{{}}}}
		put := func(hooks ...gantry.Hook) {
			d.Hooks = hooks
			w.write(func(tx *store.Tx) { store.Deployments.Put(tx, d.Clone()) })
		}
		hook := gantry.Hook{ID: "abc-1", Stage: ecsapi.DeploymentLifecycleHookStagePostScaleUp, Status: ecsapi.DeploymentLifecycleHookStatusAwaitingAction, StartedAt: at, ExpiresAt: at.Add(time.Hour)}
		put()
		put(hook)
		d.Weight = 1 // something else has changed
		put(hook)
		hook.Status = ecsapi.DeploymentLifecycleHookStatusSucceeded
		put(hook)
		pass(time.Second)
		all := w.all()
		if len(all) != 1 {
			t.Fatalf("%d events: %v", len(all), all)
		}
		want := map[string]any{
			"eventType": "INFO", "eventName": "HOOK_AWAITING_ACTION", "clusterArn": "arn:aws:ecs:us-east-1:123456789012:cluster/prod",
			"serviceDeploymentArn": "arn:aws:ecs:us-east-1:123456789012:service-deployment/prod/web/abc", "deploymentId": "ecs-svc/12", "hookId": "abc-1",
			"targetType": "PAUSE", "status": "AWAITING_ACTION", "lifecycleStage": "POST_SCALE_UP", "timeoutAction": "ROLLBACK",
			"expiresAt": "2026-11-23T13:00:00.000Z", "createdAt": "2026-11-23T12:00:00.000Z",
		}
		if diff := cmp.Diff(want, detail(all[0])); diff != "" || all[0]["detail-type"] != "ECS Hook State Change" || all[0]["time"] != "2026-11-23T12:00:00Z" {
			t.Errorf("%v: %s", all[0], diff)
		}
	})
}

// What PutEvents has acknowledged is told, in its order, and leaves the store.
func TestPosted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.rule(&eventsapi.PutRuleInput{Name: new("all"), EventPattern: new(`{"source": ["my.app"], "detail": {"n": [{"numeric": ["<", 5]}]}}`)}, eventsapi.Target{Arn: groupARN("all")})
		w.stop()
		var ids []string
		for n := range 10 {
			ids = append(ids, w.post("Thing", fmt.Sprintf(`{"n": %d}`, n)))
		}
		w.start()
		pass(time.Minute)
		all := w.all()
		if len(all) != 5 {
			t.Fatalf("%d events", len(all))
		}
		for i, e := range all {
			if e["id"] != ids[i] || e["source"] != "my.app" || detail(e)["n"] != float64(i) {
				t.Errorf("event %d is %v", i, e)
			}
		}
		if n := store.PostedEvents.Len(w.store.View()); n != 0 {
			t.Errorf("%d posted events are left in the store", n)
		}
		before := w.store.View().Revision()
		pass(time.Hour)
		if after := w.store.View().Revision(); after != before {
			t.Errorf("an idle engine has written %d revisions", after-before)
		}
	})
}

// A restore forgets the past: the engine says so, and goes on from there.
func TestCompacted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.everything()
		w.stop()
		w.write(step("a", 1, gantry.Running))
		if err := w.store.Compact(t.Context(), w.store.View().Revision()); err != nil {
			t.Fatal(err)
		}
		w.reopen() // so that it has none of that at hand
		w.start()
		w.write(step("b", 1, gantry.Running))
		pass(time.Second)
		if all := w.all(); len(all) != 1 || !strings.Contains(fmt.Sprint(all[0]["resources"]), "task/prod/b") {
			t.Errorf("%d events", len(all))
		}
	})
}

func TestHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		at := time.Now()
		for n := range 5 {
			w.write(func(tx *store.Tx) {
				store.Tasks.Put(tx, &gantry.Task{ID: gantry.TaskID(fmt.Sprint("a", n)), Cluster: "prod", Group: gantry.Group(fmt.Sprint("service:s", n%2)), Version: 5,
					LastStatus: gantry.Stopped, DesiredStatus: gantry.Stopped, StoppedAt: at.Add(time.Duration(n) * time.Minute)})
			})
			pass(time.Minute)
		}
		// What is told of a task after its end counts, once.
		w.write(func(tx *store.Tx) {
			if err := store.Tasks.Change(tx, "prod/a1", func(t *gantry.Task) error {
				t.Version++
				t.Containers = []gantry.Container{{Name: "web", ExitCode: new(int32(3))}}
				return nil
			}); err != nil {
				t.Error(err)
			}
		})
		pass(time.Second)
		w.write(func(tx *store.Tx) {
			for n := range 5 {
				store.Tasks.Delete(tx, fmt.Sprint("prod/a", n))
			}
		})
		w.stop()
		w.start()
		names := func(s Search) (out string) {
			found, err := w.e.Stopped(s)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range found {
				out += (*f.Task.TaskArn)[len(*f.Task.TaskArn)-2:] + " "
			}
			return strings.TrimSpace(out)
		}
		for _, c := range []struct {
			s    Search
			want string
		}{
			{Search{}, "a4 a3 a2 a1 a0"},
			{Search{Cluster: "prod"}, "a4 a3 a2 a1 a0"},
			{Search{Cluster: "other"}, ""},
			{Search{Group: "service:s1"}, "a3 a1"},
			{Search{ID: "a2"}, "a2"},
			{Search{Since: at.Add(150 * time.Second)}, "a4 a3 a1"}, // a1 was told of again
		} {
			if got := names(c.s); got != c.want {
				t.Errorf("%+v: %s, want %s", c.s, got, c.want)
			}
		}
		found, err := w.e.Stopped(Search{ID: "a1"})
		if err != nil || len(found) != 1 || len(found[0].Task.Containers) != 1 || *found[0].Task.Containers[0].ExitCode != 3 {
			t.Errorf("%+v %v", found, err)
		}
		pass(DefaultHistory + time.Hour)
		if got := names(Search{}); got != "" {
			t.Errorf("after its time there is still %s", got)
		}
	})
}
