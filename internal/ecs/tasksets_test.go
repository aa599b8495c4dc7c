package ecs

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"gantry"
	"gantry/internal/store"
	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"

	"github.com/google/go-cmp/cmp"
)

// external creates a service whose deployment controller is EXTERNAL.
func (w *world) external(cluster, name string, desired int32) *ecsapi.Service {
	w.t.Helper()
	return must(w, w.ops.CreateService, &ecsapi.CreateServiceInput{Cluster: &cluster, ServiceName: &name, DesiredCount: &desired,
		DeploymentController: &ecsapi.DeploymentController{Type: ecsapi.DeploymentControllerTypeExternal}}).Service
}

func (w *world) taskSet(definition string, percent float64, change ...func(*ecsapi.CreateTaskSetInput)) *ecsapi.TaskSet {
	w.t.Helper()
	in := &ecsapi.CreateTaskSetInput{Cluster: new("prod"), Service: new("web"), TaskDefinition: &definition, Scale: &ecsapi.Scale{Value: &percent, Unit: ecsapi.ScaleUnitPercent}}
	for _, f := range change {
		f(in)
	}
	return must(w, w.ops.CreateTaskSet, in).TaskSet
}

// told is a task set in a line.
func told(s ecsapi.TaskSet) string {
	return fmt.Sprintf("%s %s %v%% %d %s", *s.Status, (*s.TaskDefinition)[strings.LastIndexByte(*s.TaskDefinition, '/')+1:], *s.Scale.Value, *s.ComputedDesiredCount, s.StabilityStatus)
}

func TestTaskSets(t *testing.T) {
	w := newWorld(t)
	w.makeCluster("prod")
	w.define("web", 64, 64)
	w.define("web", 64, 64)
	created := w.external("prod", "web", 3)
	if created.DeploymentController.Type != "EXTERNAL" || created.TaskSets == nil || len(created.TaskSets) != 0 || len(created.Deployments) != 0 || created.Deployments == nil ||
		created.TaskDefinition != nil || created.LaunchType != "EC2" || *created.DeploymentConfiguration.MaximumPercent != 200 || created.AvailabilityZoneRebalancing != "DISABLED" {
		t.Fatalf("created %+v", created)
	}
	one := w.taskSet("web:1", 50, func(in *ecsapi.CreateTaskSetInput) {
		in.ExternalId, in.Tags = new("deploy-1"), []ecsapi.Tag{{Key: new("a"), Value: new("b")}}
	})
	if got := told(*one); got != "ACTIVE web:1 50% 2 STABILIZING" {
		t.Errorf("created: %s", got)
	}
	digits := strings.TrimPrefix(*one.Id, "ecs-svc/")
	if len(digits) != 19 || *one.TaskSetArn != "arn:aws:ecs:us-east-1:123456789012:task-set/prod/web/"+*one.Id || *one.ServiceArn != *created.ServiceArn ||
		*one.ExternalId != "deploy-1" || len(one.Tags) != 1 || one.LoadBalancers == nil || one.StabilityStatusAt == nil {
		t.Errorf("created: %+v", one)
	}
	w.tick(time.Millisecond)
	none := must(w, w.ops.CreateTaskSet, &ecsapi.CreateTaskSetInput{Cluster: new("prod"), Service: created.ServiceArn, TaskDefinition: new("web"), ClientToken: new("once")}).TaskSet
	if got := told(*none); got != "ACTIVE web:2 0% 0 STABILIZING" {
		t.Errorf("without a scale: %s", got)
	}
	again := must(w, w.ops.CreateTaskSet, &ecsapi.CreateTaskSetInput{Cluster: new("prod"), Service: new("web"), TaskDefinition: new("web"), ClientToken: new("once")}).TaskSet
	if *again.Id != *none.Id {
		t.Errorf("the same token made %s and %s", *none.Id, *again.Id)
	}

	up := must(w, w.ops.UpdateTaskSet, &ecsapi.UpdateTaskSetInput{Cluster: new("prod"), Service: new("web"), TaskSet: none.TaskSetArn, Scale: &ecsapi.Scale{Value: new(100.0)}}).TaskSet
	if got := told(*up); got != "ACTIVE web:2 100% 3 STABILIZING" || up.Scale.Unit != "PERCENT" {
		t.Errorf("scaled: %s", got)
	}
	primary := must(w, w.ops.UpdateServicePrimaryTaskSet, &ecsapi.UpdateServicePrimaryTaskSetInput{Cluster: new("prod"), Service: new("web"), PrimaryTaskSet: none.Id}).TaskSet
	if got := told(*primary); got != "PRIMARY web:2 100% 3 STABILIZING" {
		t.Errorf("primary: %s", got)
	}
	if got := w.showOne("prod", "web"); !strings.HasSuffix(*got.TaskDefinition, "/web:2") || len(got.TaskSets) != 2 {
		t.Errorf("the service of a primary task set: %+v", got)
	}
	must(w, w.ops.UpdateService, &ecsapi.UpdateServiceInput{Cluster: new("prod"), Service: new("web"), DesiredCount: new(int32(4))})
	out := must(w, w.ops.DescribeTaskSets, &ecsapi.DescribeTaskSetsInput{Cluster: new("prod"), Service: new("web")})
	if len(out.TaskSets) != 2 || told(out.TaskSets[0]) != "ACTIVE web:1 50% 2 STABILIZING" || told(out.TaskSets[1]) != "PRIMARY web:2 100% 4 STABILIZING" || out.TaskSets[0].Tags != nil {
		t.Errorf("all of them: %+v", out.TaskSets)
	}
	out = must(w, w.ops.DescribeTaskSets, &ecsapi.DescribeTaskSetsInput{Cluster: new("prod"), Service: new("web"), TaskSets: []string{*one.TaskSetArn, "ecs-svc/1"}, Include: []ecsapi.TaskSetField{"TAGS"}})
	if len(out.TaskSets) != 1 || len(out.TaskSets[0].Tags) != 1 || len(out.Failures) != 1 || *out.Failures[0].Reason != "MISSING" ||
		*out.Failures[0].Arn != "arn:aws:ecs:us-east-1:123456789012:task-set/prod/web/ecs-svc/1" {
		t.Errorf("one that is there and one that is not: %+v", out)
	}
	must(w, w.ops.TagResource, &ecsapi.TagResourceInput{ResourceArn: one.TaskSetArn, Tags: []ecsapi.Tag{{Key: new("c"), Value: new("d")}}})
	if tags := must(w, w.ops.ListTagsForResource, &ecsapi.ListTagsForResourceInput{ResourceArn: one.TaskSetArn}).Tags; len(tags) != 2 {
		t.Errorf("tagged: %v", tags)
	}
	gone := must(w, w.ops.DeleteTaskSet, &ecsapi.DeleteTaskSetInput{Cluster: new("prod"), Service: new("web"), TaskSet: one.Id, Force: new(true)}).TaskSet
	if got := told(*gone); got != "DRAINING web:1 50% 0 STABILIZING" {
		t.Errorf("deleted: %s", got)
	}
	twice := must(w, w.ops.DeleteTaskSet, &ecsapi.DeleteTaskSetInput{Cluster: new("prod"), Service: new("web"), TaskSet: one.Id}).TaskSet
	if *twice.Status != "DRAINING" {
		t.Errorf("deleted twice: %s", told(*twice))
	}
}

func TestTaskSetRefusals(t *testing.T) {
	w := newWorld(t)
	w.makeCluster("prod")
	w.define("web", 64, 64)
	w.serve("prod", "rolling", "web")
	w.external("prod", "web", 3)
	set := w.taskSet("web", 100)
	create := func(change func(*ecsapi.CreateTaskSetInput)) func() error {
		in := &ecsapi.CreateTaskSetInput{Cluster: new("prod"), Service: new("web"), TaskDefinition: new("web")}
		change(in)
		return call(w, w.ops.CreateTaskSet, in)
	}
	service := func(change func(*ecsapi.CreateServiceInput)) func() error {
		in := &ecsapi.CreateServiceInput{Cluster: new("prod"), ServiceName: new("other"), DeploymentController: &ecsapi.DeploymentController{Type: "EXTERNAL"}}
		change(in)
		return call(w, w.ops.CreateService, in)
	}
	update := func(change func(*ecsapi.UpdateServiceInput)) func() error {
		in := &ecsapi.UpdateServiceInput{Cluster: new("prod"), Service: new("web")}
		change(in)
		return call(w, w.ops.UpdateService, in)
	}
	scale := func(set string, v float64) func() error {
		return call(w, w.ops.UpdateTaskSet, &ecsapi.UpdateTaskSetInput{Cluster: new("prod"), Service: new("web"), TaskSet: &set, Scale: &ecsapi.Scale{Value: &v}})
	}
	for _, tt := range []struct {
		what string
		call func() error
		want string
	}{
		{"unknown cluster", create(func(in *ecsapi.CreateTaskSetInput) { in.Cluster = new("nope") }), "ClusterNotFoundException: Cluster not found."},
		{"unknown service", create(func(in *ecsapi.CreateTaskSetInput) { in.Service = new("nope") }), "ServiceNotFoundException: Service not found."},
		{"service of deployments", create(func(in *ecsapi.CreateTaskSetInput) { in.Service = new("rolling") }), "InvalidParameterException: Amazon ECS only supports task set management on services configured to use external deployment controllers."},
		{"no definition", create(func(in *ecsapi.CreateTaskSetInput) { in.TaskDefinition = nil }), "InvalidParameterException: taskDefinition is required: a string."},
		{"unknown definition", create(func(in *ecsapi.CreateTaskSetInput) { in.TaskDefinition = new("nope") }), "ClientException: TaskDefinition not found."},
		{"more than all", create(func(in *ecsapi.CreateTaskSetInput) { in.Scale = &ecsapi.Scale{Value: new(100.5)} }), "InvalidParameterException: scale.value is 100.5; it has to be a percentage between 0 and 100."},
		{"less than none", scale(*set.Id, -1), "InvalidParameterException: scale.value is -1; it has to be a percentage between 0 and 100."},
		{"a scale without a value", call(w, w.ops.UpdateTaskSet, &ecsapi.UpdateTaskSetInput{Cluster: new("prod"), Service: new("web"), TaskSet: set.Id, Scale: &ecsapi.Scale{Unit: "PERCENT"}}),
			"InvalidParameterException: scale.value is required: a percentage between 0 and 100."},
		{"unit", create(func(in *ecsapi.CreateTaskSetInput) { in.Scale = &ecsapi.Scale{Unit: "TASKS"} }), "InvalidParameterException: Invalid value for scale.unit: TASKS. Valid values are: PERCENT."},
		{"token", create(func(in *ecsapi.CreateTaskSetInput) { in.ClientToken = new("a b") }), "InvalidParameterException: clientToken contains invalid characters."},
		{"launch type", create(func(in *ecsapi.CreateTaskSetInput) { in.LaunchType = "FARGATE" }), "UnsupportedFeatureException: The launchType FARGATE is not offered by gantry yet: use EC2 or EXTERNAL."},
		{"launch type and strategy", create(func(in *ecsapi.CreateTaskSetInput) { in.LaunchType, in.CapacityProviderStrategy = "EC2", items("a 1") }),
			"InvalidParameterException: Specifying both a launch type and capacity provider strategy is not supported. Remove one and try again."},
		{"a provider that the cluster does not have", create(func(in *ecsapi.CreateTaskSetInput) { in.CapacityProviderStrategy = items("a 1") }),
			"InvalidParameterException: The specified capacity provider strategy cannot contain a capacity provider that is not associated with the cluster. Associate the capacity provider with the cluster and try again: 'a'."},
		{"load balancer", create(func(in *ecsapi.CreateTaskSetInput) { in.LoadBalancers = make([]ecsapi.LoadBalancer, 1) }), "UnsupportedFeatureException: loadBalancers of a task set is not offered by gantry yet."},
		{"reserved tag", create(func(in *ecsapi.CreateTaskSetInput) { in.Tags = []ecsapi.Tag{{Key: new("aws:x"), Value: new("y")}} }), "InvalidParameterException: Tag keys with the prefix aws: are reserved: aws:x."},
		{"unknown task set", scale("ecs-svc/1", 1), "TaskSetNotFoundException: The specified task set does not exist."},
		{"task set of another service", scale("arn:aws:ecs:us-east-1:123456789012:task-set/prod/other/ecs-svc/1", 1),
			"InvalidParameterException: Identifier is for a task set of another service: arn:aws:ecs:us-east-1:123456789012:task-set/prod/other/ecs-svc/1. Your service is web"},
		{"delete at scale", call(w, w.ops.DeleteTaskSet, &ecsapi.DeleteTaskSetInput{Cluster: new("prod"), Service: new("web"), TaskSet: set.Id}),
			"InvalidParameterException: The task set cannot be deleted while it is scaled above 0: scale it down with UpdateTaskSet, or use force."},
		{"primary that is not there", call(w, w.ops.UpdateServicePrimaryTaskSet, &ecsapi.UpdateServicePrimaryTaskSetInput{Cluster: new("prod"), Service: new("web"), PrimaryTaskSet: new("ecs-svc/1")}),
			"TaskSetNotFoundException: The specified task set does not exist."},
		{"task sets of a service of deployments", call(w, w.ops.DescribeTaskSets, &ecsapi.DescribeTaskSetsInput{Cluster: new("prod"), Service: new("rolling")}),
			"InvalidParameterException: Amazon ECS only supports task set management on services configured to use external deployment controllers."},

		{"definition of the service", service(func(in *ecsapi.CreateServiceInput) { in.TaskDefinition = new("web") }), "InvalidParameterException: TaskDefinition must be blank: a service with the deploymentController EXTERNAL gets it by CreateTaskSet."},
		{"launch type of the service", service(func(in *ecsapi.CreateServiceInput) { in.LaunchType = "EC2" }), "InvalidParameterException: LaunchType must be blank: a service with the deploymentController EXTERNAL gets it by CreateTaskSet."},
		{"strategy of the service", service(func(in *ecsapi.CreateServiceInput) { in.CapacityProviderStrategy = items("a 1") }), "InvalidParameterException: CapacityProviderStrategy must be blank: a service with the deploymentController EXTERNAL gets it by CreateTaskSet."},
		{"daemon", service(func(in *ecsapi.CreateServiceInput) { in.SchedulingStrategy = "DAEMON" }), "InvalidParameterException: The daemon scheduling strategy does not support the deploymentController EXTERNAL."},
		{"bounds of the service", service(func(in *ecsapi.CreateServiceInput) {
			in.DeploymentConfiguration = &ecsapi.DeploymentConfiguration{MaximumPercent: new(int32(150))}
		}), "InvalidParameterException: deploymentConfiguration is not for a service with the deploymentController EXTERNAL: leave it out."},
		{"less than no tasks", service(func(in *ecsapi.CreateServiceInput) { in.DesiredCount = new(int32(-1)) }), "InvalidParameterException: desiredCount is -1; it must be between 0 and 2147483647."},
		{"constraint", service(func(in *ecsapi.CreateServiceInput) {
			in.PlacementConstraints = []ecsapi.PlacementConstraint{{Type: "memberOf", Expression: new("attribute:a ==")}}
		}), "InvalidParameterException: …"},
		{"another constraint", update(func(in *ecsapi.UpdateServiceInput) {
			in.PlacementConstraints = []ecsapi.PlacementConstraint{{Type: "memberOf", Expression: new("attribute:a ==")}}
		}), "InvalidParameterException: …"},
		{"less than no tasks from now on", update(func(in *ecsapi.UpdateServiceInput) { in.DesiredCount = new(int32(-1)) }), "InvalidParameterException: desiredCount is -1; it must be between 0 and 2147483647."},
		{"CODE_DEPLOY", service(func(in *ecsapi.CreateServiceInput) { in.DeploymentController.Type = "CODE_DEPLOY" }), "UnsupportedFeatureException: The deploymentController CODE_DEPLOY is not offered by gantry yet: use ECS or EXTERNAL."},
		{"another definition", update(func(in *ecsapi.UpdateServiceInput) { in.TaskDefinition = new("web") }), "InvalidParameterException: Unable to update task definition on services with an EXTERNAL deployment controller. Use its task sets."},
		{"another strategy", update(func(in *ecsapi.UpdateServiceInput) { in.CapacityProviderStrategy = items("a 1") }), "InvalidParameterException: Unable to update capacity provider strategy on services with an EXTERNAL deployment controller. Use its task sets."},
		{"a deployment", update(func(in *ecsapi.UpdateServiceInput) { in.ForceNewDeployment = new(true) }), "InvalidParameterException: Cannot force a new deployment on services with an EXTERNAL deployment controller. Use its task sets."},
		{"another controller", update(func(in *ecsapi.UpdateServiceInput) {
			in.DeploymentController = &ecsapi.DeploymentController{Type: "ECS"}
		}),
			"UnsupportedFeatureException: Changing the deploymentController of a service is not offered by gantry yet."},
		{"delete the service", call(w, w.ops.DeleteService, &ecsapi.DeleteServiceInput{Cluster: new("prod"), Service: new("web")}), "InvalidParameterException: The service cannot be stopped while it is scaled above 0."},
	} {
		t.Run(tt.what, func(t *testing.T) {
			w.t = t
			w.wantRefusal(tt.call(), tt.want)
		})
	}
	w.t = t
	for range maxTaskSets - 1 {
		w.taskSet("web", 0)
	}
	w.wantRefusal(create(func(*ecsapi.CreateTaskSetInput) {})(), "InvalidParameterException: 5 deployments exist on the service. Unable to create new TaskSet since this exceeds the maximum limit.")
	must(w, w.ops.UpdateService, &ecsapi.UpdateServiceInput{Cluster: new("prod"), Service: new("web"), DesiredCount: new(int32(0))})
	w.wantRefusal(call(w, w.ops.DeleteService, &ecsapi.DeleteServiceInput{Cluster: new("prod"), Service: new("web")})(), "InvalidParameterException: The service cannot be stopped while deployments are active.")
	must(w, w.ops.DeleteTaskSet, &ecsapi.DeleteTaskSetInput{Cluster: new("prod"), Service: new("web"), TaskSet: set.Id, Force: new(true)})
	w.wantRefusal(scale(*set.Id, 10)(), "InvalidParameterException: The task set is DRAINING: it is being deleted.")
	if got := must(w, w.ops.DeleteService, &ecsapi.DeleteServiceInput{Cluster: new("prod"), Service: new("web"), Force: new(true)}).Service; *got.Status != "DRAINING" || *got.TaskSets[0].Status != "DRAINING" {
		t.Errorf("deleted by force: %+v", got)
	}
	w.wantRefusal(create(func(*ecsapi.CreateTaskSetInput) {})(), "ServiceNotActiveException: Service was not ACTIVE.")
}

// The history of a service says whether a task set is steady, and its tasks whether that still holds.
func TestTaskSetIsSteady(t *testing.T) {
	w := newWorld(t)
	w.makeCluster("prod")
	w.define("web", 64, 64)
	w.external("prod", "web", 1)
	id := gantry.RevisionID(strings.TrimPrefix(*w.taskSet("web", 100).Id, "ecs-svc/"))
	w.update(func(tx *store.Tx) error {
		store.Tasks.Put(tx, &gantry.Task{ID: "t1", Cluster: "prod", Definition: "web:1", Group: "service:web", StartedBy: id.StartedBy(), LastStatus: gantry.Running, DesiredStatus: gantry.Running})
		store.ServiceHistories.Put(tx, &gantry.ServiceHistory{Cluster: "prod", Service: "web", TaskSets: []gantry.TaskSetState{{ID: id, Told: []gantry.Told{{Cause: "has reached a steady state."}}}}})
		return nil
	})
	look := func() string {
		s := must(w, w.ops.DescribeTaskSets, &ecsapi.DescribeTaskSetsInput{Cluster: new("prod"), Service: new("web")}).TaskSets[0]
		return fmt.Sprint(wire.Value(s.RunningCount), " ", s.StabilityStatus)
	}
	if got := look(); got != "1 STEADY_STATE" {
		t.Errorf("with its task: %s", got)
	}
	if got := w.showOne("prod", "web"); *got.RunningCount != 1 || *got.PendingCount != 0 {
		t.Errorf("the service counts %d running, %d pending", *got.RunningCount, *got.PendingCount)
	}
	must(w, w.ops.StopTask, &ecsapi.StopTaskInput{Cluster: new("prod"), Task: new("t1")})
	if got := look(); got != "1 STABILIZING" {
		t.Errorf("with a task that is to stop: %s", got)
	}
}

// Each task set goes by its own strategy, or by the cluster's default one, with a base and weights of its own; a launch
// type rules that out. What a task set uses cannot be taken from its cluster.
func TestTaskSetsByStrategy(t *testing.T) {
	w := newWorld(t)
	w.provide("a")
	w.provide("b")
	w.associate("prod", []string{"a", "b"}, "b 1")
	for _, group := range []string{"a-group", "b-group"} {
		w.join("prod", 100*256, 100000, ecsapi.Attribute{Name: new(gantry.AttributeGroup), Value: new(group)})
	}
	w.define("web", 256, 128)
	w.external("prod", "web", 10)
	spread := w.taskSet("web", 100, func(in *ecsapi.CreateTaskSetInput) { in.CapacityProviderStrategy = items("a 1+2", "b 3") })
	usual := w.taskSet("web", 20)
	typed := w.taskSet("web", 10, func(in *ecsapi.CreateTaskSetInput) { in.LaunchType = "EC2" })
	if diff := cmp.Diff(items("a 1+2", "b 3"), spread.CapacityProviderStrategy); diff != "" || spread.LaunchType != "" {
		t.Errorf("launch type %q (-want +got)\n%s", spread.LaunchType, diff)
	}
	if diff := cmp.Diff(items("b 1"), usual.CapacityProviderStrategy); diff != "" || usual.LaunchType != "" {
		t.Errorf("by the cluster's: launch type %q (-want +got)\n%s", usual.LaunchType, diff)
	}
	if typed.LaunchType != "EC2" || typed.CapacityProviderStrategy != nil {
		t.Errorf("by launch type: %q %+v", typed.LaunchType, typed.CapacityProviderStrategy)
	}
	running := func(set *ecsapi.TaskSet) string {
		n := map[string]int{}
		for task := range store.TasksByStartedBy.All(w.store.View(), "prod/"+*set.Id) {
			if task.LastStatus == gantry.Running && task.DesiredStatus == gantry.Running {
				n[task.CapacityProvider]++
			}
		}
		return fmt.Sprint(n)
	}
	w.settle("prod/web")
	for _, tt := range []struct {
		set  *ecsapi.TaskSet
		want string
	}{{spread, "map[a:4 b:6]"}, {usual, "map[b:2]"}, {typed, "map[:1]"}} {
		if got := running(tt.set); got != tt.want {
			t.Errorf("running: %s; want %s", got, tt.want)
		}
	}
	must(w, w.ops.UpdateTaskSet, &ecsapi.UpdateTaskSetInput{Cluster: new("prod"), Service: new("web"), TaskSet: spread.Id, Scale: &ecsapi.Scale{Value: new(20.0)}})
	w.settle("prod/web")
	if got := running(spread); got != "map[a:2]" {
		t.Errorf("scaled in: %s; want the base of a", got)
	}
	// The service has none: its launch type is that of its primary task set.
	must(w, w.ops.UpdateServicePrimaryTaskSet, &ecsapi.UpdateServicePrimaryTaskSetInput{Cluster: new("prod"), Service: new("web"), PrimaryTaskSet: spread.Id})
	if got := w.showOne("prod", "web"); got.LaunchType != "" || got.CapacityProviderStrategy != nil {
		t.Errorf("the service: %q %+v", got.LaunchType, got.CapacityProviderStrategy)
	}
	without := &ecsapi.PutClusterCapacityProvidersInput{Cluster: new("prod"), CapacityProviders: []string{"a"}, DefaultCapacityProviderStrategy: items()}
	must(w, w.ops.UpdateTaskSet, &ecsapi.UpdateTaskSetInput{Cluster: new("prod"), Service: new("web"), TaskSet: usual.Id, Scale: &ecsapi.Scale{Value: new(0.0)}})
	w.settle("prod/web")
	_, err := do(w, w.ops.PutClusterCapacityProviders, without)
	w.wantRefusal(err, "ResourceInUseException: The specified capacity provider is in use and cannot be removed.")
	for _, set := range []*ecsapi.TaskSet{spread, usual} {
		must(w, w.ops.DeleteTaskSet, &ecsapi.DeleteTaskSetInput{Cluster: new("prod"), Service: new("web"), TaskSet: set.Id, Force: new(true)})
	}
	w.settle("prod/web")
	must(w, w.ops.PutClusterCapacityProviders, without)
}
