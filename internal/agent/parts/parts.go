// Package parts is a real Linux machine as the agent uses it: containers on containerd, networks made with netlink, log
// drivers that ship what containers print. It only translates between the agent's words and those of the packages that
// do the work, and decides nothing.
package parts

import (
	"context"
	"errors"
	"path/filepath"

	"gantry/internal/agent"
	"gantry/internal/agent/engine"
	"gantry/internal/agent/network"
	"gantry/internal/agent/runtime"
)

// Machine is what the parts are made of.
type Machine struct {
	Runtime *runtime.Runtime
	Network *network.Network
	// OutputDir, below the data directory, holds a folder per container with what it prints.
	OutputDir string
	// Pull says when registries are asked.
	Pull runtime.PullBehavior
	// Bring, if set, brings in an image that was loaded at the server, if this machine lacks it or has an older one.
	Bring func(ctx context.Context, ref string) error
	// OnPull, if set, hears how far pulls are.
	OnPull func(ref string, p runtime.Progress)
}

// Join makes the agent's parts of a machine. logs ships what containers print.
func Join(m Machine, logs engine.Logs) agent.Parts {
	return agent.Parts{
		Images: images{m}, Containers: containers{m}, Prober: prober{m}, Sandboxes: sandboxes{m},
		Network: networks{m}, Logs: logs, Meter: meter{m},
	}
}

// OutputFiles are where a container's two outputs are on disk.
func OutputFiles(dir, containerID string) (stdout, stderr string) {
	return filepath.Join(dir, containerID, "stdout"), filepath.Join(dir, containerID, "stderr")
}

// A reasonError says what went wrong in the form of an ECS reason.
type reasonError struct {
	text string
	err  error
}

func (e *reasonError) Error() string { return e.text }
func (e *reasonError) Unwrap() error { return e.err }

// asReason puts ECS's name in front of what the runtime says went wrong.
func asReason(err error) error {
	var e *runtime.Error
	if errors.As(err, &e) {
		return &reasonError{text: e.Reason(), err: err}
	}
	return err
}
