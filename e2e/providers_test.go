package e2e

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// provider makes a capacity provider of a name that no other test has, by the CLI.
func (s *server) provider(t *testing.T) (name string) {
	t.Helper()
	name = fmt.Sprintf("p%x", time.Now().UnixNano())
	s.aws(t, "ecs", "create-capacity-provider", "--name", name, "--auto-scaling-group-provider",
		"autoScalingGroupArn=arn:aws:autoscaling:us-east-1:123456789012:autoScalingGroup:x:autoScalingGroupName/"+name+"-group")
	return name
}

// enlist makes this machine an instance of a provider's group, and of no other.
func (s *server) enlist(t *testing.T, cluster, provider string) {
	t.Helper()
	s.aws(t, "ecs", "put-attributes", "--cluster", cluster, "--attributes",
		"name=gantry.auto-scaling-group,value="+provider+"-group,targetType=container-instance,targetId="+id(*s.machine(t, cluster).ContainerInstanceArn))
}

// tally counts the tasks of a cluster by "<provider> <status>".
func (s *server) tally(t *testing.T, cluster string) string {
	t.Helper()
	c := s.sdk()
	counts := map[string]int{}
	if arns := must(t, c.ListTasks, &ecs.ListTasksInput{Cluster: &cluster}).TaskArns; len(arns) > 0 {
		for _, task := range must(t, c.DescribeTasks, &ecs.DescribeTasksInput{Cluster: &cluster, Tasks: arns}).Tasks {
			counts[aws.ToString(task.CapacityProviderName)+" "+*task.LastStatus]++
		}
	}
	var out []string
	for _, key := range slices.Sorted(maps.Keys(counts)) {
		out = append(out, fmt.Sprintf("%s %d", key, counts[key]))
	}
	return strings.Join(out, ", ")
}

func (s *server) untilTally(t *testing.T, cluster, want string) {
	t.Helper()
	eventually(t, want, func() (bool, string) { got := s.tally(t, cluster); return got == want, got })
}

// TestCapacityProviders: the CLI makes providers, a cluster spreads tasks over them by
// base and weight, and those without room wait until their provider has some.
func TestCapacityProviders(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	cluster := s.cluster(t)
	a, b := s.provider(t), s.provider(t)
	s.aws(t, "ecs", "put-cluster-capacity-providers", "--cluster", cluster, "--capacity-providers", a, b,
		"--default-capacity-provider-strategy", "capacityProvider="+a+",base=2,weight=1", "capacityProvider="+b+",weight=3")
	s.enlist(t, cluster, a)
	if got := aws.ToString(s.machine(t, cluster).CapacityProviderName); got != a {
		t.Errorf("this machine belongs to %q, want %s", got, a)
	}
	out := awsJSON[tasks](t, s, "ecs", "run-task", "--cluster", cluster, "--task-definition", s.define(t, nil), "--count", "6")
	if len(out.Tasks) != 6 || len(out.Failures) != 0 {
		t.Fatalf("run-task: %d tasks, failures %+v", len(out.Tasks), out.Failures)
	}
	s.untilTally(t, cluster, a+" RUNNING 3, "+b+" PROVISIONING 3")

	if got := s.awsError(t, "ecs", "put-cluster-capacity-providers", "--cluster", cluster, "--capacity-providers", a, "--default-capacity-provider-strategy", "[]"); !strings.Contains(got, "(ResourceInUseException) when calling the PutClusterCapacityProviders operation: The specified capacity provider is in use and cannot be removed.") {
		t.Errorf("removed while tasks wait for it: %s", got)
	}
	// One of those who wait is stopped; the others run once the machine is theirs.
	for _, task := range out.Tasks {
		if strings.HasSuffix(s.aws(t, "ecs", "describe-tasks", "--cluster", cluster, "--tasks", task.TaskArn, "--query", "tasks[0].capacityProviderName", "--output", "text"), b) {
			s.aws(t, "ecs", "stop-task", "--cluster", cluster, "--task", task.TaskArn, "--reason", "enough")
			s.aws(t, "ecs", "wait", "tasks-stopped", "--cluster", cluster, "--tasks", task.TaskArn)
			if got := describeTask(t, s.sdk(), cluster, task.TaskArn); got.StopCode != types.TaskStopCodeUserInitiated || *got.StoppedReason != "enough" || got.ContainerInstanceArn != nil {
				t.Errorf("stopped while it waited: %s, %s", got.StopCode, *got.StoppedReason)
			}
			break
		}
	}
	s.enlist(t, cluster, b)
	s.untilTally(t, cluster, a+" RUNNING 3, "+b+" RUNNING 2")

	if got := s.aws(t, "ecs", "delete-capacity-provider", "--capacity-provider", a, "--query", "capacityProvider.[status,updateStatus,updateStatusReason]", "--output", "text"); got !=
		"ACTIVE\tDELETE_FAILED\tThe capacity provider cannot be deleted because it is associated with cluster: "+cluster+". Remove the capacity provider from the cluster and try again." {
		t.Errorf("deleted while a cluster has it: %s", got)
	}
	for _, arn := range must(t, s.sdk().ListTasks, &ecs.ListTasksInput{Cluster: &cluster}).TaskArns {
		s.halt(t, cluster, arn)
	}
	s.aws(t, "ecs", "put-cluster-capacity-providers", "--cluster", cluster, "--capacity-providers", "[]", "--default-capacity-provider-strategy", "[]")
	for _, p := range []string{a, b} {
		if got := s.aws(t, "ecs", "delete-capacity-provider", "--capacity-provider", p, "--query", "capacityProvider.status", "--output", "text"); got != "INACTIVE" {
			t.Errorf("deleted: %s", got)
		}
	}
}

// whole is a definition of a task that takes most of this machine's CPU units: two of
// them do not fit.
func (s *server) whole(t *testing.T, cluster string) string {
	cpu := int32(0)
	for _, r := range s.machine(t, cluster).RegisteredResources {
		if *r.Name == "CPU" {
			cpu = r.IntegerValue
		}
	}
	return s.define(t, func(_ *ecs.RegisterTaskDefinitionInput, c *types.ContainerDefinition) { c.Cpu = cpu * 3 / 4 })
}

// TestTaskWaitsForRoom: a task with a queue waits where another one is refused, over a
// kill of gantry too, and runs when room appears.
func TestTaskWaitsForRoom(t *testing.T) {
	t.Parallel()
	s := own(t)
	s.load(t, "worker")
	definition := s.whole(t, "default")
	first := s.launch(t, "default", definition)
	if out := must(t, s.sdk().RunTask, &ecs.RunTaskInput{TaskDefinition: &definition}); len(out.Tasks) != 0 || aws.ToString(out.Failures[0].Reason) != "RESOURCE:CPU" {
		t.Fatalf("without a queue: %+v", out)
	}
	out := awsJSON[tasks](t, s, "ecs", "run-task", "--task-definition", definition, "--tags", "key=gantry:queue,value=1h")
	if len(out.Tasks) != 1 || out.Tasks[0].LastStatus != "PROVISIONING" {
		t.Fatalf("with a queue: %+v", out)
	}
	waits := out.Tasks[0].TaskArn
	s.kill()
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	if got := describeTask(t, s.sdk(), "default", waits); *got.LastStatus != "PROVISIONING" {
		t.Fatalf("after the kill it is %s", *got.LastStatus)
	}
	s.halt(t, "default", first)
	s.aws(t, "ecs", "wait", "tasks-running", "--tasks", waits)
	s.halt(t, "default", waits)
}

// TestQueueIsOver: a task that finds no room in time is STOPPED, and says why.
func TestQueueIsOver(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	cluster := s.cluster(t)
	s.machine(t, cluster)
	definition := s.define(t, func(_ *ecs.RegisterTaskDefinitionInput, c *types.ContainerDefinition) { c.Memory = aws.Int32(1 << 30) })
	out := awsJSON[tasks](t, s, "ecs", "run-task", "--cluster", cluster, "--task-definition", definition, "--tags", "key=gantry:queue,value=1s")
	s.aws(t, "ecs", "wait", "tasks-stopped", "--cluster", cluster, "--tasks", out.Tasks[0].TaskArn)
	got := describeTask(t, s.sdk(), cluster, out.Tasks[0].TaskArn)
	if got.StopCode != types.TaskStopCodeTaskFailedToStart || !strings.HasPrefix(*got.StoppedReason, "Task failed to start: no container instance had room within 1s (gantry:queue). (Container instances: 1; RESOURCE:MEMORY: 1. Closest: needs 1073741824 MiB of memory, ") {
		t.Errorf("%s: %s", got.StopCode, *got.StoppedReason)
	}
	for tag, want := range map[string]string{
		"key=gantry:queues,value=1s":   "The tag gantry:queues is not one of gantry's. On a task there may be: gantry:queue, gantry:retries.",
		"key=gantry:retries,value=-1":  `The tag gantry:retries is invalid: "-1" is no number of retries. It is a whole number from 0 to 100.`,
		"key=gantry:attempt,value=two": "The tag gantry:attempt is set by gantry itself.",
	} {
		if got := s.awsError(t, "ecs", "run-task", "--cluster", cluster, "--task-definition", definition, "--tags", tag); !strings.HasSuffix(got, "(InvalidParameterException) when calling the RunTask operation: "+want) {
			t.Errorf("%s: %s", tag, got)
		}
	}
}

// TestRetries: a job that fails is started again as often as it asked for, by whoever
// started it; one that ends well is not.
func TestRetries(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	cluster := s.cluster(t)
	s.machine(t, cluster)
	run := func(exit string) {
		j := s.job(t, s.probe("job", exit))
		j.cluster = cluster
		j.run.StartedBy, j.run.Tags = aws.String("job-"+exit), []types.Tag{tag("gantry:retries", "2")}
		j.start()
	}
	run("exit=3")
	run("exit=0")
	all := func(startedBy string) (list []types.Task) {
		arns := must(t, s.sdk().ListTasks, &ecs.ListTasksInput{Cluster: &cluster, StartedBy: &startedBy, DesiredStatus: types.DesiredStatusStopped}).TaskArns
		if len(arns) > 0 {
			list = must(t, s.sdk().DescribeTasks, &ecs.DescribeTasksInput{Cluster: &cluster, Tasks: arns, Include: []types.TaskField{types.TaskFieldTags}}).Tasks
		}
		slices.SortFunc(list, func(a, b types.Task) int { return a.CreatedAt.Compare(*b.CreatedAt) })
		return slices.DeleteFunc(list, func(t types.Task) bool { return *t.LastStatus != "STOPPED" })
	}
	var failed []types.Task
	eventually(t, "three attempts", func() (bool, string) { failed = all("job-exit=3"); return len(failed) == 3, fmt.Sprint(len(failed)) })
	for i, task := range failed {
		want := "gantry:retries=2"
		if i > 0 {
			want = fmt.Sprintf("gantry:attempt=%d gantry:retries=2 gantry:retry-of=%s", i+1, id(*failed[i-1].TaskArn))
		}
		if got := tagged(task.Tags); got != want {
			t.Errorf("attempt %d has the tags %s; want %s", i+1, got, want)
		}
		exited(t, task, "job", 3)
	}
	eventually(t, "the other to end", func() (bool, string) { n := len(all("job-exit=0")); return n == 1, fmt.Sprint(n) })
	if running := must(t, s.sdk().ListTasks, &ecs.ListTasksInput{Cluster: &cluster}).TaskArns; len(running) != 0 {
		t.Errorf("started again: %v", running)
	}
}

// TestServiceByCapacityProviders: a service's tasks go by base and weight; those whose
// provider has no machine wait, the event says why, and they run once it has one.
func TestServiceByCapacityProviders(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	cluster := s.cluster(t)
	a, b := s.provider(t), s.provider(t)
	s.aws(t, "ecs", "put-cluster-capacity-providers", "--cluster", cluster, "--capacity-providers", a, b, "--default-capacity-provider-strategy", "[]")
	s.enlist(t, cluster, a)
	s.aws(t, "ecs", "create-service", "--cluster", cluster, "--service-name", "web", "--task-definition", s.define(t, nil), "--desired-count", "6",
		"--capacity-provider-strategy", "capacityProvider="+a+",base=2,weight=1", "capacityProvider="+b+",weight=3")
	s.untilTally(t, cluster, a+" RUNNING 3, "+b+" PROVISIONING 3")
	eventually(t, "the event", func() (bool, string) {
		sv := describeService(t, s.sdk(), cluster, "web")
		return slices.ContainsFunc(sv.Events, func(e types.ServiceEvent) bool {
			return strings.Contains(*e.Message, "was unable to place a task because no container instance met all of its requirements.")
		}), showService(sv)
	})
	s.enlist(t, cluster, b)
	s.aws(t, "ecs", "wait", "services-stable", "--cluster", cluster, "--services", "web")
	if got, want := s.tally(t, cluster), a+" RUNNING 3, "+b+" RUNNING 3"; got != want {
		t.Errorf("stable with %s, want %s", got, want)
	}
	s.aws(t, "ecs", "update-service", "--cluster", cluster, "--service", "web", "--desired-count", "2")
	s.untilTally(t, cluster, a+" RUNNING 2")
}
