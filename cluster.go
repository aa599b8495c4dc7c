package gantry

import (
	"time"

	"gantry/internal/wire/ecsapi"
)

// A ResourceStatus is the status of a thing that is either there or gone.
type ResourceStatus string

const (
	Active           ResourceStatus = "ACTIVE"
	Inactive         ResourceStatus = "INACTIVE"
	DeleteInProgress ResourceStatus = "DELETE_IN_PROGRESS"
)

// A Cluster groups tasks, services and the infrastructure they run on.
// A deleted cluster stays describable as INACTIVE for a while.
type Cluster struct {
	Name      ClusterName    `json:"name"`
	Status    ResourceStatus `json:"status"`
	CreatedAt time.Time      `json:"createdAt"`
	DeletedAt time.Time      `json:"deletedAt,omitzero"`

	Settings               []ecsapi.ClusterSetting               `json:"settings,omitzero"`
	Configuration          *ecsapi.ClusterConfiguration          `json:"configuration,omitzero"`
	ServiceConnectDefaults *ecsapi.ClusterServiceConnectDefaults `json:"serviceConnectDefaults,omitzero"`
	CapacityProviders      []string                              `json:"capacityProviders,omitzero"`
	DefaultStrategy        []ecsapi.CapacityProviderStrategyItem `json:"defaultStrategy,omitzero"`
	Tags                   []ecsapi.Tag                          `json:"tags,omitzero"`
}

// A Definition is one revision of a task definition. Wire is what the user
// registered with ECS's defaults filled in, and comes back as it is.
type Definition struct {
	Name   DefinitionName         `json:"name"`
	Wire   *ecsapi.TaskDefinition `json:"wire"`
	Tags   []ecsapi.Tag           `json:"tags,omitzero"`
	Status ResourceStatus         `json:"status"`
}

// A FamilyCounter remembers the highest revision ever used in a family:
// revision numbers are never used twice, also after the family was deleted.
type FamilyCounter struct {
	Family Family `json:"family"`
	Last   int64  `json:"last"`
}

// An AccountSetting is a feature switched for a principal, or for the account
// where Principal is empty.
type AccountSetting struct {
	Principal string             `json:"principal,omitzero"`
	Name      ecsapi.SettingName `json:"name"`
	Value     string             `json:"value"`
}

// A ClientToken remembers what an idempotent call made, so that its repetition
// answers the same and a reuse with other parameters is refused.
type ClientToken struct {
	Operation string      `json:"operation"`
	Cluster   ClusterName `json:"cluster"`
	Token     string      `json:"token"`
	// Hash is the SHA-256 of the request's parameters, in hex.
	Hash      string    `json:"hash"`
	Resources []string  `json:"resources"` // ARNs of what was made
	ExpiresAt time.Time `json:"expiresAt"`
}
