package ecs

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gantry"
	"gantry/internal/store"
	"gantry/internal/wire"
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

func TestShapeOfATask(t *testing.T) {
	w := newWorld(t)
	w.makeCluster("prod")
	w.define("web", 10, 32, func(in *ecsapi.RegisterTaskDefinitionInput) {
		in.ContainerDefinitions = append(in.ContainerDefinitions, ecsapi.ContainerDefinition{Name: new("side"), Image: new("busybox"), MemoryReservation: new(int32(16)), Essential: new(false)})
	})
	w.join("prod", 1024, 512, ecsapi.Attribute{Name: new("com.amazonaws.ecs.capability.docker-remote-api.1.21")})
	out := must(w, w.ops.RunTask, &ecsapi.RunTaskInput{
		Cluster: new("prod"), TaskDefinition: new("web"), StartedBy: new("me"), Group: new("batch"), ReferenceId: new("r"),
		Overrides: &ecsapi.TaskOverride{ContainerOverrides: []ecsapi.ContainerOverride{{Name: new("side"), Command: []string{"true"}, Cpu: new(int32(20))}}},
	})
	got, err := json.MarshalIndent(out.Tasks[0], "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("testdata/task.json")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)+"\n"); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestListTasks(t *testing.T) {
	w := newWorld(t)
	w.makeCluster("prod")
	w.makeCluster("test")
	w.define("web", 10, 16)
	w.define("job", 10, 16)
	one := string(w.join("prod", 1024, 512))
	w.run("prod", "web", 5)
	jobs := must(w, w.ops.RunTask, &ecsapi.RunTaskInput{Cluster: new("prod"), TaskDefinition: new("job"), Count: new(int32(2)), StartedBy: new("cron")}).Tasks
	must(w, w.ops.StopTask, &ecsapi.StopTaskInput{Cluster: new("prod"), Task: jobs[0].TaskArn})
	for _, tt := range []struct {
		name string
		in   ecsapi.ListTasksInput
		want int
	}{
		{"all", ecsapi.ListTasksInput{}, 6},
		{"in pages", ecsapi.ListTasksInput{MaxResults: new(int32(4))}, 6},
		{"another cluster's", ecsapi.ListTasksInput{Cluster: new("test")}, 0},
		{"stopped", ecsapi.ListTasksInput{DesiredStatus: "STOPPED"}, 1},
		{"pending: no task desires that", ecsapi.ListTasksInput{DesiredStatus: "PENDING"}, 0},
		{"family", ecsapi.ListTasksInput{Family: new("web")}, 5},
		{"family in pages", ecsapi.ListTasksInput{Family: new("web"), MaxResults: new(int32(2))}, 5},
		{"startedBy", ecsapi.ListTasksInput{StartedBy: new("cron")}, 1},
		{"startedBy, stopped", ecsapi.ListTasksInput{StartedBy: new("cron"), DesiredStatus: "STOPPED"}, 1},
		{"instance", ecsapi.ListTasksInput{ContainerInstance: new(one)}, 6},
		{"instance and family", ecsapi.ListTasksInput{ContainerInstance: new(one), Family: new("job")}, 1},
		{"another instance", ecsapi.ListTasksInput{ContainerInstance: new("nope")}, 0},
		{"launch type", ecsapi.ListTasksInput{LaunchType: ecsapi.LaunchTypeExternal}, 0},
		{"own launch type", ecsapi.ListTasksInput{LaunchType: ecsapi.LaunchTypeEc2}, 6},
	} {
		in := tt.in
		if in.Cluster == nil {
			in.Cluster = new("prod")
		}
		seen := map[string]bool{}
		for {
			out := must(w, w.ops.ListTasks, &in)
			for _, arn := range out.TaskArns {
				seen[arn] = true
			}
			if in.NextToken = out.NextToken; in.NextToken == nil {
				break
			}
			if len(out.TaskArns) != int(*in.MaxResults) {
				t.Errorf("%s: a page of %d", tt.name, len(out.TaskArns))
			}
		}
		if len(seen) != tt.want {
			t.Errorf("%s: %d tasks, want %d", tt.name, len(seen), tt.want)
		}
	}
}

// TestListServiceTasks: a service is named shortly or by its ARN.
func TestListServiceTasks(t *testing.T) {
	w := newWorld(t)
	w.makeCluster("prod")
	w.update(func(tx *store.Tx) error {
		for i, group := range []gantry.Group{"service:web", "service:api"} {
			store.Services.Put(tx, &gantry.Service{Cluster: "prod", Name: gantry.ServiceName(group.Service()), Status: gantry.ServiceActive})
			store.Tasks.Put(tx, &gantry.Task{ID: gantry.TaskID(rune('a' + i)), Cluster: "prod", Instance: "i1", Group: group, DesiredStatus: gantry.Running, LastStatus: gantry.Running})
		}
		return nil
	})
	for _, in := range []ecsapi.ListTasksInput{
		{ServiceName: new("web")}, {ServiceName: new("arn:aws:ecs:us-east-1:123456789012:service/prod/web")},
		{ServiceName: new("arn:aws:ecs:us-east-1:123456789012:service/prod/web"), ContainerInstance: new("i1")},
	} {
		in.Cluster = new("prod")
		if out := must(w, w.ops.ListTasks, &in); len(out.TaskArns) != 1 || !strings.HasSuffix(out.TaskArns[0], "/a") {
			t.Errorf("%s: %v", *in.ServiceName, out.TaskArns)
		}
	}
}

func TestClientToken(t *testing.T) {
	w := newWorld(t)
	w.makeCluster("prod")
	w.define("web", 10, 16)
	w.join("prod", 1024, 512)
	run := func(count int32) (*ecsapi.RunTaskOutput, error) {
		return do(w, w.ops.RunTask, &ecsapi.RunTaskInput{Cluster: new("prod"), TaskDefinition: new("web"), Count: new(count), ClientToken: new("t")})
	}
	first, err := run(2)
	if err != nil {
		t.Fatal(err)
	}
	arns := func(out *ecsapi.RunTaskOutput) (all []string) {
		for _, task := range out.Tasks {
			all = append(all, *task.TaskArn)
		}
		return all
	}
	w.tell("prod", *first.Tasks[0].TaskArn, "RUNNING")
	again, err := run(2)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(arns(first), arns(again)); diff != "" || *again.Tasks[0].LastStatus != "RUNNING" {
		t.Errorf("repeated: %s, %s", diff, *again.Tasks[0].LastStatus)
	}
	_, err = run(3)
	w.wantRefusal(err, "ConflictException: The client token was used before with different parameters.")
	conflict, _ := errors.AsType[*wire.Error](err)
	if diff := cmp.Diff(arns(first), conflict.Members["resourceIds"]); diff != "" {
		t.Error(diff)
	}
	if _, err := w.store.Update(w.ctx, func(tx *store.Tx) error {
		_, id, _ := strings.Cut(*first.Tasks[0].TaskArn, "task/")
		store.Tasks.Delete(tx, id) // it was STOPPED for an hour
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	again, err = run(2)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(arns(first), arns(again)); diff != "" || *again.Tasks[0].LastStatus != "STOPPED" || *again.Tasks[1].LastStatus != "PENDING" {
		t.Errorf("repeated when one is forgotten: %s, %+v", diff, again.Tasks)
	}
	w.clock.Add((25 * time.Hour).Milliseconds())
	later, err := run(3)
	if err != nil || len(later.Tasks) != 3 {
		t.Errorf("a day later: %v", err)
	}
}

func TestStartTask(t *testing.T) {
	w := newWorld(t)
	w.makeCluster("prod")
	w.define("web", 600, 16, func(in *ecsapi.RegisterTaskDefinitionInput) {
		in.PlacementConstraints = []ecsapi.TaskDefinitionPlacementConstraint{{Type: "memberOf", Expression: new("attribute:moon exists")}}
	})
	one, two := string(w.join("prod", 1024, 512)), string(w.join("prod", 512, 512))
	out := must(w, w.ops.StartTask, &ecsapi.StartTaskInput{Cluster: new("prod"), TaskDefinition: new("web"), ContainerInstances: []string{one, two, "nope"}, StartedBy: new("me")})
	if len(out.Tasks) != 1 || !strings.HasSuffix(*out.Tasks[0].ContainerInstanceArn, one) || *out.Tasks[0].StartedBy != "me" {
		t.Errorf("started %+v", out.Tasks)
	}
	var failures []string
	for _, f := range out.Failures {
		failures = append(failures, *f.Arn+" "+*f.Reason+" "+wire.Value(f.Detail))
	}
	prefix := "arn:aws:ecs:us-east-1:123456789012:container-instance/prod/"
	if diff := cmp.Diff([]string{prefix + two + " RESOURCE:CPU needs 600 CPU units, 512 available", prefix + "nope MISSING "}, failures); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestPlacementIsUsed(t *testing.T) {
	w := newWorld(t)
	w.makeCluster("prod")
	w.define("web", 10, 16)
	w.join("prod", 1024, 512, ecsapi.Attribute{Name: new("disk"), Value: new("ssd")})
	w.join("prod", 1024, 512)
	run := func(in *ecsapi.RunTaskInput) map[string]int {
		in.Cluster, in.TaskDefinition = new("prod"), new("web")
		on := map[string]int{}
		for _, task := range must(w, w.ops.RunTask, in).Tasks {
			on[*task.ContainerInstanceArn]++
		}
		return on
	}
	if on := run(&ecsapi.RunTaskInput{Count: new(int32(4)), PlacementConstraints: []ecsapi.PlacementConstraint{{Type: "memberOf", Expression: new("attribute:disk == ssd")}}}); len(on) != 1 {
		t.Errorf("memberOf: %v", on)
	}
	if on := run(&ecsapi.RunTaskInput{Count: new(int32(4)), Group: new("spread"), PlacementStrategy: []ecsapi.PlacementStrategy{{Type: "spread", Field: new("instanceId")}}}); len(on) != 2 {
		t.Errorf("spread: %v", on)
	}
	if on := run(&ecsapi.RunTaskInput{Count: new(int32(3)), Group: new("apart"), PlacementConstraints: []ecsapi.PlacementConstraint{{Type: "distinctInstance"}}}); len(on) != 2 {
		t.Errorf("distinctInstance: %v", on)
	}
}

func TestStopTask(t *testing.T) {
	w := newWorld(t)
	w.makeCluster("prod")
	w.define("web", 10, 16)
	w.join("prod", 1024, 512)
	arn := w.run("prod", "web", 1)[0].TaskArn
	first := must(w, w.ops.StopTask, &ecsapi.StopTaskInput{Cluster: new("prod"), Task: arn, Reason: new("too old")}).Task
	if *first.DesiredStatus != "STOPPED" || *first.LastStatus != "PENDING" || *first.StoppedReason != "too old" || first.StopCode != "UserInitiated" || first.StoppingAt == nil {
		t.Errorf("%+v", first)
	}
	again := must(w, w.ops.StopTask, &ecsapi.StopTaskInput{Cluster: new("prod"), Task: arn}).Task
	if *again.StoppedReason != "too old" || *again.Version != *first.Version {
		t.Errorf("stopping again changed it: %+v", again)
	}
}

// TestConnectivity: a task is as connected as its instance's agent.
func TestConnectivity(t *testing.T) {
	w := newWorld(t)
	w.makeCluster("prod")
	w.define("web", 10, 16)
	id := w.join("prod", 1024, 512)
	arn := *w.run("prod", "web", 1)[0].TaskArn
	describe := func() (task ecsapi.Task) {
		out := must(w, w.ops.DescribeTasks, &ecsapi.DescribeTasksInput{Cluster: new("prod"), Tasks: []string{arn}})
		if err := json.Unmarshal(out.EncodedTasks[0], &task); err != nil {
			t.Fatal(err)
		}
		return task
	}
	if got := describe().Connectivity; got != "" {
		t.Errorf("before its agent has told of it: %s", got)
	}
	w.tell("prod", arn, "RUNNING")
	if got := describe(); got.Connectivity != "CONNECTED" || got.ConnectivityAt == nil {
		t.Errorf("running: %s", got.Connectivity)
	}
	w.connect("prod", id, false)
	if got := describe().Connectivity; got != "DISCONNECTED" {
		t.Errorf("its agent is gone: %s", got)
	}
}

// TestHealth: telemetry makes a task's health, its essential containers deciding.
func TestHealth(t *testing.T) {
	w := newWorld(t)
	w.makeCluster("prod")
	w.define("web", 10, 16, func(in *ecsapi.RegisterTaskDefinitionInput) {
		in.ContainerDefinitions = append(in.ContainerDefinitions, ecsapi.ContainerDefinition{Name: new("side"), Image: new("i"), Memory: new(int32(4)), Essential: new(false)})
	})
	w.join("prod", 1024, 512)
	arn := *w.run("prod", "web", 1)[0].TaskArn
	for _, tt := range []struct{ web, side, want ecsapi.HealthStatus }{
		{"UNKNOWN", "UNKNOWN", "UNKNOWN"}, {"HEALTHY", "UNHEALTHY", "HEALTHY"}, {"UNHEALTHY", "HEALTHY", "UNHEALTHY"},
	} {
		task := w.task(arn)
		if err := w.ReportHealth(w.ctx, "prod", task.ID, map[string]ecsapi.HealthStatus{"web": tt.web, "side": tt.side}); err != nil {
			t.Fatal(err)
		}
		if got := w.showWhole(w.store.View(), w.task(arn)).HealthStatus; got != tt.want {
			t.Errorf("web %s, side %s: %s", tt.web, tt.side, got)
		}
	}
	if err := w.ReportHealth(w.ctx, "prod", "nope", map[string]ecsapi.HealthStatus{"web": "HEALTHY"}); err != nil {
		t.Errorf("an unknown task: %v", err)
	}
}

// TestUnknownTaskIsAcknowledged: else an agent would nag for a day.
func TestUnknownTaskIsAcknowledged(t *testing.T) {
	w := newWorld(t)
	out := must(w, w.ops.SubmitTaskStateChange, &ecsapi.SubmitTaskStateChangeInput{Cluster: new("gone"), Task: new("nope"), Status: new("STOPPED")})
	if *out.Acknowledgment == "" {
		t.Error("no acknowledgment")
	}
}

func TestPollEndpoint(t *testing.T) {
	w := newWorld(t)
	out := must(w, w.ops.DiscoverPollEndpoint, &ecsapi.DiscoverPollEndpointInput{})
	if *out.Endpoint != "http://127.0.0.1:4747/acs/" || *out.TelemetryEndpoint != "http://127.0.0.1:4747/tcs/" {
		t.Errorf("%+v", out)
	}
}
