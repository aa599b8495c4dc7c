package events

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"regexp"
	"strings"
	"time"

	"gantry"
	"gantry/internal/store"
	"gantry/internal/wire"
	"gantry/internal/wire/eventsapi"

	"github.com/google/uuid"
)

// APIConfig is what the API needs of the world.
type APIConfig struct {
	Place gantry.Place
	Store *store.Store
	// Now is the clock, time.Now where nil; NewID makes UUIDs, random ones where nil.
	Now   func() time.Time
	NewID func() string
}

// An api answers EventBridge's operations. It is safe for concurrent use.
type api struct {
	APIConfig
	store *store.Store
}

// NewOperations are the operations that gantry offers; a nil one is not offered yet.
func NewOperations(c APIConfig) *eventsapi.Operations {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.NewID == nil {
		c.NewID = uuid.NewString
	}
	a := &api{APIConfig: c, store: c.Store}
	return &eventsapi.Operations{
		PutRule:               a.putRule,
		DescribeRule:          a.describeRule,
		ListRules:             a.listRules,
		EnableRule:            a.enableRule,
		DisableRule:           a.disableRule,
		DeleteRule:            a.deleteRule,
		PutTargets:            a.putTargets,
		RemoveTargets:         a.removeTargets,
		ListTargetsByRule:     a.listTargetsByRule,
		ListRuleNamesByTarget: a.listRuleNamesByTarget,

		PutEvents:        a.putEvents,
		TestEventPattern: a.testEventPattern,
		DescribeEventBus: a.describeEventBus,
		ListEventBuses:   a.listEventBuses,

		CreateConnection:       a.createConnection,
		DescribeConnection:     a.describeConnection,
		ListConnections:        a.listConnections,
		DeleteConnection:       a.deleteConnection,
		CreateApiDestination:   a.createAPIDestination,
		UpdateApiDestination:   a.updateAPIDestination,
		DescribeApiDestination: a.describeAPIDestination,
		ListApiDestinations:    a.listAPIDestinations,
		DeleteApiDestination:   a.deleteAPIDestination,

		TagResource:         a.tagResource,
		UntagResource:       a.untagResource,
		ListTagsForResource: a.listTagsForResource,
	}
}

// now is the time as records keep it.
func (a *api) now() time.Time { return a.Now().UTC().Truncate(time.Millisecond) }

func invalid(format string, args ...any) error {
	return eventsapi.NewValidationException(fmt.Sprintf(format, args...))
}

func gone(format string, args ...any) error {
	return eventsapi.NewResourceNotFoundException(fmt.Sprintf(format, args...))
}

// nameForm is what names of rules, targets, connections and destinations are made of.
var nameForm = regexp.MustCompile(`^[\.\-_A-Za-z0-9]+$`)

func checkName(member, name string) error {
	if nameForm.MatchString(name) {
		return nil
	}
	return invalid("1 validation error detected: Value '%s' at '%s' failed to satisfy constraint: Member must satisfy regular expression pattern: [\\.\\-_A-Za-z0-9]+",
		wire.Shorten(name), member)
}

const defaultBus = "default"

// checkBus refuses every event bus but the default one.
func (a *api) checkBus(ref *string) error {
	if name := wire.Value(ref); ref != nil && name != defaultBus && name != string(a.Place.EventBus()) {
		return gone("Event bus %s does not exist.", wire.Shorten(name))
	}
	return nil
}

// rule finds a rule of a bus.
func (a *api) rule(r store.Reader, bus, name *string) (*gantry.EventRule, error) {
	if err := a.checkBus(bus); err != nil {
		return nil, err
	}
	found, ok := store.EventRules.Get(r, *name)
	if !ok {
		return nil, noRule(*name)
	}
	return found, nil
}

func noRule(name string) error { return gone("Rule %s does not exist on EventBus default.", name) }

// mostListed is how many items a list answers at most, and by default.
const mostListed = 100

// cut is the part of items, sorted by key, that a list answers, and the token of the rest. The token is the last key that
// was answered, and a checksum that tells it from that of another list.
func cut[T any](list string, items []T, key func(T) string, token *string, limit *int32) ([]T, *string, error) {
	sign := func(last string) string {
		sum := sha256.Sum256([]byte(list + "\x00" + last))
		return base64.RawURLEncoding.EncodeToString(append(sum[:6:6], last...))
	}
	if text := wire.Value(token); text != "" {
		raw, err := base64.RawURLEncoding.DecodeString(text)
		if err != nil || len(raw) < 6 || sign(string(raw[6:])) != text {
			return nil, nil, invalid("The nextToken is not one that this list has answered.")
		}
		for len(items) > 0 && key(items[0]) <= string(raw[6:]) {
			items = items[1:]
		}
	}
	most := mostListed
	if limit != nil {
		most = int(*limit)
	}
	if len(items) <= most {
		return items, nil, nil
	}
	return items[:most], new(sign(key(items[most-1]))), nil
}

// some is text that is left out where it is empty.
func some(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

func (a *api) busName(ref *string) *string {
	if strings.HasPrefix(wire.Value(ref), "arn:") {
		return ref
	}
	return new(defaultBus)
}
