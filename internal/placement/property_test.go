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

// TestPlaceAgreesWithTheReference registers, changes and removes instances, places and
// stops tasks and clones clusters in any order, and wants of every placement:
// the very choice of the reference (with random: one of its choices), and a refusal
// exactly where the reference finds nothing, with its reasons.
func TestPlaceAgreesWithTheReference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &world{t: t, clusters: []*Cluster{NewCluster()}, models: []*model{newModel()}}
		for range rapid.IntRange(1, 4).Draw(t, "specs") {
			spec := drawSpec(t)
			r, err := Compile(spec)
			if err != nil {
				t.Fatal(err)
			}
			w.specs, w.requests = append(w.specs, spec), append(w.requests, r)
		}
		w.register(rapid.IntRange(0, 150).Draw(t, "instances at first"))
		t.Repeat(map[string]func(*rapid.T){
			"register": func(t *rapid.T) { w.register(rapid.IntRange(1, 20).Draw(t, "new")) },
			"change":   w.change,
			"remove":   w.remove,
			"place":    w.place,
			"place 2":  w.place, // more often than the rest
			"place 3":  w.place,
			"place 4":  w.place,
			"stop":     w.stop,
			"force":    w.force,
			"clone":    w.clone,
			"another":  w.another,
		})
	})
}

// world is some clusters, most of them clones of each other, each with its twin.
type world struct {
	t        *rapid.T
	clusters []*Cluster
	models   []*model
	specs    []Spec
	requests []*Request
	named    int // instances and tasks that were ever named
}

func (w *world) pick(t *rapid.T) (*Cluster, *model) {
	i := rapid.IntRange(0, len(w.clusters)-1).Draw(t, "cluster")
	return w.clusters[i], w.models[i]
}

func (w *world) name() string {
	w.named++
	return fmt.Sprintf("%d", w.named)
}

func (w *world) register(n int) {
	c, m := w.clusters[len(w.clusters)-1], w.models[len(w.clusters)-1]
	seed := rapid.Uint32().Draw(w.t, "kinds")
	variety := rapid.SampledFrom([]int{1, 2, 4, 1000}).Draw(w.t, "variety") // few: many ties
	for i := range n {
		inst := instanceOf(gantry.InstanceID("i-"+w.name()), mix(uint64(seed)+uint64(i%variety)))
		c.Set(inst)
		m.instances[inst.ID] = inst
	}
}

// instanceOf makes an instance of a few kinds from a number: small sizes, so that ties and
// full instances are frequent.
func instanceOf(id gantry.InstanceID, kind uint64) Instance {
	from := func(n uint64) uint64 { k := kind % n; kind /= n; return k }
	inst := Instance{ID: id, Status: "ACTIVE", Connected: true, Attributes: map[string]string{}}
	inst.Total = Resources{CPU: int64(from(4)) * 512, Memory: int64(from(4)) * 512}
	if from(3) == 0 {
		inst.Total.GPUs = int64(from(3))
		inst.Total.Other = []Amount{{"fpga", int64(from(3))}}
	}
	if z := from(4); z > 0 {
		inst.Attributes["zone"] = fmt.Sprint("z", z)
	}
	if r := from(6); r > 0 {
		inst.Attributes["rack"] = fmt.Sprint("r", r)
	}
	if from(4) == 0 {
		inst.Reserved = []Port{{80, TCP}}
	}
	switch from(12) {
	case 0:
		inst.Status = "DRAINING"
	case 1:
		inst.Connected = false
	}
	return inst
}

func drawSpec(t *rapid.T) Spec {
	spec := Spec{
		Group: gantry.Group(rapid.SampledFrom([]string{"service:a", "service:b"}).Draw(t, "group")),
		Demand: Demand{
			CPU:    int64(rapid.IntRange(0, 4).Draw(t, "cpu")) * 128,
			Memory: int64(rapid.IntRange(0, 4).Draw(t, "memory")) * 128,
		},
		Seed: 1,
	}
	rare := rapid.IntRange(0, 9)
	if rare.Draw(t, "gpu") == 0 {
		spec.Demand.GPUs = 1
	}
	if rare.Draw(t, "other") == 0 {
		spec.Demand.Other = []Amount{{"fpga", 1}}
	}
	if rare.Draw(t, "ports") < 3 {
		spec.Demand.Ports = []Port{{80, rapid.SampledFrom([]Protocol{TCP, UDP}).Draw(t, "protocol")}}
	}
	if rare.Draw(t, "requires") == 0 {
		spec.Requires = []ecsapi.Attribute{{Name: new("rack"), Value: rapid.SampledFrom([]*string{nil, new("r1")}).Draw(t, "rack")}}
	}
	if rare.Draw(t, "averse") < 3 {
		for i := range rapid.IntRange(1, 40).Draw(t, "to the first") {
			spec.Averse = append(spec.Averse, gantry.InstanceID(fmt.Sprint("i-", i+1)))
		}
	}
	if rare.Draw(t, "distinct") == 0 {
		spec.Constraints = append(spec.Constraints, ecsapi.PlacementConstraint{Type: "distinctInstance"})
	}
	if rare.Draw(t, "member") < 4 {
		spec.Constraints = append(spec.Constraints, ecsapi.PlacementConstraint{Type: "memberOf",
			Expression: new(rapid.SampledFrom([]string{
				"attribute:zone in [z1, z2]", "attribute:rack != r1", "runningTasksCount < 2",
				"not(task:group == service:b)", "task:group == service:a or attribute:rack !exists",
			}).Draw(t, "expression"))})
	}
	spec.Strategies = rapid.SliceOfN(rapid.SampledFrom([]ecsapi.PlacementStrategy{
		{Type: "spread", Field: new("attribute:zone")},
		{Type: "spread", Field: new("attribute:rack")},
		{Type: "spread", Field: new("instanceId")},
		{Type: "spread", Field: new("host")},
		{Type: "binpack", Field: new("cpu")},
		{Type: "binpack", Field: new("memory")},
		{Type: "random"},
	}), 0, MaxStrategies).Draw(t, "strategies")
	return spec
}

func (w *world) anyInstance(t *rapid.T, m *model) gantry.InstanceID {
	if len(m.instances) == 0 {
		t.Skip("no instances")
	}
	ids := make([]gantry.InstanceID, 0, len(m.instances))
	for id := range m.instances {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return rapid.SampledFrom(ids).Draw(t, "instance")
}

func (w *world) change(t *rapid.T) {
	c, m := w.pick(t)
	inst := instanceOf(w.anyInstance(t, m), mix(uint64(rapid.Uint32().Draw(t, "kind"))))
	c.Set(inst)
	m.instances[inst.ID] = inst
}

func (w *world) remove(t *rapid.T) {
	c, m := w.pick(t)
	id := w.anyInstance(t, m)
	c.Remove(id)
	m.remove(id)
}

func (w *world) place(t *rapid.T) {
	c, m := w.pick(t)
	i := rapid.IntRange(0, len(w.specs)-1).Draw(t, "spec")
	for range rapid.SampledFrom([]int{1, 3, 8, 50}).Draw(t, "count") {
		task := gantry.TaskID(w.name())
		choice, refusal := Place(c, w.requests[i], task)
		want := m.place(w.specs[i], task)
		if refusal != nil {
			if len(want) > 0 {
				t.Fatalf("refused, and %v would do: %s", want, refusal)
			}
			w.checkReasons(t, m, w.specs[i], refusal)
			return
		}
		if !slices.Contains(want, choice.Instance) {
			t.Fatalf("placed on %s instead of %v", choice.Instance, want)
		}
		w.add(t, c, m, modelTask{choice.Instance, w.specs[i].Group, w.specs[i].Demand})
	}
}

func (w *world) checkReasons(t *rapid.T, m *model, spec Spec, refusal *Refusal) {
	want := map[Reason]int{}
	for _, inst := range m.instances {
		want[m.reason(inst, spec)]++
	}
	if diff := cmp.Diff(want, refusal.Counts); diff != "" || refusal.Instances != len(m.instances) {
		t.Fatalf("reasons (-want +got), %d instances: %s", refusal.Instances, diff)
	}
}

func (w *world) add(t *rapid.T, c *Cluster, m *model, task modelTask) {
	if err := c.AddTask(task.instance, task.group, task.demand); err != nil {
		t.Fatal(err)
	}
	m.tasks = append(m.tasks, task)
	got, _ := c.Free(task.instance)
	want := m.free(task.instance)
	gotOther, wantOther := of(got.Other, "fpga"), of(want.Other, "fpga")
	got.Other, want.Other = nil, nil
	if diff := cmp.Diff(want, got); diff != "" || gotOther != wantOther {
		t.Fatalf("free on %s (-want +got): %s, of fpga %d %d", task.instance, diff, wantOther, gotOther)
	}
}

// force puts a task where it may not fit, as an agent does that reports what it runs.
func (w *world) force(t *rapid.T) {
	c, m := w.pick(t)
	i := rapid.IntRange(0, len(w.specs)-1).Draw(t, "spec")
	w.add(t, c, m, modelTask{w.anyInstance(t, m), w.specs[i].Group, w.specs[i].Demand})
}

func (w *world) stop(t *rapid.T) {
	c, m := w.pick(t)
	if len(m.tasks) == 0 {
		t.Skip("no tasks")
	}
	i := rapid.IntRange(0, len(m.tasks)-1).Draw(t, "task")
	task := m.tasks[i]
	if err := c.RemoveTask(task.instance, task.group, task.demand); err != nil {
		t.Fatal(err)
	}
	m.tasks = slices.Delete(m.tasks, i, i+1)
}

func (w *world) clone(t *rapid.T) {
	c, m := w.pick(t)
	w.keep(c.Clone(), m.clone())
}

// another begins a cluster that shares nothing with the others but the requests.
func (w *world) another(*rapid.T) { w.keep(NewCluster(), newModel()) }

func (w *world) keep(c *Cluster, m *model) {
	if len(w.clusters) == 4 {
		w.clusters, w.models = w.clusters[1:], w.models[1:]
	}
	w.clusters, w.models = append(w.clusters, c), append(w.models, m)
}
