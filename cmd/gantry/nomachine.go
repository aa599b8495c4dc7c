package main

import (
	"context"
	"errors"
	"io"

	"gantry"
)

// noMachine stands where a control plane has no container instance of its own.
type noMachine struct{ control *control }

func (noMachine) String() string { return "no containers on this machine" }

func (noMachine) role() string { return "machines may join" }

func (noMachine) run(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

func (noMachine) ready(context.Context) error { return nil }

func (noMachine) joined(context.Context, gantry.ClusterName) error { return nil }

func (noMachine) instances() map[gantry.ClusterName]gantry.InstanceID { return nil }

// load leaves an archive to the machines that will ask for it.
func (noMachine) load(context.Context, io.Reader) ([]image, error) { return nil, nil }

// images are those that machines may ask for.
func (n noMachine) images(context.Context) ([]image, error) {
	return shelved(n.control.shelf.List()), nil
}

func (noMachine) output(context.Context, io.Writer, outputRequest) error {
	return errors.New("this server has no machine of its own") // and so no task of one
}

func (noMachine) close() {}
