package placement

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"gantry"
	"gantry/internal/wire/ecsapi"
)

func compile(t *testing.T, spec Spec) *Request {
	t.Helper()
	r, err := Compile(spec)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// put places one task and counts it.
func put(t *testing.T, c *Cluster, r *Request, task string) gantry.InstanceID {
	t.Helper()
	choice, refusal := Place(c, r, gantry.TaskID(task))
	if refusal != nil {
		t.Fatal(refusal)
	}
	if err := c.AddTask(choice.Instance, r.spec.Group, r.spec.Demand); err != nil {
		t.Fatal(err)
	}
	return choice.Instance
}

func plain(id string, attributes ...string) Instance {
	inst := Instance{ID: gantry.InstanceID(id), Status: "ACTIVE", Connected: true,
		Attributes: map[string]string{}, Total: Resources{CPU: 1 << 20, Memory: 1 << 20}}
	for _, a := range attributes {
		name, value, _ := strings.Cut(a, "=")
		inst.Attributes[name] = value
	}
	return inst
}

func TestCompileRefuses(t *testing.T) {
	strategy := func(kind, field string) Spec {
		return Spec{Strategies: []ecsapi.PlacementStrategy{{Type: ecsapi.PlacementStrategyType(kind), Field: &field}}}
	}
	constraint := func(kind, expression string) Spec {
		return Spec{Constraints: []ecsapi.PlacementConstraint{{Type: ecsapi.PlacementConstraintType(kind), Expression: &expression}}}
	}
	for _, c := range []struct {
		spec Spec
		want string
	}{
		{strategy("spread", "zone"), `The field of the placement strategy spread is instanceId, host or attribute:<name>, not "zone".`},
		{strategy("spread", "attribute:"), `The field of the placement strategy spread is instanceId, host or attribute:<name>, not "attribute:".`},
		{strategy("spread", ""), `The field of the placement strategy spread is instanceId, host or attribute:<name>, not "".`},
		{strategy("binpack", "disk"), "binpack field 'disk' is invalid: it is cpu or memory."},
		{strategy("random", "cpu"), "The placement strategy random takes no field."},
		{strategy("pack", "cpu"), "Unknown placement strategy type pack: it is random, spread or binpack."},
		{constraint("distinctInstance", "x"), "The placement constraint distinctInstance takes no expression."},
		{constraint("memberOf", "attribute:a =="), "Invalid cluster query expression at character 15: expected a value after ==, found the end."},
		{constraint("memberOf", ""), "Invalid cluster query expression at character 1: expected a subject such as attribute:name, found the end."},
		{constraint("near", ""), "Unknown placement constraint type near: it is distinctInstance or memberOf."},
		{Spec{Strategies: make([]ecsapi.PlacementStrategy, 6)}, "Maximum number of strategies is 5; this task has 6."},
		{Spec{Constraints: make([]ecsapi.PlacementConstraint, 11)}, "A task can have at most 10 placement constraints, and this one has 11."},
		{Spec{Demand: Demand{CPU: -1}}, "The cpu, memory or GPUs of the task are out of range."},
		{Spec{Demand: Demand{Memory: 1 << 32}}, "The cpu, memory or GPUs of the task are out of range."},
	} {
		_, err := Compile(c.spec)
		if bad, ok := errors.AsType[*InvalidError](err); !ok || bad.Message != c.want {
			t.Errorf("got error  %v\nwant error %s", err, c.want)
		}
	}
}

// TestRandomIsEven places many tasks at random and wants every instance that fits to be
// chosen about as often, also where most do not fit.
func TestRandomIsEven(t *testing.T) {
	for _, full := range []int{0, 50, 92} {
		t.Run(fmt.Sprintf("%d of 100 full", full), func(t *testing.T) {
			c := NewCluster()
			for i := range 100 {
				inst := plain(fmt.Sprint("i", i))
				if i < full {
					inst.Total.CPU = 0
				}
				c.Set(inst)
			}
			r := compile(t, Spec{Group: "g", Demand: Demand{CPU: 1}, Strategies: RunTaskStrategies(), Seed: 7})
			const each = 200
			chosen := map[gantry.InstanceID]int{}
			for i := range each * (100 - full) {
				choice, refusal := Place(c, r, gantry.TaskID(fmt.Sprint("task", i)))
				if refusal != nil {
					t.Fatal(refusal)
				}
				chosen[choice.Instance]++
			}
			if len(chosen) != 100-full {
				t.Errorf("%d instances were chosen of %d", len(chosen), 100-full)
			}
			for id, n := range chosen {
				if n < each*6/10 || n > each*14/10 { // 200 ± 5.7 standard deviations
					t.Errorf("instance %s was chosen %d times, and %d would be even", id, n, each)
				}
			}
		})
	}
}

// TestTiesDoNotHerd wants different tasks that see the same state to choose differently.
func TestTiesDoNotHerd(t *testing.T) {
	c := NewCluster()
	for i := range 100 {
		c.Set(plain(fmt.Sprint("i", i)))
	}
	r := compile(t, Spec{Group: "g", Strategies: ServiceStrategies()})
	chosen := map[gantry.InstanceID]int{}
	for i := range 100 {
		choice, _ := Place(c, r, gantry.TaskID(fmt.Sprint("task", i)))
		chosen[choice.Instance]++
	}
	if len(chosen) < 30 {
		t.Errorf("100 tasks chose %d of 100 equal instances", len(chosen))
	}
}

// TestClonesAreIndependent places on many clones at once, while the cluster they come from
// changes, and wants each to see its own tasks only. The race detector watches.
func TestClonesAreIndependent(t *testing.T) {
	c := NewCluster()
	for i := range 300 {
		c.Set(plain(fmt.Sprint("i", i), fmt.Sprint("zone=", i%3)))
	}
	spec := Spec{Group: "g", Demand: Demand{CPU: 1 << 20}, Strategies: []ecsapi.PlacementStrategy{
		{Type: "spread", Field: new("attribute:zone")}, {Type: "binpack", Field: new("memory")}}}
	var all sync.WaitGroup
	for range 8 {
		work := c.Clone()
		all.Go(func() {
			r, err := Compile(spec)
			if err != nil {
				t.Error(err)
				return
			}
			for i := range 301 {
				choice, refusal := Place(work, r, gantry.TaskID(fmt.Sprint(i)))
				if (refusal != nil) != (i == 300) {
					t.Errorf("task %d: %v", i, refusal)
					return
				}
				if refusal == nil {
					if err := work.AddTask(choice.Instance, spec.Group, spec.Demand); err != nil {
						t.Error(err)
					}
				}
			}
		})
		put(t, c, compile(t, Spec{Group: "h", Strategies: spec.Strategies}), "x")
	}
	all.Wait()
}

// TestManyShapes uses more shapes than are kept, in turn, and wants the oldest to be
// forgotten and every answer to be right all the same.
func TestManyShapes(t *testing.T) {
	c := NewCluster()
	for i := range 40 {
		c.Set(plain(fmt.Sprint("i", i), fmt.Sprint("n=", i), fmt.Sprintf("only%d=", i)))
	}
	for round := range 3 {
		for i := range 2 * maxShapes {
			i %= 40
			r := compile(t, Spec{Group: "g",
				Constraints: []ecsapi.PlacementConstraint{{Type: "memberOf", Expression: new(fmt.Sprintf("attribute:n == %d", i))}},
				Strategies:  []ecsapi.PlacementStrategy{{Type: "spread", Field: new(fmt.Sprint("attribute:only", i))}}})
			if got := put(t, c, r, fmt.Sprint(round, i)); got != gantry.InstanceID(fmt.Sprint("i", i)) {
				t.Fatalf("round %d: the task of i%d went to %s", round, i, got)
			}
			if len(c.orders) > maxShapes || len(c.dimensions) > maxShapes {
				t.Fatalf("%d orders and %d dimensions are kept", len(c.orders), len(c.dimensions))
			}
		}
	}
}

// TestOneRequestForManyClusters uses a request with clusters that have nothing to do with
// each other, and wants nothing that it remembers of one to be held against another.
func TestOneRequestForManyClusters(t *testing.T) {
	r := compile(t, Spec{Group: "g", Demand: Demand{Ports: []Port{{80, TCP}}}})
	for i := range 4 {
		c, inst := NewCluster(), plain("x")
		taken := i%2 == 0
		if taken {
			inst.Reserved = []Port{{80, TCP}}
		}
		c.Set(inst)
		if _, refusal := Place(c, r, "task"); (refusal != nil) != taken {
			t.Errorf("cluster %d: %v", i, refusal)
		}
	}
}

// TestFarBehind changes a cluster more often than changes are kept between two uses of an
// index.
func TestFarBehind(t *testing.T) {
	c := NewCluster()
	c.Set(plain("x"))
	c.Set(plain("y"))
	const others = maxChanges // more than the changes that are kept, which would be a reason to build anew
	for i := range others {
		c.Set(plain(fmt.Sprint("i", i)))
	}
	r := compile(t, Spec{Group: "g"})
	put(t, c, r, "1")
	for i := range 200 + maxChanges {
		id := gantry.InstanceID("y") // the changes that are dropped
		if i >= 200 {
			id = "x"
		}
		if err := c.AddTask(id, "other", Demand{}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range others {
		if got := put(t, c, r, fmt.Sprint(i)); got == "x" || got == "y" {
			t.Fatalf("task %d went to %s, which has hundreds", i, got)
		}
	}
	if len(c.changes.slots) > maxChanges {
		t.Errorf("%d changes are kept", len(c.changes.slots))
	}
}

// TestValuesThatComeAndGo wants what is kept of attribute values to stay in proportion to
// the instances there are.
func TestValuesThatComeAndGo(t *testing.T) {
	c := NewCluster()
	r := compile(t, Spec{Group: "g", Strategies: []ecsapi.PlacementStrategy{{Type: "spread", Field: new("attribute:host")}}})
	for i := range 3 * staleValues {
		id := fmt.Sprint("i", i)
		c.Set(plain(id, "host="+id))
		if got := put(t, c, r, id); got != gantry.InstanceID(id) {
			t.Fatalf("the task went to %s, not to %s", got, id)
		}
		c.Remove(gantry.InstanceID(id))
		for _, d := range c.dimensions {
			if len(d.values) > staleValues+2 {
				t.Fatalf("%d values are kept for %d instances", len(d.values), c.Len())
			}
		}
	}
	if n := c.nodes.branches; len(n) > 1 {
		t.Errorf("slots are not used again: %d branches", len(n))
	}
}

// TestNothingIsLeftBehind adds and removes many groups, and many instances, and wants the
// memory that they took to be let go.
func TestNothingIsLeftBehind(t *testing.T) {
	c := NewCluster()
	c.Set(plain("last"))
	r := compile(t, Spec{Group: "g"})
	const many = 1000
	for i := range many {
		id := gantry.InstanceID(fmt.Sprint("i", i))
		c.Set(plain(string(id)))
		for _, step := range []func(gantry.InstanceID, gantry.Group, Demand) error{c.AddTask, c.RemoveTask} {
			if err := step(id, gantry.Group(id), Demand{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	put(t, c, r, "1")
	for i := range many {
		c.Remove(gantry.InstanceID(fmt.Sprint("i", i)))
		Place(c, r, "2")
	}
	groups := 0
	for _, s := range c.groups.shards {
		if s != nil {
			groups += len(s.items)
		}
	}
	if groups > 1 {
		t.Errorf("%d groups are left of one", groups)
	}
	if n := len(c.orders[0].classes[0].blocks); n != 1 {
		t.Errorf("one instance has %d blocks", n)
	}
	if c.Len() != 1 {
		t.Errorf("%d instances are left of one", c.Len())
	}
}

func TestTasksOfUnknownInstances(t *testing.T) {
	c := NewCluster()
	if err := c.AddTask("x", "g", Demand{}); err == nil {
		t.Error("a task was added to an instance that is not there")
	}
	c.Set(plain("x"))
	if err := c.RemoveTask("x", "g", Demand{CPU: 1}); err == nil {
		t.Error("a task was removed that is not there")
	}
	if free, _ := c.Free("x"); free.CPU != 1<<20 {
		t.Errorf("a refused RemoveTask left %d CPU units", free.CPU)
	}
}

func TestEligibleIgnoresRoom(t *testing.T) {
	c := NewCluster()
	small, draining := plain("small", "daemon=yes"), plain("draining", "daemon=yes")
	small.Total.CPU, draining.Status = 0, "DRAINING"
	for _, inst := range []Instance{small, draining, plain("other"), plain("roomy", "daemon=yes")} {
		c.Set(inst)
	}
	r := compile(t, Spec{Group: "g", Demand: Demand{CPU: 5}, Constraints: []ecsapi.PlacementConstraint{
		{Type: "memberOf", Expression: new("attribute:daemon == yes")}}})
	var got []string
	for id := range Eligible(c, r) {
		got = append(got, string(id))
	}
	if strings.Join(got, " ") != "small roomy" {
		t.Errorf("eligible are %v", got)
	}
	if x, known := Examine(c, r, "small"); !known || x.Reason() != ReasonCPU {
		t.Errorf("examining small gives %v %v", x, known)
	}
	if x, known := Examine(c, r, "roomy"); !known || len(x.Lacks) > 0 {
		t.Errorf("examining roomy gives %v %v", x, known)
	}
}

// byHash gives ids in the order in which a class has instances that differ in nothing else.
func byHash(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprint("i", i)
	}
	slices.SortFunc(ids, func(a, b string) int { return cmp.Compare(hash32(a), hash32(b)) })
	return ids
}

// TestTiesDoNotCrossLevels has a hundred instances with a task each, of which some
// neighbours have one of the group: wherever on the ring a task begins to look, it must
// pass over those.
func TestTiesDoNotCrossLevels(t *testing.T) {
	c := NewCluster()
	has := map[gantry.InstanceID]bool{}
	for i, id := range byHash(100) {
		c.Set(plain(id))
		group := gantry.Group("other")
		if i >= 5 && i < 95 {
			group = "g"
			has[gantry.InstanceID(id)] = true
		}
		if err := c.AddTask(gantry.InstanceID(id), group, Demand{}); err != nil {
			t.Fatal(err)
		}
	}
	r := compile(t, Spec{Group: "g", Strategies: []ecsapi.PlacementStrategy{{Type: "spread", Field: new("instanceId")}}})
	for i := range 200 {
		if choice, _ := Place(c, r, gantry.TaskID(fmt.Sprint(i))); has[choice.Instance] {
			t.Fatalf("task %d went to %s, which has a task of the group already", i, choice.Instance)
		}
	}
}

// TestLevelsDoNotCrossPacks has instances with little memory and a task of the group, among
// them some without room, and instances with more memory and no task of the group: binpack
// comes first, so that the latter are never chosen.
func TestLevelsDoNotCrossPacks(t *testing.T) {
	c := NewCluster()
	for i, id := range byHash(100) {
		inst := plain(id)
		inst.Total.Memory = 1000
		switch {
		case i < 20:
		case i < 40:
			inst.Total.CPU = 0
		default:
			inst.Total.Memory = 2000
		}
		c.Set(inst)
		group := gantry.Group("other")
		if i < 20 {
			group = "g"
		}
		if err := c.AddTask(inst.ID, group, Demand{}); err != nil {
			t.Fatal(err)
		}
	}
	r := compile(t, Spec{Group: "g", Demand: Demand{CPU: 1, Memory: 1}, Strategies: []ecsapi.PlacementStrategy{
		{Type: "binpack", Field: new("memory")}, {Type: "spread", Field: new("instanceId")}}})
	choice, _ := Place(c, r, "task")
	if free, _ := c.Free(choice.Instance); free.Memory != 1000 {
		t.Errorf("the task went to %s, which has %d MiB left", choice.Instance, free.Memory)
	}
}
