package main

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"time"

	"gantry"
)

// A machine is this machine as a container instance, with its containers and images.
type machine interface {
	// String says what runs the containers, for the start-up lines.
	String() string
	// role says in a line what this machine has become.
	role() string
	// run joins this machine to every cluster, and leaves those that are deleted, until ctx ends. Tasks then run on.
	run(ctx context.Context) error
	// ready returns when this machine is an instance of every cluster there is.
	ready(ctx context.Context) error
	// joined returns when this machine is an instance of one cluster.
	joined(ctx context.Context, cluster gantry.ClusterName) error
	// instances are the machine's own container instances, by cluster.
	instances() map[gantry.ClusterName]gantry.InstanceID

	// load makes the images of an archive this machine's.
	load(ctx context.Context, tar io.Reader) ([]image, error)
	images(ctx context.Context) ([]image, error)
	// output writes what a container of this machine has printed and, if follow
	// is set, what it prints until it ends.
	output(ctx context.Context, w io.Writer, from outputRequest) error
	close()
}

// A companion is what runs beside a control plane.
type companion struct {
	// check says in one sentence what this machine lacks.
	check func() error
	// enter moves the process where the data dir's mounts are.
	enter func(dataDir) error
	open  func(context.Context, hostConfig, *control) (machine, error)
}

var (
	// withMachine makes this machine a container instance.
	withMachine = companion{check: checkMachine, enter: enterMachine, open: openMachine}
	// alone leaves it to other machines.
	alone = companion{
		check: func() error { return nil },
		enter: func(dataDir) error { return nil },
		open:  func(_ context.Context, _ hostConfig, c *control) (machine, error) { return noMachine{c}, nil },
	}
)

// A hostConfig is what a host is opened with.
type hostConfig struct {
	dir      dataDir
	identity *identity
	// endpoint is where the agents find the control plane, and http how they call it; nil for plainly.
	endpoint string
	http     *http.Client
	pulls    *pullPrinter
	// pullBehavior says when registries are asked, one of pullBehaviors; "" is the first.
	pullBehavior string
	// offer is what the machine says of itself when it registers.
	offer offer
	log   *slog.Logger
}

// An offer is what a machine is as a container instance.
type offer struct {
	external     bool
	zone         string // "" leaves it to the server
	instanceType string
	imageID      string
	attributes   map[string]string // custom ones
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
