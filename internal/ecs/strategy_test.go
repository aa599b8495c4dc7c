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

// A task that is to stop is none of its provider's any more: the base is filled again.
func TestStoppedTasksDoNotCount(t *testing.T) {
	w := newWorld(t)
	w.provide("a")
	w.provide("b")
	w.associate("prod", []string{"a", "b"}, "a 0+1", "b 1")
	w.join("prod", 4096, 4096, ecsapi.Attribute{Name: new(gantry.AttributeGroup), Value: new("a-group")})
	w.define("web", 256, 128)
	for _, again := range []bool{false, true} {
		tasks := must(w, w.ops.RunTask, &ecsapi.RunTaskInput{Cluster: new("prod"), TaskDefinition: new("web")}).Tasks
		if diff := cmp.Diff(map[string]int{"a PENDING": 1}, byProvider(tasks)); diff != "" {
			t.Errorf("again %t (-want +got)\n%s", again, diff)
		}
		must(w, w.ops.StopTask, &ecsapi.StopTaskInput{Cluster: new("prod"), Task: tasks[0].TaskArn})
		if row, _ := store.Tasks.Get(w.store.View(), "prod/"+strings.TrimPrefix(*tasks[0].TaskArn, "arn:aws:ecs:us-east-1:123456789012:task/prod/")); row.LastStatus == gantry.Stopped {
			t.Fatal("the task is STOPPED, and not one that is to stop")
		}
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

// A service by a strategy echoes it whole, spreads its tasks by it, and scales in by it;
// moving between a strategy and a launch type takes a deployment.
func TestServiceByStrategy(t *testing.T) {
	w := newWorld(t)
	w.provide("a")
	w.provide("b")
	w.associate("prod", []string{"a", "b"}, "a 1+2", "b 3")
	for _, group := range []string{"a-group", "b-group"} {
		w.join("prod", 100*256, 100000, ecsapi.Attribute{Name: new(gantry.AttributeGroup), Value: new(group)})
	}
	w.define("web", 256, 128)
	made := w.serve("prod", "web", "web", func(in *ecsapi.CreateServiceInput) { in.DesiredCount = new(int32(10)) })
	want := items("a 1+2", "b 3")
	if diff := cmp.Diff(want, made.CapacityProviderStrategy); diff != "" || made.LaunchType != "" {
		t.Errorf("launch type %q (-want +got)\n%s", made.LaunchType, diff)
	}
	w.settle("prod/web")
	daemon := must(w, w.ops.CreateService, &ecsapi.CreateServiceInput{Cluster: new("prod"), ServiceName: new("daemon"), TaskDefinition: new("web"),
		SchedulingStrategy: ecsapi.SchedulingStrategyDaemon, LaunchType: ecsapi.LaunchTypeEc2}).Service
	if daemon.LaunchType != ecsapi.LaunchTypeEc2 || len(daemon.CapacityProviderStrategy) != 0 {
		t.Errorf("a daemon by launch type: %q %+v", daemon.LaunchType, daemon.CapacityProviderStrategy)
	}
	running := func() map[string]int {
		n := map[string]int{}
		for t := range store.TasksByStatus.All(w.store.View(), "prod/"+string(gantry.Running)) {
			if t.DesiredStatus == gantry.Running {
				n[t.CapacityProvider]++
			}
		}
		return n
	}
	if diff := cmp.Diff(map[string]int{"a": 4, "b": 6}, running()); diff != "" {
		t.Errorf("10 tasks (-want +got)\n%s", diff)
	}
	sv := w.showOne("prod", "web")
	if diff := cmp.Diff(want, sv.Deployments[0].CapacityProviderStrategy); diff != "" || sv.Deployments[0].LaunchType != "" {
		t.Errorf("its deployment: launch type %q (-want +got)\n%s", sv.Deployments[0].LaunchType, diff)
	}
	revisions := must(w, w.ops.DescribeServiceRevisions, &ecsapi.DescribeServiceRevisionsInput{ServiceRevisionArns: []string{*sv.CurrentServiceRevisions[0].Arn}}).ServiceRevisions
	if diff := cmp.Diff(want, revisions[0].CapacityProviderStrategy); diff != "" {
		t.Errorf("its revision (-want +got)\n%s", diff)
	}
	update := func(change func(*ecsapi.UpdateServiceInput)) error {
		in := &ecsapi.UpdateServiceInput{Cluster: new("prod"), Service: new("web")}
		change(in)
		_, err := do(w, w.ops.UpdateService, in)
		w.settle("prod/web")
		return err
	}
	if err := update(func(in *ecsapi.UpdateServiceInput) { in.DesiredCount = new(int32(2)) }); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]int{"a": 2}, running()); diff != "" {
		t.Errorf("2 tasks (-want +got)\n%s", diff)
	}
	if err := update(func(in *ecsapi.UpdateServiceInput) {
		in.DesiredCount, in.CapacityProviderStrategy = new(int32(3)), items("b 1")
	}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]int{"a": 2, "b": 1}, running()); diff != "" || len(w.showOne("prod", "web").Deployments) != 1 {
		t.Errorf("another strategy, for new tasks only (-want +got)\n%s", diff)
	}
	_, err := do(w, w.ops.PutClusterCapacityProviders, &ecsapi.PutClusterCapacityProvidersInput{Cluster: new("prod"), CapacityProviders: []string{"a"}, DefaultCapacityProviderStrategy: items()})
	w.wantRefusal(err, "ResourceInUseException: The specified capacity provider is in use and cannot be removed.")
	w.wantRefusal(update(func(in *ecsapi.UpdateServiceInput) { in.CapacityProviderStrategy = items() }),
		"InvalidParameterException: When switching from launch type to capacity provider strategy on an existing service, or from a capacity provider strategy to a launch type, you must force a new deployment.")
	if err := update(func(in *ecsapi.UpdateServiceInput) {
		in.CapacityProviderStrategy, in.ForceNewDeployment = items(), new(true)
	}); err != nil {
		t.Fatal(err)
	}
	if sv := w.showOne("prod", "web"); sv.LaunchType != ecsapi.LaunchTypeEc2 || len(sv.CapacityProviderStrategy) != 0 {
		t.Errorf("by launch type: %s, %+v", sv.LaunchType, sv.CapacityProviderStrategy)
	}
	if diff := cmp.Diff(map[string]int{"": 3}, running()); diff != "" {
		t.Errorf("by launch type (-want +got)\n%s", diff)
	}
}

// A provider is in use for as long as a deployment may be rolled back to a revision that goes by it.
func TestProviderOfTheFallbackIsInUse(t *testing.T) {
	w := newWorld(t)
	w.provide("a")
	w.associate("prod", []string{"a"}, "a 1")
	w.join("prod", 100*256, 100000, ecsapi.Attribute{Name: new(gantry.AttributeGroup), Value: new("a-group")})
	w.define("web", 256, 128)
	w.serve("prod", "web", "web", func(in *ecsapi.CreateServiceInput) {
		in.DeploymentConfiguration = &ecsapi.DeploymentConfiguration{MinimumHealthyPercent: new(int32(0)), MaximumPercent: new(int32(100))}
	})
	w.settle("prod/web")
	must(w, w.ops.UpdateService, &ecsapi.UpdateServiceInput{Cluster: new("prod"), Service: new("web"), CapacityProviderStrategy: items(), ForceNewDeployment: new(true)})
	w.reconcile("prod/web")
	for task := range store.TasksByDesired.All(w.store.View(), "prod/"+string(gantry.Stopped)) {
		w.tell("prod", string(task.ID), "STOPPED")
	}
	for range store.TasksByProvider.All(w.store.View(), "prod/a") {
		t.Fatal("the provider's task is there")
	}
	without := &ecsapi.PutClusterCapacityProvidersInput{Cluster: new("prod"), CapacityProviders: []string{}, DefaultCapacityProviderStrategy: items()}
	_, err := do(w, w.ops.PutClusterCapacityProviders, without)
	w.wantRefusal(err, "ResourceInUseException: The specified capacity provider is in use and cannot be removed.")
	w.settle("prod/web")
	must(w, w.ops.PutClusterCapacityProviders, without)
}
