package main

import (
	"context"
	"log/slog"
	"time"

	"gantry"
	"gantry/internal/agent/runtime"
	"gantry/internal/store"
	"gantry/internal/wire"
)

const (
	// collectEvery is how often images that nobody uses are looked for, the ECS
	// agent's ECS_IMAGE_CLEANUP_INTERVAL.
	collectEvery = 30 * time.Minute
	// diskEvery is how often the disk is asked whether that has to be sooner: a pull
	// takes longer than that to fill what is left.
	diskEvery = time.Minute
)

// A collecting removes what nobody uses on a machine: every half hour, and as soon as its disk fills up.
type collecting struct {
	disk    func() (runtime.Disk, error)
	collect func(context.Context, time.Time) (runtime.Collected, error)
	log     *slog.Logger
}

func (c collecting) run(ctx context.Context) error {
	tick := time.NewTicker(diskEvery)
	defer tick.Stop()
	last := time.Now()
	for {
		var now time.Time
		select {
		case <-ctx.Done():
			return ctx.Err()
		case now = <-tick.C:
		}
		disk, err := c.disk()
		if err != nil {
			c.log.Warn("look how full the disk is", "error", err)
		}
		if !disk.Tight() && now.Sub(last) < collectEvery {
			continue
		}
		last = now
		done, err := c.collect(ctx, now)
		if err != nil && ctx.Err() == nil {
			c.log.Warn("remove what nobody uses", "error", err)
		}
		if len(done.Images)+len(done.Containers) > 0 {
			c.log.Info("removed what nobody uses", "images", done.Images, "containers", len(done.Containers))
		}
	}
}

// collect is for this machine. Containers of clusters that it belongs to are their
// agents' to remove.
func (h *host) collect(ctx context.Context, now time.Time) (runtime.Collected, error) {
	use := runtime.InUse{Images: h.wanted(), Needs: func(c runtime.Container) bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.members[gantry.ClusterName(c.Labels[clusterLabel])] != nil
	}}
	return h.runtime.Collect(ctx, now, use)
}

// imagesInUse are those of tasks that have not stopped: some may be about to make a container.
func imagesInUse(r store.Reader) (images []string) {
	seen := map[gantry.DefinitionName]bool{}
	for t := range store.Tasks.All(r, "") {
		if t.LastStatus == gantry.Stopped || seen[t.Definition] {
			continue
		}
		seen[t.Definition] = true
		if d, ok := store.Definitions.Get(r, string(t.Definition)); ok {
			for _, c := range d.Wire.ContainerDefinitions {
				images = append(images, wire.Value(c.Image))
			}
		}
	}
	return images
}
