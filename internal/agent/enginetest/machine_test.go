package enginetest

import (
	"testing"
	"time"

	"gantry/internal/agent/engine"
)

func TestTheMachineThatPretendsConforms(t *testing.T) {
	m := New(map[string]Program{"exit": {Runs: time.Millisecond, ExitCode: 3}, "wait": {}, "deaf": {Deaf: true}})
	Conform(t, Subject{
		Containers: m, Sandboxes: m, Network: m.Network(),
		Spec: func(program, id string) *engine.Spec {
			return &engine.Spec{ID: id, TaskID: "conformance", Image: program}
		},
		Ready: func(testing.TB, string) {},
	})
	if left := m.Left(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}
