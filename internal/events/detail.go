package events

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"gantry"
	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"
)

// An iso is a time as events write it: text, with milliseconds.
type iso struct{ time.Time }

func (t iso) MarshalJSON() ([]byte, error) {
	return []byte(`"` + t.UTC().Format("2006-01-02T15:04:05.000Z") + `"`), nil
}

// isoOf is a wire time as events write it; zero where there is none.
func isoOf(t *wire.Timestamp) iso { return iso{wire.Value(t).Time} }

// A taskEvent is a task as its event has it: as ECS describes it, with other times. A field here hides the one of that
// name within.
type taskEvent struct {
	*ecsapi.Task
	ConnectivityAt     iso       `json:"connectivityAt,omitzero"`
	CreatedAt          iso       `json:"createdAt,omitzero"`
	ExecutionStoppedAt iso       `json:"executionStoppedAt,omitzero"`
	PullStartedAt      iso       `json:"pullStartedAt,omitzero"`
	PullStoppedAt      iso       `json:"pullStoppedAt,omitzero"`
	StartedAt          iso       `json:"startedAt,omitzero"`
	StoppedAt          iso       `json:"stoppedAt,omitzero"`
	StoppingAt         iso       `json:"stoppingAt,omitzero"`
	UpdatedAt          iso       `json:"updatedAt,omitzero"`
	HealthStatus       *struct{} `json:"healthStatus,omitzero"` // events leave it out
	Tags               *struct{} `json:"tags,omitzero"`         // and this
}

// networkAttachment is the type of an attachment that is a network interface, in the API and in events.
const networkAttachment, networkAttachmentInEvents = "ElasticNetworkInterface", "eni"

func taskDetail(t *ecsapi.Task, updated time.Time) (json.RawMessage, error) {
	e := taskEvent{
		Task:           t,
		ConnectivityAt: isoOf(t.ConnectivityAt), CreatedAt: isoOf(t.CreatedAt), ExecutionStoppedAt: isoOf(t.ExecutionStoppedAt),
		PullStartedAt: isoOf(t.PullStartedAt), PullStoppedAt: isoOf(t.PullStoppedAt), StartedAt: isoOf(t.StartedAt),
		StoppedAt: isoOf(t.StoppedAt), StoppingAt: isoOf(t.StoppingAt), UpdatedAt: iso{updated},
	}
	for i := range t.Containers {
		t.Containers[i].HealthStatus = ""
	}
	t.Attachments = slices.Clone(t.Attachments) // they may be the task's own
	for i := range t.Attachments {
		if wire.Value(t.Attachments[i].Type) == networkAttachment {
			t.Attachments[i].Type = new(networkAttachmentInEvents)
		}
	}
	return json.Marshal(e)
}

// An instanceEvent is a container instance as its event has it.
type instanceEvent struct {
	*ecsapi.ContainerInstance
	ClusterARN   string    `json:"clusterArn"`
	RegisteredAt iso       `json:"registeredAt,omitzero"`
	UpdatedAt    iso       `json:"updatedAt,omitzero"`
	HealthStatus *struct{} `json:"healthStatus,omitzero"`
	Tags         *struct{} `json:"tags,omitzero"`
}

func instanceDetail(i *ecsapi.ContainerInstance, cluster string, updated time.Time) (json.RawMessage, error) {
	return json.Marshal(instanceEvent{ContainerInstance: i, ClusterARN: cluster, RegisteredAt: isoOf(i.RegisteredAt), UpdatedAt: iso{updated}})
}

// An action is the detail of a service action.
type action struct {
	EventType             string   `json:"eventType"`
	EventName             string   `json:"eventName"`
	ClusterARN            string   `json:"clusterArn"`
	CreatedAt             iso      `json:"createdAt"`
	CapacityProviderARNs  []string `json:"capacityProviderArns,omitempty"`
	ContainerInstanceARNs []string `json:"containerInstanceArns,omitempty"`
	Reason                string   `json:"reason,omitempty"`
}

// eventTypes are those of the service events that are not INFO.
var eventTypes = map[string]string{
	"SERVICE_TASK_START_IMPAIRED":                  "WARN",
	"SERVICE_DISCOVERY_INSTANCE_UNHEALTHY":         "WARN",
	"VPC_LATTICE_TARGET_UNHEALTHY":                 "WARN",
	"SERVICE_DAEMON_PLACEMENT_CONSTRAINT_VIOLATED": "ERROR",
	"ECS_OPERATION_THROTTLED":                      "ERROR",
	"SERVICE_DISCOVERY_OPERATION_THROTTLED":        "ERROR",
	"SERVICE_TASK_PLACEMENT_FAILURE":               "ERROR",
	"SERVICE_TASK_CONFIGURATION_FAILURE":           "ERROR",
	"SERVICE_DEPLOYMENT_FAILED":                    "ERROR",
}

func eventType(name string) string {
	if t, ok := eventTypes[name]; ok {
		return t
	}
	return "INFO"
}

// lacks are the reasons of a placement that failed, by what the service's event says of the closest instance.
var lacks = []struct{ words, reason string }{
	{"insufficient CPU", "RESOURCE:CPU"},
	{"insufficient memory", "RESOURCE:MEMORY"},
	{"already using a port", "RESOURCE:PORTS"},
	{"is missing an attribute", "ATTRIBUTE"},
}

func actionDetail(place gantry.Place, h *gantry.ServiceHistory, e gantry.ServiceEvent) (json.RawMessage, error) {
	a := action{EventType: eventType(e.Name), EventName: e.Name, ClusterARN: string(place.Cluster(h.Cluster)), CreatedAt: iso{e.At}}
	for _, name := range e.Providers {
		a.CapacityProviderARNs = append(a.CapacityProviderARNs, string(place.CapacityProvider(name)))
	}
	if a.EventType == "INFO" {
		return json.Marshal(a)
	}
	a.Reason = cmp.Or(e.Reason, text(e))
	for _, l := range lacks {
		if strings.Contains(e.Message, l.words) {
			a.Reason = l.reason
		}
	}
	if _, after, ok := strings.Cut(e.Message, `encountered error "`); ok {
		a.Reason, _, _ = strings.Cut(after, `"`)
	}
	if _, after, ok := strings.Cut(e.Reason+e.Message, "container-instance "); ok {
		id, _, _ := strings.Cut(strings.TrimSuffix(after, "."), " ")
		a.ContainerInstanceARNs = []string{string(place.Instance(h.Cluster, gantry.InstanceID(id)))}
	}
	return json.Marshal(a)
}

// text is a service event's message without the service in front of it.
func text(e gantry.ServiceEvent) string {
	if _, rest, ok := strings.Cut(e.Message, ") "); ok && strings.HasPrefix(e.Message, "(service ") {
		return rest
	}
	return e.Message
}

// A deploymentEvent is the detail of a deployment's change of state.
type deploymentEvent struct {
	EventType    string `json:"eventType"`
	EventName    string `json:"eventName"`
	DeploymentID string `json:"deploymentId"`
	UpdatedAt    iso    `json:"updatedAt"`
	Reason       string `json:"reason"`
}

func deploymentDetail(e gantry.ServiceEvent) (json.RawMessage, error) {
	return json.Marshal(deploymentEvent{
		EventType: eventType(e.Name), EventName: e.Name, DeploymentID: e.Deployment.StartedBy(), UpdatedAt: iso{e.At}, Reason: e.Reason,
	})
}

// A hookEvent is the detail of a hook that waits: what ContinueServiceDeployment needs, and until when.
type hookEvent struct {
	EventType            string `json:"eventType"`
	EventName            string `json:"eventName"`
	ClusterARN           string `json:"clusterArn"`
	ServiceDeploymentARN string `json:"serviceDeploymentArn"`
	DeploymentID         string `json:"deploymentId"`
	HookID               string `json:"hookId"`
	TargetType           string `json:"targetType"`
	Status               string `json:"status"`
	LifecycleStage       string `json:"lifecycleStage"`
	ExpiresAt            iso    `json:"expiresAt"`
	TimeoutAction        string `json:"timeoutAction"`
	CreatedAt            iso    `json:"createdAt"`
}

const hookWaits = "HOOK_AWAITING_ACTION"

func hookDetail(place gantry.Place, d *gantry.Deployment, h gantry.Hook) (json.RawMessage, error) {
	action := ecsapi.DeploymentLifecycleHookActionRollback
	if c := d.Configuration.LifecycleHooks[h.Config].TimeoutConfiguration; c != nil {
		action = cmp.Or(c.Action, action)
	}
	return json.Marshal(hookEvent{
		EventType: eventType(hookWaits), EventName: hookWaits, ClusterARN: string(place.Cluster(d.Cluster)),
		ServiceDeploymentARN: string(place.ServiceDeployment(d)), DeploymentID: d.Target.Revision.StartedBy(),
		HookID: h.ID, TargetType: string(ecsapi.DeploymentLifecycleHookTargetTypePause), Status: string(h.Status),
		LifecycleStage: string(h.Stage), ExpiresAt: iso{h.ExpiresAt}, TimeoutAction: string(action), CreatedAt: iso{h.StartedAt},
	})
}

// An envelope is an event as EventBridge hands it over.
type envelope struct {
	Version    string          `json:"version"`
	ID         string          `json:"id"`
	DetailType string          `json:"detail-type"`
	Source     string          `json:"source"`
	Account    gantry.Account  `json:"account"`
	Time       string          `json:"time"`
	Region     gantry.Region   `json:"region"`
	Resources  []string        `json:"resources"`
	Detail     json.RawMessage `json:"detail"`
}

// encode makes an event of a happening that has an id and a time.
func encode(place gantry.Place, h Happening) ([]byte, error) {
	detail, err := h.Detail()
	if err != nil {
		return nil, err
	}
	resources := h.Resources
	if resources == nil {
		resources = []string{}
	}
	return json.Marshal(envelope{
		Version: "0", ID: h.ID, DetailType: h.Type, Source: h.Source, Account: place.Account, Region: place.Region,
		Time: h.At.UTC().Format("2006-01-02T15:04:05Z"), Resources: resources, Detail: detail,
	})
}
