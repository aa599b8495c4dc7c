package gantry

import (
	"strings"
	"time"

	"gantry/internal/wire/ecsapi"
)

// The capacity providers that every account has and nobody can delete.
const (
	ProviderFargate     = "FARGATE"
	ProviderFargateSpot = "FARGATE_SPOT"
)

// BuiltInProvider reports whether a capacity provider is one of those that every
// account has.
func BuiltInProvider(name string) bool { return name == ProviderFargate || name == ProviderFargateSpot }

// AttributeGroup is the attribute by which a container instance names the Auto Scaling
// group that it counts as a member of. Nobody runs such groups here: an operator gives
// it to the agent, or puts it with PutAttributes.
const AttributeGroup = "gantry.auto-scaling-group"

// A CapacityProvider is where tasks of a capacity provider strategy go: the container
// instances of one Auto Scaling group. Those built in are not kept.
type CapacityProvider struct {
	Name   string                        `json:"name"`
	Status ecsapi.CapacityProviderStatus `json:"status"` // ACTIVE, INACTIVE once deleted
	// Update is how the last change went, and UpdateReason why it failed.
	Update       ecsapi.CapacityProviderUpdateStatus `json:"update,omitzero"`
	UpdateReason string                              `json:"updateReason,omitzero"`
	// Group is what the user said of the Auto Scaling group, with ECS's defaults.
	Group     *ecsapi.AutoScalingGroupProvider `json:"group"`
	Tags      []ecsapi.Tag                     `json:"tags,omitzero"`
	DeletedAt time.Time                        `json:"deletedAt,omitzero"`
}

// GroupName is the name of the provider's Auto Scaling group.
func (p *CapacityProvider) GroupName() string { return GroupName(*p.Group.AutoScalingGroupArn) }

// groupNameMark stands before the name in the ARN of an Auto Scaling group.
const groupNameMark = ":autoScalingGroupName/"

// GroupName is the name in the ARN of an Auto Scaling group; a text that is no ARN is a
// name itself.
func GroupName(arn string) string {
	if i := strings.Index(arn, groupNameMark); i >= 0 {
		return arn[i+len(groupNameMark):]
	}
	return arn
}

// Owns reports whether a container instance is the provider's, in a cluster that the
// provider is associated with: it is of launch type EC2 and names the provider's group.
func (p *CapacityProvider) Owns(i *Instance) bool {
	return i.LaunchType == ecsapi.LaunchTypeEc2 && i.Attribute(AttributeGroup) == p.GroupName()
}
