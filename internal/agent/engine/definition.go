package engine

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"gantry"
	"gantry/internal/wire/acsapi"
)

// A Definition is a payload's task, read and checked: what is asked for, in the form in which the engine decides.
type Definition struct {
	ARN        string
	ID         gantry.TaskID
	Task       *acsapi.Task
	Containers []ContainerDefinition // in the payload's order
	// Refusal, if set, is why the task cannot run on this agent; it is then reported STOPPED and nothing is started.
	Refusal *Refusal
}

// A Refusal is "<ErrorName>: <text>", of one container or, where Container is empty, of the task.
type Refusal struct {
	Container string
	Reason    string
}

// A ContainerDefinition is one container of a Definition.
type ContainerDefinition struct {
	acsapi.Container
	Config DockerConfig
	Host   HostConfig
	// Order is DependsOn and what links and volumesFrom imply.
	Order        []acsapi.DependsOn
	StopTimeout  time.Duration
	StartTimeout time.Duration // 0 means none
	HealthCheck  *HealthCheck  // nil means none
}

// Conditions of a dependsOn.
const (
	OnStart    = "START"
	OnComplete = "COMPLETE"
	OnSuccess  = "SUCCESS"
	OnHealthy  = "HEALTHY"
)

// What a task can come to; each is the error name before the colon of a reason.
const (
	errResourceInitialization = "ResourceInitializationError"
	errTaskDependency         = "TaskDependencyError"
	errDockerClientConfig     = "DockerClientConfigError"
	errHostConfig             = "HostConfigError"
	errInvalidVolume          = "InvalidVolumeError"
)

// MiB is the unit of memory in task definitions.
const MiB = 1 << 20

// ReadDefinition reads a payload's task. An error means that the payload itself makes no sense (an
// UnrecogniedTaskError); a task that makes sense but cannot run here comes back with a Refusal.
func ReadDefinition(task *acsapi.Task, defaultStopTimeout time.Duration) (*Definition, error) {
	arn, err := gantry.ParseARN(task.Arn)
	if err != nil {
		return nil, err
	}
	if arn.Type != "task" {
		return nil, fmt.Errorf("%q is not the ARN of a task", task.Arn)
	}
	switch desired(task) {
	case gantry.Running, gantry.Stopped:
	default:
		return nil, fmt.Errorf("unrecognized desired status %q", task.DesiredStatus)
	}
	def := &Definition{ARN: task.Arn, ID: gantry.TaskID(arn.Path[strings.LastIndexByte(arn.Path, '/')+1:]), Task: task}
	if def.ID == "" {
		return nil, fmt.Errorf("%q is not the ARN of a task", task.Arn)
	}
	names := map[string]bool{}
	for i := range task.Containers {
		name := task.Containers[i].Name
		if name == "" || names[name] {
			return nil, fmt.Errorf("container name %q is empty or used twice", name)
		}
		names[name] = true
	}
	if len(names) == 0 && desired(task) == gantry.Running {
		return nil, fmt.Errorf("the task has no containers")
	}
	for i := range task.Containers {
		c, err := def.readContainer(&task.Containers[i], defaultStopTimeout)
		if err != nil {
			return nil, err
		}
		def.Containers = append(def.Containers, c)
	}
	def.checkOrder()
	def.checkOffered()
	return def, nil
}

// desired reads a desiredStatus; DEAD is an old alias of STOPPED.
func desired(t *acsapi.Task) gantry.TaskStatus {
	if t.DesiredStatus == "DEAD" {
		return gantry.Stopped
	}
	return gantry.TaskStatus(t.DesiredStatus)
}

// Container finds a container by name; nil where there is none.
func (d *Definition) Container(name string) *ContainerDefinition {
	for i := range d.Containers {
		if d.Containers[i].Name == name {
			return &d.Containers[i]
		}
	}
	return nil
}

// refuse keeps the first refusal.
func (d *Definition) refuse(container, name, format string, args ...any) {
	if d.Refusal == nil {
		d.Refusal = &Refusal{Container: container, Reason: name + ": " + fmt.Sprintf(format, args...)}
	}
}

func (d *Definition) readContainer(c *acsapi.Container, defaultStopTimeout time.Duration) (ContainerDefinition, error) {
	def := ContainerDefinition{Container: *c, StopTimeout: defaultStopTimeout, StartTimeout: time.Duration(c.StartTimeout) * time.Second}
	if c.StopTimeout != nil {
		def.StopTimeout = time.Duration(*c.StopTimeout) * time.Second
	}
	command, err := overriddenCommand(c)
	if err != nil {
		return def, err
	}
	def.Config = DockerConfig{Image: c.Image, Cmd: command, Entrypoint: c.EntryPoint}
	if err := decodeOver(c.DockerConfig.Config, dockerConfigMembers, &def.Config); err != nil {
		d.refuse(c.Name, errDockerClientConfig, "Unable decode given docker config: %v", err)
	}
	def.Host = HostConfig{
		Links: c.Links, Privileged: c.Privileged, NetworkMode: d.Task.NetworkMode, PIDMode: d.Task.PIDMode,
		IPCMode: d.Task.IPCMode, CPUShares: c.CPU, Memory: c.Memory * MiB,
	}
	if err := decodeOver(c.DockerConfig.HostConfig, hostConfigMembers, &def.Host); err != nil {
		d.refuse(c.Name, errHostConfig, "Unable decode given host config: %v", err)
	}
	if h := def.Config.Healthcheck; h != nil && len(h.Test) > 0 && h.Test[0] != "NONE" {
		check, err := newHealthCheck(h.Test, h.Interval, h.Timeout, h.StartPeriod, h.Retries)
		if err != nil {
			d.refuse(c.Name, errDockerClientConfig, "%v", err)
		}
		def.HealthCheck = check
	}
	if c.HealthCheckType != "" && c.HealthCheckType != "docker" {
		return def, fmt.Errorf("container %s: health check type %q is not known", c.Name, c.HealthCheckType)
	}
	if h := def.Config.Healthcheck; c.HealthCheckType == "docker" && (h == nil || len(h.Test) == 0) {
		d.refuse(c.Name, errDockerClientConfig, "the payload announces a health check and its docker config has none")
	}

	def.Order = append(def.Order, c.DependsOn...)
	for _, link := range def.Host.Links {
		name, _, _ := strings.Cut(link, ":")
		def.Order = append(def.Order, acsapi.DependsOn{ContainerName: name, Condition: OnStart})
	}
	for _, from := range c.VolumesFrom {
		def.Order = append(def.Order, acsapi.DependsOn{ContainerName: from.SourceContainer, Condition: OnStart})
	}
	return def, nil
}

// overriddenCommand is a container's command. Of its overrides, a JSON string, only that is the agent's business: the
// control plane merges the others.
func overriddenCommand(c *acsapi.Container) ([]string, error) {
	if strings.TrimSpace(c.Overrides) == "" {
		return c.Command, nil
	}
	var overrides struct {
		Command []string `json:"command"`
	}
	if err := json.Unmarshal([]byte(c.Overrides), &overrides); err != nil {
		return nil, fmt.Errorf("container %s: read its overrides: %w", c.Name, err)
	}
	if overrides.Command != nil {
		return overrides.Command, nil
	}
	return c.Command, nil
}

// checkOrder refuses dependencies that lead nowhere or in a circle.
func (d *Definition) checkOrder() {
	const (
		unseen = iota
		open
		done
	)
	state := map[string]int{}
	var visit func(name string) bool
	visit = func(name string) bool {
		switch state[name] {
		case open:
			return false
		case done:
			return true
		}
		state[name] = open
		for _, dep := range d.Container(name).Order {
			if d.Container(dep.ContainerName) == nil {
				continue
			}
			if !visit(dep.ContainerName) {
				return false
			}
		}
		state[name] = done
		return true
	}
	for _, c := range d.Containers {
		for _, dep := range c.Order {
			on := d.Container(dep.ContainerName)
			switch {
			case on == nil:
				d.refuse(c.Name, errTaskDependency, "container %s depends on %s, which the task does not have", c.Name, dep.ContainerName)
			case dep.Condition == OnHealthy && on.HealthCheck == nil:
				d.refuse(c.Name, errTaskDependency, "container %s waits for %s to be HEALTHY, which has no health check", c.Name, on.Name)
			case dep.Condition != OnStart && dep.Condition != OnComplete && dep.Condition != OnSuccess && dep.Condition != OnHealthy:
				d.refuse(c.Name, errTaskDependency, "container %s depends on %s with the unknown condition %q", c.Name, on.Name, dep.Condition)
			}
		}
		if !visit(c.Name) {
			d.refuse("", errTaskDependency, "the containers of the task depend on each other in a circle through %s", c.Name)
			return
		}
	}
}
