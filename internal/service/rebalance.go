package service

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"gantry"
	"gantry/internal/wire/ecsapi"
)

// rebalance moves tasks to the availability zone with the fewest where the zones are
// uneven by more than one: it starts tasks there, waits until they are healthy, and
// then scale-in stops as many where the most are. Need is how many good tasks are
// missing, less than 0 where there are too many.
func (p *planner) rebalance(need int) {
	move := p.history.Rebalance
	if move != nil && (!p.mayMove() || move.Desired != p.bounds.Desired) {
		move, p.history.Rebalance = nil, nil
	}
	switch {
	case !p.mayMove() || p.moving() || need != 0 || p.stopping > 0:
		return // not now
	case move != nil && move.GivenUp:
		if until := move.At.Add(p.set.RebalanceAgain); p.now.Before(until) {
			p.again(until)
			return
		}
	case move != nil && p.number((*member).good, in(healthy)) < p.bounds.Desired:
		return
	}
	zones := p.zones()
	s := p.way(zones)
	if s.Count == 0 {
		if move != nil && !move.GivenUp && even(zones) {
			p.event(RebalancingCompleted, "is AZ balanced with "+listed(zones)+".")
		}
		p.history.Rebalance = nil
		return
	}
	if move != nil && move.GivenUp && !p.look.Fits(s) {
		p.again(p.now.Add(p.set.RebalanceAgain))
		return
	}
	s.Count = min(s.Count, p.bounds.Ceiling-p.living())
	if s.Count <= 0 || p.number((*member).good, in(healthy)) < p.bounds.Desired || p.alive != p.bounds.Desired {
		return
	}
	if p.start(s) {
		p.history.Rebalance = &gantry.Rebalance{Zone: s.Zone, Desired: p.bounds.Desired, At: p.now}
	}
}

// way is what to start to make the zones more even: tasks in one that has fewer than
// another by more than one, half as many as that, the widest gap first. Its Count is 0
// where there is none, or none of the tasks may move.
func (p *planner) way(zones map[string]int) Start {
	out, names, gap := Start{Revision: p.rollout().Revision}, slices.Sorted(maps.Keys(zones)), 1
	for _, from := range names {
		for _, to := range names {
			wider := zones[from] - zones[to]
			if wider <= gap {
				continue
			}
			if provider, n := p.movable(from, to); n > 0 {
				gap, out.Zone, out.Count, out.Providers = wider, to, min(n, wider/2), nil
				if provider != "" {
					out.Providers = slices.Repeat([]string{provider}, out.Count)
				}
			}
		}
	}
	return out
}

// movable is how many tasks may move from one zone to another: those of one capacity
// provider, where the service has a strategy, that has instances in both. It has its share
// then as before.
func (p *planner) movable(from, to string) (provider string, n int) {
	shares := p.look.Shares[p.rollout().Revision]
	there := func(m *member) bool { return m.Zone == from }
	if len(shares) == 0 {
		return "", p.number((*member).good, unprotected, there)
	}
	for _, s := range shares {
		of := func(m *member) bool { return m.CapacityProvider == s.Provider }
		if k := p.number((*member).good, unprotected, there, of); k > n && slices.Contains(p.look.ZonesOf[s.Provider], to) {
			provider, n = s.Provider, k
		}
	}
	return provider, n
}

// announceMove tells that tasks are being moved between zones, or cannot be: once, also
// where the zone that had no room is tried again.
func (p *planner) announceMove() {
	now := p.history.Rebalance
	if now == nil {
		return
	}
	p.conditions = append(p.conditions, Event{Name: RebalancingStarted, Message: "is not AZ balanced with " + listed(p.zones()) + ". AZ Rebalancing in progress.", Cause: RebalancingStarted})
	if now.GivenUp || p.retries() {
		p.conditions = append(p.conditions, Event{Name: PlacementFailure, Message: textNoZone(now.Zone), Cause: PlacementFailure + "/" + now.Zone})
	}
}

// mayMove reports whether the service's tasks may be moved at all: not during a deployment.
func (p *planner) mayMove() bool {
	return p.look.Service.Rebalancing == ecsapi.AvailabilityZoneRebalancingEnabled &&
		p.deployment.Over() && !p.deployment.Halted()
}

// retries reports whether the plan starts tasks in a zone that had no room before.
func (p *planner) retries() bool {
	before, now := p.look.History.Rebalance, p.history.Rebalance
	return before != nil && before.GivenUp && now != nil && !now.GivenUp && before.Zone == now.Zone
}

// move is what is being moved between zones; nil for nothing.
func (p *planner) move() *gantry.Rebalance {
	if m := p.history.Rebalance; m != nil && !m.GivenUp && m.Desired == p.bounds.Desired && p.mayMove() {
		return m
	}
	return nil
}

// moving reports whether tasks that were started to rebalance are not healthy yet:
// until then none is stopped for them.
func (p *planner) moving() bool {
	return p.move() != nil && p.number((*member).good, in(pending, warming)) > 0
}

// zones are the numbers of good tasks by availability zone, of those where there could be
// some: also where there are none, and not where no instance is ACTIVE and connected. What
// runs there neither stops nor gets company; it may be lost, or be there again soon.
func (p *planner) zones() map[string]int {
	n := map[string]int{}
	shares := p.look.Shares[p.rollout().Revision]
	if len(shares) == 0 {
		for _, z := range p.look.Zones {
			n[z] = 0
		}
	}
	for _, s := range shares {
		for _, z := range p.look.ZonesOf[s.Provider] {
			n[z] = 0
		}
	}
	for _, m := range p.where((*member).good) {
		if _, open := n[m.Zone]; open {
			n[m.Zone]++
		}
	}
	return n
}

// even reports whether no zone has more tasks than another by more than one.
func even(zones map[string]int) bool {
	counts := slices.Sorted(maps.Values(zones))
	return len(counts) == 0 || counts[len(counts)-1]-counts[0] < 2
}

func listed(zones map[string]int) string {
	var parts []string
	for _, z := range slices.Sorted(maps.Keys(zones)) {
		parts = append(parts, fmt.Sprintf("%d tasks in %s", zones[z], z))
	}
	return strings.Join(parts, ", ")
}
