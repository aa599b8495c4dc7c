package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"gantry"
	"gantry/internal/agent/network"
	"gantry/internal/agent/runtime"

	"golang.org/x/sync/errgroup"
)

// emptyWithin bounds how long tasks may take to stop: the longest stopTimeout
// that people give, and then some.
const emptyWithin = 3 * time.Minute

// tellWithin bounds how long a control plane elsewhere may take to hear of the tasks'
// ends: one that cannot be reached hears of them when the agent is started again.
// tellOwnWithin is for the control plane in this process, which can be: what it has not
// written down by then, as on a full disk, ends without an exit code.
const (
	tellWithin    = 5 * time.Second
	tellOwnWithin = 30 * time.Second
)

// emptyMachine stops every task on this machine, each as its definition wants to
// be stopped, and takes back what gantry made here. No other gantry runs. The
// control plane, which it serves meanwhile, is nil where there is none.
func emptyMachine(ctx context.Context, d dataDir, id *identity, c *control, ln net.Listener, log *slog.Logger) error {
	cfg := hostConfig{dir: d, identity: id, endpoint: "http://" + defaultListen, log: log}
	if c != nil {
		cfg.endpoint = c.endpoint
	}
	m, err := openContainers(ctx, cfg, c)
	if err != nil {
		return err
	}
	stopping, cancel := context.WithTimeout(ctx, emptyWithin)
	defer cancel()
	if c == nil {
		_, err = m.stopAll(stopping, tellWithin)
	} else {
		err = m.stopAllServed(stopping, ln)
	}
	if err != nil {
		log.Error("some tasks did not stop in order", "error", err)
	}
	return m.dismantle(ctx)
}

// dismantle takes back what gantry made on this machine; the host is closed then.
func (h *host) dismantle(ctx context.Context) error {
	err := errors.Join(h.runtime.DeleteAll(ctx), h.network.Close(), h.runtime.Close(), network.Remove(ctx, networkConfig(h.hostConfig)))
	if err != nil {
		return fmt.Errorf("clean up this machine: %w", err)
	}
	if err := runtime.ReleaseMountNamespace(h.dir.path); err != nil {
		return err
	}
	return errors.Join(removeCgroups(h.identity), os.RemoveAll(runDir(h.identity)))
}

// removeCgroups removes the cgroup that held those of the tasks, in every
// hierarchy of version 1 and in version 2. It is empty by now.
func removeCgroups(id *identity) error {
	var errs []error
	for _, pattern := range []string{"/sys/fs/cgroup/gantry-", "/sys/fs/cgroup/*/gantry-"} {
		folders, err := filepath.Glob(pattern + id.ID)
		errs = append(errs, err)
		for _, f := range folders {
			if err := os.Remove(f); !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

// stopAllServed is stopAll while the control plane takes in what agents say.
func (m *linuxMachine) stopAllServed(ctx context.Context, ln net.Listener) error {
	serving, end := context.WithCancel(ctx)
	var door errgroup.Group
	door.Go(func() error { return m.control.run(serving, ln, m) })
	_, err := m.stopAll(ctx, tellOwnWithin)
	end()
	if served := door.Wait(); !errors.Is(served, context.Canceled) {
		err = errors.Join(err, served)
	}
	return err
}

// stopAll stops the tasks of every cluster by the agents that know them, and is their number.
// So long the control plane may take to hear of it.
func (h *host) stopAll(ctx context.Context, telling time.Duration) (stopped int, err error) {
	folders, err := filepath.Glob(h.dir.file(agentFolder, "*", credentialsFile))
	if err != nil {
		return 0, err
	}
	var count atomic.Int64
	running, end := context.WithCancel(ctx)
	var reaper errgroup.Group
	reaper.Go(func() error { return h.runtime.Run(running) })
	var g errgroup.Group
	for _, f := range folders {
		cluster := gantry.ClusterName(filepath.Base(filepath.Dir(f)))
		g.Go(func() error {
			n, err := h.stopCluster(ctx, cluster, telling)
			count.Add(int64(n))
			if err != nil {
				return fmt.Errorf("stop the tasks of cluster %s: %w", cluster, err)
			}
			return nil
		})
	}
	err = g.Wait()
	end()
	if reaped := reaper.Wait(); !errors.Is(reaped, context.Canceled) {
		err = errors.Join(err, reaped)
	}
	return int(count.Load()), err
}

func (h *host) stopCluster(ctx context.Context, cluster gantry.ClusterName, telling time.Duration) (stopped int, err error) {
	keys, err := readCredentials(h.dir.file(agentFolder, string(cluster), credentialsFile))
	if err != nil {
		return 0, fmt.Errorf("read the agent's key: %w", err)
	}
	a, drivers, err := h.openAgent(ctx, cluster, &gantry.Principal{AccessKeyID: keys.AccessKeyID, SecretKey: keys.SecretAccessKey})
	if err != nil {
		return 0, err
	}
	for _, v := range a.Engine().Tasks() {
		if !v.Task.Released {
			stopped++
		}
	}
	running, end := context.WithCancel(ctx)
	var g errgroup.Group
	g.Go(func() error { return drivers.Run(running) })
	err = a.StopAll(ctx, telling)
	end()
	if shipped := g.Wait(); !errors.Is(shipped, context.Canceled) {
		err = errors.Join(err, shipped)
	}
	return stopped, errors.Join(err, a.Close())
}
