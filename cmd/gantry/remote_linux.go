package main

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"gantry"
	"gantry/internal/agent/home"
	"gantry/internal/wire"

	"golang.org/x/sync/errgroup"
)

// A remote is the host of a machine that has joined a server elsewhere: it belongs
// to one cluster.
type remote struct {
	*host
	home *home.Home
}

func openRemote(ctx context.Context, cfg hostConfig, h *home.Home) (remoteMachine, error) {
	m, err := openRemoteHost(ctx, cfg, h)
	if err != nil {
		return nil, err
	}
	return m, nil
}

// openRemoteHost opens the host and what it takes from its server.
func openRemoteHost(ctx context.Context, cfg hostConfig, h *home.Home) (*remote, error) {
	if err := forgetFetched(cfg.dir.path); err != nil {
		return nil, err
	}
	opened, err := openHost(ctx, cfg)
	if err != nil {
		return nil, err
	}
	m := &remote{host: opened, home: h}
	opened.keys, opened.wanted = m.key, m.imagesOfTasks
	opened.parts.Bring = bringing{client: m.client(), runtime: opened.runtime, dir: cfg.dir.path, one: &sync.Mutex{}}.bring
	return m, nil
}

func (m *remote) cluster() gantry.ClusterName { return gantry.ClusterName(m.home.Cluster) }

func (m *remote) client() *home.Client {
	c := m.home.Client()
	c.HTTP = m.http
	return c
}

// run is the agent of the cluster and what its containers need, until ctx ends.
func (m *remote) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	me := m.enroll(m.cluster(), func() {})
	g.Go(func() error { return m.host.run(ctx) })
	g.Go(func() error {
		m.belong(ctx, m.cluster(), me)
		return ctx.Err()
	})
	return g.Wait()
}

// key is the machine's own. Where the server says that its instance was deregistered
// what the agent knows is forgotten first: ECS takes it as a new one only.
func (m *remote) key(ctx context.Context, cluster gantry.ClusterName) (*gantry.Principal, error) {
	self, err := m.client().Self(ctx)
	// Where it does not answer the agent finds out for itself: it takes its tasks up all the same.
	if no, refused := errors.AsType[*wire.Error](err); refused && no.Code == "UnrecognizedClientException" {
		m.log.Error("the server does not know this machine's key (any more): it was revoked, or is newer than the backup that the server was restored from; join again with another token, as gantry token create prints it there", "key", m.home.AccessKeyID)
	} else if err != nil {
		m.log.Warn("the server cannot be asked about this machine", "error", err)
	}
	if self.Deregistered {
		m.log.Warn("this machine's container instance was deregistered: it registers as a new one", "was", self.Instance)
		if err := m.forget(cluster); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(m.folder(cluster), 0o700); err != nil {
		return nil, err
	}
	key := &gantry.Principal{AccessKeyID: m.home.AccessKeyID, SecretKey: m.home.SecretKey}
	return key, writeCredentials(m.dir.file(agentFolder, string(cluster), credentialsFile), key) // for gantry down
}

// imagesOfTasks are those of the tasks that the agent knows and that have not ended.
func (m *remote) imagesOfTasks() (images []string) {
	for _, a := range m.agents() {
		for _, v := range a.Engine().Tasks() {
			if v.Task.Released {
				continue
			}
			for _, c := range v.Def.Containers {
				images = append(images, c.Image)
			}
		}
	}
	return images
}

// pollRegistered is how often it is looked whether the machine has registered.
const pollRegistered = 20 * time.Millisecond

// registered waits until the machine is a container instance, and is its id.
func (m *remote) registered(ctx context.Context) (gantry.InstanceID, error) {
	for {
		if id := m.instances()[m.cluster()]; id != "" {
			return id, nil
		}
		select {
		case <-time.After(pollRegistered):
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

// emptyRemote stops every task on a machine that has joined a server, and takes back
// what gantry made here. The server hears of the tasks' ends where it can be reached.
func emptyRemote(ctx context.Context, cfg hostConfig, h *home.Home) (stopped int, err error) {
	m, err := openRemoteHost(ctx, cfg, h)
	if err != nil {
		return 0, err
	}
	stopping, cancel := context.WithTimeout(ctx, emptyWithin)
	defer cancel()
	stopped, err = m.stopAll(stopping, tellWithin)
	if err != nil {
		m.log.Error("some tasks did not stop in order", "error", err)
	}
	return stopped, m.dismantle(ctx)
}
