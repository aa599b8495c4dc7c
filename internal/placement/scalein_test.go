package placement

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"gantry"
	"gantry/internal/wire/ecsapi"
)

// TestStopsOneByOne wants the same tasks in the same order, whether they are chosen together
// or one after the other, each time from what the ones before have left.
func TestStopsOneByOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, instances := NewCluster(), map[gantry.InstanceID]Instance{}
		for i := range rapid.IntRange(1, 6).Draw(t, "instances") {
			in := instanceOf(gantry.InstanceID(fmt.Sprint("i-", i)), rapid.Uint64().Draw(t, "kind"))
			c.Set(in)
			instances[in.ID] = in
		}
		var tasks []Placed
		for i := range rapid.IntRange(0, 40).Draw(t, "tasks") {
			p := Placed{
				Task: gantry.TaskID(fmt.Sprint("t-", i)), Running: rapid.IntRange(0, 3).Draw(t, "running") > 0,
				Draining: rapid.IntRange(0, 5).Draw(t, "draining") == 0, Protected: rapid.IntRange(0, 5).Draw(t, "protected") == 0,
				Demand: Demand{CPU: rapid.SampledFrom([]int64{128, 256}).Draw(t, "cpu"), Memory: rapid.SampledFrom([]int64{128, 256}).Draw(t, "memory")},
			}
			if at := rapid.IntRange(-1, len(instances)-1).Draw(t, "at"); at >= 0 {
				p.Instance = gantry.InstanceID(fmt.Sprint("i-", at))
			}
			tasks = append(tasks, p)
		}
		r, err := Compile(Spec{Seed: rapid.Uint64().Draw(t, "seed"), Strategies: rapid.SampledFrom([][]ecsapi.PlacementStrategy{
			ServiceStrategies(),
			{{Type: "binpack", Field: new("memory")}},
			{{Type: "spread", Field: new("attribute:zone")}, {Type: "binpack", Field: new("cpu")}},
			{{Type: "spread", Field: new("instanceId")}},
			{{Type: "random"}},
		}).Draw(t, "strategies")})
		if err != nil {
			t.Fatal(err)
		}
		together := ChooseToStop(c, r, tasks, len(tasks)+1)
		var one []gantry.TaskID
		for left := slices.Clone(tasks); ; {
			chosen := ChooseToStop(c, r, left, 1)
			if len(chosen) == 0 {
				break
			}
			one = append(one, chosen...)
			i := slices.IndexFunc(left, func(p Placed) bool { return p.Task == chosen[0] })
			if in, placed := instances[left[i].Instance]; placed {
				in.Total.CPU += left[i].Demand.CPU
				in.Total.Memory += left[i].Demand.Memory
				c.Set(in)
				instances[in.ID] = in
			}
			left = slices.Delete(left, i, i+1)
		}
		if diff := cmp.Diff(one, together); diff != "" {
			t.Fatalf("chosen together (+) and one by one (-):\n%s", diff)
		}
	})
}

// BenchmarkChooseToStop chooses fifty of ten thousand tasks on a hundred instances, as a
// rollout does at each look.
func BenchmarkChooseToStop(b *testing.B) {
	c := NewCluster()
	var tasks []Placed
	for i := range 100 {
		id := gantry.InstanceID(fmt.Sprint("i-", i))
		c.Set(Instance{ID: id, Status: "ACTIVE", Connected: true, Total: Resources{CPU: 1 << 20, Memory: 1 << 20},
			Attributes: map[string]string{gantry.AttributeZone: fmt.Sprint("z", i%3)}})
		for j := range 100 {
			tasks = append(tasks, Placed{Task: gantry.TaskID(fmt.Sprint(i, "-", j)), Instance: id, Running: true, Demand: Demand{CPU: 256, Memory: 512}})
		}
	}
	r, err := Compile(Spec{Strategies: ServiceStrategies()})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if got := len(ChooseToStop(c, r, tasks, 50)); got != 50 {
			b.Fatal(got)
		}
	}
}
