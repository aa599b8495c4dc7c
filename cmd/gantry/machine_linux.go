package main

import (
	"context"
	"errors"
	"io"

	"gantry"
)

var errNoAgent = errors.New("this build has no agent yet")

func enterMachine(dataDir) error { return nil }

func openMachine(context.Context, machineConfig) (machine, error) { return bare{}, nil }

func emptyMachine(context.Context, dataDir, *identity) error { return nil }

// bare is a machine without containers.
type bare struct{}

func (bare) String() string                                         { return "no container instance: " + errNoAgent.Error() }
func (bare) run(ctx context.Context) error                          { <-ctx.Done(); return ctx.Err() }
func (bare) ready(context.Context) error                            { return nil }
func (bare) joined(context.Context, gantry.ClusterName) error       { return nil }
func (bare) instances() map[gantry.ClusterName]gantry.InstanceID    { return nil }
func (bare) load(context.Context, io.Reader) ([]image, error)       { return nil, errNoAgent }
func (bare) images(context.Context) ([]image, error)                { return nil, errNoAgent }
func (bare) output(context.Context, io.Writer, outputRequest) error { return errNoAgent }
func (bare) close()                                                 {}
