package logs

import (
	"context"
	"maps"
	"strings"

	"gantry/internal/wire/logsapi"
)

// maxTags is how many tags AWS allows on one resource.
const maxTags = 50

func (a *api) tagResource(_ context.Context, in *logsapi.TagResourceInput) (*logsapi.TagResourceOutput, error) {
	name, err := a.groupOfARN("resourceArn", *in.ResourceArn)
	if err != nil {
		return nil, err
	}
	return nil, a.tag(name, in.Tags, func(message string) error {
		return logsapi.NewTooManyTagsException(message, *in.ResourceArn)
	})
}

func (a *api) untagResource(_ context.Context, in *logsapi.UntagResourceInput) (*logsapi.UntagResourceOutput, error) {
	name, err := a.groupOfARN("resourceArn", *in.ResourceArn)
	if err != nil {
		return nil, err
	}
	return nil, a.untag(name, in.TagKeys)
}

func (a *api) listTagsForResource(_ context.Context, in *logsapi.ListTagsForResourceInput) (*logsapi.ListTagsForResourceOutput, error) {
	name, err := a.groupOfARN("resourceArn", *in.ResourceArn)
	if err != nil {
		return nil, err
	}
	tags, err := a.tags(name)
	if err != nil {
		return nil, err
	}
	return &logsapi.ListTagsForResourceOutput{Tags: tags}, nil
}

func (a *api) tagLogGroup(_ context.Context, in *logsapi.TagLogGroupInput) (*logsapi.TagLogGroupOutput, error) {
	return nil, a.tag(*in.LogGroupName, in.Tags, func(message string) error { return invalid("%s", message) })
}

func (a *api) untagLogGroup(_ context.Context, in *logsapi.UntagLogGroupInput) (*logsapi.UntagLogGroupOutput, error) {
	return nil, a.untag(*in.LogGroupName, in.Tags)
}

func (a *api) listTagsLogGroup(_ context.Context, in *logsapi.ListTagsLogGroupInput) (*logsapi.ListTagsLogGroupOutput, error) {
	tags, err := a.tags(*in.LogGroupName)
	if err != nil {
		return nil, err
	}
	return &logsapi.ListTagsLogGroupOutput{Tags: tags}, nil
}

func (a *api) tag(group string, tags map[string]string, tooMany func(message string) error) error {
	for key := range tags {
		if strings.HasPrefix(strings.ToLower(key), "aws:") {
			return invalid("Tag keys starting with aws: are reserved for AWS.")
		}
	}
	return exception(a.engine.changeGroup(group, func(m *groupMeta) error {
		if m.Tags == nil {
			m.Tags = map[string]string{}
		}
		maps.Copy(m.Tags, tags)
		if len(m.Tags) > maxTags {
			return tooMany("A log group can have at most 50 tags.")
		}
		return nil
	}))
}

func (a *api) untag(group string, keys []string) error {
	return exception(a.engine.changeGroup(group, func(m *groupMeta) error {
		for _, key := range keys {
			delete(m.Tags, key)
		}
		return nil
	}))
}

// tags is never nil: a group without tags answers an empty map.
func (a *api) tags(group string) (map[string]string, error) {
	meta, err := a.engine.groupMeta(group)
	if err != nil {
		return nil, exception(err)
	}
	if meta.Tags == nil {
		return map[string]string{}, nil
	}
	return meta.Tags, nil
}
