// Package runtime runs the containers of ECS tasks: it pulls images, makes
// containers out of a container definition, starts, stops and measures them,
// and finds them again after gantry was killed.
//
// It is containerd 2.4 inside this process, with runc. Each container has a
// small shim process of its own that outlives gantry: the shim holds the exit
// code and copies what the container prints into plain files, so a container
// neither stops, nor blocks, nor loses a line while gantry is dead.
//
// What is on disk, under the data directory:
//
//	containerd/        images, layers, containers' writable layers, containerd's records
//	runtime/bin/       shim, runc and init, written from this binary at first start
//	volumes/           Docker-style volumes
//	run/mnt/           the pinned mount namespace (see EnterMountNamespace)
//
// and under /run/gantry/<id>, which a reboot empties as it ends the containers:
// sockets, bundles, and each container's /etc/hosts and the like.
//
// It never speaks to the control plane, never makes a network (a container
// gets the path of a network namespace, or the host's), and decides nothing
// about tasks.
package runtime

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/namespaces"
)

// namespace keeps gantry's images and containers apart from anything else
// that might one day share the containerd directory.
const namespace = "gantry"

// Config says where a Runtime keeps its things. Dir and ID must be set.
type Config struct {
	// Dir is the data directory, absolute.
	Dir string
	// ID tells this data directory from others on the same host: 1 to 32
	// letters, digits or hyphens. It names the run directory and the cgroups.
	ID string
	// RunDir holds sockets and bundles; by default /run/gantry/<ID>. It must
	// be short: socket paths below it may not pass 107 bytes.
	RunDir string
	// CgroupParent is the cgroup under which every task's is made; by default
	// /gantry-<ID>.
	CgroupParent string
	// Logger hears what goes wrong on the side; by default slog.Default().
	Logger *slog.Logger
	// PullTimeout bounds a whole image pull; by default DefaultPullTimeout.
	PullTimeout time.Duration
	// PullInactivity ends a pull during which no byte arrived for so long; by
	// default DefaultPullInactivity.
	PullInactivity time.Duration
}

// maxRunDir leaves room for "/s/" and the 64 hexadecimal digits of a shim's
// socket within the 107 bytes that Linux allows a socket path.
const maxRunDir = 107 - len("/s/") - 64

var validID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9-]{0,31}$`)

// defaults returns the configuration with every empty field filled.
func (c Config) defaults() (Config, error) {
	if !filepath.IsAbs(c.Dir) {
		return c, fmt.Errorf("the data directory %q is not an absolute path", c.Dir)
	}
	if !validID.MatchString(c.ID) {
		return c, fmt.Errorf("the id %q is not 1 to 32 letters, digits or hyphens", c.ID)
	}
	if c.RunDir == "" {
		c.RunDir = filepath.Join("/run/gantry", c.ID)
	}
	if len(c.RunDir) > maxRunDir {
		return c, fmt.Errorf("the run directory %s is longer than %d bytes: unix socket paths below it would not fit", c.RunDir, maxRunDir)
	}
	if c.CgroupParent == "" {
		c.CgroupParent = "/gantry-" + c.ID
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.PullTimeout == 0 {
		c.PullTimeout = DefaultPullTimeout
	}
	if c.PullInactivity == 0 {
		c.PullInactivity = DefaultPullInactivity
	}
	return c, nil
}

// A Runtime is containerd, running in this process. Its methods may be called
// from several goroutines.
type Runtime struct {
	config   Config
	programs programs
	server   *server
	client   *containerd.Client
	cgroups  cgroups
	host     host
	log      *slog.Logger
	exits    *exits
	shims    *shimPool
	// quit ends what Open started in the background.
	quit context.CancelFunc

	// images holds what was read of an image, by manifest digest. Entries
	// never change: a digest names its content.
	images sync.Map // digest.Digest → *imageInfo
	// lastUsed is when a container was last made from an image, by its full
	// name, since this start.
	lastUsed sync.Map // string → time.Time
	// pulls lets one of several callers of the same image do the work.
	pulls keyedMutex
	// volumes guards the making and filling of a named volume.
	volumes keyedMutex
}

// Open writes the embedded programs where they are missing, starts containerd
// and takes up the containers that are there. It needs root.
//
// Call EnterMountNamespace first, so that the mounts of containers stay out of
// the host's table.
func Open(ctx context.Context, config Config) (*Runtime, error) {
	config, err := config.defaults()
	if err != nil {
		return nil, fmt.Errorf("open the container runtime: %w", err)
	}
	if os.Geteuid() != 0 {
		return nil, errors.New("open the container runtime: making containers needs root: run gantry with sudo")
	}
	r := &Runtime{config: config, log: config.Logger, exits: newExits()}
	if r.programs, err = writePrograms(filepath.Join(config.Dir, "runtime", "bin")); err != nil {
		return nil, fmt.Errorf("open the container runtime: %w", err)
	}
	if r.host, err = readHost(r.programs); err != nil {
		return nil, fmt.Errorf("open the container runtime: %w", err)
	}
	if r.cgroups, err = detectCgroups("/"); err != nil {
		return nil, fmt.Errorf("open the container runtime: %w", err)
	}
	r.host.unified = r.cgroups.unified != ""
	if err := r.rescueExits(); err != nil {
		return nil, fmt.Errorf("open the container runtime: %w", err)
	}
	if err := r.sweepShims(ctx); err != nil {
		return nil, fmt.Errorf("open the container runtime: %w", err)
	}
	if r.server, err = startServer(ctx, serverConfig{
		root:      filepath.Join(config.Dir, "containerd"),
		state:     filepath.Join(config.RunDir, "containerd"),
		socket:    filepath.Join(config.RunDir, "containerd.sock"),
		shimsDir:  filepath.Join(config.RunDir, "s"),
		logger:    config.Logger,
		namespace: namespace,
	}); err != nil {
		return nil, fmt.Errorf("open the container runtime: %w", err)
	}
	r.client = r.server.client
	background, quit := context.WithCancel(context.WithoutCancel(ctx))
	r.quit = quit
	go r.hearExits(background)
	r.shims = &shimPool{
		program: r.programs.shim, dir: filepath.Join(config.RunDir, "spare"), sockets: filepath.Join(config.RunDir, "s"),
		parent: filepath.Join(config.RunDir, "containerd.sock"), want: make(chan struct{}, 1), filled: make(chan struct{}),
		log: func(err error) {
			if err != nil {
				r.log.Warn("container shims", "error", err)
			}
		},
	}
	r.shims.want <- struct{}{}
	go r.shims.fill(background)
	return r, nil
}

// Close stops containerd. Containers and their shims run on, and the next Open
// with the same Config takes them up.
func (r *Runtime) Close() error {
	r.quit()
	if err := errors.Join(r.shims.close(context.Background()), r.server.close()); err != nil {
		return fmt.Errorf("close the container runtime: %w", err)
	}
	return nil
}

// Run does what has to be done now and then, until ctx ends: it reaps what
// became this process's child by the end of a shim. A program of the caller's
// own must be waited for within ten seconds of its end, or Run takes it.
func (r *Runtime) Run(ctx context.Context) error {
	return reapOrphans(ctx)
}

// in names containerd's namespace for one call.
func (r *Runtime) in(ctx context.Context) context.Context {
	return namespaces.WithNamespace(ctx, namespace)
}

// stateDir holds what gantry keeps for a container while it exists.
func (r *Runtime) stateDir(id ContainerID) string {
	return filepath.Join(r.config.RunDir, "containers", string(id))
}
