package home

import (
	"path/filepath"
	"reflect"
	"testing"
)

// What was told at an earlier start holds until something else is told.
func TestAMachineIsKnownFromEarlierStarts(t *testing.T) {
	file := filepath.Join(t.TempDir(), "home.json")
	if err := (&Home{Server: "https://10.0.0.1:4747", AccessKeyID: "AKIA"}).write(file); err != nil {
		t.Fatal(err)
	}
	for i, step := range []struct{ told, want Machine }{
		{Machine{}, Machine{}},
		{Machine{Zone: "a", InstanceType: "big"}, Machine{Zone: "a", InstanceType: "big"}},
		{Machine{}, Machine{Zone: "a", InstanceType: "big"}},
		{Machine{Zone: "b", ImageID: "ami-1"}, Machine{Zone: "b", InstanceType: "big", ImageID: "ami-1"}},
		{Machine{}, Machine{Zone: "b", InstanceType: "big", ImageID: "ami-1"}},
		{Machine{Attributes: map[string]string{"stack": "prod", "disk": "ssd"}},
			Machine{Zone: "b", InstanceType: "big", ImageID: "ami-1", Attributes: map[string]string{"stack": "prod", "disk": "ssd"}}},
		{Machine{Attributes: map[string]string{}}, Machine{Zone: "b", InstanceType: "big", ImageID: "ami-1", Attributes: map[string]string{"stack": "prod", "disk": "ssd"}}},
		{Machine{Attributes: map[string]string{"stack": "test"}}, Machine{Zone: "b", InstanceType: "big", ImageID: "ami-1", Attributes: map[string]string{"stack": "test"}}},
	} {
		h, err := Read(file) // each start reads it anew
		if err != nil {
			t.Fatal(err)
		}
		if got, err := h.Know(file, step.told); err != nil || !reflect.DeepEqual(got, step.want) {
			t.Errorf("start %d, told %+v: %+v, %v; want %+v", i, step.told, got, err, step.want)
		}
		if h.Server != "https://10.0.0.1:4747" {
			t.Errorf("start %d: the server is %q", i, h.Server)
		}
	}
}
