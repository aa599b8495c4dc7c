package runtime

import (
	"context"
	"errors"
	"fmt"
)

// A Kind is ECS's name for what went wrong with a container.
type Kind string

// The kinds of failure. Their values are the first word of a container's
// reason as ECS reports it.
const (
	CannotPull    Kind = "CannotPullContainerError"
	CannotCreate  Kind = "CannotCreateContainerError"
	CannotStart   Kind = "CannotStartContainerError"
	CannotStop    Kind = "CannotStopContainerError"
	CannotInspect Kind = "CannotInspectContainerError"
	CannotRemove  Kind = "CannotRemoveContainerError"
	CannotVolume  Kind = "CannotCreateVolumeError"
	// Vanished is a container of whose end nothing is known.
	Vanished Kind = "ContainerVanishedError"
	// TimedOut is an operation that did not end within its time.
	TimedOut Kind = "ContainerRuntimeTimeoutError"
	// OutOfMemory is how a container ended, not a failed operation.
	OutOfMemory Kind = "OutOfMemoryError"
)

// OutOfMemoryReason is the reason of a container that the kernel killed.
const OutOfMemoryReason = string(OutOfMemory) + ": Container killed due to memory usage"

// An Error is a failed operation on a container, image or volume.
type Error struct {
	Kind Kind
	// What names the operation and its object: "pull image nginx:1".
	What string
	Err  error
}

func (e *Error) Error() string { return e.What + ": " + e.Err.Error() }

func (e *Error) Unwrap() error { return e.Err }

// Reason is the text that ECS shows for a container that failed so, such as
// "CannotPullContainerError: pull access denied for …".
func (e *Error) Reason() string { return string(e.Kind) + ": " + e.Err.Error() }

// ErrLost is wrapped when a container is recorded and nothing is left of it:
// the host was restarted while it ran.
var ErrLost = errors.New("the container is gone and nobody saw how it ended")

// ErrExists is wrapped when a container of that ID is there already.
var ErrExists = errors.New("a container of that name is there already")

// ErrNotFound is wrapped by what is said of a container, image or volume that
// is not there.
var ErrNotFound = errors.New("not found")

// failed wraps what went wrong. A deadline that ran out is its own kind.
func failed(kind Kind, err error, what string, args ...any) error {
	if errors.Is(err, context.DeadlineExceeded) && kind != CannotPull {
		kind = TimedOut
	}
	return &Error{Kind: kind, What: fmt.Sprintf(what, args...), Err: err}
}
