package e2e

import (
	"os"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// control reads a container's own limit: these tests know the names that version 1 of
// control groups has, and are skipped where the machine has version 2.
func control(t *testing.T, controller, file string) string {
	t.Helper()
	if _, err := os.Stat("/sys/fs/cgroup/" + controller); err != nil {
		t.Skipf("there is no /sys/fs/cgroup/%s: the machine has control groups of version 2", controller)
	}
	return "read=/sys/fs/cgroup/" + controller + "/" + controller + "." + file
}

// TestLimits: cpu, memory, memoryReservation and swap as the kernel has them.
func TestLimits(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	shares, limit, soft := control(t, "cpu", "shares"), control(t, "memory", "limit_in_bytes"), control(t, "memory", "soft_limit_in_bytes")
	swappiness := control(t, "memory", "swappiness")
	for name, test := range map[string]struct {
		change func(*types.ContainerDefinition)
		want   map[string]string
	}{
		"hard and soft": {func(c *types.ContainerDefinition) {
			c.Cpu, c.Memory, c.MemoryReservation = 300, aws.Int32(96), aws.Int32(32)
		}, map[string]string{shares: "300", limit: "100663296", soft: "33554432"}},
		"soft only": {func(c *types.ContainerDefinition) {
			c.Cpu, c.Memory, c.MemoryReservation = 0, nil, aws.Int32(48)
		}, map[string]string{shares: "2", limit: "9223372036854771712", soft: "50331648"}},
		"swap": {func(c *types.ContainerDefinition) {
			c.LinuxParameters = &types.LinuxParameters{MaxSwap: aws.Int32(0), Swappiness: aws.Int32(7)}
		}, map[string]string{swappiness: "7"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := s.alone(t, func(_ *job, c *types.ContainerDefinition) { test.change(c) }, shares, limit, soft, swappiness)
			for what, want := range test.want {
				if text := strings.TrimSpace(got.text(t, what)); text != want {
					t.Errorf("%s: %s, want %s", what, text, want)
				}
			}
		})
	}
}

// TestTaskLimits: a task's cpu and memory bound all its containers together.
func TestTaskLimits(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	t.Run("memory", func(t *testing.T) {
		t.Parallel()
		eater := types.ContainerDefinition{Name: aws.String("eater"), Image: aws.String("gantry/sample-eater:latest"), Environment: pairs("EAT_MIB=128", "EAT_STEP=1ms")}
		sibling := s.probe("sibling", "write=/tmp/minds:", "wait", "exit=4")
		sibling.Memory = nil
		sibling.HealthCheck = &types.HealthCheck{Command: []string{"CMD", "/probe", "need=/tmp/minds"}, Interval: aws.Int32(5), Timeout: aws.Int32(20), Retries: aws.Int32(10)}
		j := s.job(t, after(eater, "sibling", types.ContainerConditionHealthy), sibling) // which minds its signals by then
		j.in.Memory = aws.String("64")
		task := j.start().stopped()
		exited(t, task, "eater", 137)
		exited(t, task, "sibling", 4)
		if c := part(t, task, "eater"); !strings.HasPrefix(aws.ToString(c.Reason), "OutOfMemoryError") {
			t.Errorf("the container that ran out of memory: %s", tell(task))
		}
		if c := part(t, task, "sibling"); strings.Contains(aws.ToString(c.Reason), "OutOfMemoryError") {
			t.Errorf("the container beside the one that ran out of memory: %s", tell(task))
		}
	})
	t.Run("cpu", func(t *testing.T) {
		t.Parallel()
		const stats = "get=$ECS_CONTAINER_METADATA_URI_V4/task/stats"
		burner := types.ContainerDefinition{Name: aws.String("burner"), Image: aws.String("gantry/sample-burner:latest"), Memory: aws.Int32(32)}
		j := s.job(t, burner, s.probe("probe", "measured", stats, "sleep=5s", "measured", stats))
		j.in.Cpu, j.in.Memory = aws.String("256"), aws.String("128")
		task := j.start().stopped()
		var samples []map[string]stat
		for _, one := range j.said("probe") {
			samples = append(samples, metadata[map[string]stat](t, steps{one}, stats))
		}
		if len(samples) != 2 || len(samples[0]) != 2 {
			t.Fatalf("stats: %+v", samples)
		}
		share := 0.0
		for id, first := range samples[0] { // each container is looked at in its own time
			last := samples[1][id]
			share += float64(last.CPU.Usage.Total-first.CPU.Usage.Total) / float64(last.Read.Sub(first.Read))
		}
		if share > 0.35 || share <= 0 { // how much less it gets is the machine's affair
			t.Errorf("a task of a quarter of a CPU that burns what it gets used %.2f: %s", share, tell(task))
		}
	})
}
