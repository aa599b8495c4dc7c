package gantry

import (
	"strings"
	"time"

	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"
)

// A ServiceName is a service's name, unique among the services of a cluster that are
// ACTIVE or DRAINING.
type ServiceName string

// A ServiceStatus is where a service stands in its own life: ACTIVE, then DRAINING
// while the tasks of a deleted service stop, then INACTIVE.
type ServiceStatus string

const (
	ServiceActive   ServiceStatus = "ACTIVE"
	ServiceDraining ServiceStatus = "DRAINING"
	ServiceInactive ServiceStatus = "INACTIVE"
)

// A Service is what a user asks ECS to keep running. CreateService and UpdateService
// write it; the scheduler writes nothing of it but that a DRAINING service has become
// INACTIVE. How far its deployments are is in its Deployments, and what the scheduler
// remembers besides in its ServiceHistory: records of their own, so that an update
// does not collide with a rollout.
type Service struct {
	Name       ServiceName               `json:"name"`
	Cluster    ClusterName               `json:"cluster"`
	Status     ServiceStatus             `json:"status"`
	Scheduling ecsapi.SchedulingStrategy `json:"scheduling"` // REPLICA or DAEMON
	// DesiredCount is the user's; a DAEMON service's is computed and not kept.
	DesiredCount int `json:"desiredCount"`
	// Configuration is the deployment configuration that the next deployment begins
	// with; minimumHealthyPercent and maximumPercent hold at once.
	Configuration *ecsapi.DeploymentConfiguration `json:"configuration,omitzero"`
	// Deployment is the newest service deployment, the only one that starts tasks; a
	// service with TaskSets has none.
	Deployment DeploymentID `json:"deployment,omitzero"`
	// Controller is EXTERNAL for a service with TaskSets; empty is ECS.
	Controller ecsapi.DeploymentControllerType `json:"controller,omitzero"`
	// PrimaryTaskSet is the one whose definition the service shows as its own.
	PrimaryTaskSet RevisionID `json:"primaryTaskSet,omitzero"`

	// Providers is the capacity provider strategy; empty where tasks go by launch type.
	Providers   []ecsapi.CapacityProviderStrategyItem `json:"providers,omitzero"`
	Constraints []ecsapi.PlacementConstraint          `json:"constraints,omitzero"`
	Strategies  []ecsapi.PlacementStrategy            `json:"strategies,omitzero"`
	// Rebalancing is whether tasks are moved when the availability zones are uneven.
	Rebalancing ecsapi.AvailabilityZoneRebalancing `json:"rebalancing,omitzero"`
	// GracePeriod is for how long after its start a task's failing checks are not acted upon.
	GracePeriod time.Duration `json:"gracePeriod,omitzero"`

	Tags                 []ecsapi.Tag         `json:"tags,omitzero"`
	PropagateTags        ecsapi.PropagateTags `json:"propagateTags,omitzero"`
	EnableManagedTags    bool                 `json:"enableManagedTags,omitzero"`
	EnableExecuteCommand bool                 `json:"enableExecuteCommand,omitzero"`
	CreatedAt            time.Time            `json:"createdAt"`
	// CreatedBy is the ARN of who created it.
	CreatedBy string `json:"createdBy,omitzero"`
	// InactiveAt is when a deleted service had no task left.
	InactiveAt time.Time `json:"inactiveAt,omitzero"`
}

// Key is the service's place in the store: "<cluster>/<service>". Its ServiceHistory
// lies under the same key in a table of its own.
func (s *Service) Key() string { return string(s.Cluster) + "/" + string(s.Name) }

// HasTaskSets reports whether the service's deployment controller is EXTERNAL.
func (s *Service) HasTaskSets() bool { return s.Controller == ecsapi.DeploymentControllerTypeExternal }

// A RevisionID is the digits that end a service revision's ARN. The entry of
// service.deployments that brings the revision about has the same digits.
type RevisionID string

// deploymentPrefix stands before the digits in the id of an entry of service.deployments.
const deploymentPrefix = "ecs-svc/"

// StartedBy is the id of the revision's entry in service.deployments, such as
// "ecs-svc/9223370526943495407", which is also the startedBy of its tasks.
func (r RevisionID) StartedBy() string { return deploymentPrefix + string(r) }

// RevisionOf is the revision whose tasks have a startedBy; "" where it is none's.
func RevisionOf(startedBy string) RevisionID {
	digits, ok := strings.CutPrefix(startedBy, deploymentPrefix)
	if !ok {
		return ""
	}
	return RevisionID(digits)
}

// Revision is the service revision that the task was started for; "" for a task that
// no service started, which may have any startedBy, but no service's group.
func (t *Task) Revision() RevisionID {
	if t.Group.Service() == "" {
		return ""
	}
	return RevisionOf(t.StartedBy)
}

// A ServiceRevision is what the tasks of a service are made from. It never changes, but
// that it learns which images its tags mean.
type ServiceRevision struct {
	ID         RevisionID        `json:"id"`
	Cluster    ClusterName       `json:"cluster"`
	Service    ServiceName       `json:"service"`
	Definition DefinitionName    `json:"definition"`
	LaunchType ecsapi.LaunchType `json:"launchType"` // EC2 or EXTERNAL
	// Providers is the service's capacity provider strategy at the time. A later one of the
	// service goes before, as long as the revision has any.
	Providers []ecsapi.CapacityProviderStrategyItem `json:"providers,omitzero"`
	// Digests are those of its images, "sha256:…" by container, as the first task that told
	// them found them: all later tasks are made from the same. What a tag means later is
	// for the next revision to find out.
	Digests   map[string]string `json:"digests,omitzero"`
	CreatedAt time.Time         `json:"createdAt"`
}

// Key is the revision's place in the store: "<cluster>/<service>/<digits>".
func (r *ServiceRevision) Key() string {
	return string(r.Cluster) + "/" + string(r.Service) + "/" + string(r.ID)
}

// Unresolved are the containers of the revision's task definition whose image tags are to
// be resolved to digests and have not been.
func (r *ServiceRevision) Unresolved(d *ecsapi.TaskDefinition) []string {
	var names []string
	for i := range d.ContainerDefinitions {
		c := &d.ContainerDefinitions[i]
		if name := wire.Value(c.Name); resolves(c) && r.Digests[name] == "" {
			names = append(names, name)
		}
	}
	return names
}

// Image is the image that a container of the revision is made from: the definition's, with
// the digest that its tag was resolved to once that is known.
func (r *ServiceRevision) Image(c *ecsapi.ContainerDefinition) string {
	image := wire.Value(c.Image)
	if digest := r.Digests[wire.Value(c.Name)]; digest != "" && resolves(c) {
		return image + "@" + digest
	}
	return image
}

// Digest is that of a container's image: the one that its definition names, or that was
// found for its tag; "" where neither is known.
func (r *ServiceRevision) Digest(c *ecsapi.ContainerDefinition) string {
	_, digest, _ := strings.Cut(r.Image(c), "@")
	return digest
}

// resolves reports whether the tag of a container's image is to be resolved to a digest.
func resolves(c *ecsapi.ContainerDefinition) bool {
	return c.VersionConsistency != ecsapi.VersionConsistencyDisabled && !strings.Contains(wire.Value(c.Image), "@")
}

// A ServiceHistory is what the scheduler remembers of a service beside its
// deployments. Only the scheduler writes it, in every transaction that carries out a
// decision: two schedulers at work on one service collide here.
type ServiceHistory struct {
	Cluster ClusterName `json:"cluster"`
	Service ServiceName `json:"service"`
	// Version counts the decisions that were carried out.
	Version int64 `json:"version"`
	// Events are the newest, the newest first.
	Events []ServiceEvent `json:"events,omitzero"`
	// Hosts is how many container instances a DAEMON service belongs on: its desired count.
	Hosts int `json:"hosts,omitzero"`
	// Told are the conditions that hold and have an event already.
	Told []Told `json:"told,omitzero"`
	// Unplaced says why the last tasks to be started have no place; nil where all have.
	Unplaced *Unplaced `json:"unplaced,omitzero"`
	// Rebalance is set while tasks are moved to an emptier availability zone.
	Rebalance *Rebalance `json:"rebalance,omitzero"`
	// TaskSets are the states of a service's task sets.
	TaskSets []TaskSetState `json:"taskSets,omitzero"`
}

// Key is the history's place in the store, the same as its service's.
func (h *ServiceHistory) Key() string { return string(h.Cluster) + "/" + string(h.Service) }

// A ServiceEvent is one line of service.events.
type ServiceEvent struct {
	ID string    `json:"id"` // a UUID
	At time.Time `json:"at"`
	// Name is EventBridge's for it, such as SERVICE_STEADY_STATE; empty where it has none.
	Name string `json:"name,omitzero"`
	// Message begins with "(service <name>) "; empty for what only EventBridge is told.
	Message string `json:"message,omitzero"`
	// Deployment is the one whose state changes. Reason is EventBridge's, of deployment
	// events and of those without a message.
	Deployment RevisionID `json:"deployment,omitzero"`
	Reason     string     `json:"reason,omitzero"`
	// Providers are the capacity providers that it is about.
	Providers []string `json:"providers,omitzero"`
}

// Told is a cause of events that still holds: it is not told again for a while.
type Told struct {
	Cause string    `json:"cause"`
	At    time.Time `json:"at"`
}

// Unplaced is why tasks could not be placed.
type Unplaced struct {
	Revision RevisionID `json:"revision"`
	At       time.Time  `json:"at"`
	Message  string     `json:"message"` // the event's, without the prefix
	// Full says that some container instance lacks nothing but room, so that stopping a
	// task may help.
	Full bool `json:"full,omitzero"`
}

// Rebalance is a move of tasks between availability zones under way, or given up.
type Rebalance struct {
	Zone    string    `json:"zone"` // the one that gets tasks
	Desired int       `json:"desired"`
	At      time.Time `json:"at"`
	// GivenUp says that the zone had no room: it is not tried again for a while.
	GivenUp bool `json:"givenUp,omitzero"`
}
