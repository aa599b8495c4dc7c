package plane

import (
	"context"
	"log/slog"
	"os"

	"gantry"
	"gantry/internal/agent"
	"gantry/internal/agent/enginetest"
	"gantry/internal/agent/metadata"
)

// Image is what the containers of a pretended machine are made of: they run until
// they are stopped.
const Image = "bench"

// endless is more CPU and memory than any benchmark fills, in units and MiB.
const endless = 1 << 30

// RunMachine runs the real agent on a machine that only pretends: it registers with
// the given key, is sent payloads, keeps its journal on disk and reports states, and
// starts nothing.
func RunMachine(ctx context.Context, dir, address string, cluster gantry.ClusterName, key *gantry.Principal) error {
	m := enginetest.New(map[string]enginetest.Program{Image: {}})
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	a, err := agent.New(ctx, agent.Config{
		DataDir: dir, Cluster: string(cluster), Endpoint: "http://" + address, Region: string(Place.Region),
		Credentials: agent.StaticCredentials{AccessKeyID: key.AccessKeyID, SecretAccessKey: key.SecretKey},
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
