package parts

import (
	"os"
	"testing"

	"gantry/internal/agent/engine"
	"gantry/internal/agent/enginetest"
)

func TestTheRealMachineConforms(t *testing.T) {
	h := newHost(t)
	p := Join(h.machine, Logs(h.logs))
	enginetest.Conform(t, enginetest.Subject{
		Containers: p.Containers, Sandboxes: p.Sandboxes, Network: p.Network,
		Spec: func(program, id string) *engine.Spec {
			command := []string{program}
			if program == "exit" {
				command = append(command, "3")
			}
			return &engine.Spec{ID: id, TaskID: "conformance", Image: testImage, Command: command, CPUShares: 2, Hostname: "conformance"}
		},
		Ready: func(_ testing.TB, id string) {
			stdout, _ := OutputFiles(h.machine.OutputDir, id)
			h.until("the container minds its signals", func() bool {
				text, err := os.ReadFile(stdout)
				return err == nil && len(text) > 0
			})
		},
	})
}
