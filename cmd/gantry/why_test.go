package main

import (
	"strings"
	"testing"
	"time"

	"gantry"
	"gantry/internal/store"
	"gantry/internal/wire/ecsapi"
	"gantry/internal/wire/logsapi"
)

// A task that has stopped is explained by its exit codes, its placement and its last lines, also when the store has forgotten it.
func TestWhy(t *testing.T) {
	t.Setenv("AWS_ENDPOINT_URL", "")
	c, _ := running(t)
	dir := c.dir.path
	if _, err := c.logOps.CreateLogGroup(t.Context(), &logsapi.CreateLogGroupInput{LogGroupName: new("/app")}); err != nil {
		t.Fatal(err)
	}
	stream := &logsapi.CreateLogStreamInput{LogGroupName: new("/app"), LogStreamName: new("p/web/bb11")}
	if _, err := c.logOps.CreateLogStream(t.Context(), stream); err != nil {
		t.Fatal(err)
	}
	var lines []logsapi.InputLogEvent
	for _, text := range []string{"one", "two", "the last words"} {
		lines = append(lines, logsapi.InputLogEvent{Timestamp: new(time.Now().UnixMilli()), Message: new(text)})
	}
	if _, err := c.logOps.PutLogEvents(t.Context(), &logsapi.PutLogEventsInput{LogGroupName: stream.LogGroupName, LogStreamName: stream.LogStreamName, LogEvents: lines}); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	task := &gantry.Task{ID: "bb11", Cluster: "default", Definition: "web:3", Instance: "i1", Zone: "us-east-1a", LaunchType: ecsapi.LaunchTypeEc2, Group: "service:web", StartedBy: "ecs-svc/12",
		Version: 4, LastStatus: gantry.Running, DesiredStatus: gantry.Running, CreatedAt: now.Add(-time.Minute), StartedAt: now.Add(-50 * time.Second),
		Containers: []gantry.Container{{Name: "web", RuntimeID: "r1", LastStatus: gantry.Running}, {Name: "side", RuntimeID: "r2", LastStatus: gantry.Running}}}
	put := func() {
		t.Helper()
		if _, err := c.store.Update(t.Context(), func(tx *store.Tx) error { store.Tasks.Put(tx, task); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.store.Update(t.Context(), func(tx *store.Tx) error {
		store.Definitions.Put(tx, &gantry.Definition{Name: "web:3", Status: gantry.Active, Wire: &ecsapi.TaskDefinition{ContainerDefinitions: []ecsapi.ContainerDefinition{
			{Name: new("web"), Image: new("web:1"), LogConfiguration: &ecsapi.LogConfiguration{LogDriver: ecsapi.LogDriverAwslogs,
				Options: map[string]string{"awslogs-group": "/app", "awslogs-stream-prefix": "p"}}},
			{Name: new("side"), Image: new("side:1"), Essential: new(false)},
		}}})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	put()
	said := func(args ...string) string {
		t.Helper()
		out, err := gantryCommand(t, append(args, "--data-dir", dir)...)
		if err != nil {
			t.Fatalf("gantry %s: %v", strings.Join(args, " "), err)
		}
		return out
	}
	if out := said("tasks"); !strings.Contains(out, "bb11") || !strings.Contains(out, "RUNNING") {
		t.Errorf("gantry tasks:\n%s", out)
	}
	if out := said("why", "bb"); !strings.Contains(out, "is RUNNING") || !strings.Contains(out, "| the last words") {
		t.Errorf("gantry why of a running task:\n%s", out)
	}
	connected := func(yes bool) {
		t.Helper()
		if _, err := c.store.Update(t.Context(), func(tx *store.Tx) error {
			store.Connections.Put(tx, &gantry.Connection{Cluster: "default", Instance: "i1", Connected: yes, Since: now.Add(-20 * time.Second)})
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	connected(false)
	if out, want := said("why", "bb"), "but         its agent has been disconnected since "; !strings.Contains(out, want) {
		t.Errorf("gantry why of a task whose agent is away lacks %q:\n%s", want, out)
	}
	connected(true)
	if out := said("why", "bb"); strings.Contains(out, "disconnected") {
		t.Errorf("gantry why of a task whose agent is there:\n%s", out)
	}

	task = store.Tasks.Clone(task)
	task.Version, task.LastStatus, task.DesiredStatus = 5, gantry.Stopped, gantry.Stopped
	task.StopCode, task.StoppedReason = ecsapi.TaskStopCodeEssentialContainerExited, "Essential container in task exited"
	task.StoppedAt = now
	task.Containers[0].LastStatus, task.Containers[0].ExitCode, task.Containers[0].Reason = gantry.Stopped, new(int32(137)), "OutOfMemoryError: Container killed due to memory usage"
	task.Containers[1].LastStatus = gantry.Stopped
	put()
	snap := c.store.View()
	for history := ""; !strings.Contains(history, "bb11"); history = said("tasks", "--stopped") {
		time.Sleep(time.Millisecond) // recorded a moment after the store has it
	}
	check := func(when string) {
		t.Helper()
		out := said("why", "bb11")
		for _, want := range []string{
			"task bb11 in cluster default is STOPPED", "EssentialContainerExited: Essential container in task exited", "ran for 50s", "web:3",
			"container instance i1 in us-east-1a, launch type EC2", "service:web", "started by  ecs-svc/12",
			"container web (essential) exited with 137, ended by SIGKILL", "OutOfMemoryError: Container killed due to memory usage", "web:1",
			"log group /app, stream p/web/bb11", "| one", "| the last words", "container side has no exit code", "the task is on container instance i1, which this machine is not, or no more",
		} {
			if !strings.Contains(out, want) {
				t.Errorf("%s: gantry why does not tell %q:\n%s", when, want, out)
			}
		}
		out = said("tasks", "--stopped", "--service", "web", "--since", "1h")
		if !strings.Contains(out, "bb11") || !strings.Contains(out, "web exited with 137, ended by SIGKILL, OutOfMemoryError") {
			t.Errorf("%s: gantry tasks --stopped:\n%s", when, out)
		}
		if out := said("tasks", "--stopped", "--service", "other"); strings.Contains(out, "bb11") {
			t.Errorf("%s: another service's: %s", when, out)
		}
	}
	check("while ECS knows it")
	if _, err := c.store.Update(t.Context(), func(tx *store.Tx) error {
		store.Tasks.Delete(tx, task.Key())
		store.Definitions.Delete(tx, "web:3")
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.store.Newer(t.Context(), snap.Revision()); err != nil {
		t.Fatal(err)
	}
	check("when ECS has forgotten it")
	if _, err := gantryCommand(t, "why", "cc", "--data-dir", dir); err == nil || !strings.Contains(err.Error(), "there is no task cc") {
		t.Errorf("a task that never was: %v", err)
	}
	if _, err := gantryCommand(t, "tasks", "--since", "1h", "--data-dir", dir); err == nil || !strings.Contains(err.Error(), "--stopped") {
		t.Errorf("--since alone: %v", err)
	}
}
