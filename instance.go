package gantry

import (
	"time"

	"gantry/internal/wire/ecsapi"
)

// Resources is an amount of what container instances offer and tasks take.
type Resources struct {
	CPU    int64 `json:"cpu,omitzero"`    // CPU units, 1,024 to a vCPU
	Memory int64 `json:"memory,omitzero"` // MiB
	// Ports and UDPPorts are host ports, each taken for the whole instance.
	Ports    []uint16 `json:"ports,omitzero"`
	UDPPorts []uint16 `json:"udpPorts,omitzero"`
	// GPUs are device ids.
	GPUs []string `json:"gpus,omitzero"`
}

// The attributes of a container instance that gantry itself looks at.
const (
	AttributeZone         = "ecs.availability-zone"
	AttributeArchitecture = "ecs.cpu-architecture" // x86_64, arm64
	// AttributeExternal marks an instance of launch type EXTERNAL.
	AttributeExternal = "ecs.capability.external"
)

// InstanceInactive is the status of a deregistered container instance, which the
// API's model leaves out of its enumeration.
const InstanceInactive ecsapi.ContainerInstanceStatus = "INACTIVE"

// An Instance is a container instance: a machine whose agent has registered.
// Whether its agent is connected is in its Connection; what is taken on it in
// its Reservation: three records, so that their writers never collide.
type Instance struct {
	ID            InstanceID  `json:"id"`
	Cluster       ClusterName `json:"cluster"`
	EC2InstanceID string      `json:"ec2InstanceId,omitzero"`
	// Status is ACTIVE, DRAINING, or INACTIVE once deregistered.
	Status     ecsapi.ContainerInstanceStatus `json:"status"`
	LaunchType ecsapi.LaunchType              `json:"launchType"` // EC2 or EXTERNAL
	Version    int64                          `json:"version"`
	// Attributes are the agent's, the server's built-in ones, and custom ones.
	Attributes []ecsapi.Attribute `json:"attributes"`
	// Registered is what the agent offers. Its Ports are those reserved for the host.
	Registered Resources `json:"registered"`
	// Other is what was registered besides, such as NEURON_CORES: kept as it came.
	Other        []ecsapi.Resource   `json:"other,omitzero"`
	VersionInfo  *ecsapi.VersionInfo `json:"versionInfo,omitzero"`
	Tags         []ecsapi.Tag        `json:"tags,omitzero"`
	RegisteredAt time.Time           `json:"registeredAt"`
	// Principal is the access key id that registered the instance and speaks for it.
	Principal string `json:"principal,omitzero"`
}

// Attribute is the value of the named attribute; "" where there is none.
func (i *Instance) Attribute(name string) string {
	for _, a := range i.Attributes {
		if a.Name != nil && *a.Name == name && a.Value != nil {
			return *a.Value
		}
	}
	return ""
}

// Key is the instance's place in the store: "<cluster>/<instance id>".
// Its Reservation and its Connection lie under the same key in their own tables.
func (i *Instance) Key() string { return string(i.Cluster) + "/" + string(i.ID) }

// A Reservation is what tasks take on one instance. Nothing but placing and
// ending tasks writes it: two placements on one instance conflict, and a change
// of health or connection does not.
type Reservation struct {
	Cluster  ClusterName `json:"cluster"`
	Instance InstanceID  `json:"instance"`
	Taken    Resources   `json:"taken"`
	Tasks    int         `json:"tasks"`
	// Version counts the changes: each is one of the instance that a user can see.
	Version int64 `json:"version"`
}

// Take counts a task in that takes so much.
func (r *Reservation) Take(need Resources) {
	r.Taken, r.Tasks, r.Version = r.Taken.Plus(need), r.Tasks+1, r.Version+1
}

// Free counts a task out that took so much.
func (r *Reservation) Free(taken Resources) {
	r.Taken, r.Tasks, r.Version = r.Taken.Minus(taken), r.Tasks-1, r.Version+1
}

// Key is the reservation's place in the store, the same as its instance's.
func (r *Reservation) Key() string { return string(r.Cluster) + "/" + string(r.Instance) }

// A Connection says whether an instance's agent is connected.
type Connection struct {
	Cluster   ClusterName `json:"cluster"`
	Instance  InstanceID  `json:"instance"`
	Connected bool        `json:"connected"`
	// Epoch is the session's number: a writer with a lower one has been overtaken.
	Epoch int64 `json:"epoch"`
	// Since is when the agent came or went: renewing a connection is neither.
	Since        time.Time `json:"since"`
	AgentVersion string    `json:"agentVersion,omitzero"`
	AgentHash    string    `json:"agentHash,omitzero"`
	// DockerVersion names the container runtime, as the agent tells it.
	DockerVersion string `json:"dockerVersion,omitzero"`
	// Loss is what the control plane makes of the agent's silence; the agent's next
	// connection begins without.
	Loss Loss `json:"loss,omitzero"`
	// LostAt is when Loss became what it is.
	LostAt time.Time `json:"lostAt,omitzero"`
}

// A Loss is what the control plane makes of a silent agent, which may be none yet.
type Loss string

const (
	// LossHeld: the agent is silent for so long that its service tasks were to be
	// replaced, but so are too many others at once.
	LossHeld Loss = "HELD"
	// LossGivenUp: the tasks that services have on the instance are replaced elsewhere.
	LossGivenUp Loss = "GIVEN_UP"
)

// Key is the connection's place in the store, the same as its instance's.
func (c *Connection) Key() string { return string(c.Cluster) + "/" + string(c.Instance) }

// A Pulse is what a control plane writes to find out whether it can.
type Pulse struct {
	Name string    `json:"name"`
	At   time.Time `json:"at"`
}
