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
	least, most := extremes(zones)
	if zones[most]-zones[least] < 2 {
		if move != nil && !move.GivenUp {
			p.event(RebalancingCompleted, "is AZ balanced with "+listed(zones)+".")
		}
		p.history.Rebalance = nil
		return
	}
	n := min((zones[most]-zones[least])/2, p.bounds.Ceiling-p.living())
	if n <= 0 || p.number((*member).good, in(healthy)) < p.bounds.Desired || p.alive != p.bounds.Desired {
		return
	}
	if p.start(Start{Revision: p.rollout().Revision, Count: n, Zone: least}) {
		p.history.Rebalance = &gantry.Rebalance{Zone: least, Desired: p.bounds.Desired, At: p.now}
	}
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

// mayMove reports whether the service's tasks may be moved at all: not during a deployment,
// and not between several capacity providers, whose shares go before even zones.
func (p *planner) mayMove() bool {
	return p.look.Service.Rebalancing == ecsapi.AvailabilityZoneRebalancingEnabled &&
		p.deployment.Over() && !p.deployment.Halted() && len(p.look.Shares[p.rollout().Revision]) < 2
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

// zones are the numbers of good tasks by availability zone, also of zones without any.
func (p *planner) zones() map[string]int {
	n := map[string]int{}
	for _, z := range p.look.Zones {
		n[z] = 0
	}
	for _, m := range p.where((*member).good) {
		if m.Zone != "" {
			n[m.Zone]++
		}
	}
	return n
}

// extremes are the zones with the fewest and the most tasks, the first by name of equals.
func extremes(zones map[string]int) (least, most string) {
	for i, z := range slices.Sorted(maps.Keys(zones)) {
		if i == 0 || zones[z] < zones[least] {
			least = z
		}
		if i == 0 || zones[z] > zones[most] {
			most = z
		}
	}
	return least, most
}

func listed(zones map[string]int) string {
	var parts []string
	for _, z := range slices.Sorted(maps.Keys(zones)) {
		parts = append(parts, fmt.Sprintf("%d tasks in %s", zones[z], z))
	}
	return strings.Join(parts, ", ")
}
