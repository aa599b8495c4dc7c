package ecs

import (
	"fmt"
	"testing"
	"time"

	"gantry"
	"gantry/internal/store"
	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"
)

// serves puts tasks of a service into the store, with a deployment in the given state.
func (w *world) serves(cluster, service string, desired, tasks int, status ecsapi.ServiceDeploymentStatus) []string {
	w.t.Helper()
	var arns []string
	w.update(func(tx *store.Tx) error {
		c, name := gantry.ClusterName(cluster), gantry.ServiceName(service)
		store.Services.Put(tx, &gantry.Service{Name: name, Cluster: c, Status: gantry.ServiceActive, Scheduling: ecsapi.SchedulingStrategyReplica, DesiredCount: desired, Deployment: "d1"})
		store.Deployments.Put(tx, &gantry.Deployment{ID: "d1", Cluster: c, Service: name, Status: status, Target: gantry.Rollout{Revision: "1"}})
		for i := range tasks {
			id := gantry.TaskID(fmt.Sprintf("%s%d", service, i))
			store.Tasks.Put(tx, &gantry.Task{ID: id, Cluster: c, Definition: "web:1", Group: gantry.ServiceGroup(service), StartedBy: "ecs-svc/1",
				LastStatus: gantry.Running, DesiredStatus: gantry.Running, Version: 1})
			arns = append(arns, string(testPlace.Task(c, id)))
		}
		return nil
	})
	return arns
}

// protected tells what answers to a protection say, a line each.
func protected(tasks []ecsapi.ProtectedTask, failures []ecsapi.Failure) (lines []string) {
	for _, t := range tasks {
		line := fmt.Sprint(*t.TaskArn, " ", *t.ProtectionEnabled)
		if t.ExpirationDate != nil {
			line += " " + t.ExpirationDate.UTC().Format(time.TimeOnly)
		}
		lines = append(lines, line)
	}
	for _, f := range failures {
		lines = append(lines, fmt.Sprintf("%s %s: %s", *f.Arn, *f.Reason, wire.Value(f.Detail)))
	}
	return lines
}

func TestTaskProtection(t *testing.T) {
	w := newWorld(t)
	w.makeCluster("prod")
	w.define("web", 256, 128)
	w.join("prod", 2048, 1024)
	tasks := w.serves("prod", "web", 2, 2, ecsapi.ServiceDeploymentStatusSuccessful)
	alone := *must(w, w.ops.RunTask, &ecsapi.RunTaskInput{Cluster: new("prod"), TaskDefinition: new("web"), StartedBy: new("ecs-svc/1")}).Tasks[0].TaskArn
	ended := w.serves("prod", "old", 1, 1, ecsapi.ServiceDeploymentStatusSuccessful)[0]
	must(w, w.ops.StopTask, &ecsapi.StopTaskInput{Cluster: new("prod"), Task: new(ended)})

	update := func(enabled bool, minutes *int32, tasks ...string) []string {
		t.Helper()
		out := must(w, w.ops.UpdateTaskProtection, &ecsapi.UpdateTaskProtectionInput{Cluster: new("prod"), Tasks: tasks, ProtectionEnabled: &enabled, ExpiresInMinutes: minutes})
		return protected(out.ProtectedTasks, out.Failures)
	}
	get := func(tasks ...string) []string {
		t.Helper()
		out := must(w, w.ops.GetTaskProtection, &ecsapi.GetTaskProtectionInput{Cluster: new("prod"), Tasks: tasks})
		return protected(out.ProtectedTasks, out.Failures)
	}
	for _, c := range []struct {
		what string
		got  []string
		want []string
	}{
		{"not protected", get("web0"), []string{tasks[0] + " false"}},
		{"two hours by default", update(true, nil, tasks[0]), []string{tasks[0] + " true 14:00:00"}},
		{"the clock starts anew", update(true, new(int32(1)), "web0", "web1"), []string{tasks[0] + " true 12:01:00", tasks[1] + " true 12:01:00"}},
		{"for two days at most", update(true, new(int32(2880)), "web1"), []string{tasks[1] + " true 12:00:00"}},
		{"ended", update(false, nil, "web1"), []string{tasks[1] + " false"}},
		{"the others are failures", update(true, nil, "web0", "nope", alone, ended), []string{
			tasks[0] + " true 14:00:00",
			"arn:aws:ecs:us-east-1:123456789012:task/prod/nope MISSING: ",
			alone + " TASK_NOT_VALID: The task does not belong to a service.",
			ended + " TASK_NOT_VALID: The task is stopped or stopping.",
		}},
		{"also when asking", get("web0", alone, "nope"), []string{
			tasks[0] + " true 14:00:00",
			alone + " TASK_NOT_VALID: The task does not belong to a service.",
			"arn:aws:ecs:us-east-1:123456789012:task/prod/nope MISSING: ",
		}},
	} {
		if fmt.Sprint(c.got) != fmt.Sprint(c.want) {
			t.Errorf("%s:\ngot  %s\nwant %s", c.what, c.got, c.want)
		}
	}
	w.clock.Add((2 * time.Hour).Milliseconds())
	if got := get("web0"); got[0] != tasks[0]+" false" {
		t.Errorf("after its time: %s", got)
	}
}

func TestProtectionDuringADeployment(t *testing.T) {
	w := newWorld(t)
	w.makeCluster("prod")
	w.serves("prod", "web", 2, 4, ecsapi.ServiceDeploymentStatusInProgress)
	update := func(tasks ...string) (protected int, failures []ecsapi.Failure) {
		t.Helper()
		out := must(w, w.ops.UpdateTaskProtection, &ecsapi.UpdateTaskProtectionInput{Cluster: new("prod"), Tasks: tasks, ProtectionEnabled: new(true)})
		return len(out.ProtectedTasks), out.Failures
	}
	if n, failures := update("web0", "web1", "web2"); n != 2 || len(failures) != 1 || *failures[0].Reason != "DEPLOYMENT_BLOCKED" ||
		*failures[0].Detail != "A deployment of service web is under way, and as many of its tasks as are desired are protected already." {
		t.Errorf("three of two: %d protected, %v", n, failures)
	}
	if n, failures := update("web0", "web1"); n != 2 {
		t.Errorf("the same again: %d protected, %v", n, failures)
	}
	must(w, w.ops.UpdateTaskProtection, &ecsapi.UpdateTaskProtectionInput{Cluster: new("prod"), Tasks: []string{"web0"}, ProtectionEnabled: new(false)})
	if n, failures := update("web2"); n != 1 {
		t.Errorf("in the place of another: %d protected, %v", n, failures)
	}
}

func TestProtectionRefusals(t *testing.T) {
	w := newWorld(t)
	w.makeCluster("prod")
	update := func(cluster string, minutes *int32, tasks ...string) error {
		_, err := do(w, w.ops.UpdateTaskProtection, &ecsapi.UpdateTaskProtectionInput{Cluster: new(cluster), Tasks: tasks, ProtectionEnabled: new(true), ExpiresInMinutes: minutes})
		return err
	}
	w.wantRefusal(update("prod", new(int32(0)), "t"), "InvalidParameterException: expiresInMinutes is 0; it has to be between 1 and 2880.")
	w.wantRefusal(update("prod", new(int32(2881)), "t"), "InvalidParameterException: expiresInMinutes is 2881; it has to be between 1 and 2880.")
	w.wantRefusal(update("nope", nil, "t"), "ClusterNotFoundException: Cluster not found.")
	w.wantRefusal(update("prod", nil, make([]string, 11)...), "InvalidParameterException: tasks …")
	w.wantRefusal(update("prod", nil, "arn:aws:ecs:us-east-1:123456789012:task/test/t"), "InvalidParameterException: Identifier is for cluster test. Your cluster is prod")
	w.wantRefusal(call(w, w.ops.UpdateTaskProtection, &ecsapi.UpdateTaskProtectionInput{Cluster: new("prod"), Tasks: []string{"t"}})(),
		"InvalidParameterException: protectionEnabled is required: true or false.")
	w.wantRefusal(call(w, w.ops.GetTaskProtection, &ecsapi.GetTaskProtectionInput{Cluster: new("prod")})(), "InvalidParameterException: Tasks cannot be empty.")
	w.wantRefusal(call(w, w.ops.GetTaskProtection, &ecsapi.GetTaskProtectionInput{Cluster: new("nope"), Tasks: []string{"t"}})(), "ClusterNotFoundException: Cluster not found.")
}
