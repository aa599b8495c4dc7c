package agent

import (
	"cmp"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"time"

	"gantry/internal/agent/engine"
	"gantry/internal/wire/ecsapi"
)

// Version is what the agent calls itself on the websockets and at the introspection endpoint: the version of
// amazon-ecs-agent whose protocol it speaks, since control planes judge agents by that number. userAgent is what it
// calls itself in API calls.
const (
	Version   = "1.105.1"
	userAgent = "gantry-agent/" + Version
)

// A LaunchType is what kind of instance the agent makes of its machine.
type LaunchType string

const (
	EC2      LaunchType = "EC2"
	External LaunchType = "EXTERNAL"
)

// Config says who the agent is and what of the machine it offers. DataDir, Cluster, Endpoint, Region and Credentials
// must be set; other zero values are ECS's defaults.
type Config struct {
	// DataDir is the agent's own folder: its journal, and what containers print.
	DataDir string
	// Cluster is the name or ARN of the cluster to register into.
	Cluster string
	// Endpoint of the ECS API, "http://host:port". It may change between two runs.
	Endpoint    string
	Region      string
	Credentials Credentials
	// HTTP is how the endpoint is called; nil is plainly.
	HTTP *http.Client
	// HostMetadata is where containers in network mode host reach the task endpoint, "http://address:port"; empty is
	// where all others do.
	HostMetadata string
	// RuntimeVersion is told as the version of Docker; "containerd 2.4.2".
	RuntimeVersion string
	// BuildHash is told as the agent's; up to eight characters.
	BuildHash string

	LaunchType LaunchType // EC2 where empty
	// Attributes are custom attributes, sent with the first registration only: later ones belong to the API's users.
	Attributes map[string]string
	Tags       map[string]string
	// Zone, InstanceType and ImageID are what an EC2 instance's identity document would tell; empty where nobody says.
	Zone, InstanceType, ImageID string
	// Resources of the machine; zero means what the machine has.
	CPU    int64 // units, 1,024 to a core
	Memory int64 // MiB
	// ReservedMemory is kept from tasks, MiB.
	ReservedMemory int64
	// ReservedPorts are never used for tasks; nil means DefaultReservedPorts.
	ReservedPorts    []uint16
	ReservedUDPPorts []uint16
	// GPUs are the ids of the machine's GPUs.
	GPUs []string
	// LogDrivers are those of the Logs part.
	LogDrivers []string

	// StopTimeout is for containers that name none; 30 s where zero.
	StopTimeout time.Duration
	// CleanupWait is how long a stopped task's containers stay; 3 h where zero.
	CleanupWait time.Duration
	// LeastDisk is how many bytes must be free for a new task to start; DefaultLeastDisk where zero.
	LeastDisk uint64
	Logger    *slog.Logger
}

const (
	defaultStopTimeout = 30 * time.Second
	defaultCleanupWait = 3 * time.Hour
	// DefaultLeastDisk is room for the agent's journal and for what running tasks print while somebody makes room.
	DefaultLeastDisk = 256 << 20
)

// DefaultReservedPorts are ssh, Docker's two and the agent's two.
var DefaultReservedPorts = []uint16{22, 2375, 2376, 51678, 51679}

// defaults fills in what is empty, or says what is missing.
func (c Config) defaults() (Config, error) {
	switch {
	case !filepath.IsAbs(c.DataDir):
		return c, fmt.Errorf("the agent's folder %q is not an absolute path", c.DataDir)
	case c.Cluster == "" || c.Endpoint == "" || c.Region == "" || c.Credentials == nil:
		return c, fmt.Errorf("the agent needs a cluster, an endpoint, a region and credentials")
	}
	c.LaunchType = cmp.Or(c.LaunchType, EC2)
	c.StopTimeout = cmp.Or(c.StopTimeout, defaultStopTimeout)
	c.CleanupWait = cmp.Or(c.CleanupWait, defaultCleanupWait)
	c.LeastDisk = cmp.Or(c.LeastDisk, DefaultLeastDisk)
	c.RuntimeVersion = cmp.Or(c.RuntimeVersion, "unknown")
	c.BuildHash = cmp.Or(c.BuildHash, "unknown")
	if c.ReservedPorts == nil {
		c.ReservedPorts = DefaultReservedPorts
	}
	if c.HTTP == nil {
		c.HTTP = NewHTTP(nil)
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.CPU == 0 {
		c.CPU = hostCPU()
	}
	if c.Memory == 0 {
		memory, err := HostMemory()
		if err != nil {
			return c, err
		}
		c.Memory = memory - c.ReservedMemory
	}
	if c.Memory <= 0 {
		return c, fmt.Errorf("no memory is left for tasks: %d MiB are reserved", c.ReservedMemory)
	}
	return c, nil
}

// document is the identity document that the server reads zone, instance type and AMI from, as in EC2 mode; "" where
// there is nothing to tell. Nobody signs it: whose key it is says who tells.
func (c Config) document() (string, error) {
	if c.Zone+c.InstanceType+c.ImageID == "" {
		return "", nil
	}
	text, err := json.Marshal(struct {
		AvailabilityZone string `json:"availabilityZone,omitzero"`
		InstanceType     string `json:"instanceType,omitzero"`
		ImageID          string `json:"imageId,omitzero"`
	}{c.Zone, c.InstanceType, c.ImageID})
	return string(text), err
}

func (c Config) capacity() engine.Capacity { return engine.Capacity{CPU: c.CPU, Memory: c.Memory} }

// versionInfo goes with a registration. The genuine agent sends it on its websockets only.
func (c Config) versionInfo() *ecsapi.VersionInfo {
	return &ecsapi.VersionInfo{AgentVersion: new(Version), AgentHash: &c.BuildHash, DockerVersion: &c.RuntimeVersion}
}
