package e2e

import (
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/google/go-cmp/cmp"
)

// launch runs one task and waits, with the SDK's waiter, until it is RUNNING.
func (s *server) launch(t *testing.T, cluster, definition string) string {
	t.Helper()
	c := s.sdk()
	out := must(t, c.RunTask, &ecs.RunTaskInput{Cluster: &cluster, TaskDefinition: &definition})
	if len(out.Tasks) != 1 || len(out.Failures) != 0 {
		t.Fatalf("run %s: %+v", definition, out)
	}
	arn := *out.Tasks[0].TaskArn
	if err := runningWaiter(c).Wait(t.Context(), &ecs.DescribeTasksInput{Cluster: &cluster, Tasks: []string{arn}}, stateWithin); err != nil {
		t.Fatalf("%v: %+v", err, describeTask(t, c, cluster, arn))
	}
	return arn
}

// halt stops a task and waits, with the SDK's waiter, until it is STOPPED.
func (s *server) halt(t *testing.T, cluster, task string) {
	t.Helper()
	c := s.sdk()
	must(t, c.StopTask, &ecs.StopTaskInput{Cluster: &cluster, Task: &task})
	if err := stoppedWaiter(c).Wait(t.Context(), &ecs.DescribeTasksInput{Cluster: &cluster, Tasks: []string{task}}, stateWithin); err != nil {
		t.Fatal(err)
	}
}

func describeTask(t *testing.T, c *ecs.Client, cluster, ref string, include ...types.TaskField) types.Task {
	t.Helper()
	out := must(t, c.DescribeTasks, &ecs.DescribeTasksInput{Cluster: &cluster, Tasks: []string{ref}, Include: include})
	if len(out.Tasks) != 1 || len(out.Failures) != 0 {
		t.Fatalf("describe task %s: %+v", ref, out)
	}
	return out.Tasks[0]
}

func tag(key, value string) types.Tag { return types.Tag{Key: &key, Value: &value} }

// tagged is tags as "key=value", sorted.
func tagged(tags []types.Tag) string {
	var out []string
	for _, t := range tags {
		out = append(out, *t.Key+"="+*t.Value)
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// TestRunTaskWithEverything: what is asked for is what is told, at once and later.
func TestRunTaskWithEverything(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	c := s.sdk()
	cluster := s.cluster(t)
	definition := s.define(t, func(in *ecs.RegisterTaskDefinitionInput, _ *types.ContainerDefinition) {
		in.Tags = []types.Tag{tag("from", "definition"), tag("team", "dev")}
	})
	out := must(t, c.RunTask, &ecs.RunTaskInput{
		Cluster: &cluster, TaskDefinition: &definition, Count: aws.Int32(3), LaunchType: types.LaunchTypeEc2,
		Group: aws.String("batch"), StartedBy: aws.String("me"), Tags: []types.Tag{tag("team", "ops")},
		PropagateTags: types.PropagateTagsTaskDefinition, EnableECSManagedTags: true,
		Overrides: &types.TaskOverride{
			Cpu: aws.String("256"), Memory: aws.String("64"),
			ContainerOverrides: []types.ContainerOverride{{
				Name: aws.String("worker"), Environment: []types.KeyValuePair{{Name: aws.String("A"), Value: aws.String("1")}}, Memory: aws.Int32(40),
			}},
		},
		PlacementStrategy: []types.PlacementStrategy{{Type: types.PlacementStrategyTypeBinpack, Field: aws.String("memory")}},
	})
	if len(out.Tasks) != 3 || len(out.Failures) != 0 {
		t.Fatalf("%d tasks, failures %+v", len(out.Tasks), out.Failures)
	}
	var arns []string
	for _, got := range out.Tasks {
		arns = append(arns, *got.TaskArn)
		if *got.LastStatus != "PENDING" || *got.DesiredStatus != "RUNNING" || got.Version != 1 || got.CreatedAt == nil || got.StartedAt != nil || got.ContainerInstanceArn == nil {
			t.Errorf("as answered: %+v", got)
		}
	}
	if err := runningWaiter(c).Wait(t.Context(), &ecs.DescribeTasksInput{Cluster: &cluster, Tasks: arns}, stateWithin); err != nil {
		t.Fatal(err)
	}
	for _, got := range must(t, c.DescribeTasks, &ecs.DescribeTasksInput{Cluster: &cluster, Tasks: arns, Include: []types.TaskField{types.TaskFieldTags}}).Tasks {
		if *got.Group != "batch" || *got.StartedBy != "me" || *got.Cpu != "256" || *got.Memory != "64" || got.LaunchType != types.LaunchTypeEc2 || got.Version < 2 {
			t.Errorf("%+v", got)
		}
		if tags := tagged(got.Tags); tags != "aws:ecs:clusterName="+cluster+" from=definition team=ops" {
			t.Errorf("tags %s", tags)
		}
		o := got.Overrides.ContainerOverrides
		if len(o) != 1 || *o[0].Name != "worker" || *o[0].Environment[0].Value != "1" || *got.Containers[0].Memory != "40" || *got.Containers[0].Cpu != "10" {
			t.Errorf("overrides %+v of container %+v", got.Overrides, got.Containers)
		}
	}
	if got := describeTask(t, c, cluster, id(arns[0])); len(got.Tags) != 0 {
		t.Errorf("tags without include: %+v", got.Tags)
	}
}

func TestClientToken(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	c := s.sdk()
	cluster := s.cluster(t)
	definition := s.define(t, nil)
	in := ecs.RunTaskInput{Cluster: &cluster, TaskDefinition: &definition, ClientToken: aws.String("once"), StartedBy: aws.String("token")}
	first, second := must(t, c.RunTask, &in), must(t, c.RunTask, &in)
	arn := *first.Tasks[0].TaskArn
	if len(second.Tasks) != 1 || *second.Tasks[0].TaskArn != arn {
		t.Errorf("the second call answers %+v, want task %s again", second.Tasks, arn)
	}
	if got := must(t, c.ListTasks, &ecs.ListTasksInput{Cluster: &cluster}).TaskArns; len(got) != 1 {
		t.Errorf("two calls with one token run %d tasks", len(got))
	}
	in.Count = aws.Int32(2)
	conflict := refused[*types.ConflictException](t, c.RunTask, &in, "different parameters")
	if conflict != nil && !slices.Equal(conflict.ResourceIds, []string{arn}) {
		t.Errorf("resourceIds %v, want %s", conflict.ResourceIds, arn)
	}
	// Calls at the same time are one call, too.
	in.ClientToken, in.Count = aws.String("race"), aws.Int32(1)
	answers := make(chan string)
	for range 4 {
		go func() {
			out, err := c.RunTask(t.Context(), &in)
			if err != nil || len(out.Tasks) != 1 {
				answers <- "no task"
				return
			}
			answers <- *out.Tasks[0].TaskArn
		}()
	}
	seen := map[string]bool{}
	for range 4 {
		seen[<-answers] = true
	}
	if len(seen) != 1 || seen["no task"] {
		t.Errorf("four calls at once answer %v", seen)
	}
}

// TestNoRoom: a task that cannot be placed is a failure in the answer, with ECS's
// reason and the numbers.
func TestNoRoom(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	c := s.sdk()
	cluster := s.cluster(t)
	arn := *s.machine(t, cluster).ContainerInstanceArn
	for _, test := range []struct {
		name   string
		change func(*ecs.RegisterTaskDefinitionInput, *types.ContainerDefinition)
		reason string
	}{
		{"cpu", func(_ *ecs.RegisterTaskDefinitionInput, c *types.ContainerDefinition) { c.Cpu = 190 * 1024 }, "RESOURCE:CPU"},
		{"memory", func(_ *ecs.RegisterTaskDefinitionInput, c *types.ContainerDefinition) { c.Memory = aws.Int32(1 << 30) }, "RESOURCE:MEMORY"},
		{"gpu", func(_ *ecs.RegisterTaskDefinitionInput, c *types.ContainerDefinition) {
			c.ResourceRequirements = []types.ResourceRequirement{{Type: types.ResourceTypeGpu, Value: aws.String("1")}}
		}, "RESOURCE:GPU"},
		{"constraint", func(in *ecs.RegisterTaskDefinitionInput, _ *types.ContainerDefinition) {
			in.PlacementConstraints = []types.TaskDefinitionPlacementConstraint{{Type: types.TaskDefinitionPlacementConstraintTypeMemberOf, Expression: aws.String("attribute:stack == prod")}}
		}, "MemberOf placement constraint unsatisfied."},
	} {
		definition := s.define(t, test.change)
		out := must(t, c.RunTask, &ecs.RunTaskInput{Cluster: &cluster, TaskDefinition: &definition})
		if len(out.Tasks) != 0 || len(out.Failures) != 1 || *out.Failures[0].Reason != test.reason || *out.Failures[0].Arn != arn || aws.ToString(out.Failures[0].Detail) == "" {
			t.Errorf("%s: %+v, want a failure with reason %s", test.name, show(out.Failures), test.reason)
		}
	}
	// A host port is there once.
	definition := s.define(t, func(in *ecs.RegisterTaskDefinitionInput, c *types.ContainerDefinition) {
		in.NetworkMode = types.NetworkModeBridge
		c.PortMappings = []types.PortMapping{{ContainerPort: aws.Int32(80), HostPort: aws.Int32(18080)}}
	})
	out := must(t, c.RunTask, &ecs.RunTaskInput{Cluster: &cluster, TaskDefinition: &definition, Count: aws.Int32(2)})
	if len(out.Tasks) != 1 || len(out.Failures) != 1 || *out.Failures[0].Reason != "RESOURCE:PORTS" {
		t.Errorf("two tasks that want one port: %d tasks, %s", len(out.Tasks), show(out.Failures))
	}
	// So is the only instance.
	other := s.define(t, nil)
	out = must(t, c.RunTask, &ecs.RunTaskInput{
		Cluster: &cluster, TaskDefinition: &other, Count: aws.Int32(2), Group: aws.String("apart"),
		PlacementConstraints: []types.PlacementConstraint{{Type: types.PlacementConstraintTypeDistinctInstance}},
	})
	if len(out.Tasks) != 1 || len(out.Failures) != 1 {
		t.Errorf("two tasks on distinct instances: %d tasks, %s", len(out.Tasks), show(out.Failures))
	}
}

func show(failures []types.Failure) string {
	var out []string
	for _, f := range failures {
		out = append(out, aws.ToString(f.Arn)+": "+aws.ToString(f.Reason)+": "+aws.ToString(f.Detail))
	}
	return strings.Join(out, "\n")
}

func TestNobodyIsThere(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	c := s.sdk()
	cluster := s.cluster(t)
	definition := s.define(t, nil)
	refused[*types.InvalidParameterException](t, c.RunTask, &ecs.RunTaskInput{Cluster: &cluster, TaskDefinition: &definition, LaunchType: types.LaunchTypeExternal},
		"No Container Instances were found in your cluster.")
	// One whose agent never came does not take tasks.
	out := must(t, c.StartTask, &ecs.StartTaskInput{
		Cluster: &cluster, TaskDefinition: &definition,
		ContainerInstances: []string{s.join(t, cluster, instance{}), strings.Repeat("0", 32)},
	})
	var reasons []string
	for _, f := range out.Failures {
		reasons = append(reasons, *f.Reason)
	}
	slices.Sort(reasons)
	if diff := cmp.Diff([]string{"AGENT", "MISSING"}, reasons); diff != "" || len(out.Tasks) != 0 {
		t.Errorf("%d tasks, reasons (-want +got):\n%s", len(out.Tasks), diff)
	}
}

func TestStartTask(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	c := s.sdk()
	cluster := s.cluster(t)
	definition := s.define(t, nil)
	where := *s.machine(t, cluster).ContainerInstanceArn
	out := must(t, c.StartTask, &ecs.StartTaskInput{
		Cluster: &cluster, TaskDefinition: &definition, ContainerInstances: []string{id(where)}, StartedBy: aws.String("me"), Tags: []types.Tag{tag("a", "b")},
	})
	if len(out.Tasks) != 1 || len(out.Failures) != 0 {
		t.Fatalf("%+v", out)
	}
	arn := *out.Tasks[0].TaskArn
	if err := runningWaiter(c).Wait(t.Context(), &ecs.DescribeTasksInput{Cluster: &cluster, Tasks: []string{arn}}, stateWithin); err != nil {
		t.Fatal(err)
	}
	got := describeTask(t, c, cluster, arn, types.TaskFieldTags)
	if *got.ContainerInstanceArn != where || *got.StartedBy != "me" || *got.Group != "family:"+family(t) || tagged(got.Tags) != "a=b" {
		t.Errorf("%+v", got)
	}
}

func TestStopTask(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	c := s.sdk()
	cluster := s.cluster(t)
	arn := s.launch(t, cluster, s.define(t, nil))
	stop := func(reason string) types.Task {
		in := &ecs.StopTaskInput{Cluster: &cluster, Task: aws.String(id(arn))}
		if reason != "" {
			in.Reason = &reason
		}
		return *must(t, c.StopTask, in).Task
	}
	if got := stop(""); *got.DesiredStatus != "STOPPED" || *got.StoppedReason != "Task stopped by user" || got.StopCode != types.TaskStopCodeUserInitiated || got.StoppingAt == nil {
		t.Errorf("answer of StopTask: %+v", got)
	}
	if got := stop("again"); *got.StoppedReason != "Task stopped by user" {
		t.Errorf("the second StopTask changed the reason: %+v", got)
	}
	if err := stoppedWaiter(c).Wait(t.Context(), &ecs.DescribeTasksInput{Cluster: &cluster, Tasks: []string{arn}}, stateWithin); err != nil {
		t.Fatal(err)
	}
	got := describeTask(t, c, cluster, arn)
	if got.StoppedAt == nil || got.ExecutionStoppedAt == nil || got.Containers[0].ExitCode == nil || *got.Containers[0].LastStatus != "STOPPED" {
		t.Errorf("STOPPED: %+v", got)
	}
	if got := stop("late"); *got.LastStatus != "STOPPED" || *got.StoppedReason != "Task stopped by user" {
		t.Errorf("StopTask of a stopped task: %+v", got)
	}
	if i := describeInstance(t, c, cluster, *got.ContainerInstanceArn); i.RunningTasksCount+i.PendingTasksCount != 0 || i.RemainingResources[0].IntegerValue != i.RegisteredResources[0].IntegerValue {
		t.Errorf("its instance has not got back what the task took: %+v", i)
	}
	refused[*types.InvalidParameterException](t, c.StopTask, &ecs.StopTaskInput{Cluster: &cluster, Task: aws.String(strings.Repeat("0", 32))}, "The referenced task was not found.")
	// The waiter for RUNNING gives up on a task that has stopped.
	if err := runningWaiter(c).Wait(t.Context(), &ecs.DescribeTasksInput{Cluster: &cluster, Tasks: []string{arn}}, stateWithin); err == nil || !strings.Contains(err.Error(), "waiter state transitioned to Failure") {
		t.Errorf("tasks-running for a stopped task: %v", err)
	}
	missing := must(t, c.DescribeTasks, &ecs.DescribeTasksInput{Cluster: &cluster, Tasks: []string{arn, "nothing"}})
	if len(missing.Tasks) != 1 || len(missing.Failures) != 1 || *missing.Failures[0].Reason != "MISSING" ||
		*missing.Failures[0].Arn != "arn:aws:ecs:us-east-1:123456789012:task/"+cluster+"/nothing" {
		t.Errorf("describing one that is there and one that is not: %s", show(missing.Failures))
	}
}

func TestListTasks(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	c := s.sdk()
	cluster := s.cluster(t)
	definition := s.define(t, nil)
	var arns []string
	for _, who := range []string{"a", "b", "b"} {
		out := must(t, c.RunTask, &ecs.RunTaskInput{Cluster: &cluster, TaskDefinition: &definition, StartedBy: &who})
		arns = append(arns, *out.Tasks[0].TaskArn)
	}
	slices.Sort(arns[1:])
	where := *s.machine(t, cluster).ContainerInstanceArn
	s.halt(t, cluster, arns[0])
	stopped, running := arns[:1], arns[1:]
	for _, test := range []struct {
		name string
		in   ecs.ListTasksInput
		want []string
	}{
		{"no filter", ecs.ListTasksInput{}, running},
		{"STOPPED", ecs.ListTasksInput{DesiredStatus: types.DesiredStatusStopped}, stopped},
		{"PENDING", ecs.ListTasksInput{DesiredStatus: types.DesiredStatusPending}, nil},
		{"startedBy", ecs.ListTasksInput{StartedBy: aws.String("b")}, running},
		{"startedBy of the stopped one", ecs.ListTasksInput{StartedBy: aws.String("a")}, nil},
		{"startedBy and STOPPED", ecs.ListTasksInput{StartedBy: aws.String("a"), DesiredStatus: types.DesiredStatusStopped}, stopped},
		{"family", ecs.ListTasksInput{Family: aws.String(family(t))}, running},
		{"another family", ecs.ListTasksInput{Family: aws.String("nothing")}, nil},
		{"instance by ARN", ecs.ListTasksInput{ContainerInstance: &where}, running},
		{"instance by id and family", ecs.ListTasksInput{ContainerInstance: aws.String(id(where)), Family: aws.String(family(t))}, running},
		{"EC2", ecs.ListTasksInput{LaunchType: types.LaunchTypeEc2}, running},
		{"FARGATE", ecs.ListTasksInput{LaunchType: types.LaunchTypeFargate}, nil},
	} {
		test.in.Cluster = &cluster
		got := must(t, c.ListTasks, &test.in).TaskArns
		slices.Sort(got)
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
	refused[*types.ServiceNotFoundException](t, c.ListTasks, &ecs.ListTasksInput{Cluster: &cluster, ServiceName: aws.String("nothing")}, "Service not found.")
	var paged []string
	for p := ecs.NewListTasksPaginator(c, &ecs.ListTasksInput{Cluster: &cluster, MaxResults: aws.Int32(1)}); p.HasMorePages(); {
		out, err := p.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(out.TaskArns) > 1 {
			t.Errorf("a page of %d", len(out.TaskArns))
		}
		paged = append(paged, out.TaskArns...)
	}
	slices.Sort(paged)
	if diff := cmp.Diff(running, paged); diff != "" {
		t.Errorf("by pages (-want +got):\n%s", diff)
	}
}
