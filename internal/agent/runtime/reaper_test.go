package runtime

import (
	"context"
	"os/exec"
	"slices"
	"testing"
)

func TestZombieChildren(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/proc/self/exe", "-test.run=^$")
	cmd.Env = []string{helperRole + "=none"}
	must(t, cmd.Start())
	zombie := func() bool {
		list, err := zombieChildren("/proc/self")
		must(t, err)
		return slices.Contains(list, cmd.Process.Pid)
	}
	eventually(t, ctx, "it has ended and nobody asked", zombie)
	_ = cmd.Wait()
	if zombie() {
		t.Error("it was collected, and yet listed")
	}
}
