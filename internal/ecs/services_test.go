package ecs

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"gantry"
	"gantry/internal/service"
	"gantry/internal/store"
	"gantry/internal/wire/ecsapi"
)

// serve creates a service of two tasks.
func (w *world) serve(cluster, name, definition string, change ...func(*ecsapi.CreateServiceInput)) *ecsapi.Service {
	w.t.Helper()
	in := &ecsapi.CreateServiceInput{Cluster: new(cluster), ServiceName: new(name), TaskDefinition: new(definition), DesiredCount: new(int32(2))}
	for _, f := range change {
		f(in)
	}
	return must(w, w.ops.CreateService, in).Service
}

// reconcile lets the scheduler look at a service once.
func (w *world) reconcile(key string) {
	w.t.Helper()
	set := service.DefaultSettings
	set.Warmup = 0
	c := &service.Controller{
		Store: w.store, Ledger: w.cfg.Ledger, Settings: set, Now: w.cfg.Now,
		NewTaskID: func() gantry.TaskID { return gantry.TaskID(w.cfg.NewID()) }, NewUUID: w.cfg.NewUUID, NewSeed: w.cfg.NewSeed,
	}
	if _, err := c.Reconcile(w.ctx, key); err != nil {
		w.t.Fatal(err)
	}
}

// settle lets the scheduler work on a service, and agents do what is asked of them,
// until nothing changes any more.
func (w *world) settle(key string) {
	w.t.Helper()
	cluster, _, _ := strings.Cut(key, "/")
	for range 100 {
		before := w.store.View().Revision()
		w.reconcile(key)
		for t := range store.TasksByStatus.All(w.store.View(), cluster+"/"+string(gantry.Pending)) {
			if t.DesiredStatus == gantry.Running {
				w.tell(cluster, string(t.ID), "RUNNING")
			}
		}
		for t := range store.TasksByDesired.All(w.store.View(), cluster+"/"+string(gantry.Stopped)) {
			if t.LastStatus != gantry.Stopped {
				w.tell(cluster, string(t.ID), "STOPPED")
			}
		}
		if w.store.View().Revision() == before {
			return
		}
		w.clock.Add(1)
	}
	w.t.Fatalf("service %s does not come to rest", key)
}

// showOne is a service as DescribeServices answers it.
func (w *world) showOne(cluster, name string) ecsapi.Service {
	w.t.Helper()
	out := must(w, w.ops.DescribeServices, &ecsapi.DescribeServicesInput{Cluster: new(cluster), Services: []string{name}, Include: []ecsapi.ServiceField{ecsapi.ServiceFieldTags}})
	if len(out.Services) != 1 {
		w.t.Fatalf("describe %s: %d services, %d failures", name, len(out.Services), len(out.Failures))
	}
	return out.Services[0]
}

// change updates the service web of the cluster prod.
func (w *world) change(f func(*ecsapi.UpdateServiceInput)) *ecsapi.Service {
	w.t.Helper()
	in := &ecsapi.UpdateServiceInput{Cluster: new("prod"), Service: new("web")}
	f(in)
	return must(w, w.ops.UpdateService, in).Service
}

// serving is a world with a service web of two tasks that run, in the cluster prod.
func serving(t *testing.T, change ...func(*ecsapi.CreateServiceInput)) *world {
	w := newWorld(t)
	w.makeCluster("prod")
	w.define("web", 128, 64)
	w.join("prod", 4096, 4096)
	w.serve("prod", "web", "web", change...)
	w.settle("prod/web")
	return w
}

// TestCreateService: what is created is answered whole, and runs.
func TestCreateService(t *testing.T) {
	w := newWorld(t)
	w.makeCluster("prod")
	w.join("prod", 4096, 4096)
	definition := w.define("web", 128, 64)
	got := w.serve("prod", "web", "web")
	if *got.ServiceArn != "arn:aws:ecs:us-east-1:123456789012:service/prod/web" || *got.TaskDefinition != definition ||
		*got.Status != "ACTIVE" || *got.DesiredCount != 2 || *got.RunningCount != 0 || got.LaunchType != ecsapi.LaunchTypeEc2 ||
		got.SchedulingStrategy != ecsapi.SchedulingStrategyReplica || got.DeploymentController.Type != ecsapi.DeploymentControllerTypeEcs ||
		got.AvailabilityZoneRebalancing != ecsapi.AvailabilityZoneRebalancingEnabled || *got.CreatedBy != "arn:aws:iam::123456789012:root" {
		t.Errorf("created %+v", got)
	}
	d := got.Deployments[0]
	if len(got.Deployments) != 1 || *d.Status != "PRIMARY" || d.RolloutState != ecsapi.DeploymentRolloutStateInProgress || *d.RolloutStateReason != "ECS deployment "+*d.Id+" in progress." {
		t.Errorf("its deployments: %+v", got.Deployments)
	}
	if digits, ok := strings.CutPrefix(*d.Id, "ecs-svc/"); !ok || len(digits) != 19 || !strings.HasSuffix(*got.CurrentServiceRevisions[0].Arn, "service-revision/prod/web/"+digits) {
		t.Errorf("deployment %s, revision %s", *d.Id, *got.CurrentServiceRevisions[0].Arn)
	}
	if c := got.DeploymentConfiguration; *c.MinimumHealthyPercent != 100 || *c.MaximumPercent != 200 || *c.Alarms.Enable || *c.DeploymentCircuitBreaker.Rollback || c.Strategy != ecsapi.DeploymentStrategyRolling {
		t.Errorf("its configuration: %+v", c)
	}
	w.settle("prod/web")
	now := w.showOne("prod", "web")
	if *now.RunningCount != 2 || *now.PendingCount != 0 || now.Deployments[0].RolloutState != ecsapi.DeploymentRolloutStateCompleted {
		t.Errorf("it runs: %+v", now)
	}
	if m := *now.Events[0].Message; m != "(service web) has reached a steady state." {
		t.Errorf("the newest event: %s", m)
	}
	tasks := must(w, w.ops.ListTasks, &ecsapi.ListTasksInput{Cluster: new("prod"), ServiceName: new("web")}).TaskArns
	if len(tasks) != 2 {
		t.Fatalf("its tasks: %v", tasks)
	}
	task := must(w, w.ops.DescribeTasks, &ecsapi.DescribeTasksInput{Cluster: new("prod"), Tasks: tasks[:1]})
	if text := string(task.EncodedTasks[0]); !strings.Contains(text, `"startedBy":"`+*d.Id+`"`) || !strings.Contains(text, `"group":"service:web"`) {
		t.Errorf("a task of it: %s", text)
	}
	if cluster := must(w, w.ops.DescribeClusters, &ecsapi.DescribeClustersInput{Clusters: []string{"prod"}, Include: []ecsapi.ClusterField{ecsapi.ClusterFieldStatistics}}).Clusters[0]; *cluster.ActiveServicesCount != 1 || *cluster.Statistics[4].Value != "1" {
		t.Errorf("services of the cluster: %d, %+v", *cluster.ActiveServicesCount, cluster.Statistics[4])
	}
	w.wantRefusal(call(w, w.ops.DeleteCluster, &ecsapi.DeleteClusterInput{Cluster: new("prod")})(), "ClusterContainsServicesException: The Cluster cannot be deleted while Services are active.")
}

// TestUpdateService: what each member changes, and which of them start a deployment.
func TestUpdateService(t *testing.T) {
	constraint := []ecsapi.PlacementConstraint{{Type: ecsapi.PlacementConstraintTypeMemberOf, Expression: new("attribute:ecs.os-type == linux")}}
	pack := []ecsapi.PlacementStrategy{{Type: ecsapi.PlacementStrategyTypeBinpack, Field: new("memory")}}
	for _, tt := range []struct {
		name    string
		change  func(*ecsapi.UpdateServiceInput)
		holds   func(ecsapi.Service) bool
		deploys bool
	}{
		{"nothing", func(*ecsapi.UpdateServiceInput) {}, func(s ecsapi.Service) bool { return *s.DesiredCount == 2 }, false},
		{"desiredCount", func(in *ecsapi.UpdateServiceInput) { in.DesiredCount = new(int32(3)) },
			func(s ecsapi.Service) bool { return *s.DesiredCount == 3 && *s.RunningCount == 3 }, false},
		{"desiredCount 0", func(in *ecsapi.UpdateServiceInput) { in.DesiredCount = new(int32(0)) },
			func(s ecsapi.Service) bool { return *s.DesiredCount == 0 && *s.RunningCount == 0 }, false},
		{"taskDefinition", func(in *ecsapi.UpdateServiceInput) { in.TaskDefinition = new("other") },
			func(s ecsapi.Service) bool { return strings.HasSuffix(*s.TaskDefinition, "/other:1") }, true},
		{"the same taskDefinition", func(in *ecsapi.UpdateServiceInput) { in.TaskDefinition = new("web:1") },
			func(s ecsapi.Service) bool { return strings.HasSuffix(*s.TaskDefinition, "/web:1") }, false},
		{"forceNewDeployment", func(in *ecsapi.UpdateServiceInput) { in.ForceNewDeployment = new(true) },
			func(s ecsapi.Service) bool { return strings.HasSuffix(*s.TaskDefinition, "/web:1") }, true},
		{"maximumPercent", func(in *ecsapi.UpdateServiceInput) {
			in.DeploymentConfiguration = &ecsapi.DeploymentConfiguration{MaximumPercent: new(int32(150))}
		}, func(s ecsapi.Service) bool {
			return *s.DeploymentConfiguration.MaximumPercent == 150 && *s.DeploymentConfiguration.MinimumHealthyPercent == 50
		}, false},
		{"lifecycleHooks", func(in *ecsapi.UpdateServiceInput) {
			in.DeploymentConfiguration = &ecsapi.DeploymentConfiguration{Strategy: ecsapi.DeploymentStrategyBlueGreen, LifecycleHooks: []ecsapi.DeploymentLifecycleHook{{
				TargetType: ecsapi.DeploymentLifecycleHookTargetTypePause, LifecycleStages: []ecsapi.DeploymentLifecycleHookStage{ecsapi.DeploymentLifecycleHookStagePostScaleUp}}}}
		}, func(s ecsapi.Service) bool { return len(s.DeploymentConfiguration.LifecycleHooks) == 1 }, false},
		{"placementConstraints", func(in *ecsapi.UpdateServiceInput) { in.PlacementConstraints = constraint },
			func(s ecsapi.Service) bool { return len(s.PlacementConstraints) == 1 && len(s.PlacementStrategy) == 1 }, false},
		{"no placementConstraints", func(in *ecsapi.UpdateServiceInput) { in.PlacementConstraints = []ecsapi.PlacementConstraint{} },
			func(s ecsapi.Service) bool { return len(s.PlacementConstraints) == 0 && len(s.PlacementStrategy) == 1 }, false},
		{"no placementStrategy", func(in *ecsapi.UpdateServiceInput) { in.PlacementStrategy = []ecsapi.PlacementStrategy{} },
			func(s ecsapi.Service) bool { return len(s.PlacementConstraints) == 1 && len(s.PlacementStrategy) == 0 }, false},
		{"rebalancing", func(in *ecsapi.UpdateServiceInput) {
			in.PlacementStrategy = []ecsapi.PlacementStrategy{}
			in.AvailabilityZoneRebalancing = ecsapi.AvailabilityZoneRebalancingEnabled
		}, func(s ecsapi.Service) bool {
			return s.AvailabilityZoneRebalancing == ecsapi.AvailabilityZoneRebalancingEnabled
		}, false},
		{"grace period", func(in *ecsapi.UpdateServiceInput) { in.HealthCheckGracePeriodSeconds = new(int32(7)) },
			func(s ecsapi.Service) bool { return *s.HealthCheckGracePeriodSeconds == 7 }, false},
		{"propagateTags", func(in *ecsapi.UpdateServiceInput) { in.PropagateTags = ecsapi.PropagateTagsTaskDefinition },
			func(s ecsapi.Service) bool { return s.PropagateTags == ecsapi.PropagateTagsTaskDefinition }, false},
		{"managed tags", func(in *ecsapi.UpdateServiceInput) { in.EnableECSManagedTags = new(false) },
			func(s ecsapi.Service) bool { return !*s.EnableECSManagedTags }, false},
		{"empty lists of what is not offered", func(in *ecsapi.UpdateServiceInput) {
			in.LoadBalancers, in.ServiceRegistries, in.VolumeConfigurations = []ecsapi.LoadBalancer{}, []ecsapi.ServiceRegistry{}, []ecsapi.ServiceVolumeConfiguration{}
			in.CapacityProviderStrategy, in.ServiceConnectConfiguration = []ecsapi.CapacityProviderStrategyItem{}, &ecsapi.ServiceConnectConfiguration{Enabled: new(false)}
		}, func(ecsapi.Service) bool { return true }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := serving(t, func(in *ecsapi.CreateServiceInput) {
				in.PlacementConstraints, in.PlacementStrategy = constraint, pack
				in.DeploymentConfiguration = &ecsapi.DeploymentConfiguration{MinimumHealthyPercent: new(int32(50))}
				in.PropagateTags, in.EnableECSManagedTags, in.HealthCheckGracePeriodSeconds = ecsapi.PropagateTagsService, new(true), new(int32(5))
			})
			w.define("other", 128, 64)
			before := w.showOne("prod", "web")
			if before.AvailabilityZoneRebalancing != ecsapi.AvailabilityZoneRebalancingDisabled {
				t.Error("tasks that are packed are to be moved between zones")
			}
			if *before.HealthCheckGracePeriodSeconds != 5 {
				t.Errorf("the grace period is %d s, 5 were given", *before.HealthCheckGracePeriodSeconds)
			}
			answered := w.change(tt.change)
			if deploys := *answered.Deployments[0].Id != *before.Deployments[0].Id; deploys != tt.deploys {
				t.Errorf("starts a deployment: %t", deploys)
			}
			w.settle("prod/web")
			after := w.showOne("prod", "web")
			if !tt.holds(after) {
				t.Errorf("afterwards: %+v\n%+v", after, after.DeploymentConfiguration)
			}
			if len(after.Deployments) != 1 || after.Deployments[0].RolloutState != ecsapi.DeploymentRolloutStateCompleted {
				t.Errorf("its deployments: %+v", after.Deployments)
			}
		})
	}
}

// TestServiceTags: they are answered where asked for, changed by TagResource, and given
// to tasks with those that ECS manages.
func TestServiceTags(t *testing.T) {
	w := serving(t, func(in *ecsapi.CreateServiceInput) {
		in.Tags = []ecsapi.Tag{{Key: new("team"), Value: new("blue")}, {Key: new("gantry:circuit-breaker"), Value: new("count-exits")}}
		in.PropagateTags, in.EnableECSManagedTags, in.DesiredCount = ecsapi.PropagateTagsService, new(true), new(int32(1))
	})
	arn := "arn:aws:ecs:us-east-1:123456789012:service/prod/web"
	must(w, w.ops.TagResource, &ecsapi.TagResourceInput{ResourceArn: &arn, Tags: []ecsapi.Tag{{Key: new("more"), Value: new("1")}}})
	if got := w.showOne("prod", "web").Tags; len(got) != 3 {
		t.Errorf("its tags: %+v", got)
	}
	if out := must(w, w.ops.DescribeServices, &ecsapi.DescribeServicesInput{Cluster: new("prod"), Services: []string{arn}}); out.Services[0].Tags != nil {
		t.Error("tags that nobody asked for")
	}
	must(w, w.ops.UntagResource, &ecsapi.UntagResourceInput{ResourceArn: &arn, TagKeys: []string{"more"}})
	if got := must(w, w.ops.ListTagsForResource, &ecsapi.ListTagsForResourceInput{ResourceArn: &arn}).Tags; len(got) != 2 {
		t.Errorf("its tags: %+v", got)
	}
	for task := range store.TasksByGroup.All(w.store.View(), "prod/service:web") {
		var keys []string
		for _, tag := range task.Tags {
			keys = append(keys, *tag.Key)
		}
		if want := []string{"team", "gantry:circuit-breaker", "aws:ecs:clusterName", "aws:ecs:serviceName"}; !slices.Equal(keys, want) {
			t.Errorf("the tags of a task: %v, want %v", keys, want)
		}
	}
}

// TestServiceToken: a repeated CreateService answers the service, and nothing else does.
func TestServiceToken(t *testing.T) {
	w := newWorld(t)
	w.makeCluster("prod")
	w.define("web", 128, 64)
	create := func(count int32, token *string) (*ecsapi.CreateServiceOutput, error) {
		return do(w, w.ops.CreateService, &ecsapi.CreateServiceInput{Cluster: new("prod"), ServiceName: new("web"), TaskDefinition: new("web"), DesiredCount: &count, ClientToken: token})
	}
	first, err := create(1, new("t"))
	if err != nil {
		t.Fatal(err)
	}
	second, err := create(1, new("t"))
	if err != nil || *second.Service.Deployments[0].Id != *first.Service.Deployments[0].Id {
		t.Errorf("the same again: %v", err)
	}
	const no = "InvalidParameterException: Creation of service was not idempotent."
	_, err = create(2, new("t"))
	w.wantRefusal(err, no)
	_, err = create(1, new("u"))
	w.wantRefusal(err, no)
	_, err = create(1, nil)
	w.wantRefusal(err, no)
	must(w, w.ops.DeleteService, &ecsapi.DeleteServiceInput{Cluster: new("prod"), Service: new("web"), Force: new(true)})
	_, err = create(1, new("t"))
	w.wantRefusal(err, "InvalidParameterException: Unable to Start a service that is still Draining.")
	w.settle("prod/web")
	third, err := create(1, new("t"))
	if err != nil || *third.Service.Deployments[0].Id == *first.Service.Deployments[0].Id {
		t.Errorf("after the service was deleted: %v", err)
	}
}

// TestListServices: ten on a page unless more are asked for, by filter.
func TestListServices(t *testing.T) {
	w := newWorld(t)
	w.makeCluster("prod")
	w.define("web", 128, 64)
	for n := range 12 {
		w.serve("prod", fmt.Sprintf("s%02d", n), "web", func(in *ecsapi.CreateServiceInput) {
			switch n {
			case 3:
				in.LaunchType = ecsapi.LaunchTypeExternal
			case 4:
				in.SchedulingStrategy, in.DesiredCount = ecsapi.SchedulingStrategyDaemon, nil
			}
		})
	}
	must(w, w.ops.DeleteService, &ecsapi.DeleteServiceInput{Cluster: new("prod"), Service: new("s05"), Force: new(true)})
	for _, tt := range []struct {
		in    ecsapi.ListServicesInput
		pages []int
	}{
		{ecsapi.ListServicesInput{}, []int{10, 1}},
		{ecsapi.ListServicesInput{MaxResults: new(int32(5))}, []int{5, 5, 1}},
		{ecsapi.ListServicesInput{MaxResults: new(int32(100))}, []int{11}},
		{ecsapi.ListServicesInput{LaunchType: ecsapi.LaunchTypeExternal}, []int{1}},
		{ecsapi.ListServicesInput{LaunchType: ecsapi.LaunchTypeFargate}, []int{0}},
		{ecsapi.ListServicesInput{SchedulingStrategy: ecsapi.SchedulingStrategyDaemon}, []int{1}},
		{ecsapi.ListServicesInput{SchedulingStrategy: ecsapi.SchedulingStrategyReplica, LaunchType: ecsapi.LaunchTypeEc2}, []int{9}},
	} {
		tt.in.Cluster = new("prod")
		var got []int
		for {
			out := must(w, w.ops.ListServices, &tt.in)
			got = append(got, len(out.ServiceArns))
			if tt.in.NextToken = out.NextToken; out.NextToken == nil {
				break
			}
		}
		if !slices.Equal(got, tt.pages) {
			t.Errorf("%+v: pages of %v, want %v", tt.in, got, tt.pages)
		}
	}
}

// TestDeleteService: ACTIVE, DRAINING while tasks stop, INACTIVE and describable; the
// name is free then, and what was belongs to nobody.
func TestDeleteService(t *testing.T) {
	w := serving(t)
	remove := func(force bool) (*ecsapi.DeleteServiceOutput, error) {
		return do(w, w.ops.DeleteService, &ecsapi.DeleteServiceInput{Cluster: new("prod"), Service: new("web"), Force: &force})
	}
	_, err := remove(false)
	w.wantRefusal(err, "InvalidParameterException: The service cannot be stopped while it is scaled above 0.")
	w.change(func(in *ecsapi.UpdateServiceInput) { in.DesiredCount = new(int32(0)) })
	_, err = remove(false)
	w.wantRefusal(err, "InvalidParameterException: The service cannot be stopped while deployments are active.")
	out, err := remove(true)
	if err != nil || *out.Service.Status != "DRAINING" || *out.Service.DesiredCount != 0 {
		t.Fatalf("%v, %+v", err, out)
	}
	if arns := must(w, w.ops.ListServices, &ecsapi.ListServicesInput{Cluster: new("prod")}).ServiceArns; len(arns) != 0 {
		t.Errorf("a DRAINING service is listed: %v", arns)
	}
	if again, err := remove(false); err != nil || *again.Service.Status != "DRAINING" {
		t.Errorf("deleted twice: %v", err)
	}
	w.settle("prod/web")
	_, err = remove(true)
	w.wantRefusal(err, "ServiceNotFoundException: Service not found.")
	gone := w.showOne("prod", "web")
	if *gone.Status != "INACTIVE" || *gone.RunningCount != 0 || len(gone.Deployments) != 0 {
		t.Errorf("afterwards: %+v", gone)
	}
	if row, _ := store.Services.Get(w.store.View(), "prod/web"); row.InactiveAt.IsZero() {
		t.Error("nobody knows since when it is INACTIVE")
	}
	before := w.newest()
	again := w.serve("prod", "web", "web")
	if old := must(w, w.ops.DescribeServiceDeployments, &ecsapi.DescribeServiceDeploymentsInput{ServiceDeploymentArns: []string{before}}); len(old.Failures) != 1 {
		t.Errorf("a deployment of the earlier service is told as one of this: %+v", old)
	}
	if *again.Status != "ACTIVE" || len(again.Events) != 0 {
		t.Errorf("created anew: %+v", again)
	}
	if all := must(w, w.ops.ListServiceDeployments, &ecsapi.ListServiceDeploymentsInput{Cluster: new("prod"), Service: new("web")}).ServiceDeployments; len(all) != 1 {
		t.Errorf("deployments of the earlier service: %d", len(all)-1)
	}
	w.settle("prod/web")
	if now := w.showOne("prod", "web"); *now.RunningCount != 2 || len(now.Deployments) != 1 {
		t.Errorf("it runs: %+v", now)
	}
}

// TestDaemonService: its desired count is the instances that it belongs on.
func TestDaemonService(t *testing.T) {
	w := newWorld(t)
	w.makeCluster("prod")
	w.define("web", 128, 64)
	for range 3 {
		w.join("prod", 1024, 1024)
	}
	w.serve("prod", "web", "web", func(in *ecsapi.CreateServiceInput) {
		in.SchedulingStrategy, in.DesiredCount = ecsapi.SchedulingStrategyDaemon, nil
	})
	w.settle("prod/web")
	got := w.showOne("prod", "web")
	if *got.DesiredCount != 3 || *got.RunningCount != 3 || *got.DeploymentConfiguration.MaximumPercent != 100 || *got.DeploymentConfiguration.MinimumHealthyPercent != 0 {
		t.Errorf("on three instances: %+v", got)
	}
	w.join("prod", 1024, 1024)
	w.settle("prod/web")
	if got := w.showOne("prod", "web"); *got.DesiredCount != 4 || *got.RunningCount != 4 {
		t.Errorf("on four: %+v", got)
	}
	must(w, w.ops.DeleteService, &ecsapi.DeleteServiceInput{Cluster: new("prod"), Service: new("web")})
	w.settle("prod/web")
	if got := w.showOne("prod", "web"); *got.Status != "INACTIVE" {
		t.Errorf("deleted: %s", *got.Status)
	}
}

// tick moves the clock.
func (w *world) tick(d time.Duration) { w.clock.Add(d.Milliseconds()) }

// TestRebalancingByDefault: where nothing is said it is ENABLED for every service that it suits.
func TestRebalancingByDefault(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*ecsapi.CreateServiceInput)
		want   ecsapi.AvailabilityZoneRebalancing
	}{
		{"plain", func(*ecsapi.CreateServiceInput) {}, ecsapi.AvailabilityZoneRebalancingEnabled},
		{"no room beside the desired count", func(in *ecsapi.CreateServiceInput) {
			in.DeploymentConfiguration = &ecsapi.DeploymentConfiguration{MinimumHealthyPercent: new(int32(0)), MaximumPercent: new(int32(100))}
		}, ecsapi.AvailabilityZoneRebalancingDisabled},
		{"bound to zones", func(in *ecsapi.CreateServiceInput) {
			in.PlacementConstraints = []ecsapi.PlacementConstraint{{Type: ecsapi.PlacementConstraintTypeMemberOf, Expression: new("attribute:ecs.availability-zone != us-east-1c")}}
		}, ecsapi.AvailabilityZoneRebalancingDisabled},
	} {
		if got := serving(t, tt.change).showOne("prod", "web").AvailabilityZoneRebalancing; got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}
