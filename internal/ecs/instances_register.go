package ecs

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"gantry"
	"gantry/internal/api"
	"gantry/internal/extension"
	"gantry/internal/store"
	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"
)

// What one registration may hold, so that no agent can fill the store.
const (
	// maxRegistered bounds the attributes: the genuine agent sends some fifty, and an
	// operator may add his own.
	maxRegistered = 500
	// maxRegisteredText bounds a name, a value and the token, in bytes: an ARN fits.
	maxRegisteredText = 2048
	// maxResources bounds totalResources, of which the genuine agent sends five.
	maxResources = 50
)

func (s *Service) registerContainerInstance(ctx context.Context, in *ecsapi.RegisterContainerInstanceInput) (*ecsapi.RegisterContainerInstanceOutput, error) {
	made, err := s.newInstance(in)
	if err != nil {
		return nil, err
	}
	principal := api.Principal(ctx)
	var out *gantry.Instance
	_, err = s.store.Update(ctx, func(tx *store.Tx) error {
		c, err := s.cluster(tx, in.Cluster)
		if err != nil {
			return err
		}
		next := *made
		next.Cluster = c.Name
		known, err := s.registeredBefore(tx, c.Name, in)
		if err != nil {
			return err
		}
		if known != nil {
			next = reregistered(known, made)
		} else {
			next.ID = gantry.InstanceID(s.cfg.NewID())
		}
		if err := bind(tx, principal, &next); err != nil {
			return err
		}
		if known == nil && in.ClientToken != nil {
			store.ClientTokens.Put(tx, &gantry.ClientToken{
				Operation: registerOperation, Cluster: c.Name, Token: *in.ClientToken, Resources: []string{string(next.ID)},
			})
		}
		out = &next
		store.Instances.Put(tx, out)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &ecsapi.RegisterContainerInstanceOutput{ContainerInstance: s.showInstance(s.store.View(), out, nil)}, nil
}

// registerOperation is what registration tokens are kept under. They do not
// expire: they go with their instance.
const registerOperation = "RegisterContainerInstance"

// registeredBefore finds the instance that registers again: by its ARN, or by the
// token of a registration whose answer got lost.
func (s *Service) registeredBefore(tx *store.Tx, cluster gantry.ClusterName, in *ecsapi.RegisterContainerInstanceInput) (*gantry.Instance, error) {
	var id gantry.InstanceID
	if ref := wire.Value(in.ContainerInstanceArn); ref != "" {
		named, err := s.instanceID(cluster, ref)
		if err != nil {
			return nil, err
		}
		id = named
	} else if t, ok := store.ClientTokens.Get(tx, registerOperation+"/"+string(cluster)+"/"+wire.Value(in.ClientToken)); ok && in.ClientToken != nil {
		id = gantry.InstanceID(t.Resources[0])
	} else {
		return nil, nil
	}
	i, ok := store.Instances.Get(tx, string(cluster)+"/"+string(id))
	switch {
	case ok && i.Status != gantry.InstanceInactive:
		return i, nil
	case wire.Value(in.ContainerInstanceArn) == "":
		return nil, nil // the token's instance was deregistered since: a new one
	case ok:
		return nil, client("Container instance %s was deregistered: it can register again only as a new one.", id)
	}
	return nil, client("Container instance %s is not registered in cluster %s.", id, cluster)
}

// reregistered is a known instance with what its agent says now. Its custom
// attributes stay: the agent sends the operator's only the first time.
func reregistered(known, made *gantry.Instance) gantry.Instance {
	next := *known
	next.Attributes = slices.Clone(made.Attributes)
	for _, a := range known.Attributes {
		if !builtin(*a.Name) && !hasAttribute(made.Attributes, *a.Name) {
			next.Attributes = append(next.Attributes, a)
		}
	}
	next.Registered, next.Other = made.Registered, made.Other
	if made.VersionInfo != nil {
		next.VersionInfo = made.VersionInfo
	}
	next.Tags = mergeTags(known.Tags, made.Tags)
	next.Version++
	return next
}

// bind makes an agent's key speak for the instance it registered, and for no other.
func bind(tx *store.Tx, p *gantry.Principal, i *gantry.Instance) error {
	if p == nil {
		return nil
	}
	owner, owned := store.Principals.Get(tx, i.Principal)
	if owned && owner.Kind == gantry.AgentPrincipal && owner.AccessKeyID != p.AccessKeyID && p.Kind == gantry.AgentPrincipal {
		return ecsapi.NewAccessDeniedException("Another agent's key speaks for container instance " + i.Key() + ".")
	}
	if p.Kind != gantry.AgentPrincipal {
		if i.Principal == "" {
			i.Principal = p.AccessKeyID
		}
		return nil
	}
	i.Principal = p.AccessKeyID
	have, ok := store.Principals.Get(tx, p.AccessKeyID)
	if !ok || have.Instance == i.Key() {
		return nil
	}
	if bound, ok := store.Instances.Get(tx, have.Instance); ok && bound.Status != gantry.InstanceInactive {
		return ecsapi.NewAccessDeniedException("This agent's key speaks for container instance " + have.Instance + " and cannot register another one.")
	}
	next := *have
	next.Instance = i.Key()
	store.Principals.Put(tx, &next)
	return nil
}

// newInstance is the instance that a registration describes, without its id.
func (s *Service) newInstance(in *ecsapi.RegisterContainerInstanceInput) (*gantry.Instance, error) {
	if len(in.Attributes) > maxRegistered {
		return nil, invalid("The registration has %d attributes; at most %d are allowed.", len(in.Attributes), maxRegistered)
	}
	if n := len(in.TotalResources); n > maxResources {
		return nil, invalid("The registration has %d resources; at most %d are allowed.", n, maxResources)
	}
	if n := len(wire.Value(in.ClientToken)); n > maxRegisteredText {
		return nil, invalid("clientToken has %d characters; at most %d are allowed.", n, maxRegisteredText)
	}
	if err := checkTags(extension.Instance, in.Tags); err != nil {
		return nil, err
	}
	i := &gantry.Instance{
		Status: ecsapi.ContainerInstanceStatusActive, LaunchType: ecsapi.LaunchTypeEc2, Version: 1,
		VersionInfo: in.VersionInfo, Tags: mergeTags(nil, in.Tags), RegisteredAt: s.now(),
	}
	for _, a := range in.Attributes {
		if wire.Value(a.Name) == "" {
			return nil, invalid("An attribute has no name.")
		}
		if n := len(*a.Name) + len(wire.Value(a.Value)); n > maxRegisteredText {
			return nil, invalid("The attribute %s has %d characters with its value; at most %d are allowed.", wire.Shorten(*a.Name), n, maxRegisteredText)
		}
		i.Attributes = append(i.Attributes, ecsapi.Attribute{Name: a.Name, Value: a.Value})
	}
	if hasAttribute(i.Attributes, gantry.AttributeExternal) {
		i.LaunchType = ecsapi.LaunchTypeExternal
	}
	if err := takeResources(i, in); err != nil {
		return nil, err
	}
	identify(i, wire.Value(in.InstanceIdentityDocument))
	addAttribute(i, gantry.AttributeZone, s.cfg.Zone)
	return i, nil
}

// identify adds what an EC2 instance's identity document tells. It may be empty:
// elsewhere than on EC2 there is none.
func identify(i *gantry.Instance, document string) {
	var doc struct{ InstanceID, InstanceType, ImageID, AvailabilityZone string }
	if json.Unmarshal([]byte(document), &doc) != nil {
		return
	}
	i.EC2InstanceID = doc.InstanceID
	addAttribute(i, "ecs.instance-type", doc.InstanceType)
	addAttribute(i, "ecs.ami-id", doc.ImageID)
	addAttribute(i, gantry.AttributeZone, doc.AvailabilityZone)
}

// takeResources reads totalResources and platformDevices. What is not CPU, memory,
// ports or GPUs is kept as it came.
func takeResources(i *gantry.Instance, in *ecsapi.RegisterContainerInstanceInput) error {
	for _, r := range in.TotalResources {
		var err error
		switch name := wire.Value(r.Name); name {
		case "CPU":
			i.Registered.CPU = int64(wire.Value(r.IntegerValue))
		case "MEMORY":
			i.Registered.Memory = int64(wire.Value(r.IntegerValue))
		case "PORTS":
			i.Registered.Ports, err = ports(r.StringSetValue)
		case "PORTS_UDP":
			i.Registered.UDPPorts, err = ports(r.StringSetValue)
		default:
			i.Other = append(i.Other, r)
		}
		if err != nil {
			return err
		}
	}
	if i.Registered.CPU < 0 || i.Registered.Memory < 0 {
		return invalid("A container instance cannot offer less than nothing of CPU and MEMORY.")
	}
	for _, d := range in.PlatformDevices {
		if d.Type == ecsapi.PlatformDeviceTypeGpu && wire.Value(d.Id) != "" {
			i.Registered.GPUs = append(i.Registered.GPUs, *d.Id)
		}
	}
	slices.Sort(i.Registered.GPUs)
	return nil
}

func ports(texts []string) ([]uint16, error) {
	out := make([]uint16, 0, len(texts))
	for _, text := range texts {
		n, err := strconv.ParseUint(text, 10, 16)
		if err != nil || n == 0 {
			return nil, invalid("%s is not a port: a number from 1 to 65535 is expected.", wire.Shorten(text))
		}
		out = append(out, uint16(n))
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// builtin reports whether an attribute is the agent's or ECS's own, not a custom one.
func builtin(name string) bool {
	return strings.HasPrefix(name, "ecs.") || strings.HasPrefix(name, "com.amazonaws.ecs.")
}

func hasAttribute(list []ecsapi.Attribute, name string) bool {
	return slices.ContainsFunc(list, func(a ecsapi.Attribute) bool { return wire.Value(a.Name) == name })
}

// addAttribute adds an attribute that has a value and is not there yet.
func addAttribute(i *gantry.Instance, name, value string) {
	if value != "" && !hasAttribute(i.Attributes, name) {
		i.Attributes = append(i.Attributes, ecsapi.Attribute{Name: new(name), Value: new(value)})
	}
}
