package metadata

import "time"

// version is one of the forms in which metadata is told.
type version int

const (
	v3 version = 3
	v4 version = 4
)

// taskAnswer is what …/task tells. Members and their order are the ECS agent's; absent ones are left out, never null.
type taskAnswer struct {
	Cluster               string
	TaskARN               string
	Family                string
	Revision              string
	DesiredStatus         string `json:",omitempty"`
	KnownStatus           string
	Limits                *limitsAnswer     `json:",omitempty"`
	PullStartedAt         time.Time         `json:",omitzero"`
	PullStoppedAt         time.Time         `json:",omitzero"`
	ExecutionStoppedAt    time.Time         `json:",omitzero"`
	AvailabilityZone      string            `json:",omitempty"`
	TaskTags              map[string]string `json:",omitempty"`
	ContainerInstanceTags map[string]string `json:",omitempty"`
	LaunchType            string            `json:",omitempty"`
	Errors                []TagError        `json:",omitempty"`
	ServiceName           string            `json:",omitempty"`
	Containers            []containerAnswer `json:",omitempty"`
	FaultInjectionEnabled *bool             `json:",omitempty"`
}

// limitsAnswer has vCPU for a task and CPU units for a container.
type limitsAnswer struct {
	CPU    float64 `json:",omitempty"`
	Memory int64   `json:",omitempty"`
}

// containerAnswer is what the path of a container itself tells.
type containerAnswer struct {
	DockerID      string `json:"DockerId"`
	Name          string
	DockerName    string
	Image         string
	ImageID       string
	Ports         []portAnswer      `json:",omitempty"`
	Labels        map[string]string `json:",omitempty"`
	DesiredStatus string
	KnownStatus   string
	ExitCode      *int `json:",omitempty"`
	Limits        limitsAnswer
	CreatedAt     time.Time `json:",omitzero"`
	StartedAt     time.Time `json:",omitzero"`
	FinishedAt    time.Time `json:",omitzero"`
	Type          string
	Health        *Health           `json:",omitempty"`
	Volumes       []Volume          `json:",omitempty"`
	LogDriver     string            `json:",omitempty"`
	LogOptions    map[string]string `json:",omitempty"`
	ContainerARN  string            `json:",omitempty"`
	Networks      []networkAnswer   `json:",omitempty"`
	RestartCount  *int              `json:",omitempty"`
}

type portAnswer struct {
	ContainerPort uint16
	Protocol      string
	HostPort      uint16 `json:",omitempty"`
	HostIP        string `json:"HostIp,omitempty"`
}

type networkAnswer struct {
	NetworkMode   string   `json:",omitempty"`
	IPv4Addresses []string `json:",omitempty"`
}

// typeNormal is a container of the task definition; the agent's own helpers would have other types.
const typeNormal = "NORMAL"

// minCPU is the CPU units that a container has at least: the kernel's smallest share.
const minCPU = 2

// renderTask tells a task in one of the versions. Version 4 adds what has come since: launch type, service, ARNs, logs.
func renderTask(t Task, v version) taskAnswer {
	a := taskAnswer{
		Cluster:            t.Cluster,
		TaskARN:            t.ARN,
		Family:             t.Family,
		Revision:           t.Revision,
		DesiredStatus:      t.DesiredStatus,
		KnownStatus:        t.KnownStatus,
		PullStartedAt:      t.PullStartedAt.UTC(),
		PullStoppedAt:      t.PullStoppedAt.UTC(),
		ExecutionStoppedAt: t.ExecutionStoppedAt.UTC(),
		AvailabilityZone:   t.AvailabilityZone,
	}
	if t.Limits != nil {
		a.Limits = &limitsAnswer{t.Limits.VCPU, t.Limits.MemoryMiB}
	}
	if v == v4 {
		a.LaunchType, a.ServiceName, a.FaultInjectionEnabled = t.LaunchType, t.ServiceName, &t.FaultInjection
	}
	for _, c := range t.Containers {
		a.Containers = append(a.Containers, renderContainer(c, v))
	}
	return a
}

// renderTaskWithTags is renderTask with tags, or what went wrong with them.
func renderTaskWithTags(t Task, tags Tags, v version) taskAnswer {
	a := renderTask(t, v)
	a.TaskTags, a.ContainerInstanceTags = tags.Task, tags.Instance
	if v == v4 {
		a.Errors = tags.Errors
	}
	return a
}

func renderContainer(c Container, v version) containerAnswer {
	a := containerAnswer{
		DockerID:      c.ID,
		Name:          c.Name,
		DockerName:    c.RuntimeName,
		Image:         c.Image,
		ImageID:       c.ImageDigest,
		Labels:        c.Labels,
		DesiredStatus: c.DesiredStatus,
		KnownStatus:   c.KnownStatus,
		ExitCode:      c.ExitCode,
		Limits:        limitsAnswer{float64(max(minCPU, c.CPU)), c.MemoryMiB},
		CreatedAt:     c.CreatedAt.UTC(),
		StartedAt:     c.StartedAt.UTC(),
		FinishedAt:    c.FinishedAt.UTC(),
		Type:          typeNormal,
		Health:        c.Health,
		Volumes:       c.Volumes,
		RestartCount:  c.RestartCount,
	}
	for _, p := range c.Ports {
		port := portAnswer{ContainerPort: p.ContainerPort, Protocol: p.Protocol, HostPort: p.HostPort}
		if v == v4 {
			port.HostIP = p.HostIP
		}
		a.Ports = append(a.Ports, port)
	}
	for _, n := range c.Networks {
		a.Networks = append(a.Networks, networkAnswer(n))
	}
	if v == v4 {
		a.LogDriver, a.LogOptions, a.ContainerARN = c.LogDriver, c.LogOptions, c.ARN
	}
	return a
}
