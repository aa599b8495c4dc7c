package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"gantry"
	"gantry/internal/agent/network"
	"gantry/internal/agent/parts"
	"gantry/internal/agent/runtime"

	"golang.org/x/sync/errgroup"
)

// A host runs containers in containerd and joins them by netlink. Each cluster sees
// it as a container instance of its own, with an agent of its own; containers,
// images and networks they share. Which clusters those are is not its to know.
type host struct {
	hostConfig
	runtime *runtime.Runtime
	network *network.Network
	parts   parts.Machine
	// keys finds, before each run of an agent, the key with which it speaks for the host.
	keys func(context.Context, gantry.ClusterName) (*gantry.Principal, error)
	// wanted are the images of tasks that may be about to make a container.
	wanted func() []string

	mu      sync.Mutex
	members map[gantry.ClusterName]*member // guarded by mu
}

// enterMachine moves this process into the mount namespace of a data dir, by
// starting the program anew. It comes before everything else.
func enterMachine(d dataDir) error { return runtime.EnterMountNamespace(d.path) }

// openHost opens runtime and network, and takes up what runs. Keys and wanted are
// for whoever opens it to set.
func openHost(ctx context.Context, cfg hostConfig) (_ *host, err error) {
	h := &host{hostConfig: cfg, members: map[gantry.ClusterName]*member{}}
	h.runtime, err = runtime.Open(ctx, runtime.Config{Dir: cfg.dir.path, ID: cfg.identity.ID, RunDir: runDir(cfg.identity), Logger: cfg.log})
	if err != nil {
		return nil, err
	}
	h.network, err = network.Open(ctx, networkConfig(cfg))
	if err != nil {
		return nil, errors.Join(err, h.runtime.Close())
	}
	h.parts = parts.Machine{Runtime: h.runtime, Network: h.network, Pull: runtime.PullBehavior(cfg.pullBehavior)}
	if cfg.pulls != nil {
		h.parts.OnPull = func(ref string, p runtime.Progress) { cfg.pulls.show(ref, p.Received, p.Total) }
	}
	return h, nil
}

func networkConfig(cfg hostConfig) network.Config {
	return network.Config{ID: cfg.identity.ID, Dir: cfg.dir.file("network"), RunDir: filepath.Join(runDir(cfg.identity), "network"), Logger: cfg.log}
}

// runDir holds sockets and what must not outlive a reboot; its path is short
// whatever the data dir's is.
func runDir(id *identity) string { return filepath.Join("/run/gantry", id.ID) }

// String names what runs the containers.
func (h *host) String() string {
	versions, err := runtime.Versions()
	if err != nil {
		return "containers on containerd"
	}
	return fmt.Sprintf("containers on containerd, runc %s, network %s", versions["runc"], h.network.Range())
}

// run does what the containers of all clusters need, until ctx ends.
func (h *host) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return h.runtime.Run(ctx) })
	g.Go(func() error { return h.serveMetadata(ctx) })
	g.Go(func() error { return h.serveIntrospection(ctx) })
	g.Go(func() error { return collecting{disk: h.runtime.Disk, collect: h.collect, log: h.log}.run(ctx) })
	return g.Wait()
}

func (h *host) instances() map[gantry.ClusterName]gantry.InstanceID {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make(map[gantry.ClusterName]gantry.InstanceID, len(h.members))
	for name, member := range maps.All(h.members) {
		if id := member.instance(); id != "" {
			out[name] = id
		}
	}
	return out
}

// member is the agent of a cluster; nil where there is none.
func (h *host) member(cluster gantry.ClusterName) *member {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.members[cluster]
}

func (h *host) load(ctx context.Context, tar io.Reader) ([]image, error) {
	loaded, err := h.runtime.Load(ctx, tar)
	return describe(loaded), err
}

func (h *host) images(ctx context.Context) ([]image, error) {
	all, err := h.runtime.Images(ctx)
	return describe(all), err
}

func describe(images []runtime.Image) []image {
	out := []image{}
	for _, i := range images {
		out = append(out, image{Name: familiar(i.Ref), Digest: i.Digest, Size: i.SizeBytes})
	}
	slices.SortFunc(out, func(a, b image) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func (h *host) close() {
	if err := errors.Join(h.network.Close(), h.runtime.Close()); err != nil {
		h.log.Error("close the machine", "error", err)
	}
}
