package main

import (
	"context"
	"io"
	"log/slog"
	"time"

	"gantry"
)

// A machine is this machine as a container instance, with its containers and images.
type machine interface {
	// String says what runs the containers, for the start-up lines.
	String() string
	// run joins this machine to every cluster, and leaves those that are deleted, until ctx ends. Tasks then run on.
	run(ctx context.Context) error
	// ready returns when this machine is an instance of every cluster there is.
	ready(ctx context.Context) error
	// joined returns when this machine is an instance of one cluster.
	joined(ctx context.Context, cluster gantry.ClusterName) error
	// instances are the machine's own container instances, by cluster.
	instances() map[gantry.ClusterName]gantry.InstanceID

	load(ctx context.Context, tar io.Reader) ([]image, error)
	images(ctx context.Context) ([]image, error)
	// output writes what a container of this machine has printed and, if follow
	// is set, what it prints until it ends.
	output(ctx context.Context, w io.Writer, from outputRequest) error
	close()
}

// A machineConfig is what a machine is opened with.
type machineConfig struct {
	dir      dataDir
	identity *identity
	endpoint string
	control  *control
	pulls    *pullPrinter
	// pullBehavior says when registries are asked, one of pullBehaviors; "" is the first.
	pullBehavior string
	log          *slog.Logger
}

// An image is one that tasks of this machine can use without a registry.
type image struct {
	Name      string    `json:"name"`
	Digest    string    `json:"digest"`
	Size      int64     `json:"size,omitzero"` // bytes
	CreatedAt time.Time `json:"createdAt,omitzero"`
}

// An outputRequest names a container whose output is wanted.
type outputRequest struct {
	task      *gantry.Task
	container string
	follow    bool
}
