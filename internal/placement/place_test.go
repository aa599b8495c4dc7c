package placement

import (
	"fmt"
	"testing"

	"gantry"
	"gantry/internal/wire/ecsapi"
)

func TestSmoke(t *testing.T) {
	c := NewCluster()
	for i := range 9 {
		c.Set(Instance{ID: gantry.InstanceID(fmt.Sprint("i", i)), Attributes: map[string]string{"ecs.availability-zone": fmt.Sprint("z", i%3)},
			Status: active, Connected: true, Total: Resources{CPU: 4096, Memory: 8192}})
	}
	d := Demand{CPU: 512, Memory: 1024}
	r, err := Compile(Spec{Group: "service:web", Demand: d, Strategies: []ecsapi.PlacementStrategy{
		{Type: "spread", Field: new("attribute:ecs.availability-zone")}, {Type: "binpack", Field: new("memory")}}})
	if err != nil {
		t.Fatal(err)
	}
	w := c.Clone()
	for i := range 74 {
		ch, ref := Place(w, r, gantry.TaskID(fmt.Sprint(i)))
		if ref != nil {
			t.Log(i, ref.Event())
			break
		}
		t.Log(ch)
		if err := w.AddTask(ch.Instance, "service:web", d); err != nil {
			t.Fatal(err)
		}
	}
}
