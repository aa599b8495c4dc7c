package acs

import (
	"encoding/json"
	"maps"
	"strconv"
	"strings"
	"time"

	"gantry"
	"gantry/internal/wire"
	"gantry/internal/wire/acsapi"
	"gantry/internal/wire/ecsapi"
)

// What a container definition has and a payload has no member for travels as two
// JSON texts in the shape of Docker's container Config and HostConfig. The agent
// decodes them over what it made of the members. linuxParameters travel here only:
// the genuine agent does not look at the member of that name.

type dockerConfig struct {
	Hostname        string            `json:",omitzero"`
	User            string            `json:",omitzero"`
	Tty             bool              `json:",omitzero"`
	OpenStdin       bool              `json:",omitzero"`
	WorkingDir      string            `json:",omitzero"`
	Labels          map[string]string `json:",omitzero"`
	Healthcheck     *healthcheck      `json:",omitzero"`
	NetworkDisabled bool              `json:",omitzero"`
}

type healthcheck struct {
	Test        []string
	Interval    time.Duration // nanoseconds, as the others
	Timeout     time.Duration
	StartPeriod time.Duration `json:",omitzero"`
	Retries     int32
}

type hostConfig struct {
	NetworkMode       string
	LogConfig         *logConfig `json:",omitzero"`
	CapAdd            []string
	CapDrop           []string
	Dns               []string          `json:",omitzero"`
	DnsSearch         []string          `json:",omitzero"`
	ExtraHosts        []string          `json:",omitzero"` // "name:address"
	ReadonlyRootfs    bool              `json:",omitzero"`
	SecurityOpt       []string          `json:",omitzero"`
	Tmpfs             map[string]string `json:",omitzero"` // path to mount options
	ShmSize           int64             `json:",omitzero"` // bytes, as the memory sizes
	Sysctls           map[string]string `json:",omitzero"`
	MemoryReservation int64             `json:",omitzero"`
	MemorySwap        int64             `json:",omitzero"` // memory and swap together
	MemorySwappiness  *int32            `json:",omitzero"`
	Devices           []device          `json:",omitzero"`
	Ulimits           []ulimit          `json:",omitzero"`
	Init              *bool             `json:",omitzero"`
}

type logConfig struct {
	Type   string
	Config map[string]string `json:",omitzero"`
}

type device struct {
	PathOnHost, PathInContainer, CgroupPermissions string
}

type ulimit struct {
	Name       string
	Soft, Hard int32
}

const mib = 1 << 20

// The health check's values where the definition has none, as ECS fills them in.
const (
	defaultHealthInterval = 30 // seconds
	defaultHealthTimeout  = 5  // seconds
	defaultHealthRetries  = 3
)

// defaultSwappiness is the kernel's, where maxSwap is given and swappiness is not.
const defaultSwappiness = 60

func docker(task *gantry.Task, c *ecsapi.ContainerDefinition, networkMode string, defaults Defaults) (acsapi.DockerConfig, error) {
	config := dockerConfig{
		Hostname: wire.Value(c.Hostname), User: wire.Value(c.User),
		Tty: wire.Value(c.PseudoTerminal), OpenStdin: wire.Value(c.Interactive),
		WorkingDir: wire.Value(c.WorkingDirectory), NetworkDisabled: wire.Value(c.DisableNetworking),
		Healthcheck: healthOf(c.HealthCheck),
	}
	if len(c.DockerLabels) > 0 {
		config.Labels = c.DockerLabels
	}
	host := hostConfig{
		NetworkMode: networkMode, CapAdd: []string{}, CapDrop: []string{},
		Dns: c.DnsServers, DnsSearch: c.DnsSearchDomains, ReadonlyRootfs: wire.Value(c.ReadonlyRootFilesystem),
		SecurityOpt: c.DockerSecurityOptions, MemoryReservation: int64(wire.Value(c.MemoryReservation)) * mib,
	}
	if l := c.LogConfiguration; l != nil {
		host.LogConfig = &logConfig{Type: string(l.LogDriver), Config: logOptions(task, c, defaults)}
	}
	for _, h := range c.ExtraHosts {
		host.ExtraHosts = append(host.ExtraHosts, wire.Value(h.Hostname)+":"+wire.Value(h.IpAddress))
	}
	for _, s := range c.SystemControls {
		if host.Sysctls == nil {
			host.Sysctls = map[string]string{}
		}
		host.Sysctls[wire.Value(s.Namespace)] = wire.Value(s.Value)
	}
	for _, u := range c.Ulimits {
		host.Ulimits = append(host.Ulimits, ulimit{Name: string(u.Name), Soft: wire.Value(u.SoftLimit), Hard: wire.Value(u.HardLimit)})
	}
	host.linux(c)

	configText, err := json.Marshal(config)
	if err != nil {
		return acsapi.DockerConfig{}, err
	}
	hostText, err := json.Marshal(host)
	if err != nil {
		return acsapi.DockerConfig{}, err
	}
	return acsapi.DockerConfig{Version: dockerVersion, Config: string(configText), HostConfig: string(hostText)}, nil
}

// logOptions are the log driver's. For awslogs they name the stream that
// awslogs-stream-prefix asks for, since the driver itself does not know the
// prefix, and the account's delivery mode where the container has none.
func logOptions(task *gantry.Task, c *ecsapi.ContainerDefinition, defaults Defaults) map[string]string {
	const prefix, stream, mode = "awslogs-stream-prefix", "awslogs-stream", "mode"
	if c.LogConfiguration.LogDriver != ecsapi.LogDriverAwslogs {
		return c.LogConfiguration.Options
	}
	options := maps.Clone(c.LogConfiguration.Options)
	if options == nil {
		options = map[string]string{}
	}
	if p, ok := options[prefix]; ok {
		delete(options, prefix)
		options[stream] = p + "/" + wire.Value(c.Name) + "/" + string(task.ID)
	}
	if _, ok := options[mode]; !ok && defaults.LogDriverMode != "" {
		options[mode] = defaults.LogDriverMode
	}
	return options
}

// linux adds the container's linuxParameters.
func (h *hostConfig) linux(c *ecsapi.ContainerDefinition) {
	l := c.LinuxParameters
	if l == nil {
		return
	}
	h.Init = l.InitProcessEnabled
	h.ShmSize = int64(wire.Value(l.SharedMemorySize)) * mib
	if l.Capabilities != nil {
		h.CapAdd = append(h.CapAdd, l.Capabilities.Add...)
		h.CapDrop = append(h.CapDrop, l.Capabilities.Drop...)
	}
	for _, d := range l.Devices {
		h.Devices = append(h.Devices, deviceOf(d))
	}
	for _, t := range l.Tmpfs {
		if h.Tmpfs == nil {
			h.Tmpfs = map[string]string{}
		}
		options := append([]string{}, t.MountOptions...)
		if size := wire.Value(t.Size); size > 0 {
			options = append(options, "size="+strconv.Itoa(int(size))+"m")
		}
		h.Tmpfs[wire.Value(t.ContainerPath)] = strings.Join(options, ",")
	}
	if l.MaxSwap != nil { // without maxSwap, swappiness has no meaning in ECS
		h.MemorySwap = int64(wire.Value(c.Memory)+*l.MaxSwap) * mib
		h.MemorySwappiness = new(int32(defaultSwappiness))
		if l.Swappiness != nil {
			h.MemorySwappiness = l.Swappiness
		}
	}
}

func deviceOf(d ecsapi.Device) device {
	p := device{PathOnHost: wire.Value(d.HostPath), PathInContainer: wire.Value(d.ContainerPath)}
	if p.PathInContainer == "" {
		p.PathInContainer = p.PathOnHost
	}
	for _, permission := range d.Permissions {
		p.CgroupPermissions += string(permission)[:1] // read, write, mknod
	}
	if p.CgroupPermissions == "" {
		p.CgroupPermissions = "rwm"
	}
	return p
}

func healthOf(h *ecsapi.HealthCheck) *healthcheck {
	if h == nil {
		return nil
	}
	or := func(p *int32, otherwise int32) int32 {
		if p == nil {
			return otherwise
		}
		return *p
	}
	return &healthcheck{
		Test:        h.Command,
		Interval:    time.Duration(or(h.Interval, defaultHealthInterval)) * time.Second,
		Timeout:     time.Duration(or(h.Timeout, defaultHealthTimeout)) * time.Second,
		StartPeriod: time.Duration(or(h.StartPeriod, 0)) * time.Second,
		Retries:     or(h.Retries, defaultHealthRetries),
	}
}
