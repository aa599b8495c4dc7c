package ecs

import (
	"context"
	"slices"
	"strings"

	"gantry"
	"gantry/internal/extension"
	"gantry/internal/store"
	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"
)

func (s *Service) tagResource(ctx context.Context, in *ecsapi.TagResourceInput) (*ecsapi.TagResourceOutput, error) {
	arn, err := gantry.ParseARN(wire.Value(in.ResourceArn))
	if err != nil {
		return nil, invalid("The specified resource ARN is invalid: %s.", wire.Shorten(wire.Value(in.ResourceArn)))
	}
	if err := checkTags(extension.Kind(arn.Type), in.Tags); err != nil {
		return nil, err
	}
	err = s.changeTags(ctx, wire.Value(in.ResourceArn), func(have []ecsapi.Tag) ([]ecsapi.Tag, error) {
		tags := mergeTags(have, in.Tags)
		if n := len(slices.DeleteFunc(slices.Clone(tags), func(t ecsapi.Tag) bool { return reservedTag(*t.Key) })); n > maxTags {
			return nil, ecsapi.NewLimitExceededException("A resource can have at most 50 tags.")
		}
		return tags, nil
	})
	if err != nil {
		return nil, err
	}
	return &ecsapi.TagResourceOutput{}, nil
}

func (s *Service) untagResource(ctx context.Context, in *ecsapi.UntagResourceInput) (*ecsapi.UntagResourceOutput, error) {
	if slices.ContainsFunc(in.TagKeys, reservedTag) {
		return nil, invalid("Tags with the prefix aws: are reserved and cannot be removed.")
	}
	err := s.changeTags(ctx, wire.Value(in.ResourceArn), func(have []ecsapi.Tag) ([]ecsapi.Tag, error) {
		return withoutTags(have, in.TagKeys), nil
	})
	if err != nil {
		return nil, err
	}
	return &ecsapi.UntagResourceOutput{}, nil
}

func (s *Service) listTagsForResource(ctx context.Context, in *ecsapi.ListTagsForResourceInput) (*ecsapi.ListTagsForResourceOutput, error) {
	snap, err := s.fresh(ctx)
	if err != nil {
		return nil, err
	}
	r, err := s.tagged(snap, wire.Value(in.ResourceArn))
	if err != nil {
		return nil, err
	}
	return &ecsapi.ListTagsForResourceOutput{Tags: shown(r.tags)}, nil
}

func (s *Service) changeTags(ctx context.Context, arn string, change func([]ecsapi.Tag) ([]ecsapi.Tag, error)) error {
	_, err := s.store.Update(ctx, func(tx *store.Tx) error {
		r, err := s.tagged(tx, arn)
		if err != nil {
			return err
		}
		tags, err := change(r.tags)
		if err != nil {
			return err
		}
		r.put(tx, tags)
		return nil
	})
	return err
}

// A tagged is something with tags, whatever it is.
type tagged struct {
	tags []ecsapi.Tag
	put  func(*store.Tx, []ecsapi.Tag)
}

// tagged finds what an ARN names. The short forms of ARNs, without the cluster,
// name what is in the cluster "default".
func (s *Service) tagged(r store.Reader, text string) (tagged, error) {
	parsed, err := gantry.ParseARN(text)
	if err != nil {
		return tagged{}, invalid("The specified resource ARN is invalid: %s.", wire.Shorten(text))
	}
	arn, err := s.ownARN(text, parsed.Type)
	if err != nil {
		return tagged{}, err
	}
	key := arn.Path
	if (arn.Type == "task" || arn.Type == "container-instance" || arn.Type == "service") && !strings.Contains(key, "/") {
		key = string(gantry.DefaultCluster) + "/" + key
	}
	var found *tagged
	switch arn.Type {
	case "cluster":
		active := func(c *gantry.Cluster) bool { return c.Status == gantry.Active }
		if found = find(r, store.Clusters, key, func(c *gantry.Cluster) *[]ecsapi.Tag { return &c.Tags }, active); found == nil {
			return tagged{}, ecsapi.NewClusterNotFoundException("Cluster not found.")
		}
	case "task-definition":
		found = find(r, store.Definitions, key, func(d *gantry.Definition) *[]ecsapi.Tag { return &d.Tags }, nil)
	case "task":
		found = find(r, store.Tasks, key, func(t *gantry.Task) *[]ecsapi.Tag { return &t.Tags }, nil)
	case "container-instance":
		found = find(r, store.Instances, key, func(i *gantry.Instance) *[]ecsapi.Tag { return &i.Tags }, nil)
	case "capacity-provider":
		active := func(p *gantry.CapacityProvider) bool { return p.Status == ecsapi.CapacityProviderStatusActive }
		found = find(r, store.CapacityProviders, key, func(p *gantry.CapacityProvider) *[]ecsapi.Tag { return &p.Tags }, active)
	case "service":
		alive := func(s *gantry.Service) bool { return s.Status != gantry.ServiceInactive }
		found = find(r, store.Services, key, func(s *gantry.Service) *[]ecsapi.Tag { return &s.Tags }, alive)
	case "task-set":
		key = strings.Replace(key, "/ecs-svc/", "/", 1)
		found = find(r, store.TaskSets, key, func(set *gantry.TaskSet) *[]ecsapi.Tag { return &set.Tags }, nil)
	default:
		return tagged{}, notYet("Tagging a %s is not offered by gantry yet.", wire.Shorten(arn.Type))
	}
	if found == nil {
		return tagged{}, ecsapi.NewResourceNotFoundException("The specified resource was not found: " + wire.Shorten(text) + ".")
	}
	return *found, nil
}

// find is the tagged row under a key; nil where there is none, or one that is there no more by its state. Tags is where
// such a row has them.
func find[T any](r store.Reader, table *store.Table[T], key string, tags func(*T) *[]ecsapi.Tag, there func(*T) bool) *tagged {
	row, ok := table.Get(r, key)
	if !ok || there != nil && !there(row) {
		return nil
	}
	return &tagged{*tags(row), func(tx *store.Tx, changed []ecsapi.Tag) {
		next := *row
		*tags(&next) = changed
		table.Put(tx, &next)
	}}
}
