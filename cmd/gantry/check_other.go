//go:build !linux

package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"runtime"
)

var errNotLinux = errors.New("gantry up needs Linux, this is " + runtime.GOOS +
	": run it in a Linux VM, and point gantry's other commands and the aws CLI at it with AWS_ENDPOINT_URL")

func checkMachine() error { return errNotLinux }

func enterMachine(dataDir) error { return errNotLinux }

func openMachine(context.Context, machineConfig) (machine, error) { return nil, errNotLinux }

func emptyMachine(context.Context, dataDir, *identity, *control, net.Listener, *slog.Logger) error {
	return errNotLinux
}
