package store

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

// TestIndexesAreCopies: whatever is done to copies of an index, and to copies of these,
// each has what was done to it, and its counts are those of its keys.
func TestIndexesAreCopies(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type pair struct {
			index *indexTree
			want  map[[2]string]bool
		}
		all := []pair{{newIndexTree(), map[[2]string]bool{}}}
		values := rapid.SampledFrom([]string{"a", "b", "c"})
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			p := all[rapid.IntRange(0, len(all)-1).Draw(t, "which")]
			value, key := values.Draw(t, "value"), fmt.Sprint(rapid.IntRange(0, 60).Draw(t, "key"))
			switch rapid.IntRange(0, 5).Draw(t, "what") {
			case 0:
				all = append(all, pair{p.index.copy(), maps.Clone(p.want)})
			case 1, 2:
				p.index.delete(value, key)
				delete(p.want, [2]string{value, key})
			default:
				p.index.set(value, key)
				p.want[[2]string{value, key}] = true
			}
		}
		for _, p := range all {
			var used []string
			p.index.values("", func(value string) bool { used = append(used, value); return true })
			for _, value := range []string{"a", "b", "c"} {
				var want, got []string
				for w := range p.want {
					if w[0] == value {
						want = append(want, w[1])
					}
				}
				slices.Sort(want)
				if slices.Contains(used, value) != (len(want) > 0) {
					t.Fatalf("the values are %v, and under %s there are %v", used, value, want)
				}
				p.index.ascend(value, "", func(key string) bool { got = append(got, key); return true })
				if !slices.Equal(want, got) || p.index.count(value) != len(want) {
					t.Fatalf("under %s there are %v, counted %d; want %v", value, got, p.index.count(value), want)
				}
			}
		}
	})
}

// TestIndexIsCopiedAtOnce: many may copy an index, and change their copies, while others
// read it.
func TestIndexIsCopiedAtOnce(t *testing.T) {
	x := newIndexTree()
	for i := range 1000 {
		x.set("v", fmt.Sprintf("%03d", i))
	}
	var all sync.WaitGroup
	for worker := range 8 {
		all.Go(func() {
			for i := range 100 {
				c := x.copy()
				c.delete("v", fmt.Sprintf("%03d", i))
				c.set("v", fmt.Sprintf("new %d", worker))
				if n := c.count("v"); n != 1000 {
					t.Errorf("a copy has %d keys, want 1000", n)
				}
				n := 0
				x.ascend("v", "", func(string) bool { n++; return true })
				if n != 1000 {
					t.Errorf("the original has %d keys, want 1000", n)
				}
			}
		})
	}
	all.Wait()
}
