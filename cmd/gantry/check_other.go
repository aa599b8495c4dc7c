//go:build !linux

package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"runtime"

	"gantry/internal/agent/home"
)

var errNotLinux = errors.New("gantry up needs Linux, this is " + runtime.GOOS +
	": run it in a Linux VM, and point gantry's other commands and the aws CLI at it with AWS_ENDPOINT_URL")

func checkMachine() error { return errNotLinux }

func enterMachine(dataDir) error { return errNotLinux }

func openMachine(context.Context, hostConfig, *control) (machine, error) { return nil, errNotLinux }

func openRemote(context.Context, hostConfig, *home.Home) (remoteMachine, error) {
	return nil, errNotLinux
}

func emptyRemote(context.Context, hostConfig, *home.Home) (int, error) { return 0, errNotLinux }

func emptyMachine(context.Context, dataDir, *identity, *control, net.Listener, *slog.Logger) error {
	return errNotLinux
}
