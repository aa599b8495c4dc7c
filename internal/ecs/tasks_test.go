package ecs

import (
	"encoding/json"
	"testing"

	"gantry"
	"gantry/internal/wire/ecsapi"
)

// TestLifeOfATask follows one task from RunTask to STOPPED.
func TestLifeOfATask(t *testing.T) {
	w := newWorld(t)
	w.makeCluster("prod")
	w.define("web", 256, 128)
	instance := w.join("prod", 2048, 1024)

	task := w.run("prod", "web", 1)[0]
	if *task.LastStatus != "PENDING" || *task.DesiredStatus != "RUNNING" {
		t.Fatalf("a new task is %s, desired %s", *task.LastStatus, *task.DesiredStatus)
	}
	if r := w.reservation("prod", instance); r.Taken.CPU != 256 || r.Taken.Memory != 128 || r.Tasks != 1 {
		t.Fatalf("reserved: %+v", r)
	}
	arn := *task.TaskArn
	w.tell("prod", arn, "RUNNING", ecsapi.ContainerStateChange{ContainerName: new("web"), Status: new("RUNNING"), RuntimeId: new("abc")})
	if got := w.task(arn); got.LastStatus != gantry.Running || got.StartedAt.IsZero() || got.Containers[0].RuntimeID != "abc" {
		t.Fatalf("after RUNNING: %+v", got)
	}
	must(w, w.ops.StopTask, &ecsapi.StopTaskInput{Cluster: new("prod"), Task: new(arn)})
	w.tell("prod", arn, "STOPPED", ecsapi.ContainerStateChange{ContainerName: new("web"), Status: new("STOPPED"), ExitCode: new(int32(137))})
	got := w.task(arn)
	if got.LastStatus != gantry.Stopped || got.StopCode != ecsapi.TaskStopCodeUserInitiated || got.StoppedReason != "Task stopped by user" || *got.Containers[0].ExitCode != 137 {
		t.Fatalf("after STOPPED: %+v", got)
	}
	if r := w.reservation("prod", instance); r.Taken.CPU != 0 || r.Taken.Memory != 0 || r.Tasks != 0 {
		t.Fatalf("still reserved: %+v", r)
	}
	out := must(w, w.ops.DescribeTasks, &ecsapi.DescribeTasksInput{Cluster: new("prod"), Tasks: []string{arn, "nope"}})
	if len(out.Failures) != 1 || *out.Failures[0].Reason != "MISSING" {
		t.Fatalf("failures %+v", out.Failures)
	}
	var described ecsapi.Task
	if err := json.Unmarshal(out.EncodedTasks[0], &described); err != nil {
		t.Fatal(err)
	}
	if *described.LastStatus != "STOPPED" || *described.Cpu != "256" || *described.Containers[0].ExitCode != 137 {
		t.Fatalf("described %s", out.EncodedTasks[0])
	}
}
