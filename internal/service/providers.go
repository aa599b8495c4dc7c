package service

import (
	"maps"
	"slices"

	"gantry"
	"gantry/internal/placement"
)

// deal names the capacity providers of so many new tasks of a revision, by base and
// weight of its strategy; nil where it has none.
func (p *planner) deal(revision gantry.RevisionID, n int) []string {
	shares := p.look.Shares[revision]
	if len(shares) == 0 {
		return nil
	}
	counts := p.perProvider(revision, shares)
	out := make([]string, n)
	for i := range out {
		next := placement.NextProvider(shares, counts)
		counts[next]++
		out[i] = shares[next].Provider
	}
	return out
}

// perProvider counts the tasks of a revision that are to stay, and those that the plan
// starts, by the items of a strategy.
func (p *planner) perProvider(revision gantry.RevisionID, shares []placement.ProviderShare) []int {
	counts := make([]int, len(shares))
	count := func(provider string) {
		if i := itemOf(shares, provider); i >= 0 {
			counts[i]++
		}
	}
	for _, m := range p.where() {
		if m.Revision() == revision && !m.draining && m.standing != unhealthy {
			count(m.CapacityProvider)
		}
	}
	for _, s := range p.plan.Starts {
		if s.Revision == revision {
			for _, provider := range s.Providers {
				count(provider)
			}
		}
	}
	return counts
}

// itemOf is the place of a provider in a strategy; -1 where it is not in it.
func itemOf(shares []placement.ProviderShare, provider string) int {
	return slices.IndexFunc(shares, func(s placement.ProviderShare) bool { return s.Provider == provider })
}

// even are at most n of some members of one revision, taken from the capacity providers
// that have the most beyond their shares, and of each of those that placement would stop
// first. Members whose provider the strategy does not name go before. Without a strategy,
// or of several revisions, only placement decides.
func (p *planner) even(n int, of []*member) []*member {
	if n <= 0 || len(of) == 0 || n >= len(of) {
		return p.best(n, of)
	}
	revision := of[0].Revision()
	shares := p.look.Shares[revision]
	if len(shares) == 0 || slices.ContainsFunc(of, func(m *member) bool { return m.Revision() != revision }) {
		return p.best(n, of)
	}
	by := map[string][]*member{}
	for _, m := range of {
		by[m.CapacityProvider] = append(by[m.CapacityProvider], m)
	}
	var out []*member
	for _, provider := range slices.Sorted(maps.Keys(by)) {
		if itemOf(shares, provider) < 0 {
			out = append(out, p.best(min(n-len(out), len(by[provider])), by[provider])...)
		}
	}
	counts, take := p.perProvider(revision, shares), make([]int, len(shares))
	for i, s := range shares {
		if len(by[s.Provider]) == 0 {
			counts[i] = 0 // none that may be taken
		}
	}
	for range n - len(out) {
		i := placement.SurplusProvider(shares, counts)
		if i < 0 {
			break
		}
		counts[i]--
		if take[i]++; take[i] == len(by[shares[i].Provider]) {
			counts[i] = 0 // no more that may be taken
		}
	}
	for i, s := range shares {
		out = append(out, p.best(take[i], by[s.Provider])...)
	}
	return out
}

// short are the new tasks that wait for a capacity provider some of whose instances lack
// nothing but room: stopping a task may help.
func (p *planner) short() int {
	return p.number((*member).good, func(m *member) bool { return m.Waits() && p.look.NoRoom[m.CapacityProvider].Full })
}

// announceProviders tells, to EventBridge only, that the capacity providers that a steady
// service's tasks go by have given them what they need.
func (p *planner) announceProviders() {
	var names []string
	for _, s := range p.look.Shares[p.rollout().Revision] {
		names = append(names, s.Provider)
	}
	if len(names) > 0 {
		p.conditions = append(p.conditions, Event{Name: ProviderSteadyState, Providers: names, Cause: ProviderSteadyState})
	}
}

// announceWaiting tells why tasks wait for a capacity provider.
func (p *planner) announceWaiting() {
	waits := map[string]bool{}
	for _, m := range p.where(func(m *member) bool { return m.Waits() }) {
		waits[m.CapacityProvider] = true
	}
	for _, provider := range slices.Sorted(maps.Keys(waits)) {
		if u, ok := p.look.NoRoom[provider]; ok {
			p.conditions = append(p.conditions, Event{Name: PlacementFailure, Message: u.Message, Providers: []string{provider}, Cause: PlacementFailure + "/" + provider})
		}
	}
	if len(waits) > 0 {
		p.again(p.now.Add(p.set.PlaceAgain)) // the reasons may be others by then
	}
}
