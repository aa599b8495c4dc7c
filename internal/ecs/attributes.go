package ecs

import (
	"context"
	"slices"
	"strings"

	"gantry"
	"gantry/internal/store"
	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"
)

// maxOwnAttributes bounds the custom attributes of one container instance.
const maxOwnAttributes = 10

func (s *Service) putAttributes(ctx context.Context, in *ecsapi.PutAttributesInput) (*ecsapi.PutAttributesOutput, error) {
	if err := checkAttributes(in.Attributes); err != nil {
		return nil, err
	}
	for _, a := range in.Attributes {
		if err := checkAttributeValue(a); err != nil {
			return nil, err
		}
	}
	var out []ecsapi.Attribute
	err := s.changeAttributes(ctx, in.Cluster, in.Attributes, func(i *gantry.Instance, a ecsapi.Attribute) *string {
		i.Attributes = slices.DeleteFunc(i.Attributes, func(have ecsapi.Attribute) bool { return *have.Name == *a.Name })
		i.Attributes = append(i.Attributes, ecsapi.Attribute{Name: a.Name, Value: a.Value})
		return a.Value
	}, &out)
	if err != nil {
		return nil, err
	}
	return &ecsapi.PutAttributesOutput{Attributes: out}, nil
}

func (s *Service) deleteAttributes(ctx context.Context, in *ecsapi.DeleteAttributesInput) (*ecsapi.DeleteAttributesOutput, error) {
	if err := checkAttributes(in.Attributes); err != nil {
		return nil, err
	}
	var out []ecsapi.Attribute
	err := s.changeAttributes(ctx, in.Cluster, in.Attributes, func(i *gantry.Instance, a ecsapi.Attribute) *string {
		value := a.Value
		i.Attributes = slices.DeleteFunc(i.Attributes, func(have ecsapi.Attribute) bool {
			gone := *have.Name == *a.Name && (a.Value == nil || wire.Value(have.Value) == *a.Value)
			if gone {
				value = have.Value
			}
			return gone
		})
		return value
	}, &out)
	if err != nil {
		return nil, err
	}
	return &ecsapi.DeleteAttributesOutput{Attributes: out}, nil
}

func checkAttributeName(name string) error {
	if gantry.IsAttributeName(name) {
		return nil
	}
	return invalid("The attribute name %s is invalid: 1 to %d letters, digits and - _ . / \\ are allowed.", wire.Shorten(name), gantry.MaxAttribute)
}

// checkAttributeValue lets an attribute have none.
func checkAttributeValue(a ecsapi.Attribute) error {
	if v := wire.Value(a.Value); v == "" || gantry.IsAttributeValue(v) {
		return nil
	}
	return invalid("The value of attribute %s is invalid: 1 to %d letters, digits and - _ . / \\ @ : are allowed, with spaces between them.", *a.Name, gantry.MaxAttribute)
}

func checkAttributes(attributes []ecsapi.Attribute) error {
	for _, a := range attributes {
		name := wire.Value(a.Name)
		if err := checkAttributeName(name); err != nil {
			return err
		}
		if builtin(name) {
			return invalid("The attribute %s is reserved for Amazon ECS and cannot be changed.", name)
		}
		if wire.Value(a.TargetId) == "" {
			return invalid("The attribute %s needs a targetId: the ARN of a container instance.", name)
		}
		if a.TargetType == "" && !gantry.IsARN(*a.TargetId) {
			return invalid("The attribute %s needs the targetType container-instance, or a targetId that is an ARN.", name)
		}
	}
	return nil
}

// changeAttributes carries change out for each attribute on the instance that it
// names, all in one transaction. out is what was asked for with the instances'
// ARNs, and without their type, as ECS answers it.
func (s *Service) changeAttributes(ctx context.Context, clusterRef *string, attributes []ecsapi.Attribute, change func(*gantry.Instance, ecsapi.Attribute) (value *string), out *[]ecsapi.Attribute) error {
	_, err := s.store.Update(ctx, func(tx *store.Tx) error {
		*out = []ecsapi.Attribute{}
		c, err := s.cluster(tx, clusterRef)
		if err != nil {
			return err
		}
		for _, a := range attributes {
			id, err := s.instanceID(c.Name, *a.TargetId)
			if err != nil {
				return err
			}
			i, ok := store.Instances.Get(tx, string(c.Name)+"/"+string(id))
			if !ok || i.Status == gantry.InstanceInactive {
				return ecsapi.NewTargetNotFoundException("The container instance " + wire.Shorten(*a.TargetId) + " was not found.")
			}
			next := *i
			next.Attributes = slices.Clone(i.Attributes)
			value := change(&next, a)
			if n := customAttributes(&next); n > maxOwnAttributes && n > customAttributes(i) {
				return ecsapi.NewAttributeLimitExceededException("A container instance can have at most 10 custom attributes.")
			}
			next.Version++
			store.Instances.Put(tx, &next)
			*out = append(*out, ecsapi.Attribute{
				Name: a.Name, Value: value, TargetId: new(string(s.cfg.Place.Instance(c.Name, id))),
			})
		}
		return nil
	})
	return err
}

func customAttributes(i *gantry.Instance) int {
	n := 0
	for _, a := range i.Attributes {
		if !builtin(*a.Name) {
			n++
		}
	}
	return n
}

func (s *Service) listAttributes(ctx context.Context, in *ecsapi.ListAttributesInput) (*ecsapi.ListAttributesOutput, error) {
	if in.AttributeValue != nil && in.AttributeName == nil {
		return nil, invalid("attributeValue needs an attributeName.")
	}
	p, err := newPage("ListAttributes", in.NextToken, in.MaxResults, maxPage, []any{in.Cluster, in.AttributeName, in.AttributeValue, in.TargetType})
	if err != nil {
		return nil, err
	}
	snap, c, err := s.freshCluster(ctx, in.Cluster)
	if err != nil {
		return nil, err
	}
	found := []ecsapi.Attribute{}
	for i := range store.Instances.All(snap, string(c.Name)+"/") {
		if i.Status == gantry.InstanceInactive {
			continue
		}
		for _, a := range i.Attributes {
			if (in.AttributeName == nil || *a.Name == *in.AttributeName) && (in.AttributeValue == nil || wire.Value(a.Value) == *in.AttributeValue) {
				a.TargetId = new(string(s.cfg.Place.Instance(c.Name, i.ID)))
				found = append(found, a)
			}
		}
	}
	key := func(a ecsapi.Attribute) string { return *a.TargetId + " " + *a.Name }
	slices.SortFunc(found, func(a, b ecsapi.Attribute) int { return strings.Compare(key(a), key(b)) })
	found, next := cut(p, found, key, nil)
	return &ecsapi.ListAttributesOutput{Attributes: found, NextToken: next}, nil
}
