package placement

import (
	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"
)

// A ProviderShare is one item of a capacity provider strategy.
type ProviderShare struct {
	Provider string
	Base     int // tasks that go to the provider first; at most one item has a base
	Weight   int // ratio of the tasks beyond the base; 0 places nothing beyond it
}

// SharesOf is a strategy as the API has it. A provider that is alone takes everything,
// whatever its weight.
func SharesOf(items []ecsapi.CapacityProviderStrategyItem) []ProviderShare {
	out := make([]ProviderShare, len(items))
	for i, item := range items {
		out[i] = ProviderShare{Provider: *item.CapacityProvider, Base: int(wire.Value(item.Base)), Weight: int(wire.Value(item.Weight))}
	}
	if len(out) == 1 {
		out[0].Weight = max(out[0].Weight, 1)
	}
	return out
}

// NextProvider gives the place in strategy of the provider that the next task goes to, when
// counts has the tasks of each item so far: to the one whose base is not reached, else to
// the one with the smallest (count - base) / weight, the first of equals. It is -1 where
// no item takes another task: no weight, and every base reached.
func NextProvider(strategy []ProviderShare, counts []int) int {
	next := -1
	for i, s := range strategy {
		if counts[i] < s.Base {
			return i
		}
		if s.Weight > 0 && (next < 0 || before(strategy, counts, i, next, 0)) {
			next = i
		}
	}
	return next
}

// SurplusProvider is the reverse of NextProvider, for scale-in: the place of the provider
// whose task would have been the last to be placed, so that what remains is as if it had
// never been. Tasks beyond the base of an item without weight go before, and what the
// bases hold goes last. It is -1 where there are no tasks.
func SurplusProvider(strategy []ProviderShare, counts []int) int {
	surplus, inBase := -1, -1
	for i, s := range strategy {
		switch {
		case counts[i] > s.Base && s.Weight == 0:
			return i
		case counts[i] > s.Base:
			if surplus < 0 || !before(strategy, counts, i, surplus, -1) {
				surplus = i
			}
		case counts[i] > 0:
			inBase = i
		}
	}
	if surplus < 0 {
		return inBase
	}
	return surplus
}

// before tells whether item i has less of its share than item j, each with so many tasks
// more: it compares (count - base) / weight in whole numbers.
func before(strategy []ProviderShare, counts []int, i, j, more int) bool {
	a, b := strategy[i], strategy[j]
	return (counts[i]+more-a.Base)*b.Weight < (counts[j]+more-b.Base)*a.Weight
}
