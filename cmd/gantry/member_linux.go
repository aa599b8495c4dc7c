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
	"gantry/internal/wire"

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

// enroll makes the member of one cluster; its agent is still to run.
func (h *host) enroll(cluster gantry.ClusterName, leave context.CancelFunc) *member {
	made := &member{leave: leave, gone: make(chan struct{})}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.members[cluster] = made
	return made
}

// folder is where the agent of one cluster keeps its journal and its key.
func (h *host) folder(cluster gantry.ClusterName) string {
	return h.dir.file(agentFolder, string(cluster))
}

// belong runs the agent of one cluster until ctx ends, again after a pause where it ends by itself.
func (h *host) belong(ctx context.Context, cluster gantry.ClusterName, me *member) {
	for ctx.Err() == nil {
		err := h.runAgent(ctx, cluster, me)
		if ctx.Err() != nil {
			return
		}
		if no, refused := errors.AsType[*wire.Error](err); refused && no.Code == "ClientException" && strings.Contains(no.Message, "is not registered in cluster") {
			h.log.Error("the server does not know this machine's container instance: was it restored from a backup that is older? its tasks run on; to end them and join anew, remove the folder and start gantry again", "folder", h.folder(cluster))
		}
		h.log.Error("the agent ended", "cluster", cluster, "error", err, "again in", rejoinAfter)
		select {
		case <-time.After(rejoinAfter):
		case <-ctx.Done():
		}
	}
}

func (h *host) runAgent(ctx context.Context, cluster gantry.ClusterName, me *member) error {
	key, err := h.keys(ctx, cluster)
	if err != nil {
		return err
	}
	a, drivers, err := h.openAgent(ctx, cluster, key)
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
func (h *host) openAgent(ctx context.Context, cluster gantry.ClusterName, key *gantry.Principal) (*agent.Agent, *logdriver.Drivers, error) {
	keys := agent.StaticCredentials{AccessKeyID: key.AccessKeyID, SecretAccessKey: key.SecretKey}
	log := h.log.With("cluster", cluster)
	shared := h.parts
	shared.OutputDir = filepath.Join(h.folder(cluster), outputFolder)
	drivers, err := logdriver.Open(logdriver.Config{
		Dir: shared.OutputDir, Region: string(h.identity.Region), Endpoint: h.endpoint, HTTP: h.http, Credentials: keys, Log: log,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("open the log drivers: %w", err)
	}
	p := parts.Join(shared, parts.Logs(drivers))
	p.Containers = ownContainers{Containers: p.Containers, host: h, cluster: cluster}
	launchType := agent.EC2
	if h.offer.external {
		launchType = agent.External
	}
	a, err := agent.New(ctx, agent.Config{
		DataDir: h.folder(cluster), Cluster: string(cluster), Endpoint: h.endpoint, Region: string(h.identity.Region),
		Credentials: keys, HostMetadata: "http://" + h.network.MetadataAddress().String(),
		RuntimeVersion: "containerd " + versionOf("github.com/containerd/containerd/v2"), BuildHash: "gantry", LogDrivers: logdriver.Names(),
		HTTP: h.http, LaunchType: launchType, Attributes: h.offer.attributes,
		Zone: h.offer.zone, InstanceType: h.offer.instanceType, ImageID: h.offer.imageID, Logger: log,
	}, p)
	return a, drivers, err
}

// forget removes what an agent knows, so that it joins anew.
func (h *host) forget(cluster gantry.ClusterName) error {
	if err := os.RemoveAll(h.folder(cluster)); err != nil {
		return fmt.Errorf("forget the old instance of cluster %s: %w", cluster, err)
	}
	return nil
}

// ownContainers shows an agent the containers of its cluster only: what the
// agents of other clusters run is no stray.
type ownContainers struct {
	engine.Containers
	host    *host
	cluster gantry.ClusterName
}

func (o ownContainers) List(ctx context.Context) ([]engine.Found, error) {
	found, err := o.Containers.List(ctx)
	if err != nil {
		return nil, err
	}
	all, err := o.host.runtime.List(ctx)
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
