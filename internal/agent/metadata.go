package agent

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"gantry/internal/agent/engine"
	"gantry/internal/agent/metadata"
	"gantry/internal/wire"
	"gantry/internal/wire/acsapi"
	"gantry/internal/wire/ecsapi"
)

// Metadata is what the task metadata endpoint and introspection tell of the tasks of one or several agents on this
// machine: it is metadata's Tasks, StatsReader, CredentialStore, TagLister and Protector. Agents are the ones there are at the time
// of a request.
type Metadata struct {
	Agents func() []*Agent
}

// TaskByMetadataID finds the task with the container that has a MetadataID.
func (m Metadata) TaskByMetadataID(id string) (metadata.Task, bool) {
	for _, a := range m.Agents() {
		if v, ok := a.engine.TaskOf(id); ok {
			return a.describe(v), true
		}
	}
	return metadata.Task{}, false
}

// Tasks is every task, in the order of their arrival at each agent.
func (m Metadata) Tasks() []metadata.Task {
	var out []metadata.Task
	for _, a := range m.Agents() {
		for _, v := range a.engine.Tasks() {
			out = append(out, a.describe(v))
		}
	}
	return out
}

// Stats is the latest measurements of a container.
func (m Metadata) Stats(containerID string) (metadata.Sample, bool) {
	for _, a := range m.Agents() {
		if s, ok := a.samples.sampleOf(containerID); ok {
			return s, true
		}
	}
	return metadata.Sample{}, false
}

// Credentials finds the keys of a role. A role of a task that is known and whose keys have not come yet has none.
func (m Metadata) Credentials(id string) (metadata.Credentials, bool) {
	for _, a := range m.Agents() {
		if c, ok := a.roles.get(id); ok {
			expires, err := time.Parse(time.RFC3339, c.Expiration)
			if err != nil {
				expires = time.Time{} // it is only a label
			}
			return metadata.Credentials{
				RoleARN: c.RoleArn, AccessKeyID: c.AccessKeyID, SecretAccessKey: c.SecretAccessKey,
				Token: c.SessionToken, Expiration: expires,
			}, true
		}
		if a.needsRole(id) {
			return metadata.Credentials{}, true
		}
	}
	return metadata.Credentials{}, false
}

// needsRole reports whether a task has a role with these credentials.
func (a *Agent) needsRole(id string) bool {
	for v := range a.engine.All() {
		for _, r := range []*acsapi.RoleCredentials{v.Def.Task.RoleCredentials, v.Def.Task.ExecutionRoleCredentials} {
			if r != nil && r.CredentialsID == id {
				return true
			}
		}
	}
	return false
}

// Tags lists the tags of a task and of its instance.
func (m Metadata) Tags(ctx context.Context, taskARN string) metadata.Tags {
	var out metadata.Tags
	for _, a := range m.Agents() {
		if _, ok := a.engine.Task(taskARN); !ok {
			continue
		}
		instance, _ := a.Instance()
		out.Task = a.tags(ctx, "TaskTags", taskARN, &out)
		out.Instance = a.tags(ctx, "ContainerInstanceTags", instance.ARN, &out)
	}
	return out
}

// tags asks ECS for the tags of one resource.
func (a *Agent) tags(ctx context.Context, field, arn string, into *metadata.Tags) map[string]string {
	var answer ecsapi.ListTagsForResourceOutput
	err := a.ecs.call(ctx, "ListTagsForResource", &ecsapi.ListTagsForResourceInput{ResourceArn: &arn}, &answer)
	if err != nil {
		e := metadata.TagError{ErrorField: field, ErrorCode: "InternalServerError", ErrorMessage: err.Error(), StatusCode: http.StatusInternalServerError, ResourceARN: arn}
		var refused *wire.Error
		if errors.As(err, &refused) {
			e.ErrorCode, e.ErrorMessage, e.StatusCode = refused.Code, refused.Message, refused.Status
		}
		into.Errors = append(into.Errors, e)
		return nil
	}
	tags := map[string]string{}
	for _, t := range answer.Tags {
		tags[wire.Value(t.Key)] = wire.Value(t.Value)
	}
	return tags
}

// describe is a task in the words of the metadata endpoint.
func (a *Agent) describe(v engine.View) metadata.Task {
	instance, _ := a.Instance()
	def, t := v.Def.Task, v.Task
	out := metadata.Task{
		ARN: v.Def.ARN, Cluster: a.cfg.Cluster, Family: def.Family, Revision: def.Version, ServiceName: def.ServiceName,
		DesiredStatus: string(t.Desired), PullStartedAt: t.PullStartedAt, PullStoppedAt: t.PullStoppedAt,
		ExecutionStoppedAt: t.ExecutionStoppedAt, AvailabilityZone: cmp.Or(def.Zone, instance.Zone),
		LaunchType: cmp.Or(def.LaunchType, string(a.cfg.LaunchType)), FaultInjection: def.EnableFaultInjection,
	}
	if def.CPU > 0 || def.Memory > 0 {
		out.Limits = &metadata.TaskLimits{VCPU: def.CPU, MemoryMiB: def.Memory}
	}
	least := len(knownStatuses) - 1
	for i := range t.Containers {
		c := describeContainer(a.cfg.Cluster, v, i)
		for n, status := range knownStatuses {
			if status == c.KnownStatus {
				least = min(least, n)
			}
		}
		out.Containers = append(out.Containers, c)
	}
	out.KnownStatus = knownStatuses[least]
	return out
}

// knownStatuses are the agent's own words for how far a container is, and a task as the least of its containers.
var knownStatuses = []string{"NONE", "PULLED", "CREATED", "RUNNING", "STOPPED"}

func knownStatus(p engine.Phase) string {
	switch p {
	case engine.Pulled:
		return "PULLED"
	case engine.Launching:
		return "CREATED"
	case engine.Up, engine.Restarting, engine.Exited:
		return "RUNNING"
	case engine.Ended:
		return "STOPPED"
	}
	return "NONE"
}

func describeContainer(cluster string, v engine.View, i int) metadata.Container {
	c, def := &v.Task.Containers[i], &v.Def.Containers[i]
	out := metadata.Container{
		MetadataID: c.MetadataID, Name: c.Name, RuntimeName: c.DockerName, ARN: def.ContainerArn,
		Image: named(def.Config.Image), ImageDigest: cmp.Or(c.ImageID, c.ImageDigest),
		Labels:        engine.Labels(cluster, v.Def, def),
		DesiredStatus: string(v.Task.Desired), KnownStatus: knownStatus(c.Phase),
		CPU: def.Host.CPUShares, MemoryMiB: def.Host.Memory / engine.MiB,
		StartedAt: c.StartedAt, LogDriver: def.Host.LogConfig.Type, LogOptions: def.Host.LogConfig.Config,
		Networks: []metadata.Network{{NetworkMode: engine.NetworkMode(def)}},
	}
	if !c.LaunchedAt.IsZero() {
		out.ID, out.CreatedAt = c.RuntimeID, c.CreatedAt
	}
	if c.Exit != nil {
		out.ExitCode, out.FinishedAt = new(int(c.Exit.Code)), c.Exit.At
	}
	if c.Network.IP.IsValid() {
		out.Networks[0].IPv4Addresses = []string{c.Network.IP.String()}
	}
	for _, b := range c.Network.Bindings {
		out.Ports = append(out.Ports, portsOf(b)...)
	}
	for _, m := range engine.Mounts(v.Def, def) {
		volume := metadata.Volume{Source: m.Source, Destination: m.Path}
		if m.Volume != nil {
			volume.Name = m.Volume.Name
		}
		out.Volumes = append(out.Volumes, volume)
	}
	if def.HealthCheck != nil && c.Started() {
		out.Health = &metadata.Health{Status: string(c.Health.Status), Since: c.Health.Since, ExitCode: c.Health.ExitCode, Output: c.Health.Output}
	}
	if def.RestartPolicy != nil && def.RestartPolicy.Enabled {
		out.RestartCount = &c.Restarts
	}
	return out
}

// named is an image as its task definition most likely names it: the digest that ECS puts
// behind a tag is not shown.
func named(image string) string {
	if name, _, ok := strings.Cut(image, "@"); ok && strings.Contains(name[strings.LastIndexByte(name, '/')+1:], ":") {
		return name
	}
	return image
}

// portsOf is a binding as so many single ports.
func portsOf(b engine.Binding) []metadata.Port {
	port := metadata.Port{Protocol: string(b.Protocol), HostIP: wire.Value(b.BindIP)}
	if b.ContainerPort != nil {
		port.ContainerPort, port.HostPort = uint16(*b.ContainerPort), uint16(wire.Value(b.HostPort))
		return []metadata.Port{port}
	}
	container, okC := rangeOf(wire.Value(b.ContainerPortRange))
	host, okH := rangeOf(wire.Value(b.HostPortRange))
	var out []metadata.Port
	for n := 0; okC && okH && n <= int(container[1])-int(container[0]); n++ {
		port.ContainerPort, port.HostPort = container[0]+uint16(n), host[0]+uint16(n)
		out = append(out, port)
	}
	return out
}

// rangeOf reads "8080-8085".
func rangeOf(text string) (ends [2]uint16, ok bool) {
	first, last, found := strings.Cut(text, "-")
	a, errA := strconv.ParseUint(first, 10, 16)
	b, errB := strconv.ParseUint(last, 10, 16)
	return [2]uint16{uint16(a), uint16(b)}, found && errA == nil && errB == nil && a <= b
}
