package ecs

import (
	"slices"
	"strings"
	"testing"
	"time"

	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"
)

// deployment is a service deployment as DescribeServiceDeployments answers it.
func (w *world) deployment(arn string) ecsapi.ServiceDeployment {
	w.t.Helper()
	out := must(w, w.ops.DescribeServiceDeployments, &ecsapi.DescribeServiceDeploymentsInput{ServiceDeploymentArns: []string{arn}})
	if len(out.ServiceDeployments) != 1 {
		w.t.Fatalf("describe %s: %+v", arn, out.Failures)
	}
	return out.ServiceDeployments[0]
}

// newest is the ARN of the newest deployment of the service web.
func (w *world) newest() string {
	w.t.Helper()
	return *must(w, w.ops.ListServiceDeployments, &ecsapi.ListServiceDeploymentsInput{Cluster: new("prod"), Service: new("web")}).ServiceDeployments[0].ServiceDeploymentArn
}

// TestDeploymentsShown: what a deployment tells while it goes on and when it is over.
func TestDeploymentsShown(t *testing.T) {
	w := serving(t, func(in *ecsapi.CreateServiceInput) {
		in.DeploymentConfiguration = &ecsapi.DeploymentConfiguration{DeploymentCircuitBreaker: &ecsapi.DeploymentCircuitBreaker{Enable: new(true), Rollback: new(true)}}
	})
	first := w.newest()
	if d := w.deployment(first); d.Status != ecsapi.ServiceDeploymentStatusSuccessful || *d.TargetServiceRevision.RunningTaskCount != 2 || d.FinishedAt == nil ||
		len(d.SourceServiceRevisions) != 0 || d.DeploymentCircuitBreaker.Status != ecsapi.ServiceDeploymentRollbackMonitorsStatusMonitoringComplete ||
		*d.DeploymentCircuitBreaker.Threshold != 3 || d.Alarms.Status != ecsapi.ServiceDeploymentRollbackMonitorsStatusDisabled {
		t.Errorf("the first: %+v", d)
	}
	w.tick(time.Second)
	between := w.now()
	w.tick(time.Second)
	w.define("other", 128, 64)
	updated := w.change(func(in *ecsapi.UpdateServiceInput) { in.TaskDefinition = new("other") })
	second := w.newest()
	if d := w.deployment(second); d.Status != ecsapi.ServiceDeploymentStatusPending || *d.TargetServiceRevision.RequestedTaskCount != 2 {
		t.Errorf("the second, just begun: %+v", d)
	}
	if len(updated.Deployments) != 2 || *updated.Deployments[1].Status != "ACTIVE" || *updated.Deployments[1].RunningCount != 2 || updated.Deployments[1].RolloutState != ecsapi.DeploymentRolloutStateCompleted {
		t.Errorf("while it goes on: %+v", updated.Deployments)
	}
	w.settle("prod/web")
	d := w.deployment(second)
	digits := strings.TrimPrefix(*updated.Deployments[0].Id, "ecs-svc/")
	if d.Status != ecsapi.ServiceDeploymentStatusSuccessful || len(d.SourceServiceRevisions) != 1 || *d.SourceServiceRevisions[0].RunningTaskCount != 0 ||
		!strings.HasSuffix(*d.TargetServiceRevision.Arn, "/"+digits) {
		t.Errorf("the second: %+v", d)
	}
	revision := must(w, w.ops.DescribeServiceRevisions, &ecsapi.DescribeServiceRevisionsInput{ServiceRevisionArns: []string{*d.TargetServiceRevision.Arn, "arn:aws:ecs:us-east-1:123456789012:service-revision/prod/web/1"}})
	if len(revision.ServiceRevisions) != 1 || !strings.HasSuffix(*revision.ServiceRevisions[0].TaskDefinition, "/other:1") || *revision.ServiceRevisions[0].ContainerImages[0].Image != "gantry/sample-web" ||
		len(revision.Failures) != 1 || *revision.Failures[0].Reason != "MISSING" {
		t.Errorf("its revision: %+v", revision)
	}
	list := func(change func(*ecsapi.ListServiceDeploymentsInput)) (all []string) {
		in := &ecsapi.ListServiceDeploymentsInput{Service: new("arn:aws:ecs:us-east-1:123456789012:service/prod/web")} // which names the cluster
		change(in)
		for {
			out := must(w, w.ops.ListServiceDeployments, in)
			for _, d := range out.ServiceDeployments {
				all = append(all, *d.ServiceDeploymentArn)
			}
			if in.NextToken = out.NextToken; out.NextToken == nil {
				return all
			}
		}
	}
	for _, tt := range []struct {
		name   string
		change func(*ecsapi.ListServiceDeploymentsInput)
		want   []string
	}{
		{"all", func(*ecsapi.ListServiceDeploymentsInput) {}, []string{second, first}},
		{"one by one", func(in *ecsapi.ListServiceDeploymentsInput) { in.MaxResults = new(int32(1)) }, []string{second, first}},
		{"after", func(in *ecsapi.ListServiceDeploymentsInput) {
			in.CreatedAt = &ecsapi.CreatedAt{After: wire.At(between)}
		}, []string{second}},
		{"before", func(in *ecsapi.ListServiceDeploymentsInput) {
			in.CreatedAt = &ecsapi.CreatedAt{Before: wire.At(between)}
		}, []string{first}},
		{"successful", func(in *ecsapi.ListServiceDeploymentsInput) {
			in.Status = []ecsapi.ServiceDeploymentStatus{ecsapi.ServiceDeploymentStatusSuccessful}
		}, []string{second, first}},
		{"stopped", func(in *ecsapi.ListServiceDeploymentsInput) {
			in.Status = []ecsapi.ServiceDeploymentStatus{ecsapi.ServiceDeploymentStatusStopped}
		}, nil},
	} {
		if got := list(tt.change); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
	missing := must(w, w.ops.DescribeServiceDeployments, &ecsapi.DescribeServiceDeploymentsInput{ServiceDeploymentArns: []string{first + "x"}})
	if len(missing.Failures) != 1 || *missing.Failures[0].Arn != first+"x" || *missing.Failures[0].Reason != "MISSING" {
		t.Errorf("one that never was: %+v", missing)
	}
}

// TestStopServiceDeployment: the way back to the revision that completed, or an end
// where it stands.
func TestStopServiceDeployment(t *testing.T) {
	for _, tt := range []struct {
		stop       ecsapi.StopServiceDeploymentStopType
		asked      ecsapi.ServiceDeploymentStatus
		ends       ecsapi.ServiceDeploymentStatus
		definition string
		state      ecsapi.DeploymentRolloutState
	}{
		{"", ecsapi.ServiceDeploymentStatusRollbackRequested, ecsapi.ServiceDeploymentStatusRollbackSuccessful, "web:1", ecsapi.DeploymentRolloutStateCompleted},
		{ecsapi.StopServiceDeploymentStopTypeAbort, ecsapi.ServiceDeploymentStatusStopRequested, ecsapi.ServiceDeploymentStatusStopped, "other:1", ecsapi.DeploymentRolloutStateFailed},
	} {
		w := serving(t)
		w.tick(time.Second)
		w.define("other", 128, 64)
		w.change(func(in *ecsapi.UpdateServiceInput) { in.TaskDefinition = new("other") })
		arn := w.newest()
		stop := func() error {
			out, err := do(w, w.ops.StopServiceDeployment, &ecsapi.StopServiceDeploymentInput{ServiceDeploymentArn: &arn, StopType: tt.stop})
			if err == nil && *out.ServiceDeploymentArn != arn {
				t.Errorf("stopped %s", *out.ServiceDeploymentArn)
			}
			return err
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if d := w.deployment(arn); d.Status != tt.asked {
			t.Errorf("asked for: %s", d.Status)
		}
		w.settle("prod/web")
		d, sv := w.deployment(arn), w.showOne("prod", "web")
		if d.Status != tt.ends || !strings.HasSuffix(*sv.TaskDefinition, "/"+tt.definition) || sv.Deployments[0].RolloutState != tt.state || *sv.RunningCount != 2 {
			t.Errorf("afterwards %s: %+v", d.Status, sv)
		}
		if rolled := d.Rollback != nil; rolled != (tt.stop == "") {
			t.Errorf("its rollback: %+v", d.Rollback)
		}
		w.wantRefusal(stop(), "ConflictException: The service deployment cannot be stopped: its status is "+string(tt.ends)+".")
	}
}

// TestContinueServiceDeployment: a deployment waits at its hook for a word.
func TestContinueServiceDeployment(t *testing.T) {
	for _, tt := range []struct {
		action ecsapi.DeploymentLifecycleHookAction
		ends   ecsapi.ServiceDeploymentStatus
		hook   ecsapi.DeploymentLifecycleHookStatus
	}{
		{"", ecsapi.ServiceDeploymentStatusSuccessful, ecsapi.DeploymentLifecycleHookStatusSucceeded},
		{ecsapi.DeploymentLifecycleHookActionRollback, ecsapi.ServiceDeploymentStatusRollbackSuccessful, ecsapi.DeploymentLifecycleHookStatusFailed},
	} {
		w := serving(t)
		w.tick(time.Second)
		w.change(func(in *ecsapi.UpdateServiceInput) {
			in.ForceNewDeployment = new(true)
			in.DeploymentConfiguration = &ecsapi.DeploymentConfiguration{Strategy: ecsapi.DeploymentStrategyBlueGreen, LifecycleHooks: []ecsapi.DeploymentLifecycleHook{{
				TargetType: ecsapi.DeploymentLifecycleHookTargetTypePause, LifecycleStages: []ecsapi.DeploymentLifecycleHookStage{ecsapi.DeploymentLifecycleHookStagePostScaleUp},
				TimeoutConfiguration: &ecsapi.DeploymentLifecycleHookTimeoutConfiguration{TimeoutInMinutes: new(int32(30)), Action: ecsapi.DeploymentLifecycleHookActionContinue},
			}}}
		})
		arn := w.newest()
		w.settle("prod/web")
		d := w.deployment(arn)
		if d.Status != ecsapi.ServiceDeploymentStatusInProgress || d.LifecycleStage != ecsapi.ServiceDeploymentLifecycleStagePostScaleUp || len(d.LifecycleHookDetails) != 1 ||
			d.LifecycleHookDetails[0].TimeoutAction != ecsapi.DeploymentLifecycleHookActionContinue || *d.TargetServiceRevision.RunningTaskCount != 2 ||
			*d.TargetServiceRevision.RequestedProductionTrafficWeight != 0 || *d.SourceServiceRevisions[0].RequestedProductionTrafficWeight != 100 {
			t.Fatalf("waiting: %+v", d)
		}
		proceed := func(hook string) error {
			return call(w, w.ops.ContinueServiceDeployment, &ecsapi.ContinueServiceDeploymentInput{ServiceDeploymentArn: &arn, HookId: &hook, Action: tt.action})()
		}
		hook := *d.LifecycleHookDetails[0].HookId
		w.wantRefusal(proceed("nope"), "InvalidParameterException: The service deployment has not come to a hook with the hookId nope.")
		if err := proceed(hook); err != nil {
			t.Fatal(err)
		}
		w.settle("prod/web")
		d = w.deployment(arn)
		if d.Status != tt.ends || d.LifecycleHookDetails[0].Status != tt.hook {
			t.Errorf("afterwards: %s, hook %s", d.Status, d.LifecycleHookDetails[0].Status)
		}
		if sv := w.showOne("prod", "web"); *sv.RunningCount != 2 || len(sv.Deployments) != 1 {
			t.Errorf("afterwards: %+v", sv)
		}
		w.wantRefusal(proceed(hook), "InvalidParameterException: The hook "+hook+" does not wait for an action: its status is "+string(tt.hook)+", and the deployment's "+string(tt.ends)+".")
	}
}

// TestFirstTaskResolvesTags: the first digest that is told of a container is its revision's
// from then on, and is shown; what is no digest, and who is not asked, decides nothing.
func TestFirstTaskResolvesTags(t *testing.T) {
	w := newWorld(t)
	w.makeCluster("prod")
	w.join("prod", 4096, 4096)
	digest := func(digit string) string { return "sha256:" + strings.Repeat(digit, 64) }
	w.define("web", 128, 64, func(in *ecsapi.RegisterTaskDefinitionInput) {
		in.ContainerDefinitions = append(in.ContainerDefinitions,
			ecsapi.ContainerDefinition{Name: new("free"), Image: new("team/free:1"), Memory: new(int32(64)), VersionConsistency: ecsapi.VersionConsistencyDisabled},
			ecsapi.ContainerDefinition{Name: new("exact"), Image: new("team/exact@" + digest("e")), Memory: new(int32(64))})
	})
	w.serve("prod", "web", "web")
	images := func() string {
		d := w.deployment(w.newest())
		out := must(w, w.ops.DescribeServiceRevisions, &ecsapi.DescribeServiceRevisionsInput{ServiceRevisionArns: []string{*d.TargetServiceRevision.Arn}})
		var all []string
		for _, i := range out.ServiceRevisions[0].ContainerImages {
			all = append(all, *i.ContainerName+" "+*i.Image+" "+wire.Value(i.ImageDigest))
		}
		return strings.Join(all, ", ")
	}
	tasks := func() []string {
		return must(w, w.ops.ListTasks, &ecsapi.ListTasksInput{Cluster: new("prod"), ServiceName: new("web")}).TaskArns
	}
	told := func(task, digit string) {
		w.tell("prod", task, "PENDING", ecsapi.ContainerStateChange{ContainerName: new("web"), Status: new("PENDING"), ImageDigest: new(digit)},
			ecsapi.ContainerStateChange{ContainerName: new("free"), Status: new("PENDING"), ImageDigest: new(digit)})
	}
	w.reconcile("prod/web")
	if got := tasks(); len(got) != 1 {
		t.Fatalf("before the tag is resolved there are %d tasks", len(got))
	}
	const others = ", free team/free:1 , exact team/exact@sha256:eeee"
	told(tasks()[0], "not a digest")
	if got := images(); !strings.HasPrefix(got, "web gantry/sample-web "+others) {
		t.Errorf("before: %s", got)
	}
	told(tasks()[0], digest("1"))
	if got := images(); !strings.HasPrefix(got, "web gantry/sample-web "+digest("1")+others) {
		t.Errorf("told: %s", got)
	}
	w.reconcile("prod/web")
	if got := tasks(); len(got) != 2 {
		t.Fatalf("when it is resolved there are %d tasks", len(got))
	}
	for _, task := range tasks() {
		told(task, digest("2"))
	}
	if got := images(); !strings.HasPrefix(got, "web gantry/sample-web "+digest("1")+others) {
		t.Errorf("told otherwise later: %s", got)
	}
	w.settle("prod/web")
	w.tick(time.Second)
	w.change(func(in *ecsapi.UpdateServiceInput) { in.ForceNewDeployment = new(true) })
	if got := images(); !strings.HasPrefix(got, "web gantry/sample-web "+others) {
		t.Errorf("a new revision finds out anew: %s", got)
	}
}
