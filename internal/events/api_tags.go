package events

import (
	"context"
	"slices"
	"strings"

	"gantry"
	"gantry/internal/store"
	"gantry/internal/wire"
	"gantry/internal/wire/eventsapi"
)

// mostTags is how many tags a rule may have.
const mostTags = 50

func checkTags(tags []eventsapi.Tag) error {
	if len(tags) > mostTags {
		return invalid("There are %d tags; at most %d are allowed.", len(tags), mostTags)
	}
	for i, t := range tags {
		switch {
		case strings.HasPrefix(strings.ToLower(*t.Key), "aws:"):
			return invalid("The tag key %s is reserved: keys that begin with aws: are AWS's.", wire.Shorten(*t.Key))
		case slices.ContainsFunc(tags[:i], func(o eventsapi.Tag) bool { return *o.Key == *t.Key }):
			return invalid("The tag key %s is there twice.", wire.Shorten(*t.Key))
		}
	}
	return nil
}

// tagged is the name of the rule whose ARN it is; rules are all that can have tags.
func (a *api) tagged(arn string) (*string, error) {
	name, ok := strings.CutPrefix(arn, string(a.Place.EventRule("")))
	if !ok {
		return nil, gone("%s does not exist: only rules have tags.", wire.Shorten(arn))
	}
	name = strings.TrimPrefix(name, defaultBus+"/")
	return &name, nil
}

func (a *api) changeTags(ctx context.Context, arn string, change func([]eventsapi.Tag) []eventsapi.Tag) error {
	name, err := a.tagged(arn)
	if err != nil {
		return err
	}
	return a.changeRule(ctx, nil, name, func(_ *store.Tx, r *gantry.EventRule) error {
		r.Tags = change(slices.Clone(r.Tags))
		return checkTags(r.Tags)
	})
}

func (a *api) tagResource(ctx context.Context, in *eventsapi.TagResourceInput) (*eventsapi.TagResourceOutput, error) {
	if err := checkTags(in.Tags); err != nil {
		return nil, err
	}
	return nil, a.changeTags(ctx, *in.ResourceARN, func(have []eventsapi.Tag) []eventsapi.Tag {
		for _, t := range in.Tags {
			have = slices.DeleteFunc(have, func(o eventsapi.Tag) bool { return *o.Key == *t.Key })
			have = append(have, t)
		}
		return have
	})
}

func (a *api) untagResource(ctx context.Context, in *eventsapi.UntagResourceInput) (*eventsapi.UntagResourceOutput, error) {
	return nil, a.changeTags(ctx, *in.ResourceARN, func(have []eventsapi.Tag) []eventsapi.Tag {
		return slices.DeleteFunc(have, func(t eventsapi.Tag) bool { return slices.Contains(in.TagKeys, *t.Key) })
	})
}

func (a *api) listTagsForResource(ctx context.Context, in *eventsapi.ListTagsForResourceInput) (*eventsapi.ListTagsForResourceOutput, error) {
	name, err := a.tagged(*in.ResourceARN)
	if err != nil {
		return nil, err
	}
	snap, err := a.store.Fresh(ctx)
	if err != nil {
		return nil, err
	}
	r, err := a.rule(snap, nil, name)
	if err != nil {
		return nil, err
	}
	out := &eventsapi.ListTagsForResourceOutput{Tags: r.Tags}
	if out.Tags == nil {
		out.Tags = []eventsapi.Tag{}
	}
	return out, nil
}
