// Package taskdef knows task definitions as Amazon ECS does: what it refuses at
// registration, which defaults it fills in, what a definition asks of a
// container instance, how much a task of it takes, and which of its parts gantry
// does not run yet.
//
// The package is pure: it reads no store and no clock. It never changes what it
// was given; Register works on a copy.
package taskdef

import (
	"encoding/json"
	"fmt"

	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"
)

const (
	// maxSize bounds a task definition, in bytes of JSON: AWS's 64 KiB.
	maxSize = 64 << 10
	// maxContainers is AWS's limit on the containers of one definition.
	maxContainers = 10
)

// Register turns a request into the definition that ECS would keep: checked,
// with defaults filled in, sizes normalised ("1 vCPU" → "1024"), compatibilities
// and requiresAttributes computed. ARN, revision, status and the registration's
// time and author are the caller's to add. The error is a *wire.Error, mostly a
// ClientException, for the first thing that ECS would refuse.
func Register(in *ecsapi.RegisterTaskDefinitionInput) (*ecsapi.TaskDefinition, error) {
	def, err := copied(in)
	if err != nil {
		return nil, err
	}
	if err := normaliseSizes(def); err != nil {
		return nil, err
	}
	for _, check := range []func(*ecsapi.TaskDefinition) error{
		checkFamily, checkVolumes, checkContainers, checkOrder, checkNetwork, checkSizes, checkPlacement, checkCompatibilities,
	} {
		if err := check(def); err != nil {
			return nil, err
		}
	}
	complete(def)
	def.Compatibilities = compatibilities(def)
	def.RequiresAttributes = requiredAttributes(def)
	return def, nil
}

// copied makes the definition from the request without sharing memory with it.
// The names of the members are the same in both, so JSON carries them over.
func copied(in *ecsapi.RegisterTaskDefinitionInput) (*ecsapi.TaskDefinition, error) {
	text, err := json.Marshal(in)
	if err != nil {
		return nil, fmt.Errorf("encode the task definition: %w", err)
	}
	if len(text) > maxSize {
		return nil, client("The task definition has %d bytes; at most %d are allowed.", len(text), maxSize)
	}
	def := new(ecsapi.TaskDefinition)
	if err := json.Unmarshal(text, def); err != nil {
		return nil, fmt.Errorf("copy the task definition: %w", err)
	}
	return def, nil
}

// client is the exception by which ECS refuses a definition.
func client(format string, args ...any) error {
	return ecsapi.NewClientException(fmt.Sprintf(format, args...))
}

// set reports whether a switch is there and on.
func set(b *bool) bool { return wire.Value(b) }

// essential reports whether the task ends with the container; true is ECS's default.
func essential(c *ecsapi.ContainerDefinition) bool { return c.Essential == nil || *c.Essential }
