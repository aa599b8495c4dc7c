package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"gantry"
	"gantry/internal/store"

	"golang.org/x/sync/errgroup"
)

// readyTimeout bounds how long gantry up waits for this machine to be an instance of every cluster.
const readyTimeout = time.Minute

// A linuxMachine is the host beside a control plane: it belongs to every cluster.
type linuxMachine struct {
	*host
	control *control
}

func openMachine(ctx context.Context, cfg hostConfig, c *control) (machine, error) {
	m, err := openContainers(ctx, cfg, c)
	if err != nil {
		return nil, err
	}
	return m, nil
}

// openContainers opens the host of a control plane, which is nil where its state cannot be read.
func openContainers(ctx context.Context, cfg hostConfig, c *control) (*linuxMachine, error) {
	h, err := openHost(ctx, cfg)
	if err != nil {
		return nil, err
	}
	m := &linuxMachine{host: h, control: c}
	h.keys = m.key
	h.wanted = func() []string { return imagesInUse(c.store.View()) }
	return m, nil
}

func (m *linuxMachine) role() string { return "this machine is a container instance" }

func (m *linuxMachine) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return m.host.run(ctx) })
	g.Go(func() error { return m.joinAll(ctx) })
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
		if err := m.joined(ctx, c.Name); errors.Is(err, context.Canceled) {
			return err // gantry is stopped while it starts
		} else if err != nil {
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

// joinAll keeps one agent per ACTIVE cluster until ctx ends.
func (m *linuxMachine) joinAll(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	changed := func(c store.Change) []string {
		if before, after, ok := store.Clusters.Of(c); ok && (before == nil || after == nil || before.Status != after.Status) {
			return []string{c.Key}
		}
		return nil
	}
	for name := range m.control.store.Wakes(ctx, changed) {
		cluster := gantry.ClusterName(name)
		c, ok := store.Clusters.Get(m.control.store.View(), name)
		have := m.member(cluster)
		switch wanted := ok && c.Status == gantry.Active; {
		case wanted && have == nil:
			life, leave := context.WithCancel(ctx)
			made := m.enroll(cluster, leave)
			g.Go(func() error {
				defer close(made.gone)
				m.belong(life, cluster, made)
				return nil
			})
		case !wanted && have != nil:
			have.leave()
			<-have.gone
			m.mu.Lock()
			delete(m.members, cluster)
			m.mu.Unlock()
			if err := os.RemoveAll(m.folder(cluster)); err != nil {
				m.log.Error("forget a cluster that is gone", "cluster", cluster, "error", err)
			}
		}
	}
	return errors.Join(g.Wait(), ctx.Err())
}

// key is the one with which the agent of a cluster speaks for this machine.
func (m *linuxMachine) key(ctx context.Context, cluster gantry.ClusterName) (*gantry.Principal, error) {
	if err := m.forgetOld(cluster); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(m.folder(cluster), 0o700); err != nil {
		return nil, err
	}
	return agentKey(ctx, m.control.store, m.dir.file(agentFolder, string(cluster), credentialsFile), time.Now())
}

// forgetOld lets the machine join a cluster anew where the instance that it was
// there has been deregistered: ECS takes such an instance only as a new one.
func (m *linuxMachine) forgetOld(cluster gantry.ClusterName) error {
	key, err := readCredentials(m.dir.file(agentFolder, string(cluster), credentialsFile))
	if err != nil {
		return nil // there is no old one
	}
	snap := m.control.store.View()
	if p, ok := store.Principals.Get(snap, key.AccessKeyID); ok {
		if p.Instance == "" {
			return nil
		}
		if i, ok := store.Instances.Get(snap, p.Instance); ok && i.Status != gantry.InstanceInactive {
			return nil
		}
	} else if m.control.restored {
		// It joined after the backup was taken. Joining anew would end what it runs.
		return fmt.Errorf("the backup that was restored does not know this machine's instance in cluster %s: its tasks run on; to join anew and end them, remove %s and start gantry again",
			cluster, m.folder(cluster))
	}
	return m.forget(cluster)
}
