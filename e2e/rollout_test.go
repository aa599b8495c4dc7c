package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// A rollout is a service on its way, in a cluster of its own.
type rollout struct {
	*server
	t       *testing.T
	c       *ecs.Client
	cluster string
	good    string // the task definition that it began with
}

// rollout creates a service of three tasks and waits until it is stable.
func (s *server) rollout(t *testing.T, change ...func(*ecs.CreateServiceInput)) *rollout {
	t.Helper()
	f := &rollout{server: s, t: t, c: s.sdk(), cluster: s.cluster(t), good: s.define(t, nil)}
	in := &ecs.CreateServiceInput{Cluster: &f.cluster, ServiceName: aws.String("web"), TaskDefinition: &f.good, DesiredCount: aws.Int32(3)}
	for _, c := range change {
		c(in)
	}
	must(t, f.c.CreateService, in)
	f.stable()
	return f
}

// look is the service as it is.
func (f *rollout) look() types.Service { return describeService(f.t, f.c, f.cluster, "web") }

// stable waits as AWS's own waiter does, only faster.
func (f *rollout) stable() types.Service {
	f.t.Helper()
	if err := stableWaiter(f.c).Wait(f.t.Context(), &ecs.DescribeServicesInput{Cluster: &f.cluster, Services: []string{"web"}}, stateWithin); err != nil {
		f.t.Fatalf("%v\n%s", err, showService(f.look()))
	}
	return f.look()
}

// until waits for a state of the service.
func (f *rollout) until(what string, is func(types.Service) bool) types.Service {
	f.t.Helper()
	var last types.Service
	eventually(f.t, what, func() (bool, string) {
		last = f.look()
		return is(last), showService(last)
	})
	return last
}

func (f *rollout) update(change func(*ecs.UpdateServiceInput)) types.Service {
	f.t.Helper()
	in := &ecs.UpdateServiceInput{Cluster: &f.cluster, Service: aws.String("web")}
	change(in)
	return *must(f.t, f.c.UpdateService, in).Service
}

// deployment is the newest, as DescribeServiceDeployments shows it.
func (f *rollout) deployment() types.ServiceDeployment {
	f.t.Helper()
	list := must(f.t, f.c.ListServiceDeployments, &ecs.ListServiceDeploymentsInput{Cluster: &f.cluster, Service: aws.String("web")}).ServiceDeployments
	return must(f.t, f.c.DescribeServiceDeployments, &ecs.DescribeServiceDeploymentsInput{ServiceDeploymentArns: []string{*list[0].ServiceDeploymentArn}}).ServiceDeployments[0]
}

// ended waits until the newest deployment has a status.
func (f *rollout) ended(want types.ServiceDeploymentStatus) types.ServiceDeployment {
	f.t.Helper()
	var last types.ServiceDeployment
	eventually(f.t, "the deployment to be "+string(want), func() (bool, string) {
		last = f.deployment()
		return last.Status == want, fmt.Sprintf("%s %s\n%s", last.Status, aws.ToString(last.StatusReason), showService(f.look()))
	})
	return last
}

// tasks are all that the service has started and gantry remembers.
func (f *rollout) tasks(status types.DesiredStatus) []types.Task {
	f.t.Helper()
	arns := must(f.t, f.c.ListTasks, &ecs.ListTasksInput{Cluster: &f.cluster, ServiceName: aws.String("web"), DesiredStatus: status}).TaskArns
	if len(arns) == 0 {
		return nil
	}
	return must(f.t, f.c.DescribeTasks, &ecs.DescribeTasksInput{Cluster: &f.cluster, Tasks: arns}).Tasks
}

// told reports whether some event of a service has the words.
func told(sv types.Service, words string) bool {
	return slices.ContainsFunc(sv.Events, func(e types.ServiceEvent) bool { return strings.Contains(*e.Message, words) })
}

// breaker asks for the circuit breaker with rollback.
func breaker(in *ecs.CreateServiceInput) {
	in.DeploymentConfiguration = &types.DeploymentConfiguration{DeploymentCircuitBreaker: &types.DeploymentCircuitBreaker{Enable: true, Rollback: true}}
}

// TestBadDeploymentsAreRolledBack: an image that is not there, tasks that crash, and
// ones whose health check fails; the good tasks run through.
func TestBadDeploymentsAreRolledBack(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	for _, tt := range []struct {
		name   string
		tags   []types.Tag
		bad    func(*types.ContainerDefinition)
		reason string
	}{
		{"image", nil, func(c *types.ContainerDefinition) { c.Image = aws.String("127.0.0.1:1/nothing:1") }, "ECS deployment circuit breaker: tasks failed to start."},
		{"crash", []types.Tag{tag("gantry:circuit-breaker", "count-exits")}, func(c *types.ContainerDefinition) {
			c.Image, c.Environment = aws.String("gantry/sample-crasher:latest"), pairs("CRASH_AFTER=100ms")
			c.HealthCheck = &types.HealthCheck{Command: []string{"CMD", "/crasher"}, Interval: aws.Int32(5)}
		}, "ECS deployment circuit breaker: tasks failed health checks."},
		{"health", nil, func(c *types.ContainerDefinition) {
			c.HealthCheck = &types.HealthCheck{Command: []string{"CMD", "/nothing"}, Interval: aws.Int32(5), Retries: aws.Int32(1)}
		}, "ECS deployment circuit breaker: tasks failed health checks."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := s.rollout(t, breaker, func(in *ecs.CreateServiceInput) { in.Tags = tt.tags })
			good := f.tasks(types.DesiredStatusRunning)
			bad := s.define(t, func(_ *ecs.RegisterTaskDefinitionInput, c *types.ContainerDefinition) { tt.bad(c) })
			f.update(func(in *ecs.UpdateServiceInput) { in.TaskDefinition = &bad })
			d := f.ended(types.ServiceDeploymentStatusRollbackSuccessful)
			if d.DeploymentCircuitBreaker.Status != types.ServiceDeploymentRollbackMonitorsStatusTriggered || d.DeploymentCircuitBreaker.FailureCount < 3 ||
				d.Rollback == nil || *d.Rollback.Reason != tt.reason {
				t.Errorf("rolled back: %+v, breaker %+v", d.Rollback, d.DeploymentCircuitBreaker)
			}
			sv := f.stable()
			if name(*sv.TaskDefinition) != f.good || !told(sv, "rolling back to deployment ecs-svc/") {
				t.Errorf("afterwards: %s", showService(sv))
			}
			for _, task := range good {
				if now := describeTask(t, f.c, f.cluster, *task.TaskArn); *now.LastStatus != "RUNNING" {
					t.Errorf("a good task did not run through: %s", tell(now))
				}
			}
		})
	}
}

// TestStartsAreThrottled: tasks that cannot start are tried again, later and later, and
// the service says so; another definition is tried at once.
func TestStartsAreThrottled(t *testing.T) {
	t.Parallel()
	f := gantry(t).rollout(t, func(in *ecs.CreateServiceInput) { in.DesiredCount = aws.Int32(1) })
	bad := f.define(t, func(_ *ecs.RegisterTaskDefinitionInput, c *types.ContainerDefinition) {
		c.Image = aws.String("127.0.0.1:1/nothing:1")
	})
	f.update(func(in *ecs.UpdateServiceInput) { in.TaskDefinition = &bad })
	sv := f.until("the throttle", func(sv types.Service) bool {
		return told(sv, "(service web) is unable to consistently start tasks successfully.")
	})
	if sv.RunningCount != 1 || sv.Deployments[0].FailedTasks < 3 || sv.Deployments[0].RolloutState != types.DeploymentRolloutStateInProgress {
		t.Errorf("throttled: %s", showService(sv))
	}
	again := f.define(t, nil)
	f.update(func(in *ecs.UpdateServiceInput) { in.TaskDefinition = &again })
	if sv := f.stable(); name(*sv.TaskDefinition) != again || sv.Deployments[0].FailedTasks != 0 {
		t.Errorf("afterwards: %s", showService(sv))
	}
}

// TestOldTasksAreKept: the tasks of the revision that runs are as many as desired while a
// deployment keeps failing, and after it has failed without a rollback.
func TestOldTasksAreKept(t *testing.T) {
	t.Parallel()
	f := gantry(t).rollout(t, breaker, func(in *ecs.CreateServiceInput) {
		in.DeploymentConfiguration.DeploymentCircuitBreaker.Rollback = false
		in.DeploymentConfiguration.DeploymentCircuitBreaker.ThresholdConfiguration = &types.ThresholdConfiguration{Type: types.ThresholdTypeCount, Value: 8}
	})
	good := func() (arns []string) {
		for _, task := range f.tasks(types.DesiredStatusRunning) {
			if name(*task.TaskDefinitionArn) == f.good && *task.LastStatus == "RUNNING" {
				arns = append(arns, *task.TaskArn)
			}
		}
		return arns
	}
	replaced := func(when string) {
		t.Helper()
		ended := good()[0]
		must(t, f.c.StopTask, &ecs.StopTaskInput{Cluster: &f.cluster, Task: &ended})
		f.until("three old tasks "+when, func(types.Service) bool {
			now := good()
			return len(now) == 3 && !slices.Contains(now, ended)
		})
	}
	bad := f.define(t, func(_ *ecs.RegisterTaskDefinitionInput, c *types.ContainerDefinition) {
		c.Image = aws.String("127.0.0.1:1/nothing:1")
	})
	f.update(func(in *ecs.UpdateServiceInput) { in.TaskDefinition = &bad })
	replaced("while the deployment fails")
	f.ended(types.ServiceDeploymentStatusStopped)
	replaced("after it has failed")
	f.until("three that run, of the old revision", func(sv types.Service) bool { // the one that was stopped counts until it has ended
		return sv.RunningCount == 3 && sv.Deployments[0].RolloutState == types.DeploymentRolloutStateFailed && sv.Deployments[1].RunningCount == 3
	})
}

// TestPauseHook: a blue/green deployment has both revisions whole and waits until it is
// told to go on.
func TestPauseHook(t *testing.T) {
	t.Parallel()
	f := gantry(t).rollout(t, func(in *ecs.CreateServiceInput) {
		in.DeploymentConfiguration = &types.DeploymentConfiguration{Strategy: types.DeploymentStrategyBlueGreen, LifecycleHooks: []types.DeploymentLifecycleHook{{
			TargetType:      types.DeploymentLifecycleHookTargetTypePause,
			LifecycleStages: []types.DeploymentLifecycleHookStage{types.DeploymentLifecycleHookStagePostScaleUp},
		}}}
		in.DesiredCount = aws.Int32(0) // the first deployment pauses too: there is nothing to wait for in it yet
	})
	f.proceed("")
	f.ended(types.ServiceDeploymentStatusSuccessful)
	f.update(func(in *ecs.UpdateServiceInput) { in.DesiredCount = aws.Int32(2) })
	f.stable()
	for _, tt := range []struct {
		action types.DeploymentLifecycleHookAction
		status types.ServiceDeploymentStatus
	}{
		{types.DeploymentLifecycleHookActionRollback, types.ServiceDeploymentStatusRollbackSuccessful},
		{types.DeploymentLifecycleHookActionContinue, types.ServiceDeploymentStatusSuccessful},
	} {
		green := f.define(t, nil)
		f.update(func(in *ecs.UpdateServiceInput) { in.TaskDefinition = &green })
		d := f.proceed(tt.action)
		if d.LifecycleStage != types.ServiceDeploymentLifecycleStagePostScaleUp || d.TargetServiceRevision.RunningTaskCount != 2 || d.SourceServiceRevisions[0].RunningTaskCount != 2 {
			t.Errorf("while it waits: stage %s, green %+v, blue %+v", d.LifecycleStage, d.TargetServiceRevision, d.SourceServiceRevisions)
		}
		f.ended(tt.status)
		if now := f.stable(); (name(*now.TaskDefinition) == green) != (tt.status == types.ServiceDeploymentStatusSuccessful) || now.RunningCount != 2 {
			t.Errorf("after %s: %s", tt.action, showService(now))
		}
	}
}

// proceed waits until the newest deployment is at a hook, and tells it to go on. It is
// the deployment as it was while it waited.
func (f *rollout) proceed(action types.DeploymentLifecycleHookAction) types.ServiceDeployment {
	f.t.Helper()
	var d types.ServiceDeployment
	eventually(f.t, "the deployment to wait at a hook", func() (bool, string) {
		d = f.deployment()
		return slices.ContainsFunc(d.LifecycleHookDetails, func(h types.DeploymentLifecycleHookDetail) bool {
			return h.Status == types.DeploymentLifecycleHookStatusAwaitingAction
		}), fmt.Sprintf("%s at %s", d.Status, d.LifecycleStage)
	})
	must(f.t, f.c.ContinueServiceDeployment, &ecs.ContinueServiceDeploymentInput{ServiceDeploymentArn: d.ServiceDeploymentArn, HookId: d.LifecycleHookDetails[0].HookId, Action: action})
	return d
}

// TestEarlySuccess: a deployment succeeds with half of its tasks healthy, and the rest
// follows.
func TestEarlySuccess(t *testing.T) {
	t.Parallel()
	f := gantry(t).rollout(t, func(in *ecs.CreateServiceInput) {
		in.DesiredCount = aws.Int32(2)
		in.DeploymentConfiguration = &types.DeploymentConfiguration{
			MinimumHealthyPercent: aws.Int32(50), MaximumPercent: aws.Int32(100),
			EarlySuccessCriteria: &types.DeploymentEarlySuccessCriteria{Enable: true, HealthyPercent: aws.Int32(50), SourceServiceRevisionCleanup: types.ServiceRevisionCleanupDeferred},
		}
	})
	next := f.define(t, nil)
	f.update(func(in *ecs.UpdateServiceInput) { in.TaskDefinition = &next })
	d := f.ended(types.ServiceDeploymentStatusSuccessful)
	sv := f.stable()
	var last time.Time // when the last new task ran
	for _, task := range f.tasks(types.DesiredStatusRunning) {
		if name(*task.TaskDefinitionArn) != next {
			t.Errorf("an old task is left: %s", tell(task))
		}
		if task.StartedAt.After(last) {
			last = *task.StartedAt
		}
	}
	if sv.RunningCount != 2 || !d.FinishedAt.Before(last) {
		t.Errorf("the deployment finished at %s, its last task ran at %s: %s", d.FinishedAt, last, showService(sv))
	}
}

// TestKilledDuringARollout: gantry is killed while a service rolls, and started again:
// the rollout goes on, each task exists once, and none is lost.
func TestKilledDuringARollout(t *testing.T) {
	t.Parallel()
	s := own(t)
	s.load(t, "worker")
	f := s.rollout(t, func(in *ecs.CreateServiceInput) {
		in.DesiredCount = aws.Int32(6)
		in.DeploymentConfiguration = &types.DeploymentConfiguration{MinimumHealthyPercent: aws.Int32(66), MaximumPercent: aws.Int32(120)}
	})
	next := f.define(t, nil)
	id := *f.update(func(in *ecs.UpdateServiceInput) { in.TaskDefinition = &next }).Deployments[0].Id
	for n := range 2 { // once at the start, once in the midst
		f.until("some new tasks", func(sv types.Service) bool {
			return *sv.Deployments[0].Id == id && int(sv.Deployments[0].PendingCount+sv.Deployments[0].RunningCount) > n
		})
		s.kill()
		if err := s.start(); err != nil {
			t.Fatal(err)
		}
		f.c = s.sdk()
	}
	sv := f.stable()
	if *sv.Deployments[0].Id != id || sv.RunningCount != 6 || name(*sv.TaskDefinition) != next {
		t.Errorf("afterwards: %s", showService(sv))
	}
	running := map[string]bool{} // by runtime id
	for _, task := range f.tasks(types.DesiredStatusRunning) {
		if name(*task.TaskDefinitionArn) != next || *task.LastStatus != "RUNNING" {
			t.Errorf("a task that should not be there: %s", tell(task))
		}
		running[aws.ToString(task.Containers[0].RuntimeId)] = true
	}
	if len(running) != 6 {
		t.Errorf("%d containers in 6 tasks", len(running))
	}
	stopped := f.tasks(types.DesiredStatusStopped)
	for _, task := range stopped {
		if name(*task.TaskDefinitionArn) != f.good || task.StopCode != types.TaskStopCodeServiceSchedulerInitiated {
			t.Errorf("a task that should not have ended: %s", tell(task))
		}
	}
	if len(stopped) != 6 {
		t.Errorf("%d old tasks have stopped, want the 6 that there were", len(stopped))
	}
	eventually(t, "the old containers to be gone", func() (bool, string) {
		pids := s.pids(t)
		for container := range pids {
			if !running[container] {
				return false, "container " + container + " runs and is no task's"
			}
		}
		return len(pids) == 6, fmt.Sprintf("%d containers", len(pids))
	})
}

// TestServiceIsReplaced: a task that is stopped, or whose program ends, is replaced.
func TestServiceIsReplaced(t *testing.T) {
	t.Parallel()
	f := gantry(t).rollout(t, func(in *ecs.CreateServiceInput) { in.DesiredCount = aws.Int32(2) })
	first := f.tasks(types.DesiredStatusRunning)
	ctx, cancel := context.WithTimeout(t.Context(), answerWithin)
	defer cancel()
	if _, err := f.c.StopTask(ctx, &ecs.StopTaskInput{Cluster: &f.cluster, Task: first[0].TaskArn}); err != nil {
		t.Fatal(err)
	}
	f.until("another task", func(sv types.Service) bool {
		return sv.RunningCount == 2 && !slices.ContainsFunc(f.tasks(types.DesiredStatusRunning), func(task types.Task) bool { return *task.TaskArn == *first[0].TaskArn })
	})
	must(t, f.c.DeleteService, &ecs.DeleteServiceInput{Cluster: &f.cluster, Service: aws.String("web"), Force: aws.Bool(true)})
	if err := inactiveWaiter(f.c).Wait(t.Context(), &ecs.DescribeServicesInput{Cluster: &f.cluster, Services: []string{"web"}}, stateWithin); err != nil {
		t.Fatalf("%v\n%s", err, showService(f.look()))
	}
	if left := f.tasks(types.DesiredStatusRunning); len(left) != 0 {
		t.Errorf("%d tasks of a service that is INACTIVE", len(left))
	}
}

// TestNoPlaceIsTold: a constraint that nothing satisfies is an event, and its change is
// acted upon at once.
func TestNoPlaceIsTold(t *testing.T) {
	t.Parallel()
	f := gantry(t).rollout(t, func(in *ecs.CreateServiceInput) { in.DesiredCount = aws.Int32(0) })
	f.update(func(in *ecs.UpdateServiceInput) {
		in.DesiredCount = aws.Int32(1)
		in.PlacementConstraints = []types.PlacementConstraint{{Type: types.PlacementConstraintTypeMemberOf, Expression: aws.String("attribute:moon exists")}}
	})
	f.until("the event", func(sv types.Service) bool {
		return told(sv, "(service web) was unable to place a task because no container instance met all of its requirements.")
	})
	f.update(func(in *ecs.UpdateServiceInput) { in.PlacementConstraints = []types.PlacementConstraint{} })
	if sv := f.stable(); sv.RunningCount != 1 {
		t.Errorf("without the constraint: %s", showService(sv))
	}
}
