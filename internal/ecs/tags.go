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
	switch arn.Type {
	case "cluster":
		if c, ok := store.Clusters.Get(r, key); ok && c.Status == gantry.Active {
			return tagged{c.Tags, func(tx *store.Tx, tags []ecsapi.Tag) { next := *c; next.Tags = tags; store.Clusters.Put(tx, &next) }}, nil
		}
		return tagged{}, ecsapi.NewClusterNotFoundException("Cluster not found.")
	case "task-definition":
		if d, ok := store.Definitions.Get(r, key); ok {
			return tagged{d.Tags, func(tx *store.Tx, tags []ecsapi.Tag) { next := *d; next.Tags = tags; store.Definitions.Put(tx, &next) }}, nil
		}
	case "task":
		if t, ok := store.Tasks.Get(r, key); ok {
			return tagged{t.Tags, func(tx *store.Tx, tags []ecsapi.Tag) { next := *t; next.Tags = tags; store.Tasks.Put(tx, &next) }}, nil
		}
	case "container-instance":
		if i, ok := store.Instances.Get(r, key); ok {
			return tagged{i.Tags, func(tx *store.Tx, tags []ecsapi.Tag) { next := *i; next.Tags = tags; store.Instances.Put(tx, &next) }}, nil
		}
	case "capacity-provider":
		if p, ok := store.CapacityProviders.Get(r, key); ok && p.Status == ecsapi.CapacityProviderStatusActive {
			return tagged{p.Tags, func(tx *store.Tx, tags []ecsapi.Tag) {
				next := *p
				next.Tags = tags
				store.CapacityProviders.Put(tx, &next)
			}}, nil
		}
	case "service":
		if sv, ok := store.Services.Get(r, key); ok && sv.Status != gantry.ServiceInactive {
			return tagged{sv.Tags, func(tx *store.Tx, tags []ecsapi.Tag) { next := *sv; next.Tags = tags; store.Services.Put(tx, &next) }}, nil
		}
	case "task-set":
		if set, ok := store.TaskSets.Get(r, strings.Replace(key, "/ecs-svc/", "/", 1)); ok {
			return tagged{set.Tags, func(tx *store.Tx, tags []ecsapi.Tag) { next := *set; next.Tags = tags; store.TaskSets.Put(tx, &next) }}, nil
		}
	default:
		return tagged{}, notYet("Tagging a %s is not offered by gantry yet.", wire.Shorten(arn.Type))
	}
	return tagged{}, ecsapi.NewResourceNotFoundException("The specified resource was not found: " + wire.Shorten(text) + ".")
}
