package agent

import (
	"errors"
	"fmt"
	"io"
	"math"
	"testing"
	"time"

	"gantry/internal/agent/engine"
	"gantry/internal/agent/metadata"
	"gantry/internal/wire"
	"gantry/internal/wire/acsapi"
	"gantry/internal/wire/ecsapi"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"
)

func TestSamplesAddUp(t *testing.T) {
	begin := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	at := func(seconds int, cpu time.Duration, mib, rx uint64) metadata.Stats {
		return metadata.Stats{
			Read: begin.Add(time.Duration(seconds) * time.Second), CPU: metadata.CPUStats{Total: uint64(cpu)},
			Memory:   metadata.MemoryStats{Usage: (mib + 3) << 20, Details: map[string]uint64{"cache": 3 << 20}},
			BlockIO:  []metadata.BlockIO{{Op: "Read", Bytes: rx}, {Op: "Write", Bytes: 1}},
			Networks: map[string]metadata.InterfaceStats{"eth0": {RxBytes: rx, RxPackets: 1}},
		}
	}
	s := newSampler(nil, nil)
	s.series["a"] = &series{latest: at(0, 0, 10, 0)}
	if _, ok := s.collect("a"); ok {
		t.Error("one sample makes no rate")
	}
	r := s.series["a"]
	r.add(at(1, time.Second, 10, 100), 2)    // one of two cores: 50 %
	r.add(at(3, 2*time.Second, 30, 500), 2)  // one core's second in two seconds: 25 %
	r.add(at(4, time.Millisecond, 5, 10), 2) // restarted: counts from zero
	got, ok := s.collect("a")
	want := acsapi.ContainerMetric{
		CPU:     &acsapi.StatsSet{Min: 25, Max: 50, Sum: 75, SampleCount: 2},
		Memory:  &acsapi.StatsSet{Min: 10, Max: 30, Sum: 40, SampleCount: 2},
		Storage: &acsapi.StorageStatsSet{ReadSizeBytes: counters(100, 500), WriteSizeBytes: counters(1, 1)},
		Network: &acsapi.NetworkStatsSet{
			RxBytes: counters(100, 500), RxPackets: counters(1, 1), RxErrors: counters(0, 0), RxDropped: counters(0, 0),
			TxBytes: counters(0, 0), TxPackets: counters(0, 0), TxErrors: counters(0, 0), TxDropped: counters(0, 0),
			RxBytesPerSecond: &acsapi.StatsSet{Min: 100, Max: 200, Sum: 300, SampleCount: 2},
			TxBytesPerSecond: &acsapi.StatsSet{SampleCount: 2},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" || !ok {
		t.Errorf("%v (-want +got)\n%s", ok, diff)
	}
	if _, ok := s.collect("a"); ok {
		t.Error("the same samples were told twice")
	}
}

func counters(a, b int64) *acsapi.CounterSet {
	return &acsapi.CounterSet{Min: min(a, b), Max: max(a, b), Sum: a + b, SampleCount: 2}
}

func TestLargeCountersSpill(t *testing.T) {
	var c counter
	c.add(math.MaxInt64)
	c.add(math.MaxInt64 + 5)
	want := &acsapi.CounterSet{
		Min: math.MaxInt64, Max: math.MaxInt64, OverflowMax: 5, SampleCount: 2,
		Sum: math.MaxInt64, OverflowSum: math.MaxInt64, // as much as there is room for
	}
	if diff := cmp.Diff(want, c.set()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestWhatContainersAreTold(t *testing.T) {
	noon := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	payload := acsapi.Task{
		Arn: "arn:aws:ecs:us-east-1:123456789012:task/demo/a", Family: "web", Version: "1", DesiredStatus: "RUNNING",
		ServiceName: "svc", CPU: 0.5, Memory: 128,
		Containers: []acsapi.Container{
			{Name: "web", Image: "nginx", Memory: 64, CPU: 128, Essential: true, ContainerArn: "arn:container",
				RestartPolicy: &acsapi.RestartPolicy{Enabled: true},
				DockerConfig:  acsapi.DockerConfig{Config: `{"Healthcheck":{"Test":["CMD","true"]}}`, HostConfig: `{"LogConfig":{"Type":"awslogs","Config":{"awslogs-group":"g"}}}`}},
			{Name: "side", Image: "busybox"},
		},
	}
	def, err := engine.ReadDefinition(&payload, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	a := &Agent{cfg: Config{Cluster: "demo", LaunchType: EC2}}
	a.instance.Store(&Instance{ARN: "arn:ci", Zone: "local-1a"})
	got := a.describe(engine.View{Def: def, Task: &engine.Task{Desired: "RUNNING", PullStartedAt: noon, Containers: []engine.Container{
		{
			Name: "web", RuntimeID: "id", MetadataID: "m", DockerName: "ecs-web", Phase: engine.Up, LaunchedAt: noon, CreatedAt: noon, StartedAt: noon,
			ImageID: "sha256:i", ImageDigest: "sha256:d", Health: engine.Health{Status: engine.Healthy, Since: noon},
			Network: engine.Attached{Bindings: []engine.Binding{
				{BindIP: new("0.0.0.0"), ContainerPort: new(int32(80)), HostPort: new(int32(32768)), Protocol: ecsapi.TransportProtocolTcp},
				{BindIP: new("0.0.0.0"), ContainerPortRange: new("90-91"), HostPortRange: new("40000-40001"), Protocol: ecsapi.TransportProtocolUdp},
			}},
		},
		{Name: "side", RuntimeID: "id2", MetadataID: "m2", DockerName: "ecs-side"},
	}}})
	zero := 0
	labels := func(name string) map[string]string {
		return map[string]string{
			"com.amazonaws.ecs.cluster": "demo", "com.amazonaws.ecs.container-name": name, "com.amazonaws.ecs.task-arn": payload.Arn,
			"com.amazonaws.ecs.task-definition-family": "web", "com.amazonaws.ecs.task-definition-version": "1",
		}
	}
	want := metadata.Task{
		ARN: payload.Arn, Cluster: "demo", Family: "web", Revision: "1", ServiceName: "svc", DesiredStatus: "RUNNING", KnownStatus: "NONE",
		Limits: &metadata.TaskLimits{VCPU: 0.5, MemoryMiB: 128}, PullStartedAt: noon, AvailabilityZone: "local-1a", LaunchType: "EC2",
		Containers: []metadata.Container{
			{
				MetadataID: "m", ID: "id", Name: "web", RuntimeName: "ecs-web", ARN: "arn:container", Image: "nginx", ImageDigest: "sha256:i",
				Ports: []metadata.Port{
					{ContainerPort: 80, HostPort: 32768, Protocol: "tcp", HostIP: "0.0.0.0"},
					{ContainerPort: 90, HostPort: 40000, Protocol: "udp", HostIP: "0.0.0.0"},
					{ContainerPort: 91, HostPort: 40001, Protocol: "udp", HostIP: "0.0.0.0"},
				},
				Labels: labels("web"), DesiredStatus: "RUNNING", KnownStatus: "RUNNING", CPU: 128, MemoryMiB: 64, CreatedAt: noon, StartedAt: noon,
				Networks: []metadata.Network{{NetworkMode: "bridge"}}, Health: &metadata.Health{Status: "HEALTHY", Since: noon},
				LogDriver: "awslogs", LogOptions: map[string]string{"awslogs-group": "g"}, RestartCount: &zero,
			},
			{
				MetadataID: "m2", Name: "side", RuntimeName: "ecs-side", Image: "busybox", Labels: labels("side"), DesiredStatus: "RUNNING",
				KnownStatus: "NONE", Networks: []metadata.Network{{NetworkMode: "bridge"}},
			},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestWhenToComeBack(t *testing.T) {
	a := &Agent{}
	closed := func(code websocket.StatusCode) error { return websocket.CloseError{Code: code} }
	for _, c := range []struct {
		name   string
		err    error
		lasted time.Duration
		opened bool
		least  time.Duration
		most   time.Duration
	}{
		{"going away", closed(1001), 10 * time.Second, true, 0, 0},
		{"normal", closed(1000), 10 * time.Second, true, 0, 0},
		{"internal error", closed(1011), 10 * time.Second, true, 0, 0},
		{"cut", fmt.Errorf("read: %w", io.EOF), 10 * time.Second, true, 0, 0},
		{"expired", errExpired, 30 * time.Minute, true, 0, 0},
		{"another code", closed(4000), 10 * time.Second, true, 200 * time.Millisecond, 300 * time.Millisecond},
		{"dropped at once", closed(1001), 10 * time.Millisecond, true, 200 * time.Millisecond, 300 * time.Millisecond},
		{"said nothing", errIdle, 2 * time.Minute, true, 200 * time.Millisecond, 300 * time.Millisecond},
		{"never opened", io.EOF, time.Minute, false, 200 * time.Millisecond, 300 * time.Millisecond},
		{"not active", fmt.Errorf("connect: %w", &refusal{Type: inactiveInstance}), time.Second, false, time.Hour, time.Hour},
		{"refused", &refusal{Type: "ServerException"}, time.Second, false, 200 * time.Millisecond, 300 * time.Millisecond},
	} {
		pauses := acsBackoff()
		if got := a.pauseAfter(c.err, c.lasted, c.opened, &pauses); got < c.least || got > c.most {
			t.Errorf("%s: back in %v, want %v to %v", c.name, got, c.least, c.most)
		}
	}
	pauses := acsBackoff()
	for range 20 {
		pauses.next()
	}
	if got := pauses.next(); got < 96*time.Second || got > 144*time.Second {
		t.Errorf("after many failures back in %v, want about 2 min", got)
	}
}

func TestWhichRefusalsOfRegistrationMayPass(t *testing.T) {
	for err, want := range map[error]bool{
		errors.New("connection refused"):                            true,
		&wire.Error{Code: "ThrottlingException", Status: 400}:       true,
		&wire.Error{Code: "ServerException", Status: 500}:           true,
		&wire.Error{Code: "LimitExceededException", Status: 400}:    true,
		&wire.Error{Status: 502}:                                    true,
		&wire.Error{Code: "ClusterNotFoundException", Status: 400}:  false,
		&wire.Error{Code: "AccessDeniedException", Status: 403}:     false,
		&wire.Error{Code: "InvalidParameterException", Status: 400}: false,
	} {
		if got := mayPass(fmt.Errorf("register: %w", err)); got != want {
			t.Errorf("%v: %v", err, got)
		}
	}
}
