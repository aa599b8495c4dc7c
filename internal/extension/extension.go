// Package extension reads gantry's own tags: how a user asks for what ECS has no member
// for. On AWS they are tags like any other, so that one file works in both places.
//
//	gantry:queue=30m     RunTask: wait so long for room, then give up
//	gantry:retries=3     RunTask: start the task again when it fails, so often
//
//	gantry:circuit-breaker=count-exits     service: count tasks that crash, too
//
// A key that begins with Prefix is never passed over: where it is misspelt, where its
// value is wrong, or where it means nothing, Check says so. Whoever acts on a tag reads
// it here as well, from the resource that the table of keys names: a tag that was
// propagated to another resource means nothing there.
//
// The package is pure: it knows tags, and nothing of what is done with them.
package extension

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"
)

// Prefix begins the keys of all tags that mean something to gantry.
const Prefix = "gantry:"

// The keys that users may set.
const (
	Queue   = Prefix + "queue"
	Retries = Prefix + "retries"
	Breaker = Prefix + "circuit-breaker"
)

// CountExits is what the circuit breaker of a service can be asked for: to count also
// tasks that end by themselves before they counted as healthy.
const CountExits = "count-exits"

// The keys that gantry sets, to tell of what it did.
const (
	// Attempt counts the starts of a task with retries: 2 for the first one that was
	// started again.
	Attempt = Prefix + "attempt"
	// RetryOf is the id of the failed task in whose place a task was started.
	RetryOf = Prefix + "retry-of"
)

// What users may ask for at most.
const (
	// MaxQueue: a week outlasts any weekend; whoever waits longer has been forgotten.
	MaxQueue = 7 * 24 * time.Hour
	// MaxRetries: at the longest pause between them a hundred take more than an hour.
	MaxRetries = 100
)

// A Kind is what a tag is on.
type Kind string

// The kinds of resources with tags, by the name that their ARNs have.
const (
	Cluster    Kind = "cluster"
	Definition Kind = "task-definition"
	Task       Kind = "task"
	Service    Kind = "service"
	TaskSet    Kind = "task-set"
	Instance   Kind = "container-instance"
	Provider   Kind = "capacity-provider"
)

// keys are those that users may set: on what, and what their value has to be. Add a key
// here, with the function that reads it.
var keys = map[string]struct {
	on    Kind
	check func(value string) error
}{
	Queue:   {Task, func(v string) error { _, err := queueOf(v); return err }},
	Retries: {Task, func(v string) error { _, err := retriesOf(v); return err }},
	Breaker: {Service, breakerOf},
}

// Check says what is wrong with the tags of gantry among some that a user puts on a
// resource of a kind; nil where nothing is.
func Check(kind Kind, tags []ecsapi.Tag) error {
	for _, t := range tags {
		name := wire.Value(t.Key)
		if !Ours(name) {
			continue
		}
		key, known := keys[name]
		switch {
		case name == Attempt || name == RetryOf:
			return fmt.Errorf("The tag %s is set by gantry itself.", name)
		case !known:
			return fmt.Errorf("The tag %s is not one of gantry's. On a %s there may be: %s.", wire.Shorten(name), kind, list(kind))
		case key.on != kind:
			return fmt.Errorf("The tag %s is for a %s, and means nothing on a %s.", name, key.on, kind)
		}
		if err := key.check(wire.Value(t.Value)); err != nil {
			return fmt.Errorf("The tag %s is invalid: %w", name, err)
		}
	}
	return nil
}

// Ours reports whether a tag's key is gantry's, in whatever spelling.
func Ours(key string) bool {
	return len(key) >= len(Prefix) && strings.EqualFold(key[:len(Prefix)], Prefix)
}

// list names the keys that a kind of resource may have.
func list(kind Kind) string {
	var out []string
	for name, key := range keys {
		if key.on == kind {
			out = append(out, name)
		}
	}
	if len(out) == 0 {
		return "none"
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

// QueueOf is for how long a task may wait for room; 0 where its tags say nothing of it.
func QueueOf(tags []ecsapi.Tag) time.Duration {
	d, _ := queueOf(value(tags, Queue)) // Check has seen it; 0 if it is wrong all the same
	return d
}

// RetriesOf is how often a task that fails is started again.
func RetriesOf(tags []ecsapi.Tag) int {
	n, _ := retriesOf(value(tags, Retries))
	return n
}

// CountsExits reports whether the circuit breaker of a service counts tasks that crash.
func CountsExits(tags []ecsapi.Tag) bool { return value(tags, Breaker) == CountExits }

func breakerOf(text string) error {
	if text != CountExits {
		return fmt.Errorf("%s is nothing that a circuit breaker can do. It is %s.", quoted(text), CountExits)
	}
	return nil
}

func queueOf(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d < time.Second || d > MaxQueue {
		return 0, fmt.Errorf("%s is no time to wait. It is from 1s to 168h, such as 90s, 30m or 1h30m.", quoted(text))
	}
	return d, nil
}

func retriesOf(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > MaxRetries {
		return 0, fmt.Errorf("%s is no number of retries. It is a whole number from 0 to %d.", quoted(text), MaxRetries)
	}
	return n, nil
}

func quoted(text string) string { return fmt.Sprintf("%q", wire.Shorten(text)) }

func value(tags []ecsapi.Tag, key string) string {
	for _, t := range tags {
		if wire.Value(t.Key) == key {
			return wire.Value(t.Value)
		}
	}
	return ""
}
