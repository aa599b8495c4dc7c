package ecs

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gantry"
	"gantry/internal/store"
	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"
)

// byProvider counts tasks by "<provider> <status>".
func byProvider(tasks []ecsapi.Task) map[string]int {
	out := map[string]int{}
	for _, t := range tasks {
		out[wire.Value(t.CapacityProviderName)+" "+*t.LastStatus]++
	}
	return out
}

// Base and weight hold over any sequence of calls, and tasks without room are no failures.
func TestRunTaskByStrategy(t *testing.T) {
	w := newWorld(t)
	w.provide("a")
	w.provide("b")
	w.associate("prod", []string{"a", "b"}, "a 1+2", "b 3")
	w.join("prod", 12*256, 10000, ecsapi.Attribute{Name: new(gantry.AttributeGroup), Value: new("a-group")})
	w.define("web", 256, 128)
	var all []ecsapi.Task
	for _, step := range []struct {
		count int32
		want  map[string]int // of all so far
	}{
		{1, map[string]int{"a PENDING": 1}},
		{1, map[string]int{"a PENDING": 2}},
		{4, map[string]int{"a PENDING": 3, "b PROVISIONING": 3}},
		{4, map[string]int{"a PENDING": 3, "a PROVISIONING": 1, "b PROVISIONING": 6}},
	} {
		out := must(w, w.ops.RunTask, &ecsapi.RunTaskInput{Cluster: new("prod"), TaskDefinition: new("web"), Count: new(step.count)})
		if len(out.Failures) != 0 || len(out.Tasks) != int(step.count) {
			t.Fatalf("%d tasks, failures %v", len(out.Tasks), out.Failures)
		}
		all = append(all, out.Tasks...)
		if diff := cmp.Diff(step.want, byProvider(all)); diff != "" {
			t.Fatalf("after %d tasks (-want +got)\n%s", len(all), diff)
		}
	}
	if first := all[0]; first.LaunchType != ecsapi.LaunchTypeEc2 || first.ContainerInstanceArn == nil {
		t.Errorf("placed: %+v", first)
	}
	waits := all[len(all)-1]
	if waits.ContainerInstanceArn != nil || *waits.Cpu != "256" || *waits.DesiredStatus != "RUNNING" || len(waits.Containers) != 1 {
		t.Errorf("waits: %+v", waits)
	}
	c := must(w, w.ops.DescribeClusters, &ecsapi.DescribeClustersInput{Clusters: []string{"prod"}}).Clusters[0]
	if *c.PendingTasksCount != 10 {
		t.Errorf("%d are pending", *c.PendingTasksCount)
	}
	// A launch type excludes the strategy, and is counted by no provider.
	by := must(w, w.ops.RunTask, &ecsapi.RunTaskInput{Cluster: new("prod"), TaskDefinition: new("web"), LaunchType: ecsapi.LaunchTypeEc2}).Tasks
	if diff := cmp.Diff(map[string]int{" PENDING": 1}, byProvider(by)); diff != "" {
		t.Errorf("by launch type (-want +got)\n%s", diff)
	}
	// A provider that is alone takes everything, whatever its weight.
	alone := must(w, w.ops.RunTask, &ecsapi.RunTaskInput{Cluster: new("prod"), TaskDefinition: new("web"), CapacityProviderStrategy: items("b"), Count: new(int32(2))}).Tasks
	if diff := cmp.Diff(map[string]int{"b PROVISIONING": 2}, byProvider(alone)); diff != "" {
		t.Errorf("alone (-want +got)\n%s", diff)
	}
	stopped := must(w, w.ops.StopTask, &ecsapi.StopTaskInput{Cluster: new("prod"), Task: alone[0].TaskArn}).Task
	if *stopped.DesiredStatus != "STOPPED" || *stopped.LastStatus != "PROVISIONING" {
		t.Errorf("stopped: %+v", stopped)
	}
}

func TestTooManyTasksWait(t *testing.T) {
	w := newWorld(t)
	w.provide("a")
	w.associate("prod", []string{"a"}, "a 1")
	w.define("web", 256, 128)
	in := &ecsapi.RunTaskInput{Cluster: new("prod"), TaskDefinition: new("web"), Count: new(int32(10))}
	for range 50 {
		must(w, w.ops.RunTask, in)
	}
	in.Count = new(int32(1))
	_, err := do(w, w.ops.RunTask, in)
	w.wantRefusal(err, "ClientException: You've reached the limit on the number of tasks in a provisioning state: 500 in a cluster.")
}

// A task with a queue waits where another one would be refused, and a repeated call with
// its token answers it again.
func TestRunTaskThatWaits(t *testing.T) {
	w := newWorld(t)
	w.makeCluster("prod")
	w.define("web", 256, 128)
	in := &ecsapi.RunTaskInput{Cluster: new("prod"), TaskDefinition: new("web"), ClientToken: new("once"),
		Tags: []ecsapi.Tag{{Key: new("gantry:queue"), Value: new("30m")}}, EnableECSManagedTags: new(true),
		PlacementConstraints: []ecsapi.PlacementConstraint{{Type: "memberOf", Expression: new("attribute:x exists")}}}
	task := must(w, w.ops.RunTask, in).Tasks[0]
	if *task.LastStatus != "PROVISIONING" || task.CapacityProviderName != nil || task.LaunchType != ecsapi.LaunchTypeEc2 {
		t.Errorf("waits: %+v", task)
	}
	tags := ""
	for _, tag := range task.Tags {
		tags += fmt.Sprintf("%s=%s ", *tag.Key, *tag.Value)
	}
	if tags != "gantry:queue=30m aws:ecs:clusterName=prod " {
		t.Errorf("tags %s", tags)
	}
	if again := must(w, w.ops.RunTask, in).Tasks; len(again) != 1 || *again[0].TaskArn != *task.TaskArn {
		t.Errorf("repeated: %+v", again)
	}
	kept, _ := store.Tasks.Get(w.store.View(), "prod/"+(*task.TaskArn)[strings.LastIndexByte(*task.TaskArn, '/')+1:])
	if kept.Asked == nil || len(kept.Asked.Constraints) != 1 {
		t.Errorf("what it asked for is forgotten: %+v", kept.Asked)
	}
	_, err := do(w, w.ops.RunTask, &ecsapi.RunTaskInput{Cluster: new("prod"), TaskDefinition: new("web")})
	w.wantRefusal(err, "InvalidParameterException: No Container Instances were found in your cluster.")
}

func TestFailed(t *testing.T) {
	essential := func(name string) bool { return name != "helper" }
	exit := func(name string, code int32) gantry.Container {
		return gantry.Container{Name: name, LastStatus: gantry.Stopped, ExitCode: new(code)}
	}
	const exited, never = ecsapi.TaskStopCodeEssentialContainerExited, ecsapi.TaskStopCodeTaskFailedToStart
	for _, tt := range []struct {
		name       string
		code       gantry.StopCode
		containers []gantry.Container
		want       bool
	}{
		{"ended well", exited, []gantry.Container{exit("main", 0)}, false},
		{"ended badly", exited, []gantry.Container{exit("main", 3)}, true},
		{"killed", exited, []gantry.Container{exit("main", 137)}, true},
		{"only the helper did", exited, []gantry.Container{exit("main", 0), exit("helper", 1)}, false},
		{"another was ended with it", exited, []gantry.Container{exit("main", 0), exit("proxy", 143)}, false},
		{"another failed with it", exited, []gantry.Container{exit("main", 0), exit("proxy", 1)}, true},
		{"others run still", exited, []gantry.Container{exit("main", 0), {Name: "proxy", LastStatus: gantry.Running}}, false},
		{"without a code", exited, []gantry.Container{{Name: "main", LastStatus: gantry.Stopped}}, true},
		{"never started", never, []gantry.Container{{Name: "main", LastStatus: gantry.Stopped}}, true},
	} {
		if got := failed(&gantry.Task{StopCode: tt.code, Containers: tt.containers}, essential); got != tt.want {
			t.Errorf("%s: %t", tt.name, got)
		}
	}
}
