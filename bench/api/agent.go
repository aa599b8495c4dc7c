package main

import (
	"context"
	"log/slog"
	"os"

	"gantry"
	"gantry/internal/agent"
	"gantry/internal/agent/enginetest"
	"gantry/internal/agent/metadata"
	"gantry/internal/store"
	"gantry/internal/wire/ecsapi"
)

// image is what the benchmark's containers are made of: they run until they are stopped.
const image = "bench"

// agentKey is the key of the one container instance that works.
var agentKey = &gantry.Principal{AccessKeyID: "AKIABENCHBENCHBENCH1", SecretKey: "a secret for the agent", Kind: gantry.AgentPrincipal}

// endless is more CPU and memory than any benchmark fills, in units and MiB.
const endless = 1 << 30

// runAgent runs the real agent on a machine that only pretends: it registers, is sent
// payloads, keeps its journal on disk and reports states, and starts nothing.
func (p *plane) runAgent(ctx context.Context, dir, address string) error {
	if _, err := p.store.Update(ctx, func(tx *store.Tx) error {
		store.Principals.Put(tx, agentKey)
		return nil
	}); err != nil {
		return err
	}
	m := enginetest.New(map[string]enginetest.Program{image: {}})
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	a, err := agent.New(ctx, agent.Config{
		DataDir: dir, Cluster: cluster, Endpoint: "http://" + address, Region: string(place.Region),
		Credentials: agent.StaticCredentials{AccessKeyID: agentKey.AccessKeyID, SecretAccessKey: agentKey.SecretKey},
		LogDrivers:  []string{"awslogs", "json-file", "none"},
		CPU:         endless, Memory: endless, Logger: log,
	}, agent.Parts{
		Images: m, Containers: m, Prober: m, Sandboxes: m, Network: m.Network(), Logs: m.Logs(), Disk: m, Meter: noMeter{},
	})
	if err != nil {
		return err
	}
	defer a.Close()
	return a.Run(ctx)
}

// noMeter measures nothing.
type noMeter struct{}

func (noMeter) Measure(context.Context, string) (metadata.Stats, bool, error) {
	return metadata.Stats{}, false, nil
}

// noHealth takes no notice of containers' health: the benchmark's have none.
type noHealth struct{}

func (noHealth) ReportHealth(context.Context, gantry.ClusterName, gantry.InstanceID, gantry.TaskID, map[string]ecsapi.HealthStatus) error {
	return nil
}
