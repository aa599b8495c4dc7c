package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/google/go-cmp/cmp"
)

// An instance is one that a test makes up: it registers, and no agent of it ever
// connects, so that nothing is placed there.
type instance struct {
	attributes map[string]string
	tags       []types.Tag
	document   string // instance identity document
}

// join registers a made-up container instance and returns its ARN.
func (s *server) join(t *testing.T, cluster string, i instance) string {
	t.Helper()
	in := &ecs.RegisterContainerInstanceInput{
		Cluster: &cluster, Tags: i.tags,
		VersionInfo: &types.VersionInfo{AgentVersion: aws.String("1.90.0"), AgentHash: aws.String("abc"), DockerVersion: aws.String("DockerVersion: 25.0.0")},
		TotalResources: []types.Resource{
			{Name: aws.String("CPU"), Type: aws.String("INTEGER"), IntegerValue: 2048},
			{Name: aws.String("MEMORY"), Type: aws.String("INTEGER"), IntegerValue: 3900},
			{Name: aws.String("PORTS"), Type: aws.String("STRINGSET"), StringSetValue: []string{"22", "51678"}},
			{Name: aws.String("PORTS_UDP"), Type: aws.String("STRINGSET"), StringSetValue: []string{}},
		},
	}
	if i.document != "" {
		in.InstanceIdentityDocument = &i.document
	}
	for name, value := range i.attributes {
		in.Attributes = append(in.Attributes, types.Attribute{Name: &name, Value: &value})
	}
	return *must(t, s.sdk().RegisterContainerInstance, in).ContainerInstance.ContainerInstanceArn
}

// machine is this machine as an instance of a cluster: the one whose agent is connected.
func (s *server) machine(t *testing.T, cluster string) types.ContainerInstance {
	t.Helper()
	c := s.sdk()
	var found types.ContainerInstance
	eventually(t, "this machine to join "+cluster, func() (bool, string) {
		list := must(t, c.ListContainerInstances, &ecs.ListContainerInstancesInput{Cluster: &cluster, Filter: aws.String("agentConnected == true")})
		if len(list.ContainerInstanceArns) != 1 {
			return false, strings.Join(list.ContainerInstanceArns, " ")
		}
		found = describeInstance(t, c, cluster, list.ContainerInstanceArns[0])
		return true, ""
	})
	return found
}

func describeInstance(t *testing.T, c *ecs.Client, cluster, ref string, include ...types.ContainerInstanceField) types.ContainerInstance {
	t.Helper()
	out := must(t, c.DescribeContainerInstances, &ecs.DescribeContainerInstancesInput{Cluster: &cluster, ContainerInstances: []string{ref}, Include: include})
	if len(out.ContainerInstances) != 1 || len(out.Failures) != 0 {
		t.Fatalf("describe container instance %s: %+v", ref, out)
	}
	return out.ContainerInstances[0]
}

func TestThisMachineIsAContainerInstance(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	cluster := s.cluster(t)
	i := s.machine(t, cluster)
	if *i.Status != "ACTIVE" || !i.AgentConnected || *i.VersionInfo.AgentVersion == "" || i.RegisteredAt == nil {
		t.Errorf("%+v", i)
	}
	for n, r := range i.RegisteredResources {
		left := i.RemainingResources[n]
		switch *r.Name {
		case "CPU", "MEMORY":
			if r.IntegerValue <= 0 || left.IntegerValue != r.IntegerValue {
				t.Errorf("%s: %d registered, %d left", *r.Name, r.IntegerValue, left.IntegerValue)
			}
		}
	}
	for _, want := range []string{"ecs.os-type", "ecs.cpu-architecture", "ecs.availability-zone", "ecs.capability.container-health-check"} {
		if !slices.ContainsFunc(i.Attributes, func(a types.Attribute) bool { return *a.Name == want }) {
			t.Errorf("it lacks the attribute %s", want)
		}
	}
	if v := i.VersionInfo; *v.AgentHash != "gantry" || !strings.HasPrefix(*v.DockerVersion, "DockerVersion: containerd ") {
		t.Errorf("the agent says that it is %s on %s", *v.AgentHash, *v.DockerVersion)
	}
	eventually(t, "the agent to tell of its container runtime", func() (bool, string) {
		h := describeInstance(t, s.sdk(), cluster, *i.ContainerInstanceArn, types.ContainerInstanceFieldContainerInstanceHealth).HealthStatus
		runtime := slices.ContainsFunc(h.Details, func(d types.InstanceHealthCheckResult) bool {
			return d.Type == types.InstanceHealthCheckTypeContainerRuntime && d.Status == types.InstanceHealthCheckStateOk
		})
		return runtime && h.OverallStatus == types.InstanceHealthCheckStateOk, fmt.Sprintf("%+v", h)
	})
}

func TestLifeOfAContainerInstance(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	c := s.sdk()
	cluster := s.cluster(t)
	arn := s.join(t, cluster, instance{
		attributes: map[string]string{"stack": "prod"}, tags: []types.Tag{{Key: aws.String("team"), Value: aws.String("dev")}},
		document: `{"instanceId":"i-0123456789abcdef0","instanceType":"c5.large","imageId":"ami-1","availabilityZone":"us-east-1c"}`,
	})
	if !strings.HasPrefix(arn, "arn:aws:ecs:us-east-1:123456789012:container-instance/"+cluster+"/") || len(id(arn)) != 32 {
		t.Errorf("its ARN: %s", arn)
	}
	i := describeInstance(t, c, cluster, id(arn))
	if *i.Ec2InstanceId != "i-0123456789abcdef0" || i.AgentConnected || *i.Status != "ACTIVE" || len(i.Tags) != 0 || *i.VersionInfo.AgentVersion != "1.90.0" {
		t.Errorf("%+v", i)
	}
	for name, want := range map[string]string{"stack": "prod", "ecs.instance-type": "c5.large", "ecs.ami-id": "ami-1", "ecs.availability-zone": "us-east-1c"} {
		if !slices.ContainsFunc(i.Attributes, func(a types.Attribute) bool { return *a.Name == name && *a.Value == want }) {
			t.Errorf("it lacks the attribute %s=%s: %+v", name, want, i.Attributes)
		}
	}
	if tags := describeInstance(t, c, cluster, arn, types.ContainerInstanceFieldTags).Tags; len(tags) != 1 || *tags[0].Key != "team" {
		t.Errorf("tags: %+v", tags)
	}

	some := must(t, c.DescribeContainerInstances, &ecs.DescribeContainerInstancesInput{Cluster: &cluster, ContainerInstances: []string{arn, "nothing"}})
	if len(some.ContainerInstances) != 1 || len(some.Failures) != 1 || *some.Failures[0].Reason != "MISSING" {
		t.Errorf("one that is there and one that is not: %d instances, %s", len(some.ContainerInstances), show(some.Failures))
	}

	// The agent registers again after each restart: under its ARN, or by the token of an answer that was lost.
	again := must(t, c.RegisterContainerInstance, &ecs.RegisterContainerInstanceInput{Cluster: &cluster, ContainerInstanceArn: &arn})
	if *again.ContainerInstance.ContainerInstanceArn != arn {
		t.Errorf("registered again: %+v", again)
	}
	body := `{"cluster":"` + cluster + `","clientToken":"6f1a"}`
	first, second := s.call(t, ecsTarget+"RegisterContainerInstance", body), s.call(t, ecsTarget+"RegisterContainerInstance", body)
	if a, b := registered(t, first), registered(t, second); a != b || a == arn {
		t.Errorf("registered twice with one token: %s and %s", a, b)
	}

	move := func(status types.ContainerInstanceStatus) *ecs.UpdateContainerInstancesStateOutput {
		return must(t, c.UpdateContainerInstancesState, &ecs.UpdateContainerInstancesStateInput{
			Cluster: &cluster, ContainerInstances: []string{arn, strings.Repeat("0", 32)}, Status: status,
		})
	}
	out := move(types.ContainerInstanceStatusDraining)
	if len(out.ContainerInstances) != 1 || *out.ContainerInstances[0].Status != "DRAINING" || len(out.Failures) != 1 || *out.Failures[0].Reason != "MISSING" {
		t.Errorf("draining: %+v", out)
	}
	listed := must(t, c.ListContainerInstances, &ecs.ListContainerInstancesInput{Cluster: &cluster, Status: types.ContainerInstanceStatusDraining})
	if diff := cmp.Diff([]string{arn}, listed.ContainerInstanceArns); diff != "" {
		t.Errorf("listed as DRAINING (-want +got):\n%s", diff)
	}
	if out := move(types.ContainerInstanceStatusActive); *out.ContainerInstances[0].Status != "ACTIVE" {
		t.Errorf("back: %+v", out)
	}

	refused[*types.NoUpdateAvailableException](t, c.UpdateContainerAgent, &ecs.UpdateContainerAgentInput{Cluster: &cluster, ContainerInstance: &arn}, "no update available")

	gone := must(t, c.DeregisterContainerInstance, &ecs.DeregisterContainerInstanceInput{Cluster: &cluster, ContainerInstance: &arn})
	if *gone.ContainerInstance.Status != "INACTIVE" {
		t.Errorf("deregistered: %+v", gone)
	}
	if i := describeInstance(t, c, cluster, arn); *i.Status != "INACTIVE" {
		t.Errorf("described after it was deregistered: %+v", i)
	}
	refused[*types.InvalidParameterException](t, c.DeregisterContainerInstance, &ecs.DeregisterContainerInstanceInput{Cluster: &cluster, ContainerInstance: &arn}, "The referenced container instance was not found.")
	if out := move(types.ContainerInstanceStatusDraining); len(out.Failures) != 2 || *out.Failures[0].Reason != "INACTIVE" {
		t.Errorf("draining one that is gone: %+v", out)
	}
}

func registered(t *testing.T, a answer) string {
	t.Helper()
	var out struct {
		ContainerInstance struct{ ContainerInstanceArn string }
	}
	if err := json.Unmarshal([]byte(a.body), &out); err != nil || out.ContainerInstance.ContainerInstanceArn == "" {
		t.Fatalf("register: %d %s", a.status, a.body)
	}
	return out.ContainerInstance.ContainerInstanceArn
}

// TestMachineThatRunsTasks is deregistered only by force.
func TestMachineThatRunsTasks(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	c := s.sdk()
	cluster := s.cluster(t)
	task := s.launch(t, cluster, s.define(t, nil))
	arn := *describeTask(t, c, cluster, task).ContainerInstanceArn
	if i := describeInstance(t, c, cluster, arn); i.RunningTasksCount != 1 || i.PendingTasksCount != 0 {
		t.Errorf("%d tasks run and %d are pending on the instance, want 1 and 0", i.RunningTasksCount, i.PendingTasksCount)
	}
	refused[*types.InvalidParameterException](t, c.DeregisterContainerInstance, &ecs.DeregisterContainerInstanceInput{Cluster: &cluster, ContainerInstance: &arn}, "Found running tasks on the instance.")
	s.halt(t, cluster, task)
}

// TestInstanceQuery asks every kind of expression of the cluster query language.
func TestInstanceQuery(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	c := s.sdk()
	cluster := s.cluster(t)
	one := s.join(t, cluster, instance{attributes: map[string]string{"stack": "prod", "ecs.instance-type": "t2.small", "ecs.os-type": "linux"}})
	two := s.join(t, cluster, instance{attributes: map[string]string{"stack": "test", "ecs.instance-type": "g2.large", "ecs.os-type": "linux"}})
	machine := *s.machine(t, cluster).ContainerInstanceArn
	names := map[string]string{one: "one", two: "two", machine: "machine"}
	for expression, want := range map[string]string{
		"attribute:stack == prod":                                        "one",
		"attribute:stack != prod":                                        "two", // one that lacks it has no other value
		"not(attribute:stack == prod)":                                   "machine two",
		"attribute:stack exists":                                         "one two",
		"attribute:stack !exists":                                        "machine",
		"not(attribute:stack exists)":                                    "machine",
		"attribute:stack in [prod, test]":                                "one two",
		"attribute:stack not_in [prod]":                                  "two",
		"attribute:ecs.instance-type =~ t2.*":                            "one",
		"attribute:ecs.instance-type !~ t2.* and attribute:stack exists": "two",
		"attribute:stack == prod or attribute:stack == test":             "one two",
		"attribute:stack == prod && attribute:ecs.os-type == linux":      "one",
		"agentConnected == false":                                        "one two",
		"agentVersion == 1.90.0":                                         "one two",
		"runningTasksCount == 0":                                         "machine one two",
		"runningTasksCount > 0":                                          "",
		"task:group == service:nothing":                                  "",
		"registeredAt > 2020-01-01":                                      "machine one two",
	} {
		out := must(t, c.ListContainerInstances, &ecs.ListContainerInstancesInput{Cluster: &cluster, Filter: &expression})
		var got []string
		for _, arn := range out.ContainerInstanceArns {
			got = append(got, names[arn])
		}
		slices.Sort(got)
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %v, want %s", expression, got, want)
		}
	}
	refused[*types.InvalidParameterException](t, c.ListContainerInstances, &ecs.ListContainerInstancesInput{Cluster: &cluster, Filter: aws.String("attribute:stack ==")}, "")
}

func TestAttributes(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	c := s.sdk()
	cluster := s.cluster(t)
	arn := s.join(t, cluster, instance{})
	put := func(targetID, name, value string, kind types.TargetType) *ecs.PutAttributesInput {
		return &ecs.PutAttributesInput{Cluster: &cluster, Attributes: []types.Attribute{{Name: &name, Value: &value, TargetId: &targetID, TargetType: kind}}}
	}
	out := must(t, c.PutAttributes, put(arn, "stack", "prod", ""))
	if len(out.Attributes) != 1 || *out.Attributes[0].TargetId != arn {
		t.Errorf("put: %+v", out)
	}
	must(t, c.PutAttributes, put(id(arn), "stack", "test", types.TargetTypeContainerInstance))
	list := func(name, value string) []types.Attribute {
		in := &ecs.ListAttributesInput{Cluster: &cluster, TargetType: types.TargetTypeContainerInstance, AttributeName: &name}
		if value != "" {
			in.AttributeValue = &value
		}
		return must(t, c.ListAttributes, in).Attributes
	}
	if got := list("stack", ""); len(got) != 1 || *got[0].Value != "test" || *got[0].TargetId != arn {
		t.Errorf("listed: %+v", got)
	}
	if got := list("stack", "prod"); len(got) != 0 {
		t.Errorf("the value before is still listed: %+v", got)
	}
	for n := range 9 {
		must(t, c.PutAttributes, put(arn, "own-"+string(rune('a'+n)), "x", ""))
	}
	refused[*types.AttributeLimitExceededException](t, c.PutAttributes, put(arn, "one-more", "x", ""), "at most 10")
	refused[*types.TargetNotFoundException](t, c.PutAttributes, put(strings.Repeat("0", 32), "stack", "x", types.TargetTypeContainerInstance), "not found")
	must(t, c.DeleteAttributes, &ecs.DeleteAttributesInput{Cluster: &cluster, Attributes: []types.Attribute{{Name: aws.String("stack"), TargetId: &arn}}})
	if got := list("stack", ""); len(got) != 0 {
		t.Errorf("deleted and listed: %+v", got)
	}
}

// TestAgentCalls: what agents call, which people may call too.
func TestAgentCalls(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	c := s.sdk()
	poll := must(t, c.DiscoverPollEndpoint, &ecs.DiscoverPollEndpointInput{})
	if *poll.Endpoint != s.endpoint()+"/acs/" || *poll.TelemetryEndpoint != s.endpoint()+"/tcs/" {
		t.Errorf("discover-poll-endpoint: %s %s", *poll.Endpoint, *poll.TelemetryEndpoint)
	}
	// A task that gantry has forgotten is acknowledged: the agent would repeat it for a day.
	unknown := strings.Repeat("0", 32)
	if out := must(t, c.SubmitTaskStateChange, &ecs.SubmitTaskStateChangeInput{Task: &unknown, Status: aws.String("STOPPED")}); *out.Acknowledgment == "" {
		t.Error("an unknown task's change is not acknowledged")
	}
	must(t, c.SubmitContainerStateChange, &ecs.SubmitContainerStateChangeInput{Task: &unknown, ContainerName: aws.String("x"), Status: aws.String("STOPPED")})
	must(t, c.SubmitAttachmentStateChanges, &ecs.SubmitAttachmentStateChangesInput{Attachments: []types.AttachmentStateChange{}})
}
