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
	"time"

	"gantry"
	"gantry/internal/agent/network"
	"gantry/internal/agent/parts"
	"gantry/internal/agent/runtime"
	"gantry/internal/store"

	"golang.org/x/sync/errgroup"
)

// readyTimeout bounds how long gantry up waits for this machine to be an instance of every cluster.
const readyTimeout = 20 * time.Second

// A linuxMachine runs containers in containerd and joins them by netlink. Each
// cluster sees it as a container instance of its own, with an agent of its own;
// containers, images and networks they share.
type linuxMachine struct {
	machineConfig
	runtime *runtime.Runtime
	network *network.Network
	parts   parts.Machine

	mu      sync.Mutex
	members map[gantry.ClusterName]*member
}

// enterMachine moves this process into the mount namespace of a data dir, by
// starting the program anew. It comes before everything else.
func enterMachine(d dataDir) error { return runtime.EnterMountNamespace(d.path) }

func openMachine(ctx context.Context, cfg machineConfig) (machine, error) {
	m, err := openContainers(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return m, nil
}

// openContainers opens runtime and network, and takes up what runs.
func openContainers(ctx context.Context, cfg machineConfig) (_ *linuxMachine, err error) {
	m := &linuxMachine{machineConfig: cfg, members: map[gantry.ClusterName]*member{}}
	m.runtime, err = runtime.Open(ctx, runtime.Config{Dir: cfg.dir.path, ID: cfg.identity.ID, RunDir: runDir(cfg.identity), Logger: cfg.log})
	if err != nil {
		return nil, err
	}
	m.network, err = network.Open(ctx, networkConfig(cfg))
	if err != nil {
		return nil, errors.Join(err, m.runtime.Close())
	}
	m.parts = parts.Machine{Runtime: m.runtime, Network: m.network, Pull: runtime.PullBehavior(cfg.pullBehavior)}
	if cfg.pulls != nil {
		m.parts.OnPull = func(ref string, p runtime.Progress) { cfg.pulls.show(ref, p.Received, p.Total) }
	}
	return m, nil
}

func networkConfig(cfg machineConfig) network.Config {
	return network.Config{ID: cfg.identity.ID, Dir: cfg.dir.file("network"), RunDir: filepath.Join(runDir(cfg.identity), "network"), Logger: cfg.log}
}

// runDir holds sockets and what must not outlive a reboot; its path is short
// whatever the data dir's is.
func runDir(id *identity) string { return filepath.Join("/run/gantry", id.ID) }

// String names what runs the containers.
func (m *linuxMachine) String() string {
	versions, err := runtime.Versions()
	if err != nil {
		return "containers on containerd"
	}
	return fmt.Sprintf("containers on containerd, runc %s, network %s", versions["runc"], m.network.Range())
}

func (m *linuxMachine) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return m.runtime.Run(ctx) })
	g.Go(func() error { return m.serveMetadata(ctx) })
	g.Go(func() error { return m.serveIntrospection(ctx) })
	g.Go(func() error { return m.joinAll(ctx) })
	g.Go(func() error { return collecting{disk: m.runtime.Disk, collect: m.collect, log: m.log}.run(ctx) })
	return g.Wait()
}

// ready waits for every cluster there is. One that this machine cannot join is
// told in the log, and does not keep gantry from serving the others.
func (m *linuxMachine) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	for c := range store.Clusters.All(m.control.store.View(), "") {
		if c.Status != gantry.Active {
			continue
		}
		if err := m.joined(ctx, c.Name); err != nil {
			m.log.Warn("this machine has not joined a cluster yet", "cluster", c.Name, "error", err)
		}
	}
	return nil
}

func (m *linuxMachine) joined(ctx context.Context, cluster gantry.ClusterName) error {
	st := m.control.store
	for {
		snap := st.View()
		if id, ok := m.instances()[cluster]; ok {
			if c, ok := store.Connections.Get(snap, string(cluster)+"/"+string(id)); ok && c.Connected {
				return nil
			}
		}
		if _, err := st.Newer(ctx, snap.Revision()); err != nil {
			return fmt.Errorf("join cluster %s: %w", cluster, err)
		}
	}
}

func (m *linuxMachine) instances() map[gantry.ClusterName]gantry.InstanceID {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make(map[gantry.ClusterName]gantry.InstanceID, len(m.members))
	for name, member := range maps.All(m.members) {
		if id := member.instance(); id != "" {
			out[name] = id
		}
	}
	return out
}

func (m *linuxMachine) load(ctx context.Context, tar io.Reader) ([]image, error) {
	loaded, err := m.runtime.Load(ctx, tar)
	return describe(loaded), err
}

func (m *linuxMachine) images(ctx context.Context) ([]image, error) {
	all, err := m.runtime.Images(ctx)
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

func (m *linuxMachine) close() {
	if err := errors.Join(m.network.Close(), m.runtime.Close()); err != nil {
		m.log.Error("close the machine", "error", err)
	}
}

// familiar is an image's name as a task definition would give it.
func familiar(ref string) string {
	return strings.TrimPrefix(strings.TrimPrefix(ref, "docker.io/library/"), "docker.io/")
}
