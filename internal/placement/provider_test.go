package placement

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// ecs is the worked example of the ECS documentation: A base 2 weight 1, B weight 3.
var ecs = []ProviderShare{{Provider: "A", Base: 2, Weight: 1}, {Provider: "B", Weight: 3}}

func split(strategy []ProviderShare, n int) []int {
	counts := make([]int, len(strategy))
	for range n {
		if i := NextProvider(strategy, counts); i >= 0 {
			counts[i]++
		}
	}
	return counts
}

func TestNextProvider(t *testing.T) {
	for _, c := range []struct {
		strategy []ProviderShare
		tasks    int
		want     []int
	}{
		{ecs, 1, []int{1, 0}},
		{ecs, 2, []int{2, 0}},
		{ecs, 6, []int{3, 3}},
		{ecs, 10, []int{4, 6}},
		{ecs, 42, []int{12, 30}},
		{[]ProviderShare{{Weight: 1}, {Weight: 1}}, 5, []int{3, 2}},
		{[]ProviderShare{{Weight: 0}, {Weight: 1}}, 5, []int{0, 5}},
		{[]ProviderShare{{Weight: 1}, {Base: 3}}, 5, []int{2, 3}},
		{[]ProviderShare{{Base: 2}}, 5, []int{2}},
		{nil, 5, []int{}},
	} {
		t.Run(fmt.Sprintf("%v/%d", c.strategy, c.tasks), func(t *testing.T) {
			if got := split(c.strategy, c.tasks); !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

// TestSurplusProviderIsTheReverse takes tasks back one by one: what is left is always what
// would have been placed.
func TestSurplusProviderIsTheReverse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		strategy := make([]ProviderShare, rapid.IntRange(1, 5).Draw(t, "items"))
		for i := range strategy {
			strategy[i].Weight = rapid.IntRange(0, 5).Draw(t, "weight")
		}
		strategy[rapid.IntRange(0, len(strategy)-1).Draw(t, "based")].Base = rapid.IntRange(0, 5).Draw(t, "base")
		counts := split(strategy, 30)
		total := 0
		for _, n := range counts {
			total += n
		}
		for ; total > 0; total-- {
			if want := split(strategy, total); !slices.Equal(counts, want) {
				t.Fatalf("with %d tasks %v, want %v", total, counts, want)
			}
			counts[SurplusProvider(strategy, counts)]--
		}
		if i := SurplusProvider(strategy, counts); i != -1 {
			t.Fatalf("there are no tasks, and one is taken from item %d", i)
		}
	})
}

func TestSurplusProviderTakesFirstWhatNoWeightAllows(t *testing.T) {
	strategy := []ProviderShare{{Weight: 1}, {Base: 1}}
	if i := SurplusProvider(strategy, []int{9, 2}); i != 1 {
		t.Errorf("took from item %d", i)
	}
}
