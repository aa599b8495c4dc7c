package sim

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/coder/websocket"
	"github.com/google/uuid"

	"gantry/internal/wire"
	"gantry/internal/wire/acsapi"
	"gantry/internal/wire/ecsapi"
)

// firstPort is where the genuine agent begins to give out host ports.
const firstPort = 32768

// running is the report of a task whose containers are up; they are added by the caller.
func (a *agent) running(task string) *ecsapi.SubmitTaskStateChangeInput {
	now := wire.At(time.Now())
	return &ecsapi.SubmitTaskStateChangeInput{
		Cluster: &a.fleet.Cluster, Task: &task, Status: new("RUNNING"), Reason: new(""), PullStartedAt: now, PullStoppedAt: now,
	}
}

// container is the news of a container that is up.
func (a *agent) container(task, name string, ports []acsapi.PortMapping) ecsapi.ContainerStateChange {
	sum := sha256.Sum256([]byte(task + name))
	c := ecsapi.ContainerStateChange{
		ContainerName: &name, Status: new("RUNNING"), RuntimeId: new(hex.EncodeToString(sum[:])), ImageDigest: &digest,
	}
	for _, p := range ports {
		host := int32(p.HostPort)
		if host == 0 {
			host = firstPort + int32(sum[0])<<4 + int32(sum[1])&15
		}
		c.NetworkBindings = append(c.NetworkBindings, ecsapi.NetworkBinding{
			BindIP: new("0.0.0.0"), ContainerPort: new(int32(p.ContainerPort)), HostPort: &host, Protocol: ecsapi.TransportProtocol(p.Protocol),
		})
	}
	return c
}

// stopped is the report of a task whose containers have ended.
func (a *agent) stopped(task string) *ecsapi.SubmitTaskStateChangeInput {
	return &ecsapi.SubmitTaskStateChangeInput{
		Cluster: &a.fleet.Cluster, Task: &task, Status: new("STOPPED"), Reason: new(""), ExecutionStoppedAt: wire.At(time.Now()),
	}
}

// report has a report sent: by one of at most ten that call the API at once, or with
// the next message.
func (a *agent) report(change *ecsapi.SubmitTaskStateChangeInput) {
	a.fleet.reports.Add(1)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.waiting = append(a.waiting, change)
	if a.welcome.MaxStateChanges == 0 && a.sending < submissions {
		a.sending++
		go a.submit()
	}
}

// flush sends what waits in messages, as many as the control plane lets be unanswered.
func (a *agent) flush(ctx context.Context) error {
	for {
		a.mu.Lock()
		n := min(len(a.waiting), a.welcome.MaxStateChanges)
		if n == 0 || a.sending >= a.welcome.MaxFlying {
			a.mu.Unlock()
			return nil
		}
		m := acsapi.TaskStateChanges{MessageID: uuid.NewString()}
		for _, change := range a.waiting[:n] {
			m.Changes = append(m.Changes, *change)
		}
		a.waiting = a.waiting[n:]
		a.sending++
		a.mu.Unlock()
		if err := a.send(ctx, acsapi.TypeStateChanges, m); err != nil {
			return err
		}
	}
}

// answered is what follows on the answer to a message of reports.
func (a *agent) answered(ctx context.Context, f acsapi.Frame) error {
	var ack acsapi.TaskStateChangesAck
	if err := json.Unmarshal(f.Message, &ack); err != nil {
		return err
	}
	for _, failure := range ack.Failures {
		a.fleet.blame(fmt.Errorf("agent %d: a report was refused: %s: %s", a.number, failure.Code, failure.Message))
	}
	a.mu.Lock()
	a.sending--
	a.mu.Unlock()
	return a.flush(ctx)
}

// submit sends what waits, and returns when nothing does.
func (a *agent) submit() {
	for {
		a.mu.Lock()
		if len(a.waiting) == 0 {
			a.sending--
			a.mu.Unlock()
			return
		}
		change := a.waiting[0]
		a.waiting = a.waiting[1:]
		a.mu.Unlock()
		if err := a.call("SubmitTaskStateChange", change, nil); err != nil {
			a.fleet.blame(fmt.Errorf("agent %d: %w", a.number, err))
		}
	}
}

// publishEvery is how often agents tell telemetry.
const publishEvery = 20 * time.Second

// publish tells that there is nothing to be measured, as an agent without tasks does.
func (a *agent) publish(ctx context.Context, conn *websocket.Conn) {
	for tick := time.NewTicker(publishEvery); ; {
		data, err := json.Marshal(map[string]any{"type": acsapi.TypePublishMetrics, "message": map[string]any{
			"metadata":  map[string]any{"cluster": a.fleet.Cluster, "containerInstance": a.arn, "fin": true, "idle": true, "messageId": uuid.NewString()},
			"timestamp": float64(time.Now().UnixMilli()) / 1000,
		}})
		if err == nil {
			err = conn.Write(ctx, websocket.MessageText, data)
		}
		if err != nil && ctx.Err() == nil {
			a.fleet.blame(fmt.Errorf("agent %d: its telemetry: %w", a.number, err))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			tick.Stop()
			return
		}
	}
}

// capabilities are attributes without a value that a genuine agent registers: what it and
// its machine can do. Those of the versions of Docker's API come on top.
var capabilities = []string{
	"com.amazonaws.ecs.capability.privileged-container", "com.amazonaws.ecs.capability.logging-driver.json-file",
	"com.amazonaws.ecs.capability.logging-driver.awslogs", "com.amazonaws.ecs.capability.logging-driver.none",
	"com.amazonaws.ecs.capability.task-iam-role", "com.amazonaws.ecs.capability.task-iam-role-network-host",
	"com.amazonaws.ecs.capability.ecr-auth", "ecs.capability.private-registry-authentication.secretsmanager",
	"ecs.capability.secrets.ssm.environment-variables", "ecs.capability.secrets.asm.environment-variables",
	"ecs.capability.container-ordering", "ecs.capability.full-sync", "ecs.capability.env-files.s3",
	"ecs.capability.network.container-port-range", "ecs.capability.container-restart-policy",
	"ecs.capability.task-cpu-mem-limit", "ecs.capability.increased-task-cpu-limit", "ecs.capability.execution-role-ecr-pull",
	"ecs.capability.execution-role-awslogs", "ecs.capability.container-health-check", "ecs.capability.docker-plugin.local",
	"ecs.capability.pid-ipc-namespace-sharing", "ecs.capability.firelens.fluentd", "ecs.capability.efs",
}

func (a *agent) registration() *ecsapi.RegisterContainerInstanceInput {
	in := &ecsapi.RegisterContainerInstanceInput{
		Cluster: &a.fleet.Cluster, ClientToken: new(uuid.NewString()),
		InstanceIdentityDocument: new(""), InstanceIdentityDocumentSignature: new(""),
		TotalResources: []ecsapi.Resource{
			{Name: new("CPU"), Type: new("INTEGER"), IntegerValue: &a.fleet.CPU},
			{Name: new("MEMORY"), Type: new("INTEGER"), IntegerValue: &a.fleet.Memory},
			{Name: new("PORTS"), Type: new("STRINGSET"), StringSetValue: []string{"22", "2375", "2376", "51678", "51679"}},
			{Name: new("PORTS_UDP"), Type: new("STRINGSET"), StringSetValue: []string{}},
		},
	}
	add := func(name, value string) {
		attribute := ecsapi.Attribute{Name: &name}
		if value != "" {
			attribute.Value = &value
		}
		in.Attributes = append(in.Attributes, attribute)
	}
	for _, name := range capabilities {
		add(name, "")
	}
	for _, api := range []int{17, 18, 19, 20, 21, 22, 23, 24, 25, 28, 29, 30, 32} {
		add("com.amazonaws.ecs.capability.docker-remote-api.1."+strconv.Itoa(api), "")
	}
	if a.fleet.Batched {
		add(acsapi.Capability, "")
	}
	add("ecs.os-type", "linux")
	add("ecs.os-family", "LINUX")
	add("ecs.cpu-architecture", "x86_64")
	add("ecs.availability-zone", a.api.Region+string(rune('a'+a.number%max(a.fleet.Zones, 1))))
	return in
}
