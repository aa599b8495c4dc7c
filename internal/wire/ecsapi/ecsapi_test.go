package ecsapi_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"
)

// Absent, null and empty are kept apart where ECS does: an empty list removes, an absent one keeps.
func TestEmptyIsNotAbsent(t *testing.T) {
	var in ecsapi.UpdateServiceInput
	if err := json.Unmarshal([]byte(`{"service":"web","loadBalancers":[],"placementStrategy":null}`), &in); err != nil {
		t.Fatal(err)
	}
	if in.LoadBalancers == nil || in.PlacementStrategy != nil || in.ServiceRegistries != nil {
		t.Errorf("got %#v, %#v, %#v", in.LoadBalancers, in.PlacementStrategy, in.ServiceRegistries)
	}
	out, err := json.Marshal(&in)
	if got, want := string(out), `{"service":"web","loadBalancers":[]}`; err != nil || got != want {
		t.Errorf("got %s, %v; want %s", got, err, want)
	}
}

// The genuine agent sends and reads members that the public model lacks.
func TestPrivateMembersOfTheAgent(t *testing.T) {
	var register ecsapi.RegisterContainerInstanceInput
	var discover ecsapi.DiscoverPollEndpointInput
	json.Unmarshal([]byte(`{"clientToken":"t"}`), &register)
	json.Unmarshal([]byte(`{"zoneId":"z"}`), &discover)
	if wire.Value(register.ClientToken) != "t" || wire.Value(discover.ZoneId) != "z" {
		t.Errorf("got %v, %v", register.ClientToken, discover.ZoneId)
	}
	out, err := json.Marshal(&ecsapi.DiscoverPollEndpointOutput{SystemLogsEndpoint: new("l")})
	if err != nil || string(out) != `{"systemLogsEndpoint":"l"}` {
		t.Errorf("got %s, %v", out, err)
	}
}

// Describing with fragments answers the same as describing without.
func TestEncodedIsAnsweredLikePlain(t *testing.T) {
	tasks := sampleTasks(3)
	plain := &ecsapi.DescribeTasksOutput{Tasks: tasks, Failures: []ecsapi.Failure{{Reason: new("MISSING")}}}
	encoded := &ecsapi.DescribeTasksOutput{EncodedTasks: fragments(t, tasks), Failures: plain.Failures}
	check(t, plain, encoded)
	check(t, &ecsapi.DescribeTasksOutput{Tasks: []ecsapi.Task{}}, &ecsapi.DescribeTasksOutput{EncodedTasks: []json.RawMessage{}})

	services := []ecsapi.Service{{ServiceName: new("a")}, {ServiceName: new("b")}}
	check(t, &ecsapi.DescribeServicesOutput{Services: services}, &ecsapi.DescribeServicesOutput{EncodedServices: fragments(t, services)})
	instances := []ecsapi.ContainerInstance{{AgentConnected: new(true)}}
	check(t, &ecsapi.DescribeContainerInstancesOutput{ContainerInstances: instances}, &ecsapi.DescribeContainerInstancesOutput{EncodedContainerInstances: fragments(t, instances)})
}

// check compares what the two write, in our way and in encoding/json's.
func check(t *testing.T, plain, encoded any) {
	t.Helper()
	want, err := wire.AppendJSON(nil, plain)
	if err != nil {
		t.Fatal(err)
	}
	got, err := wire.AppendJSON(nil, encoded)
	if err != nil {
		t.Fatal(err)
	}
	std, err := json.Marshal(encoded)
	if err != nil {
		t.Fatal(err)
	}
	for _, other := range [][]byte{got, std} {
		if diff := cmp.Diff(decoded(t, want), decoded(t, other)); diff != "" {
			t.Errorf("fragments are answered differently (-plain +encoded):\n%s", diff)
		}
	}
}

func decoded(t *testing.T, b []byte) (v any) {
	t.Helper()
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatalf("%v in %s", err, b)
	}
	return v
}

func fragments[T any](t testing.TB, items []T) []json.RawMessage {
	t.Helper()
	all := make([]json.RawMessage, len(items))
	for i := range items {
		b, err := wire.AppendJSON(nil, &items[i])
		if err != nil {
			t.Fatal(err)
		}
		all[i] = b
	}
	return all
}

// sampleTasks are tasks of one container, as DescribeTasks answers them.
func sampleTasks(n int) []ecsapi.Task {
	tasks := make([]ecsapi.Task, n)
	at := wire.At(time.UnixMilli(1466801808595))
	for i := range tasks {
		arn := fmt.Sprintf("arn:aws:ecs:us-east-1:123456789012:task/default/%032x", i)
		tasks[i] = ecsapi.Task{
			TaskArn: &arn, ClusterArn: new("arn:aws:ecs:us-east-1:123456789012:cluster/default"), TaskDefinitionArn: new("arn:aws:ecs:us-east-1:123456789012:task-definition/web:1"),
			LastStatus: new("RUNNING"), DesiredStatus: new("RUNNING"), LaunchType: ecsapi.LaunchTypeEc2, Group: new("family:web"), Version: new(int64(3)),
			Cpu: new("256"), Memory: new("512"), CreatedAt: at, StartedAt: at, PullStartedAt: at, PullStoppedAt: at, Connectivity: ecsapi.ConnectivityConnected, ConnectivityAt: at,
			Containers: []ecsapi.Container{{
				Name: new("web"), Image: new("gantry/sample-web:latest"), LastStatus: new("RUNNING"), TaskArn: &arn, HealthStatus: ecsapi.HealthStatusHealthy,
				NetworkBindings: []ecsapi.NetworkBinding{{BindIP: new("0.0.0.0"), ContainerPort: new(int32(8080)), HostPort: new(int32(32768)), Protocol: ecsapi.TransportProtocolTcp}},
			}},
			Tags: []ecsapi.Tag{}, Attachments: []ecsapi.Attachment{}, Overrides: &ecsapi.TaskOverride{ContainerOverrides: []ecsapi.ContainerOverride{{Name: new("web")}}},
		}
	}
	return tasks
}

// BenchmarkDescribe100Tasks is what a describe of a hundred tasks spends on JSON: fragments are to cost a copy.
func BenchmarkDescribe100Tasks(b *testing.B) {
	tasks := sampleTasks(100)
	for name, out := range map[string]*ecsapi.DescribeTasksOutput{
		"plain":   {Tasks: tasks, Failures: []ecsapi.Failure{}},
		"encoded": {EncodedTasks: fragments(b, tasks), Failures: []ecsapi.Failure{}},
	} {
		b.Run(name, func(b *testing.B) {
			var buf []byte
			for b.Loop() {
				buf, _ = wire.AppendJSON(buf[:0], out)
			}
			b.SetBytes(int64(len(buf)))
			b.ReportAllocs()
		})
	}
}

// BenchmarkDecodeRegisterTaskDefinition is what a registration spends on reading and checking its input.
func BenchmarkDecodeRegisterTaskDefinition(b *testing.B) {
	body := []byte(`{"family":"web","networkMode":"bridge","containerDefinitions":[{"name":"web","image":"nginx","cpu":256,"memory":512,"essential":true,` +
		`"portMappings":[{"containerPort":80,"hostPort":0,"protocol":"tcp"}],"environment":[{"name":"A","value":"1"},{"name":"B","value":"2"}],` +
		`"dependsOn":[{"containerName":"init","condition":"HEALTHY"}],"logConfiguration":{"logDriver":"awslogs","options":{"awslogs-group":"g","awslogs-stream-prefix":"p"}}},` +
		`{"name":"init","image":"busybox","command":["sh","-c","true"],"essential":false,"healthCheck":{"command":["CMD","true"],"interval":5}}]}`)
	b.ReportAllocs()
	for b.Loop() {
		var in ecsapi.RegisterTaskDefinitionInput
		if err := wire.DecodeJSON(body, &in); err != nil {
			b.Fatal(err)
		}
		if err := in.Check(); err != nil {
			b.Fatal(err)
		}
	}
}

// What was read once is written and read again without a change, so that what a user gives us comes back as it came.
func FuzzDecodeAndEncode(f *testing.F) {
	f.Add([]byte(`{"family":"f","containerDefinitions":[{"name":"a","dockerLabels":{"<":null},"environment":[]}],"tags":[{"key":"\ud800"}]}`))
	f.Add([]byte(`{"family":"f","proxyConfiguration":{"properties":[null]},"ephemeralStorage":{"sizeInGiB":21},"volumes":[{}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var once, twice ecsapi.RegisterTaskDefinitionInput
		if err := wire.DecodeJSON(body, &once); err != nil {
			return
		}
		written, err := wire.AppendJSON(nil, &once)
		if err != nil {
			t.Fatal(err)
		}
		if err := wire.DecodeJSON(written, &twice); err != nil {
			t.Fatalf("%v in what we wrote: %s", err, written)
		}
		if diff := cmp.Diff(once, twice); diff != "" {
			t.Errorf("%s was written as %s (-read +read again):\n%s", body, written, diff)
		}
	})
}
