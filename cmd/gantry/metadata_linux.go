package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"
	"time"

	"gantry"
	"gantry/internal/agent"
	"gantry/internal/agent/metadata"
)

// serveMetadata answers containers that ask about themselves at 169.254.170.2.
func (h *host) serveMetadata(ctx context.Context) error {
	address := h.network.MetadataAddress()
	ln, err := net.Listen("tcp", address.String())
	if err != nil {
		return fmt.Errorf("serve task metadata: %w", err)
	}
	tells := agent.Metadata{Agents: h.agents}
	return metadata.Serve(ctx, ln, metadata.NewEndpoint(metadata.Config{
		Tasks: tells, Stats: tells, Credentials: tells, Tags: tells, Protector: tells, Now: time.Now,
	}))
}

// introspectionAgain is when the port is tried again where somebody else has it.
const introspectionAgain = 5 * time.Second

// serveIntrospection answers on the port where the genuine agent does. There is
// one such port on a host: a second gantry goes without, until the first ends.
func (h *host) serveIntrospection(ctx context.Context) error {
	listen := func() (net.Listener, error) {
		return net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(metadata.IntrospectionPort)))
	}
	ln, err := listen()
	if errors.Is(err, syscall.EADDRINUSE) {
		h.log.Info("no introspection while its port is in use", "port", metadata.IntrospectionPort)
	}
	for errors.Is(err, syscall.EADDRINUSE) {
		select {
		case <-time.After(introspectionAgain):
			ln, err = listen()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err != nil {
		return fmt.Errorf("serve introspection: %w", err)
	}
	return metadata.Serve(ctx, ln, metadata.NewIntrospection(metadata.Introspection{
		Instance: h.introspected, Tasks: agent.Metadata{Agents: h.agents},
		License: "gantry is licensed under the Apache License, Version 2.0: http://www.apache.org/licenses/LICENSE-2.0\n",
	}))
}

// introspected is the instance that introspection tells of: that of the default
// cluster, or of the first one where there is no default.
func (h *host) introspected() metadata.Instance {
	version := "Amazon ECS Agent - v" + agent.Version + " (*gantry " + version + ")"
	instances := h.instances()
	cluster, found := gantry.DefaultCluster, instances[gantry.DefaultCluster] != ""
	for name := range instances {
		if !found || cluster != gantry.DefaultCluster && name < cluster {
			cluster, found = name, true
		}
	}
	if !found {
		return metadata.Instance{Cluster: string(gantry.DefaultCluster), Version: version}
	}
	return metadata.Instance{
		Cluster: string(cluster), ARN: string(h.identity.place().Instance(cluster, instances[cluster])), Version: version,
	}
}

// agents are those of all clusters.
func (h *host) agents() []*agent.Agent {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []*agent.Agent
	for _, member := range h.members {
		if a := member.agent.Load(); a != nil {
			out = append(out, a)
		}
	}
	return out
}
