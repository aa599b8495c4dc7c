package runc

import (
	"github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2/process"
	pkgrunc "github.com/containerd/go-runc"
)

// NoteExit tells in the shim's own folder how a container ended, before anybody can
// learn that it has: a containerd that starts at that moment puts an end to the shim,
// and throws the bundle away in which the shim tells it too.
func NoteExit(e pkgrunc.Exit) error { return WriteExitStatus(".", e) }

var copyOutput = process.CopyOutput
