package ecs

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gantry"
	"gantry/internal/api"
	"gantry/internal/store"
	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"
)

func (w *world) describeInstance(cluster string, id gantry.InstanceID, include ...ecsapi.ContainerInstanceField) ecsapi.ContainerInstance {
	w.t.Helper()
	out := must(w, w.ops.DescribeContainerInstances, &ecsapi.DescribeContainerInstancesInput{Cluster: new(cluster), ContainerInstances: []string{string(id)}, Include: include})
	if len(out.ContainerInstances) != 1 {
		w.t.Fatalf("instance %s: %+v", id, out.Failures)
	}
	return out.ContainerInstances[0]
}

func (w *world) resource(list []ecsapi.Resource, name string) ecsapi.Resource {
	for _, r := range list {
		if *r.Name == name {
			return r
		}
	}
	w.t.Helper()
	w.t.Fatalf("no resource %s", name)
	return ecsapi.Resource{}
}

// TestRegistrationEchoes: the genuine agent exits if one attribute does not come back.
func TestRegistrationEchoes(t *testing.T) {
	w := newWorld(t)
	w.makeCluster("prod")
	in := &ecsapi.RegisterContainerInstanceInput{
		Cluster: new("prod"), ClientToken: new("token"),
		Attributes:     []ecsapi.Attribute{{Name: new("stack"), Value: new("prod")}, {Name: new("ecs.capability.container-ordering")}, {Name: new("ecs.os-type"), Value: new("linux")}},
		TotalResources: []ecsapi.Resource{{Name: new("CPU"), IntegerValue: new(int32(2048))}, {Name: new("NEURON_CORES"), Type: new("STRINGSET"), StringSetValue: []string{"0"}}},
	}
	first := must(w, w.ops.RegisterContainerInstance, in).ContainerInstance
	want := append(slices.Clone(in.Attributes), ecsapi.Attribute{Name: new("ecs.availability-zone"), Value: new("local-1a")})
	if diff := cmp.Diff(want, first.Attributes); diff != "" {
		t.Errorf("attributes (-want +got)\n%s", diff)
	}
	if *first.Status != "ACTIVE" || *w.resource(first.RegisteredResources, "CPU").IntegerValue != 2048 || len(w.resource(first.RegisteredResources, "NEURON_CORES").StringSetValue) != 1 {
		t.Errorf("%+v", first)
	}
	// The answer was lost: the same token is the same instance.
	if again := must(w, w.ops.RegisterContainerInstance, in).ContainerInstance; *again.ContainerInstanceArn != *first.ContainerInstanceArn {
		t.Errorf("one token made %s and %s", *first.ContainerInstanceArn, *again.ContainerInstanceArn)
	}
	// The agent starts again: it names its ARN and leaves the operator's attributes out.
	back := must(w, w.ops.RegisterContainerInstance, &ecsapi.RegisterContainerInstanceInput{
		Cluster: new("prod"), ContainerInstanceArn: first.ContainerInstanceArn,
		Attributes:     []ecsapi.Attribute{{Name: new("ecs.os-type"), Value: new("linux")}},
		TotalResources: []ecsapi.Resource{{Name: new("CPU"), IntegerValue: new(int32(4096))}},
	}).ContainerInstance
	names := []string{}
	for _, a := range back.Attributes {
		names = append(names, *a.Name)
	}
	if got := strings.Join(names, " "); got != "ecs.os-type ecs.availability-zone stack" || *back.ContainerInstanceArn != *first.ContainerInstanceArn {
		t.Errorf("after a restart: %s, attributes %s", *back.ContainerInstanceArn, got)
	}
	if *w.resource(back.RegisteredResources, "CPU").IntegerValue != 4096 || *back.Version <= *first.Version {
		t.Errorf("after a restart: %+v", back)
	}
}

func TestIdentityDocument(t *testing.T) {
	w := newWorld(t)
	w.makeCluster("prod")
	out := must(w, w.ops.RegisterContainerInstance, &ecsapi.RegisterContainerInstanceInput{
		Cluster: new("prod"), InstanceIdentityDocument: new(`{"instanceId":"i-0123","instanceType":"t3.micro","imageId":"ami-1","availabilityZone":"us-east-1b"}`),
	}).ContainerInstance
	got := map[string]string{"id": *out.Ec2InstanceId}
	for _, a := range out.Attributes {
		got[*a.Name] = *a.Value
	}
	want := map[string]string{"id": "i-0123", "ecs.instance-type": "t3.micro", "ecs.ami-id": "ami-1", "ecs.availability-zone": "us-east-1b"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// TestAgentKeyIsBound: an agent's key speaks for the instance that it registered, and
// for no other.
func TestAgentKeyIsBound(t *testing.T) {
	w := newWorld(t)
	w.makeCluster("prod")
	for _, key := range []string{"AKIAONE", "AKIATWO"} {
		w.update(func(tx *store.Tx) error {
			store.Principals.Put(tx, &gantry.Principal{AccessKeyID: key, Kind: gantry.AgentPrincipal})
			return nil
		})
	}
	as := func(key string) {
		p, _ := store.Principals.Get(w.store.View(), key)
		w.ctx = api.WithPrincipal(t.Context(), p)
	}
	as("AKIAONE")
	id := w.join("prod", 1024, 512)
	if p, _ := store.Principals.Get(w.store.View(), "AKIAONE"); p.Instance != "prod/"+string(id) {
		t.Fatalf("the key is bound to %q", p.Instance)
	}
	w.wantRefusal(call(w, w.ops.RegisterContainerInstance, &ecsapi.RegisterContainerInstanceInput{Cluster: new("prod")})(),
		"AccessDeniedException: This agent's key speaks for container instance prod/"+string(id)+" and cannot register another one.")
	as("AKIATWO")
	w.wantRefusal(call(w, w.ops.RegisterContainerInstance, &ecsapi.RegisterContainerInstanceInput{Cluster: new("prod"), ContainerInstanceArn: new(string(id))})(),
		"AccessDeniedException: Another agent's key speaks for container instance prod/"+string(id)+".")
}

func TestRemainingResources(t *testing.T) {
	w := newWorld(t)
	w.makeCluster("prod")
	w.define("web", 256, 128, func(in *ecsapi.RegisterTaskDefinitionInput) {
		in.ContainerDefinitions[0].PortMappings = []ecsapi.PortMapping{{ContainerPort: new(int32(80)), HostPort: new(int32(8080))}, {ContainerPort: new(int32(53)), HostPort: new(int32(53)), Protocol: "udp"}}
	})
	id := w.join("prod", 1024, 512)
	before := *w.describeInstance("prod", id).Version
	w.run("prod", "web", 1)
	i := w.describeInstance("prod", id)
	if *w.resource(i.RemainingResources, "CPU").IntegerValue != 768 || *w.resource(i.RemainingResources, "MEMORY").IntegerValue != 384 {
		t.Errorf("remaining %+v", i.RemainingResources)
	}
	if diff := cmp.Diff([]string{"22", "8080", "51678"}, w.resource(i.RemainingResources, "PORTS").StringSetValue); diff != "" {
		t.Errorf("ports in use %s", diff)
	}
	if diff := cmp.Diff([]string{"53"}, w.resource(i.RemainingResources, "PORTS_UDP").StringSetValue); diff != "" {
		t.Errorf("UDP ports in use %s", diff)
	}
	if *w.resource(i.RegisteredResources, "CPU").IntegerValue != 1024 || *i.PendingTasksCount != 1 || *i.RunningTasksCount != 0 || !*i.AgentConnected {
		t.Errorf("%+v", i)
	}
	if *i.Version != before+1 {
		t.Errorf("a placement took the version from %d to %d", before, *i.Version)
	}
	// The port is taken: the next task is refused with reason and numbers.
	out := must(w, w.ops.RunTask, &ecsapi.RunTaskInput{Cluster: new("prod"), TaskDefinition: new("web")})
	if len(out.Tasks) != 0 || len(out.Failures) != 1 || *out.Failures[0].Reason != "RESOURCE:PORTS" || !strings.HasSuffix(*out.Failures[0].Arn, string(id)) {
		t.Errorf("%+v", out)
	}
}

func TestInstanceStates(t *testing.T) {
	w := newWorld(t)
	w.makeCluster("prod")
	w.define("web", 10, 16)
	id := w.join("prod", 1024, 512)
	move := func(status ecsapi.ContainerInstanceStatus) *ecsapi.UpdateContainerInstancesStateOutput {
		return must(w, w.ops.UpdateContainerInstancesState, &ecsapi.UpdateContainerInstancesStateInput{Cluster: new("prod"), ContainerInstances: []string{string(id), "nope"}, Status: status})
	}
	out := move(ecsapi.ContainerInstanceStatusDraining)
	if *out.ContainerInstances[0].Status != "DRAINING" || len(out.Failures) != 1 || *out.Failures[0].Reason != "MISSING" {
		t.Fatalf("%+v", out)
	}
	run := func() *ecsapi.RunTaskOutput {
		return must(w, w.ops.RunTask, &ecsapi.RunTaskInput{Cluster: new("prod"), TaskDefinition: new("web")})
	}
	if got := run(); len(got.Failures) != 1 || *got.Failures[0].Reason != "INACTIVE" {
		t.Errorf("a draining instance: %+v", got)
	}
	move(ecsapi.ContainerInstanceStatusActive)
	w.connect("prod", id, false)
	if got := run(); len(got.Failures) != 1 || *got.Failures[0].Reason != "AGENT" {
		t.Errorf("a disconnected agent: %+v", got)
	}
	w.connect("prod", id, true)
	if got := run(); len(got.Tasks) != 1 {
		t.Errorf("a connected agent: %+v", got)
	}
	gone := must(w, w.ops.DeregisterContainerInstance, &ecsapi.DeregisterContainerInstanceInput{Cluster: new("prod"), ContainerInstance: new(string(id)), Force: new(true)}).ContainerInstance
	if *gone.Status != "INACTIVE" {
		t.Errorf("deregistered: %s", *gone.Status)
	}
	if out := move(ecsapi.ContainerInstanceStatusActive); len(out.ContainerInstances) != 0 || *out.Failures[0].Reason != "INACTIVE" {
		t.Errorf("a deregistered instance became ACTIVE: %+v", out)
	}
	w.wantRefusal(call(w, w.ops.RegisterContainerInstance, &ecsapi.RegisterContainerInstanceInput{Cluster: new("prod"), ContainerInstanceArn: new(string(id))})(),
		"ClientException: Container instance "+string(id)+" was deregistered: it can register again only as a new one.")
}

func TestListContainerInstances(t *testing.T) {
	w := newWorld(t)
	w.makeCluster("prod")
	w.define("web", 10, 16)
	blue := w.join("prod", 1024, 512, ecsapi.Attribute{Name: new("stack"), Value: new("blue")})
	green := w.join("prod", 1024, 512, ecsapi.Attribute{Name: new("stack"), Value: new("green")})
	must(w, w.ops.StartTask, &ecsapi.StartTaskInput{Cluster: new("prod"), TaskDefinition: new("web"), Group: new("batch"), ContainerInstances: []string{string(green)}})
	must(w, w.ops.UpdateContainerInstancesState, &ecsapi.UpdateContainerInstancesStateInput{Cluster: new("prod"), ContainerInstances: []string{string(blue)}, Status: "DRAINING"})
	for _, tt := range []struct {
		filter string
		status ecsapi.ContainerInstanceStatus
		want   []gantry.InstanceID
	}{
		{"", "", []gantry.InstanceID{blue, green}},
		{"", "DRAINING", []gantry.InstanceID{blue}},
		{"attribute:stack == green", "", []gantry.InstanceID{green}},
		{"attribute:stack =~ b.* and agentConnected == true", "", []gantry.InstanceID{blue}},
		{"task:group == batch", "", []gantry.InstanceID{green}},
		{"not(task:group == batch)", "ACTIVE", nil},
		{"runningTasksCount == 0", "", []gantry.InstanceID{blue, green}},
		{"agentVersion >= 1.100.0", "", []gantry.InstanceID{blue, green}},
	} {
		in := &ecsapi.ListContainerInstancesInput{Cluster: new("prod"), Status: tt.status}
		if tt.filter != "" {
			in.Filter = new(tt.filter)
		}
		var got []gantry.InstanceID
		for _, arn := range must(w, w.ops.ListContainerInstances, in).ContainerInstanceArns {
			got = append(got, gantry.InstanceID(arn[strings.LastIndexByte(arn, '/')+1:]))
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%q %s: (-want +got)\n%s", tt.filter, tt.status, diff)
		}
	}
}

func TestInstanceHealth(t *testing.T) {
	w := newWorld(t)
	w.makeCluster("prod")
	id := w.join("prod", 1024, 512)
	if h := w.describeInstance("prod", id).HealthStatus; h != nil {
		t.Error("health that nobody asked for")
	}
	if h := w.describeInstance("prod", id, "CONTAINER_INSTANCE_HEALTH").HealthStatus; h.OverallStatus != "OK" || h.Details[0].Type != "AGENT_CONNECTIVITY" {
		t.Errorf("connected: %+v", h)
	}
	w.connect("prod", id, false)
	if h := w.describeInstance("prod", id, "CONTAINER_INSTANCE_HEALTH").HealthStatus; h.OverallStatus != "IMPAIRED" {
		t.Errorf("disconnected: %+v", h)
	}
}

// agentsSay is the health that agents have told, by the instance's key.
type agentsSay map[string][]ecsapi.InstanceHealthCheckResult

func (a agentsSay) InstanceHealth(instance string) []ecsapi.InstanceHealthCheckResult {
	return a[instance]
}

// What the agent finds out about its instance shows beside whether it is connected.
func TestInstanceHealthIsWhatTheAgentSays(t *testing.T) {
	w := newWorld(t)
	told := agentsSay{}
	w.cfg.Health = told
	w.makeCluster("prod")
	id := w.join("prod", 1024, 512)
	for _, tt := range []struct {
		runtime, overall ecsapi.InstanceHealthCheckState
	}{{"OK", "OK"}, {"INITIALIZING", "INITIALIZING"}, {"INSUFFICIENT_DATA", "INSUFFICIENT_DATA"}, {"IMPAIRED", "IMPAIRED"}} {
		told["prod/"+string(id)] = []ecsapi.InstanceHealthCheckResult{{Type: "CONTAINER_RUNTIME", Status: tt.runtime}}
		h := w.describeInstance("prod", id, "CONTAINER_INSTANCE_HEALTH").HealthStatus
		if h.OverallStatus != tt.overall || len(h.Details) != 2 || h.Details[0].Status != "OK" || h.Details[1].Type != "CONTAINER_RUNTIME" || h.Details[1].Status != tt.runtime {
			t.Errorf("runtime %s: %+v", tt.runtime, h)
		}
	}
}

func TestAttributes(t *testing.T) {
	w := newWorld(t)
	w.makeCluster("prod")
	id := string(w.join("prod", 1024, 512))
	arn := string(testPlace.Instance("prod", gantry.InstanceID(id)))
	put := must(w, w.ops.PutAttributes, &ecsapi.PutAttributesInput{Cluster: new("prod"), Attributes: []ecsapi.Attribute{
		{Name: new("stack"), Value: new("prod"), TargetId: new(id), TargetType: ecsapi.TargetTypeContainerInstance},
		{Name: new("ssd"), TargetId: new(arn)},
	}})
	if *put.Attributes[0].TargetId != arn {
		t.Errorf("%+v", put.Attributes)
	}
	list := func(name, value *string) string {
		var out []string
		for _, a := range must(w, w.ops.ListAttributes, &ecsapi.ListAttributesInput{Cluster: new("prod"), TargetType: ecsapi.TargetTypeContainerInstance, AttributeName: name, AttributeValue: value}).Attributes {
			out = append(out, *a.Name+"="+wire.Value(a.Value))
		}
		return strings.Join(out, " ")
	}
	if got := list(nil, nil); got != "ecs.availability-zone=local-1a ecs.cpu-architecture=x86_64 ecs.os-type=linux ssd= stack=prod" {
		t.Error(got)
	}
	if got := list(new("stack"), new("test")); got != "" {
		t.Error(got)
	}
	// Another value replaces the first; deleting another value than there is does nothing.
	must(w, w.ops.PutAttributes, &ecsapi.PutAttributesInput{Cluster: new("prod"), Attributes: []ecsapi.Attribute{{Name: new("stack"), Value: new("test"), TargetId: new(arn)}}})
	must(w, w.ops.DeleteAttributes, &ecsapi.DeleteAttributesInput{Cluster: new("prod"), Attributes: []ecsapi.Attribute{{Name: new("stack"), Value: new("prod"), TargetId: new(arn)}, {Name: new("ssd"), TargetId: new(arn)}}})
	if got := list(new("stack"), nil) + list(new("ssd"), nil); got != "stack=test" {
		t.Error(got)
	}
	var many []ecsapi.Attribute
	for _, c := range "abcdefghij" {
		many = append(many, ecsapi.Attribute{Name: new(string(c)), TargetId: new(arn)})
	}
	w.wantRefusal(call(w, w.ops.PutAttributes, &ecsapi.PutAttributesInput{Cluster: new("prod"), Attributes: many})(),
		"AttributeLimitExceededException: A container instance can have at most 10 custom attributes.")
}
