package acs

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"gantry"
	"gantry/internal/wire"
	"gantry/internal/wire/acsapi"
	"gantry/internal/wire/ecsapi"
)

// dockerVersion is the least Docker API version that a payload asks for, as ECS sends it.
const dockerVersion = "1.18"

// Defaults are what a payload says where neither definition nor task does.
type Defaults struct {
	// LogDriverMode is the account's defaultLogDriverMode; "" leaves it to the driver.
	LogDriverMode string
}

// Payload is what an agent must know to run a task: its definition with the
// task's overrides and the account's defaults merged in. Agents know nothing of
// either; ECS merges them too.
//
// The images are those of the service revision, by digest as far as it knows them;
// revision is nil for a task of no service.
func Payload(place gantry.Place, task *gantry.Task, def *gantry.Definition, revision *gantry.ServiceRevision, defaults Defaults) (acsapi.Task, error) {
	d := def.Wire
	p := identity(place, task)
	p.DesiredStatus = string(gantry.Running)
	p.TaskDefinitionAccountID = string(place.Account)
	p.NetworkMode = string(d.NetworkMode)
	if p.NetworkMode == "" {
		p.NetworkMode = string(ecsapi.NetworkModeBridge)
	}
	p.PIDMode, p.IPCMode = string(d.PidMode), string(d.IpcMode)
	p.LaunchType = string(task.LaunchType)
	p.ServiceName = task.Group.Service()
	p.Group = string(task.Group)
	p.Zone = task.Zone
	p.EnableFaultInjection = wire.Value(d.EnableFaultInjection)

	var err error
	if p.CPU, err = vcpu(task.CPU); err != nil {
		return p, fmt.Errorf("payload of task %s: %w", task.Key(), err)
	}
	if p.Memory, err = integer("memory", task.Memory); err != nil {
		return p, fmt.Errorf("payload of task %s: %w", task.Key(), err)
	}
	for _, v := range d.Volumes {
		p.Volumes = append(p.Volumes, volume(v))
	}
	for i := range d.ContainerDefinitions {
		c := merge(&d.ContainerDefinitions[i], task.Overrides)
		own := task.Container(wire.Value(c.Name))
		built, err := container(place, task, own, c, p.NetworkMode, defaults)
		if err != nil {
			return p, fmt.Errorf("payload of task %s: container %s: %w", task.Key(), wire.Value(c.Name), err)
		}
		if revision != nil {
			built.Image = revision.Image(c)
		}
		p.Containers = append(p.Containers, built)
		if own != nil {
			p.Associations = append(p.Associations, associations(own)...)
		}
	}
	return p, nil
}

// StopPayload is what an agent must know to stop a task.
func StopPayload(place gantry.Place, task *gantry.Task) acsapi.Task {
	p := identity(place, task)
	p.DesiredStatus = string(gantry.Stopped)
	return p
}

// identity is what the payloads to run and to stop a task have in common.
func identity(place gantry.Place, task *gantry.Task) acsapi.Task {
	return acsapi.Task{
		Arn:            string(place.Task(task.Cluster, task.ID)),
		TaskClusterArn: string(place.Cluster(task.Cluster)),
		Family:         string(task.Definition.Family()),
		Version:        task.Definition.Revision(),
		Overrides:      "{}",
		Containers:     []acsapi.Container{},
		Volumes:        []acsapi.Volume{},
	}
}

// merge is a container's definition as this task wants it.
func merge(c *ecsapi.ContainerDefinition, overrides *ecsapi.TaskOverride) *ecsapi.ContainerDefinition {
	m := *c
	if overrides == nil {
		return &m
	}
	for _, o := range overrides.ContainerOverrides {
		if wire.Value(o.Name) != wire.Value(c.Name) {
			continue
		}
		if o.Command != nil {
			m.Command = o.Command
		}
		if o.Cpu != nil {
			m.Cpu = o.Cpu
		}
		if o.Memory != nil {
			m.Memory = o.Memory
		}
		if o.MemoryReservation != nil {
			m.MemoryReservation = o.MemoryReservation
		}
		if o.EnvironmentFiles != nil {
			m.EnvironmentFiles = o.EnvironmentFiles
		}
		// Later entries win where they are made a map.
		m.Environment = append(m.Environment[:len(m.Environment):len(m.Environment)], o.Environment...)
	}
	return &m
}

func container(place gantry.Place, task *gantry.Task, own *gantry.Container, c *ecsapi.ContainerDefinition, networkMode string, defaults Defaults) (acsapi.Container, error) {
	p := acsapi.Container{
		Name:             wire.Value(c.Name),
		Image:            wire.Value(c.Image),
		Command:          c.Command,
		EntryPoint:       c.EntryPoint,
		Essential:        c.Essential == nil || *c.Essential,
		Privileged:       wire.Value(c.Privileged),
		CPU:              int64(wire.Value(c.Cpu)),
		Memory:           int64(wire.Value(c.Memory)),
		Environment:      map[string]string{},
		PortMappings:     []acsapi.PortMapping{},
		MountPoints:      []acsapi.MountPoint{},
		VolumesFrom:      []acsapi.VolumeFrom{},
		Links:            append([]string{}, c.Links...),
		StartTimeout:     int64(wire.Value(c.StartTimeout)),
		RestartPolicy:    restartPolicy(c.RestartPolicy),
		RegistryAuth:     registryAuth(place, c.RepositoryCredentials),
		EnvironmentFiles: environmentFiles(c.EnvironmentFiles),
		Secrets:          secrets(place, c),
		Overrides:        "{}",
	}
	if own != nil {
		p.ContainerArn = string(place.Container(task.Cluster, task.ID, own.ID))
	}
	if c.StopTimeout != nil {
		p.StopTimeout = new(int64(*c.StopTimeout))
	}
	for _, e := range c.Environment {
		p.Environment[wire.Value(e.Name)] = wire.Value(e.Value)
	}
	for _, m := range c.PortMappings {
		p.PortMappings = append(p.PortMappings, portMapping(m, networkMode))
	}
	for _, m := range c.MountPoints {
		p.MountPoints = append(p.MountPoints, acsapi.MountPoint{
			SourceVolume: wire.Value(m.SourceVolume), ContainerPath: wire.Value(m.ContainerPath), ReadOnly: wire.Value(m.ReadOnly)})
	}
	for _, v := range c.VolumesFrom {
		p.VolumesFrom = append(p.VolumesFrom, acsapi.VolumeFrom{
			SourceContainer: wire.Value(v.SourceContainer), ReadOnly: wire.Value(v.ReadOnly)})
	}
	for _, d := range c.DependsOn {
		p.DependsOn = append(p.DependsOn, acsapi.DependsOn{
			ContainerName: wire.Value(d.ContainerName), Condition: string(d.Condition)})
	}
	if c.HealthCheck != nil {
		p.HealthCheckType = "docker"
	}
	var err error
	p.DockerConfig, err = docker(task, c, networkMode, defaults)
	return p, err
}

func portMapping(m ecsapi.PortMapping, networkMode string) acsapi.PortMapping {
	p := acsapi.PortMapping{
		ContainerPort:      int64(wire.Value(m.ContainerPort)),
		HostPort:           int64(wire.Value(m.HostPort)),
		ContainerPortRange: wire.Value(m.ContainerPortRange),
		Protocol:           string(m.Protocol),
	}
	if p.Protocol == "" {
		p.Protocol = string(ecsapi.TransportProtocolTcp)
	}
	if p.HostPort == 0 && networkMode == string(ecsapi.NetworkModeHost) {
		p.HostPort = p.ContainerPort
	}
	return p
}

// defaultRestartPeriod is how many seconds a container must have run before it
// is restarted, where its policy does not say. The least that a policy may say is 60.
const defaultRestartPeriod = 300

func restartPolicy(r *ecsapi.ContainerRestartPolicy) *acsapi.RestartPolicy {
	if r == nil {
		return nil
	}
	p := &acsapi.RestartPolicy{
		Enabled: wire.Value(r.Enabled), IgnoredExitCodes: r.IgnoredExitCodes, RestartAttemptPeriod: defaultRestartPeriod,
	}
	if r.RestartAttemptPeriod != nil {
		p.RestartAttemptPeriod = int64(*r.RestartAttemptPeriod)
	}
	return p
}

func environmentFiles(files []ecsapi.EnvironmentFile) []acsapi.EnvironmentFile {
	var p []acsapi.EnvironmentFile
	for _, f := range files {
		p = append(p, acsapi.EnvironmentFile{Value: wire.Value(f.Value), Type: string(f.Type)})
	}
	return p
}

// secrets are fetched by the agent, those of the log driver too.
func secrets(place gantry.Place, c *ecsapi.ContainerDefinition) []acsapi.Secret {
	var p []acsapi.Secret
	add := func(s ecsapi.Secret, typ, target string) {
		from := wire.Value(s.ValueFrom)
		provider, region := "ssm", string(place.Region)
		if arn, err := gantry.ParseARN(from); err == nil {
			region = string(arn.Region)
		}
		if strings.Contains(from, ":secretsmanager:") {
			provider = "asm"
			if parts := strings.SplitN(from, ":", 5); len(parts) == 5 {
				region = parts[3]
			}
		}
		p = append(p, acsapi.Secret{Name: wire.Value(s.Name), ValueFrom: from, Type: typ, Region: region, Provider: provider, Target: target})
	}
	for _, s := range c.Secrets {
		add(s, "ENVIRONMENT_VARIABLE", "CONTAINER")
	}
	if c.LogConfiguration != nil {
		for _, s := range c.LogConfiguration.SecretOptions {
			add(s, "BOOTSTRAP", "LOG_DRIVER")
		}
	}
	return p
}

func registryAuth(place gantry.Place, r *ecsapi.RepositoryCredentials) *acsapi.RegistryAuth {
	if r == nil {
		return nil
	}
	asm, err := json.Marshal(map[string]string{"credentialsParameter": wire.Value(r.CredentialsParameter), "region": string(place.Region)})
	if err != nil { // strings always marshal
		return nil
	}
	return &acsapi.RegistryAuth{Type: "asm", ASM: asm}
}

func volume(v ecsapi.Volume) acsapi.Volume {
	p := acsapi.Volume{Name: wire.Value(v.Name)}
	switch d := v.DockerVolumeConfiguration; {
	case d != nil:
		p.Type = "docker"
		p.Docker = &acsapi.DockerVolume{
			Scope: string(d.Scope), Autoprovision: wire.Value(d.Autoprovision), Driver: wire.Value(d.Driver),
			DriverOpts: d.DriverOpts, Labels: d.Labels,
		}
	case v.EfsVolumeConfiguration != nil:
		p.Type = "efs"
	case v.FsxWindowsFileServerVolumeConfiguration != nil:
		p.Type = "fsxWindowsFileServer"
	default:
		p.Type = "host"
		p.Host = &acsapi.HostVolume{}
		if v.Host != nil {
			p.Host.SourcePath = wire.Value(v.Host.SourcePath)
		}
	}
	return p
}

// associations tie a container's GPUs to it.
func associations(c *gantry.Container) []acsapi.Association {
	var p []acsapi.Association
	for _, gpu := range c.GPUs {
		p = append(p, acsapi.Association{
			Name: gpu, Type: "gpu", Containers: []string{c.Name},
			Content: acsapi.AssociationContent{Value: gpu, Encoding: "identity"},
		})
	}
	return p
}

// vcpu turns CPU units as text into vCPU.
func vcpu(units string) (float64, error) {
	n, err := integer("cpu", units)
	return float64(n) / 1024, err
}

func integer(member, text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("its %s is %q, not a number", member, text)
	}
	return n, nil
}
