package e2e

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// TestHealth: UNKNOWN, HEALTHY and UNHEALTHY, of a container and of its task.
func TestHealth(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	check := func(c types.ContainerDefinition, command ...string) types.ContainerDefinition {
		c.HealthCheck = &types.HealthCheck{Command: command, Interval: aws.Int32(10), Timeout: aws.Int32(20), Retries: aws.Int32(1)}
		return c
	}
	is := func(container string, want types.HealthStatus) func(types.Task) bool {
		return func(task types.Task) bool { return part(t, task, container).HealthStatus == want }
	}
	t.Run("healthy, then not", func(t *testing.T) {
		t.Parallel()
		web := check(s.probe("web", "wait"), "CMD", "/probe", "need=/data/well")
		web.HealthCheck.StartPeriod = aws.Int32(300)
		j := s.job(t, web, helper(s.probe("unchecked", "wait")))
		dir := t.TempDir()
		j.in.Volumes = []types.Volume{hostVolume("data", dir)}
		j.in.ContainerDefinitions[0].MountPoints = []types.MountPoint{mountPoint("data", "/data")}
		if task := j.start().running(); task.HealthStatus != types.HealthStatusUnknown {
			t.Errorf("before a check went well: %s", tell(task))
		}
		write(t, filepath.Join(dir, "well"), "")
		if task := j.until("to be HEALTHY", is("web", types.HealthStatusHealthy)); task.HealthStatus != types.HealthStatusHealthy ||
			part(t, task, "unchecked").HealthStatus != types.HealthStatusUnknown {
			t.Error(tell(task))
		}
		if err := os.Remove(filepath.Join(dir, "well")); err != nil {
			t.Fatal(err)
		}
		task := j.until("to be UNHEALTHY", is("web", types.HealthStatusUnhealthy))
		if task.HealthStatus != types.HealthStatusUnhealthy || *task.DesiredStatus != "RUNNING" {
			t.Errorf("a task that no service cares for goes on: %s", tell(task))
		}
	})
	t.Run("a check that cannot run", func(t *testing.T) {
		t.Parallel()
		j := s.job(t, check(s.probe("probe", "wait"), "CMD-SHELL", "exit 0")) // the image has no shell
		j.start().until("to be UNHEALTHY", is("probe", types.HealthStatusUnhealthy))
	})
	t.Run("a check that hangs", func(t *testing.T) {
		t.Parallel()
		c := check(s.probe("probe", "wait", "report", metadataTimes), "CMD", "/probe", "sleep=1h")
		c.HealthCheck.Timeout, c.HealthCheck.Interval = aws.Int32(2), aws.Int32(20) // time to stop it before the next
		j := s.job(t, c)
		j.start().until("to be UNHEALTHY", is("probe", types.HealthStatusUnhealthy))
		j.stop()
		got := j.said("probe")
		if processes := got.report(t).Processes; len(processes) != 1 {
			t.Errorf("the check was left behind: %q; metadata: %s", processes, got.of(t, metadataTimes).Text)
		}
	})
	t.Run("startPeriod", func(t *testing.T) {
		t.Parallel()
		c := check(s.probe("probe", "sleep=12s", "write=/tmp/ok:", "wait"), "CMD", "/probe", "need=/tmp/ok")
		c.HealthCheck.StartPeriod = aws.Int32(60)
		seen := map[types.HealthStatus]bool{}
		s.job(t, c).start().until("to be HEALTHY", func(task types.Task) bool {
			seen[part(t, task, "probe").HealthStatus] = true
			return seen[types.HealthStatusHealthy]
		})
		if seen[types.HealthStatusUnhealthy] {
			t.Error("failures within the start period counted")
		}
	})
	t.Run("NONE", func(t *testing.T) {
		t.Parallel()
		c := s.probe("probe", "wait")
		c.HealthCheck = &types.HealthCheck{Command: []string{"NONE"}}
		if task := s.job(t, c).start().running(); task.HealthStatus != types.HealthStatusUnknown {
			t.Error(tell(task))
		}
	})
}
