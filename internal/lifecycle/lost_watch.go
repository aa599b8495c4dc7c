package lifecycle

import (
	"context"
	"fmt"
	"time"

	"gantry"
	"gantry/internal/store"
)

const (
	// watchEvery is how often silent agents are looked at: each time the control plane
	// proves that it is up.
	watchEvery = 5 * time.Second
	// pulseTimeout bounds that proof.
	pulseTimeout = 5 * time.Second
	// maxLosses bounds how many instances one transaction gives up.
	maxLosses = 50
)

// silenceKey is the key under which silent agents are looked at.
const silenceKey = "silence"

// pulse is the name of the row by which lifecycle finds out whether it can write.
const pulse = "lifecycle"

// watch looks at the agents that are away, and gives up or holds those whose period is
// over. It costs a small write every few seconds while there are any, else nothing.
func (c *Controller) watch(ctx context.Context) (again time.Duration, err error) {
	awaited := c.awaits(c.Store.View())
	if awaited {
		if err := c.beat(ctx); err != nil {
			c.vigil.Look(c.elapsed(), false, store.Connections.All(c.Store.View(), ""))
			return 0, fmt.Errorf("agents are away, and the state cannot be written: %w", err)
		}
	}
	snap := c.Store.View()
	c.vigil.Look(c.elapsed(), awaited, store.Connections.All(snap, ""))
	if !awaited {
		return 0, nil
	}
	again = watchEvery
	for k := range store.Clusters.All(snap, "") {
		for more := true; more; {
			p := c.losses(snap, k.Name)
			if len(p.Changes) > 0 {
				if p, err = c.lose(ctx, k.Name); err != nil {
					return 0, err
				}
				snap = c.Store.View()
			}
			if more = len(p.Changes) > maxLosses; !more && p.Again > 0 {
				again = min(again, p.Again)
			}
		}
	}
	return again, nil
}

// elapsed is the time since the controller's start, whatever the clock does.
func (c *Controller) elapsed() time.Duration { return time.Since(c.began) }

// beat proves that the control plane can write: with several servers, that it is in
// quorum. What Store.View shows afterwards is no older than that.
func (c *Controller) beat(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, pulseTimeout)
	defer cancel()
	_, err := c.Store.Update(ctx, func(tx *store.Tx) error {
		store.Pulses.Put(tx, &gantry.Pulse{Name: pulse, At: c.Now()})
		return nil
	})
	return err
}

// awaits reports whether there are agents that are away and might be given up.
func (c *Controller) awaits(r store.Reader) bool {
	for conn := range store.Connections.All(r, "") {
		if conn.Connected || conn.Loss == gantry.LossGivenUp {
			continue
		}
		if i, ok := store.Instances.Get(r, conn.Key()); ok && i.Status != gantry.InstanceInactive && c.Loss.of(i) > 0 {
			return true
		}
	}
	return false
}

// losses plans for one cluster.
func (c *Controller) losses(r store.Reader, cluster gantry.ClusterName) LossPlan {
	var agents []Agent
	for i := range store.Instances.All(r, string(cluster)+"/") {
		if conn, ok := store.Connections.Get(r, i.Key()); ok && i.Status != gantry.InstanceInactive {
			agents = append(agents, c.vigil.Agent(i, conn))
		}
	}
	return PlanLosses(c.Loss, agents)
}

// lose carries a plan out, made once more in the transaction: an agent that has come
// back meanwhile is not given up, and two servers together give up no more than one may.
func (c *Controller) lose(ctx context.Context, cluster gantry.ClusterName) (p LossPlan, err error) {
	_, err = c.Store.Update(ctx, func(tx *store.Tx) error {
		p = c.losses(tx, cluster)
		for _, change := range p.Changes[:min(len(p.Changes), maxLosses)] {
			next := *change.Agent.Connection
			next.Loss, next.LostAt = change.To, c.Now().UTC().Truncate(time.Millisecond)
			store.Connections.Put(tx, &next)
		}
		return nil
	})
	if err != nil {
		return LossPlan{}, fmt.Errorf("give up silent agents of cluster %s: %w", cluster, err)
	}
	for _, change := range p.Changes[:min(len(p.Changes), maxLosses)] {
		log := c.log().With("instance", change.Agent.Instance.Key(), "disconnected since", change.Agent.Connection.Since)
		switch change.To {
		case gantry.LossGivenUp:
			log.Warn("a container instance is given up: the tasks that services have there are replaced")
		case gantry.LossHeld:
			log.Warn("a container instance is not given up: too many agents of its cluster are away at once; set it to DRAINING to have its tasks replaced all the same",
				"away", p.Away, "agents", p.Counted, "allowed", AllowedLoss(p.Counted))
		}
	}
	return p, nil
}
