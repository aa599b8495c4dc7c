package agent_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gantry/internal/agent"
	"gantry/internal/agent/agenttest"
	"gantry/internal/agent/enginetest"
	"gantry/internal/agent/metadata"
	"gantry/internal/wire/acsapi"
	"gantry/internal/wire/ecsapi"

	"github.com/google/go-cmp/cmp"
)

const (
	taskA = "arn:aws:ecs:us-east-1:123456789012:task/demo/0000000000000000000000000000000a"
	taskB = "arn:aws:ecs:us-east-1:123456789012:task/demo/0000000000000000000000000000000b"
)

// A host is an agent on a machine that pretends, with a control plane that does what the test says.
type host struct {
	t       *testing.T
	plane   *agenttest.Plane
	machine *enginetest.Machine
	config  agent.Config
	agent   *agent.Agent
	ended   chan error
	cancel  context.CancelFunc
}

func newHost(t *testing.T) *host {
	t.Helper()
	h := &host{t: t, plane: agenttest.New(t), machine: enginetest.New(map[string]enginetest.Program{
		"web": {}, "short": {Runs: time.Millisecond}, "deaf": {Deaf: true}, "cached": {Cached: true},
	})}
	h.config = agent.Config{
		DataDir: t.TempDir(), Cluster: agenttest.Cluster, Endpoint: h.plane.URL, Region: "us-east-1",
		Credentials: agent.StaticCredentials{AccessKeyID: "AKIATEST", SecretAccessKey: "secret"},
		Attributes:  map[string]string{"stack": "prod"}, ReservedMemory: 100, LogDrivers: []string{"json-file"},
		Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	t.Cleanup(func() { h.stop() })
	return h
}

func (h *host) start() {
	h.t.Helper()
	a, err := agent.New(h.t.Context(), h.config, agent.Parts{
		Images: h.machine, Containers: h.machine, Prober: h.machine, Sandboxes: h.machine,
		Network: h.machine.Network(), Logs: h.machine.Logs(), Meter: h.machine, Disk: h.machine,
	})
	if err != nil {
		h.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	h.agent, h.cancel, h.ended = a, cancel, make(chan error, 1)
	go func() { h.ended <- a.Run(ctx) }()
}

// stop ends the agent as SIGTERM does.
func (h *host) stop() {
	if h.cancel == nil {
		return
	}
	h.cancel()
	if err := errors.Join(<-h.ended, h.agent.Close()); err != nil {
		h.t.Error(err)
	}
	h.cancel = nil
}

// told is which statuses of a task were told, in their order. That it is PENDING is told only where its start takes a while.
func (h *host) told(task string) (statuses []string) {
	for _, c := range h.plane.Changes(task) {
		if *c.Status != "PENDING" {
			statuses = append(statuses, *c.Status)
		}
	}
	return statuses
}

func run(arn, image string) acsapi.Task {
	return acsapi.Task{
		Arn: arn, TaskClusterArn: agenttest.ClusterARN, Family: "web", Version: "1", DesiredStatus: "RUNNING",
		NetworkMode: "bridge", Overrides: "{}",
		Containers: []acsapi.Container{{Name: "web", Image: image, Essential: true, Memory: 64}},
	}
}

func halt(arn string) acsapi.Task {
	return acsapi.Task{Arn: arn, Family: "web", Version: "1", DesiredStatus: "STOPPED", Overrides: "{}"}
}

func TestRegistration(t *testing.T) {
	h := newHost(t)
	h.start()
	connection := h.plane.Connected(1)
	for name, want := range map[string]string{
		"clusterArn": "demo", "containerInstanceArn": agenttest.Instance, "protocolVersion": "2", "sendCredentials": "true",
		"seqNum": "1", "agentVersion": agent.Version, "dockerVersion": "DockerVersion: unknown",
	} {
		if got := connection.Query[name]; len(got) != 1 || got[0] != want {
			t.Errorf("query parameter %s is %q, want %q", name, got, want)
		}
	}
	if auth := connection.Header.Get("Authorization"); !strings.Contains(auth, "/us-east-1/ecs/aws4_request, SignedHeaders=host;x-amz-date, ") {
		t.Errorf("the connection is signed by %q", auth)
	}
	first := registration(t, h.plane, 0)
	if first.attributes["stack"] != "prod" || first.attributes["ecs.os-type"] != "linux" || first.ContainerInstanceArn != nil {
		t.Errorf("first registration: %+v", first)
	}
	if _, ok := first.attributes[acsapi.Capability]; !ok {
		t.Errorf("the agent does not say that it is gantry's: %v", first.attributes)
	}
	ports := first.TotalResources[2]
	if *ports.Name != "PORTS" || !slices.Equal(ports.StringSetValue, []string{"22", "2375", "2376", "51678", "51679"}) {
		t.Errorf("ports: %+v", ports)
	}

	h.stop()
	h.start()
	if again := h.plane.Connected(2); again.Query["sendCredentials"][0] != "true" {
		t.Error("a new agent has to ask for all credentials")
	}
	second := registration(t, h.plane, 1)
	if second.ContainerInstanceArn == nil || *second.ContainerInstanceArn != agenttest.Instance {
		t.Errorf("second registration of %v", second.ContainerInstanceArn)
	}
	if _, ok := second.attributes["stack"]; ok {
		t.Error("custom attributes were sent again")
	}
	if *second.ClientToken != *first.ClientToken {
		t.Error("the second registration has another client token")
	}
}

type registered struct {
	ecsapi.RegisterContainerInstanceInput
	attributes map[string]string
}

func registration(t *testing.T, p *agenttest.Plane, n int) registered {
	t.Helper()
	calls := p.Calls("RegisterContainerInstance")
	if len(calls) <= n {
		t.Fatalf("%d registrations", len(calls))
	}
	r := registered{attributes: map[string]string{}}
	if err := json.Unmarshal(calls[n].Body, &r.RegisterContainerInstanceInput); err != nil {
		t.Fatal(err)
	}
	for _, a := range r.Attributes {
		value := ""
		if a.Value != nil {
			value = *a.Value
		}
		r.attributes[*a.Name] = value
	}
	return r
}

func TestAnInstanceThatIsNotWantedEnds(t *testing.T) {
	h := newHost(t)
	h.plane.Refuse = func(c agenttest.Call) (int, string) {
		if c.Operation == "RegisterContainerInstance" {
			return 400, "com.amazonaws.ecs#ClusterNotFoundException"
		}
		return 0, ""
	}
	h.start()
	err := <-h.ended
	if want := "register the instance: RegisterContainerInstance: ClusterNotFoundException: refused by the test"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	h.ended <- nil
}

func TestTasksFromPayloadToStopped(t *testing.T) {
	h := newHost(t)
	h.start()
	h.plane.Connected(1)
	h.plane.Payload("p1", 1, run(taskA, "web"), run(taskB, "short"))
	h.plane.Acked("p1")
	h.plane.Change(taskA, "RUNNING")
	h.plane.Change(taskB, "RUNNING")
	h.plane.Change(taskB, "STOPPED")

	h.plane.Payload("p1", 1, run(taskA, "web")) // sent again: nothing happens
	h.plane.Payload("p2", 2, halt(taskA))
	h.plane.Acked("p2")
	stopped := h.plane.Change(taskA, "STOPPED")
	if diff := cmp.Diff(int32(143), *stopped.Containers[0].ExitCode); diff != "" || stopped.ExecutionStoppedAt == nil || stopped.PullStartedAt == nil {
		t.Errorf("stopped with %+v", stopped)
	}
	if n := h.machine.Starts()["web"]; n != 2 {
		t.Errorf("%d starts", n)
	}
}

// What was not pulled has no times of its pull, as with the genuine agent.
func TestNoPullNoTimes(t *testing.T) {
	h := newHost(t)
	h.start()
	h.plane.Connected(1)
	both := run(taskB, "cached")
	both.Containers = append(both.Containers, acsapi.Container{Name: "side", Image: "web", Memory: 64})
	h.plane.Payload("p1", 1, run(taskA, "cached"), both)
	if up := h.plane.Change(taskA, "RUNNING"); up.PullStartedAt != nil || up.PullStoppedAt != nil {
		t.Errorf("nothing was pulled, and it was told %+v", up)
	}
	if up := h.plane.Change(taskB, "RUNNING"); up.PullStartedAt == nil || up.PullStoppedAt == nil {
		t.Errorf("one of two images was pulled, and it was told %+v", up)
	}
}

func TestMessagesThatMakeNoSenseAreDropped(t *testing.T) {
	h := newHost(t)
	h.start()
	h.plane.Connected(1)
	h.plane.SendText(`not json`)
	h.plane.SendText(`{"type":"SomethingNew","message":{"a":1}}`)
	h.plane.SendText(`{"type":"PayloadMessage","message":{"messageId":"","tasks":[]}}`)
	h.plane.SendText(`{"type":"PayloadMessage","message":{"messageId":"odd","tasks":7}}`)
	h.plane.SendText(`{"type":"HeartbeatMessage","message":{"messageId":"h1","healthy":true,"news":[1,2]}}`)
	agenttest.Heard(h.plane, acsapi.TypeHeartbeatAck, func(a acsapi.HeartbeatAckRequest) bool { return a.MessageID == "h1" })
	if said := h.plane.Said(); !slices.Equal(said, []string{acsapi.TypeHeartbeatAck}) {
		t.Errorf("the agent said %v", said)
	}
}

func TestABadTaskIsReportedAndTheOthersRun(t *testing.T) {
	h := newHost(t)
	h.start()
	h.plane.Connected(1)
	bad := run(taskB, "web")
	bad.Containers[0].Name = ""
	h.plane.Payload("p1", 1, bad, run(taskA, "web"))
	refused := h.plane.Change(taskB, "STOPPED")
	if !strings.HasPrefix(*refused.Reason, "UnrecogniedTaskError: Error loading task - ") || len(refused.Containers) > 0 {
		t.Errorf("refused with %+v", refused)
	}
	h.plane.Change(taskA, "RUNNING")
	if said := h.plane.Said(); slices.Contains(said, acsapi.TypeAck) {
		t.Error("the payload was acknowledged")
	}
}

func TestWhatIsNotOfferedYetSaysSo(t *testing.T) {
	for want, change := range map[string]func(*acsapi.Task){
		"ResourceInitializationError: unable to pull secrets for container web: secrets are not offered yet": func(t *acsapi.Task) {
			t.Containers[0].Secrets = []acsapi.Secret{{Name: "A", ValueFrom: "arn:aws:ssm:…"}}
		},
		"ResourceInitializationError: unable to pull registry auth for container web: private registry credentials are not offered yet": func(t *acsapi.Task) {
			t.Containers[0].RegistryAuth = &acsapi.RegistryAuth{Type: "asm"}
		},
		"ResourceInitializationError: networkMode awsvpc is not offered yet; bridge, host and none are": func(t *acsapi.Task) {
			t.NetworkMode = "awsvpc"
		},
		"ResourceInitializationError: volume data: volumes of type efs are not offered yet": func(t *acsapi.Task) {
			t.Volumes = []acsapi.Volume{{Name: "data", Type: "efs"}}
		},
		"ResourceInitializationError: unable to download environment file arn:aws:s3:::b/x.env: files in S3 are not offered yet; use a file of the instance (file:///path)": func(t *acsapi.Task) {
			t.Containers[0].EnvironmentFiles = []acsapi.EnvironmentFile{{Value: "arn:aws:s3:::b/x.env", Type: "s3"}}
		},
		"container: HostConfigError: Unable decode given host config: UsernsMode is not offered by this agent": func(t *acsapi.Task) {
			t.Containers[0].DockerConfig.HostConfig = `{"UsernsMode":"host","Binds":null}`
		},
		"container: DockerClientConfigError: Unable decode given docker config: invalid character 'x' looking for beginning of value": func(t *acsapi.Task) {
			t.Containers[0].DockerConfig.Config = `x`
		},
		"container: InvalidVolumeError: mount point /data names the volume \"data\", which the task does not have": func(t *acsapi.Task) {
			t.Containers[0].MountPoints = []acsapi.MountPoint{{SourceVolume: "data", ContainerPath: "/data"}}
		},
	} {
		h := newHost(t)
		h.start()
		h.plane.Connected(1)
		task := run(taskA, "web")
		change(&task)
		h.plane.Payload("p1", 1, task)
		h.plane.Acked("p1")
		stopped := h.plane.Change(taskA, "STOPPED")
		got := *stopped.Reason
		if got == "" && stopped.Containers[0].Reason != nil {
			got = "container: " + *stopped.Containers[0].Reason
		}
		if got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		h.stop()
	}
}

func TestManifestAsksBeforeItStops(t *testing.T) {
	h := newHost(t)
	h.start()
	h.plane.Connected(1)
	h.plane.Payload("p1", 5, run(taskA, "web"), run(taskB, "web"))
	h.plane.Acked("p1")
	h.plane.Change(taskA, "RUNNING")
	h.plane.Change(taskB, "RUNNING")

	manifest := func(id string, timeline int64, tasks ...string) {
		m := acsapi.TaskManifestMessage{MessageID: id, ClusterArn: agenttest.ClusterARN, ContainerInstanceArn: agenttest.Instance, Timeline: timeline}
		for _, arn := range tasks {
			m.Tasks = append(m.Tasks, acsapi.TaskIdentifier{TaskArn: arn, TaskClusterArn: agenttest.ClusterARN, DesiredStatus: "RUNNING"})
		}
		h.plane.Send(acsapi.TypeTaskManifest, m)
	}
	manifest("stale", 5)
	manifest("m1", 6, taskA)
	h.plane.Acked("m1")
	question := agenttest.Heard[acsapi.TaskStopVerificationMessage](h.plane, acsapi.TypeTaskStopVerification, nil)
	want := acsapi.TaskStopVerificationMessage{MessageID: "m1", StopCandidates: []acsapi.TaskIdentifier{
		{TaskArn: taskB, TaskClusterArn: agenttest.ClusterARN, DesiredStatus: "STOPPED"},
	}}
	if diff := cmp.Diff(want, question); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	// Answers to another manifest, or about a task that was not asked about, stop nothing.
	allow := func(id, arn string) {
		h.plane.Send(acsapi.TypeTaskStopVerificationAck, acsapi.TaskStopVerificationAck{MessageID: id, StopTasks: []acsapi.TaskIdentifier{
			{TaskArn: arn, TaskClusterArn: agenttest.ClusterARN, DesiredStatus: "STOPPED"},
		}})
	}
	allow("m0", taskB)
	allow("m1", taskA)
	h.plane.Send(acsapi.TypeHeartbeat, acsapi.HeartbeatMessage{MessageID: "h1"})
	agenttest.Heard(h.plane, acsapi.TypeHeartbeatAck, func(a acsapi.HeartbeatAckRequest) bool { return a.MessageID == "h1" })
	for _, arn := range []string{taskA, taskB} {
		if told := h.told(arn); !slices.Equal(told, []string{"RUNNING"}) {
			t.Errorf("told of %s: %v", arn, told)
		}
	}
	// The question of m1 was answered; a new manifest may ask again, also after a restart.
	h.stop()
	h.start()
	h.plane.Connected(2)
	manifest("old", 6)
	manifest("m2", 7, taskA)
	agenttest.Heard(h.plane, acsapi.TypeTaskStopVerification, func(m acsapi.TaskStopVerificationMessage) bool { return m.MessageID == "m2" })
	allow("m2", taskB)
	h.plane.Change(taskB, "STOPPED")
	// RUNNING may be told again, by an agent that was stopped before it heard that it was heard.
	if told := slices.Compact(h.told(taskA)); !slices.Equal(told, []string{"RUNNING"}) {
		t.Errorf("told of task a: %v", told)
	}
}

// A control plane that was restored from a backup names in its manifest a task that has ended since.
func TestAManifestThatNamesAnEndedTaskIsToldSo(t *testing.T) {
	h := newHost(t)
	h.start()
	h.plane.Connected(1)
	h.plane.Payload("p1", 1, run(taskA, "short"), run(taskB, "web"))
	h.plane.Change(taskA, "STOPPED")
	h.plane.Change(taskB, "RUNNING")
	within, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := h.agent.AwaitEndTold(within, taskA); err != nil {
		t.Fatalf("the end of the task was told and answered, and the agent does not know: %v", err)
	}
	before := len(h.plane.Changes(taskA))
	var named []acsapi.TaskIdentifier
	for _, arn := range []string{taskA, taskB} {
		named = append(named, acsapi.TaskIdentifier{TaskArn: arn, TaskClusterArn: agenttest.ClusterARN, DesiredStatus: "RUNNING"})
	}
	h.plane.Send(acsapi.TypeTaskManifest, acsapi.TaskManifestMessage{
		MessageID: "m1", ClusterArn: agenttest.ClusterARN, ContainerInstanceArn: agenttest.Instance, Timeline: 2, Tasks: named,
	})
	changes := h.plane.ChangesBeyond(taskA, before)
	again := changes[len(changes)-1]
	if *again.Status != "STOPPED" || again.ExecutionStoppedAt == nil || len(again.Containers) != 1 || again.Containers[0].ExitCode == nil {
		t.Errorf("told again: %+v", again)
	}
	if told := h.told(taskB); !slices.Equal(told, []string{"RUNNING"}) {
		t.Errorf("told of the task that runs: %v", told)
	}
}

func TestCredentials(t *testing.T) {
	h := newHost(t)
	h.start()
	h.plane.Connected(1)
	task := run(taskA, "web")
	keys := acsapi.RoleCredentials{CredentialsID: "cred-1", RoleArn: "arn:role", AccessKeyID: "ASIA1", SecretAccessKey: "s", SessionToken: "t", Expiration: "2026-11-23T12:00:00Z"}
	task.RoleCredentials = &keys
	h.plane.Payload("p1", 1, task)
	h.plane.Acked("p1")
	ack := agenttest.Heard[acsapi.IAMRoleCredentialsAckRequest](h.plane, acsapi.TypeCredentialsAck, nil)
	if diff := cmp.Diff(acsapi.IAMRoleCredentialsAckRequest{MessageID: "p1", Expiration: keys.Expiration, CredentialsID: "cred-1"}, ack); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	h.plane.Change(taskA, "RUNNING")
	served := func() string {
		m := agent.Metadata{Agents: func() []*agent.Agent { return []*agent.Agent{h.agent} }}
		c, ok := m.Credentials("cred-1")
		if !ok {
			return "unknown"
		}
		return c.AccessKeyID
	}
	if got := served(); got != "ASIA1" {
		t.Errorf("served %q", got)
	}
	if env := h.machine.Spec("web").Env; !slices.Contains(env, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI=/v2/credentials/cred-1") {
		t.Errorf("environment %v", env)
	}
	fresh := keys
	fresh.AccessKeyID = "ASIA2"
	message := acsapi.IAMRoleCredentialsMessage{MessageID: "c1", TaskArn: taskA, RoleType: acsapi.RoleTypeApplication, RoleCredentials: fresh}
	h.plane.Send(acsapi.TypeCredentials, message)
	agenttest.Heard(h.plane, acsapi.TypeCredentialsAck, func(a acsapi.IAMRoleCredentialsAckRequest) bool { return a.MessageID == "c1" })
	if got := served(); got != "ASIA2" {
		t.Errorf("served %q", got)
	}
	// Keys are not on disk: after a restart they are expected, and come again.
	h.stop()
	h.start()
	h.plane.Connected(2)
	if got := served(); got != "" {
		t.Errorf("served %q after a restart", got)
	}
	message.MessageID = "c2"
	h.plane.Send(acsapi.TypeCredentials, message)
	agenttest.Heard(h.plane, acsapi.TypeCredentialsAck, func(a acsapi.IAMRoleCredentialsAckRequest) bool { return a.MessageID == "c2" })
	if got := served(); got != "ASIA2" {
		t.Errorf("served %q", got)
	}
}

func TestReportsWaitForTheControlPlane(t *testing.T) {
	h := newHost(t)
	var away atomic.Int32
	h.plane.Refuse = func(c agenttest.Call) (int, string) {
		if c.Operation == "SubmitTaskStateChange" && away.Add(1) <= 2 {
			return 500, "ServerException"
		}
		return 0, ""
	}
	h.start()
	h.plane.Connected(1)
	h.plane.Payload("p1", 1, run(taskA, "web"))
	h.plane.Change(taskA, "RUNNING")
	if away.Load() < 3 {
		t.Errorf("told after %d calls", away.Load())
	}
}

func TestAReportThatIsRefusedForGoodIsNotRepeated(t *testing.T) {
	h := newHost(t)
	h.plane.Refuse = func(c agenttest.Call) (int, string) {
		if c.Operation == "SubmitTaskStateChange" && strings.Contains(string(c.Body), taskA) {
			return 400, "ClientException"
		}
		return 0, ""
	}
	h.start()
	h.plane.Connected(1)
	h.plane.Payload("p1", 1, run(taskA, "short"), run(taskB, "short"))
	h.plane.Change(taskB, "STOPPED")
	h.plane.Payload("p2", 2, run(strings.TrimSuffix(taskB, "b")+"c", "short"))
	h.plane.Change(strings.TrimSuffix(taskB, "b")+"c", "STOPPED")
	n := 0
	for _, c := range h.plane.Calls("SubmitTaskStateChange") {
		if strings.Contains(string(c.Body), taskA) {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d reports of a task that the control plane does not want to hear of", n)
	}
}

func TestTelemetry(t *testing.T) {
	h := newHost(t)
	h.start()
	h.plane.Connected(1)
	idle := agenttest.Telemetry[acsapi.PublishMetricsRequest](h.plane, acsapi.TypePublishMetrics, nil)
	if !idle.Metadata.Idle || !idle.Metadata.Fin || idle.Metadata.ContainerInstance != agenttest.Instance {
		t.Errorf("first metrics: %+v", idle)
	}
	task := run(taskA, "web")
	task.Containers[0].HealthCheckType = "docker"
	task.Containers[0].DockerConfig.Config = `{"Healthcheck":{"Test":["CMD","true"],"Interval":100000000}}`
	h.plane.Payload("p1", 1, task)
	healthy := agenttest.Telemetry(h.plane, acsapi.TypePublishHealth, func(m acsapi.PublishHealthRequest) bool {
		return m.Tasks[0].Containers[0].HealthStatus == "HEALTHY"
	})
	if healthy.Tasks[0].TaskArn != taskA || !healthy.Metadata.Fin {
		t.Errorf("health: %+v", healthy)
	}
}

func TestTags(t *testing.T) {
	h := newHost(t)
	h.start()
	h.plane.Connected(1)
	h.plane.Payload("p1", 1, run(taskA, "web"))
	h.plane.Acked("p1")
	m := agent.Metadata{Agents: func() []*agent.Agent { return []*agent.Agent{h.agent} }}
	got := m.Tags(t.Context(), taskA)
	want := metadata.Tags{Task: map[string]string{"team": "a"}, Instance: map[string]string{"team": "a"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if calls := h.plane.Calls("ListTagsForResource"); len(calls) != 2 || !strings.Contains(string(calls[1].Body), agenttest.Instance) {
		t.Errorf("asked %v", calls)
	}
}

func TestStopAll(t *testing.T) {
	h := newHost(t)
	h.start()
	h.plane.Connected(1)
	h.plane.Payload("p1", 1, run(taskA, "web"), run(taskB, "web"))
	h.plane.Change(taskA, "RUNNING")
	h.plane.Change(taskB, "RUNNING")
	h.stop()
	if left := h.machine.Left(); len(left) == 0 {
		t.Fatal("the tasks ended with the agent")
	}
	a, err := agent.New(t.Context(), h.config, agent.Parts{
		Images: h.machine, Containers: h.machine, Prober: h.machine, Sandboxes: h.machine,
		Network: h.machine.Network(), Logs: h.machine.Logs(), Meter: h.machine, Disk: h.machine,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(a.StopAll(t.Context(), 0), a.Close()); err != nil {
		t.Fatal(err)
	}
	if left := h.machine.Left(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}
