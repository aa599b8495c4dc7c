package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"gantry"
	"gantry/internal/agent"
	"gantry/internal/agent/engine"
	"gantry/internal/agent/logdriver"
	"gantry/internal/agent/parts"
	"gantry/internal/store"

	"golang.org/x/sync/errgroup"
)

const (
	// outputFolder, in an agent's folder, holds what its containers print.
	outputFolder = "output"
	// rejoinAfter is how long an agent that ended with an error stays down.
	rejoinAfter = 5 * time.Second
)

// clusterLabel is the label by which every agent finds the containers of its cluster.
const clusterLabel = "com.amazonaws.ecs.cluster"

// A member is this machine as an instance of one cluster.
type member struct {
	agent atomic.Pointer[agent.Agent] // nil until it was opened
	// drivers deliver what its containers print; nil until they were opened.
	drivers atomic.Pointer[logdriver.Drivers]
	leave   context.CancelFunc
	gone    chan struct{} // closed when it has left
}

// instance is the id under which the cluster knows this machine; "" until it does.
func (m *member) instance() gantry.InstanceID {
	a := m.agent.Load()
	if a == nil {
		return ""
	}
	i, ok := a.Instance()
	if !ok {
		return ""
	}
	return gantry.InstanceID(i.ARN[strings.LastIndexByte(i.ARN, '/')+1:])
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
		m.mu.Lock()
		have := m.members[cluster]
		m.mu.Unlock()
		switch wanted := ok && c.Status == gantry.Active; {
		case wanted && have == nil:
			life, leave := context.WithCancel(ctx)
			made := &member{leave: leave, gone: make(chan struct{})}
			m.mu.Lock()
			m.members[cluster] = made
			m.mu.Unlock()
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

// folder is where the agent of one cluster keeps its journal and its key.
func (m *linuxMachine) folder(cluster gantry.ClusterName) string {
	return m.dir.file(agentFolder, string(cluster))
}

// belong runs the agent of one cluster until ctx ends, again after a pause where it ends by itself.
func (m *linuxMachine) belong(ctx context.Context, cluster gantry.ClusterName, me *member) {
	for ctx.Err() == nil {
		err := m.runAgent(ctx, cluster, me)
		if ctx.Err() != nil {
			return
		}
		m.log.Error("the agent ended", "cluster", cluster, "error", err, "again in", rejoinAfter)
		select {
		case <-time.After(rejoinAfter):
		case <-ctx.Done():
		}
	}
}

func (m *linuxMachine) runAgent(ctx context.Context, cluster gantry.ClusterName, me *member) error {
	if err := m.forgetOld(cluster); err != nil {
		return err
	}
	if err := os.MkdirAll(m.folder(cluster), 0o700); err != nil {
		return err
	}
	key, err := agentKey(ctx, m.control.store, m.dir.file(agentFolder, string(cluster), credentialsFile), time.Now())
	if err != nil {
		return err
	}
	a, drivers, err := m.openAgent(ctx, cluster, key)
	if err != nil {
		return err
	}
	me.drivers.Store(drivers)
	me.agent.Store(a)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return drivers.Run(ctx) })
	g.Go(func() error { return a.Run(ctx) })
	return errors.Join(g.Wait(), a.Close())
}

// openAgent opens the agent of one cluster, which takes up what runs there, and
// the log drivers of its containers.
func (m *linuxMachine) openAgent(ctx context.Context, cluster gantry.ClusterName, key *gantry.Principal) (*agent.Agent, *logdriver.Drivers, error) {
	keys := agent.StaticCredentials{AccessKeyID: key.AccessKeyID, SecretAccessKey: key.SecretKey}
	log := m.log.With("cluster", cluster)
	shared := m.parts
	shared.OutputDir = filepath.Join(m.folder(cluster), outputFolder)
	drivers, err := logdriver.Open(logdriver.Config{
		Dir: shared.OutputDir, Region: string(m.identity.Region), Endpoint: m.endpoint, Credentials: keys, Log: log,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("open the log drivers: %w", err)
	}
	p := parts.Join(shared, parts.Logs(drivers))
	p.Containers = ownContainers{Containers: p.Containers, machine: m, cluster: cluster}
	a, err := agent.New(ctx, agent.Config{
		DataDir: m.folder(cluster), Cluster: string(cluster), Endpoint: m.endpoint, Region: string(m.identity.Region),
		Credentials: keys, HostMetadata: "http://" + m.network.MetadataAddress().String(),
		RuntimeVersion: "containerd " + versionOf("github.com/containerd/containerd/v2"), BuildHash: "gantry", LogDrivers: logdriver.Names(),
		Logger: log,
	}, p)
	return a, drivers, err
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
	if err := os.RemoveAll(m.folder(cluster)); err != nil {
		return fmt.Errorf("forget the old instance of cluster %s: %w", cluster, err)
	}
	return nil
}

// ownContainers shows an agent the containers of its cluster only: what the
// agents of other clusters run is no stray.
type ownContainers struct {
	engine.Containers
	machine *linuxMachine
	cluster gantry.ClusterName
}

func (o ownContainers) List(ctx context.Context) ([]engine.Found, error) {
	found, err := o.Containers.List(ctx)
	if err != nil {
		return nil, err
	}
	all, err := o.machine.runtime.List(ctx)
	if err != nil {
		return nil, err
	}
	mine := map[string]bool{}
	for _, c := range all {
		mine[string(c.ID)] = c.Labels[clusterLabel] == string(o.cluster)
	}
	var own []engine.Found
	for _, f := range found {
		if mine[f.ID] {
			own = append(own, f)
		}
	}
	return own, nil
}
