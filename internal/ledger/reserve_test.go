package ledger

import (
	"slices"
	"testing"

	"gantry"
)

// What the agent keeps for itself, and what others have, is nobody's: also where placement knew nothing of it yet.
func TestReservedPortsAreNobodys(t *testing.T) {
	registered := gantry.Resources{CPU: 1024, Memory: 512, Ports: []uint16{22}, UDPPorts: []uint16{53}}
	taken := gantry.Resources{CPU: 512, Memory: 256, Ports: []uint16{80}, UDPPorts: []uint16{514}}
	for _, test := range []struct {
		need gantry.Resources
		want bool
	}{
		{gantry.Resources{CPU: 512, Memory: 256, Ports: []uint16{53, 514}, UDPPorts: []uint16{22, 80}}, true},
		{gantry.Resources{CPU: 513}, false},
		{gantry.Resources{Memory: 257}, false},
		{gantry.Resources{Ports: []uint16{22}}, false},
		{gantry.Resources{Ports: []uint16{80}}, false},
		{gantry.Resources{UDPPorts: []uint16{53}}, false},
		{gantry.Resources{UDPPorts: []uint16{514}}, false},
	} {
		if got := fits(registered, taken, test.need); got != test.want {
			t.Errorf("%+v fits: %t", test.need, got)
		}
	}
}

// Each container has GPUs of its own.
func TestGPUsAreDealtOnce(t *testing.T) {
	task := &gantry.Task{Containers: []gantry.Container{{Name: "a"}, {Name: "b"}, {Name: "c"}}}
	if !dealGPUs(task, []int{1, 0, 2}, []string{"g0", "g1", "g2"}) {
		t.Fatal("three GPUs are not enough for three")
	}
	if a, c := task.Containers[0].GPUs, task.Containers[2].GPUs; !slices.Equal(a, []string{"g0"}) || !slices.Equal(c, []string{"g1", "g2"}) {
		t.Errorf("a has %v, c has %v", a, c)
	}
	if got := task.Reserved.GPUs; !slices.Equal(got, []string{"g0", "g1", "g2"}) {
		t.Errorf("the task has %v", got)
	}
	if dealGPUs(task, []int{2, 0, 2}, []string{"g0", "g1", "g2"}) {
		t.Error("three GPUs are enough for four")
	}
}
