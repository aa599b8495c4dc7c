package ecs

import (
	"regexp"
	"slices"
	"strings"

	"gantry/internal/extension"
	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"
)

// maxTags is how many tags a resource can have, those of ECS itself not counted.
const maxTags = 50

var tagPattern = regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$`)

// checkTags checks the tags that one request puts on a resource of some kind for what
// the generated checks leave out.
func checkTags(kind extension.Kind, tags []ecsapi.Tag) error {
	seen := make(map[string]bool, len(tags))
	for _, t := range tags {
		key, value := wire.Value(t.Key), wire.Value(t.Value)
		if key == "" {
			return invalid("A tag has no key.")
		}
		if !tagPattern.MatchString(key) || !tagPattern.MatchString(value) {
			return invalid("Tag %s has invalid characters. Letters, numbers, spaces and _ . : / = + - @ are allowed.", wire.Shorten(key))
		}
		if reservedTag(key) {
			return invalid("Tag keys with the prefix aws: are reserved: %s.", key)
		}
		if seen[key] {
			return invalid("Duplicate tag key: %s.", key)
		}
		seen[key] = true
	}
	if err := extension.Check(kind, tags); err != nil {
		return invalid("%s", err)
	}
	return nil
}

// reservedTag reports whether only AWS itself, and so gantry, may set the key.
func reservedTag(key string) bool { return strings.HasPrefix(strings.ToLower(key), "aws:") }

// mergeTags returns have with more laid over it, key by key. Neither is changed.
func mergeTags(have, more []ecsapi.Tag) []ecsapi.Tag {
	out := slices.Clone(have)
	for _, t := range more {
		if t.Value == nil {
			t.Value = new("")
		}
		i := slices.IndexFunc(out, func(o ecsapi.Tag) bool { return *o.Key == *t.Key })
		if i < 0 {
			out = append(out, t)
		} else {
			out[i] = t
		}
	}
	return out
}

// withoutTags returns have less the named keys.
func withoutTags(have []ecsapi.Tag, keys []string) []ecsapi.Tag {
	return slices.DeleteFunc(slices.Clone(have), func(t ecsapi.Tag) bool { return slices.Contains(keys, *t.Key) })
}

// shown is a list as ECS answers it: empty rather than absent.
func shown[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
