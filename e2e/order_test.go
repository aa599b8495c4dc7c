package e2e

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// after is a container that depends on another one.
func after(c types.ContainerDefinition, on string, condition types.ContainerCondition) types.ContainerDefinition {
	c.DependsOn = append(slices.Clone(c.DependsOn), types.ContainerDependency{ContainerName: &on, Condition: condition})
	return c
}

// helper is a container whose end does not end its task.
func helper(c types.ContainerDefinition) types.ContainerDefinition {
	c.Essential = aws.Bool(false)
	return c
}

// untilKnown is how a probe lets the agent note that it runs.
const untilKnown = "known"

// metadataTimes is how a probe tells when each container of its task started and ended.
const metadataTimes = "get=$ECS_CONTAINER_METADATA_URI_V4/task"

type times struct {
	StartedAt, FinishedAt time.Time
	KnownStatus           string
	ExitCode              *int
	Health                *struct {
		Status      string
		StatusSince time.Time
	}
}

func timesOf(t *testing.T, got steps) map[string]times {
	t.Helper()
	out := map[string]times{}
	for _, c := range metadata[struct {
		Containers []struct {
			Name string
			times
		}
	}](t, got, metadataTimes).Containers {
		out[c.Name] = c.times
	}
	return out
}

// TestDependsOn: a container starts when its dependencies are as far as it asks, and not before.
func TestDependsOn(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	t.Run("START", func(t *testing.T) {
		t.Parallel()
		j := s.job(t, after(s.probe("second", untilKnown, metadataTimes), "first", types.ContainerConditionStart), s.probe("first", "wait"))
		j.start().stopped()
		when := timesOf(t, j.said("second"))
		if first := when["first"].StartedAt; first.IsZero() || !when["second"].StartedAt.After(first) {
			t.Errorf("the first started %s, the second %s", first, when["second"].StartedAt)
		}
	})
	t.Run("COMPLETE", func(t *testing.T) {
		t.Parallel()
		j := s.job(t, helper(s.probe("first", "sleep=1s", "exit=3")), after(s.probe("second", untilKnown, metadataTimes), "first", types.ContainerConditionComplete))
		task := j.start().stopped()
		exited(t, task, "first", 3)
		exited(t, task, "second", 0)
		when := timesOf(t, j.said("second"))
		if first := when["first"]; first.FinishedAt.IsZero() || when["second"].StartedAt.Before(first.FinishedAt) || first.ExitCode == nil || *first.ExitCode != 3 {
			t.Errorf("the first: %+v; the second started %s", first, when["second"].StartedAt)
		}
	})
	t.Run("SUCCESS", func(t *testing.T) {
		t.Parallel()
		j := s.job(t, helper(s.probe("first", "sleep=1s")), after(s.probe("second", untilKnown, metadataTimes), "first", types.ContainerConditionSuccess))
		exited(t, j.start().stopped(), "second", 0)
	})
	t.Run("SUCCESS that does not come", func(t *testing.T) {
		t.Parallel()
		j := s.job(t, helper(s.probe("first", "exit=1")), after(s.probe("second"), "first", types.ContainerConditionSuccess))
		task := j.start().stopped()
		second := part(t, task, "second")
		if second.ExitCode != nil || !strings.Contains(tell(task), "container first did not exit with 0") {
			t.Error(tell(task))
		}
		exited(t, task, "first", 1)
	})
	t.Run("HEALTHY", func(t *testing.T) {
		t.Parallel()
		first := s.probe("first", "sleep=3s", "write=/tmp/ok:", "wait")
		first.HealthCheck = &types.HealthCheck{Command: []string{"CMD", "/probe", "need=/tmp/ok"}, Interval: aws.Int32(5), Timeout: aws.Int32(20), Retries: aws.Int32(10)}
		j := s.job(t, first, after(s.probe("second", untilKnown, metadataTimes), "first", types.ContainerConditionHealthy))
		task := j.start().stopped()
		exited(t, task, "second", 0)
		when := timesOf(t, j.said("second"))
		if health := when["first"].Health; health == nil || health.Status != "HEALTHY" || when["second"].StartedAt.Before(health.StatusSince) {
			t.Errorf("health of the first: %+v; the second started %s", health, when["second"].StartedAt)
		}
	})
	t.Run("startTimeout", func(t *testing.T) {
		t.Parallel()
		first := s.probe("first", "wait")
		first.StartTimeout = aws.Int32(4)
		first.HealthCheck = &types.HealthCheck{Command: []string{"CMD", "/probe", "need=/never"}, Interval: aws.Int32(5), Timeout: aws.Int32(2), Retries: aws.Int32(10)}
		j := s.job(t, first, after(s.probe("second"), "first", types.ContainerConditionHealthy))
		task := j.start().stopped()
		if text := tell(task); part(t, task, "second").ExitCode != nil || !strings.Contains(text, "startTimeout") {
			t.Error(text)
		}
	})
	t.Run("the end goes the other way", func(t *testing.T) {
		t.Parallel()
		j := s.job(t, s.probe("first", "list=/tmp", "wait", "out=gone"), after(s.probe("second", "list=/tmp", "wait", "sleep=2s", "out=gone"), "first", types.ContainerConditionStart))
		j.start().saying("second", "list=/tmp")
		j.saying("first", "list=/tmp")
		j.stop()
		at := func(container string) int64 {
			events := j.s.events(t, probeGroup, "p/"+container+"/"+id(j.arn))
			return *events[len(events)-1].Timestamp
		}
		if first, second := at("first"), at("second"); first < second {
			t.Errorf("the first ended %d ms before the second, which depends on it", second-first)
		}
	})
}

// TestEssential: the end of an essential container ends the task, that of another one does not.
func TestEssential(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	dir := t.TempDir()
	j := s.job(t, s.probe("main", "until=read=/data/go", "exit=6"), helper(s.probe("helper", "exit=2")), s.probe("other", "list=/tmp", "wait", "exit=8"))
	j.in.Volumes = []types.Volume{hostVolume("data", dir)}
	j.in.ContainerDefinitions[0].MountPoints = []types.MountPoint{mountPoint("data", "/data")}
	j.start()
	j.saying("other", "list=/tmp") // it minds its signals from now on
	j.until("to lose its helper", func(task types.Task) bool { return *part(t, task, "helper").LastStatus == "STOPPED" })
	if task := j.look(); *task.LastStatus == "STOPPED" || *task.DesiredStatus == "STOPPED" {
		t.Errorf("the task ends with its helper: %s", tell(task))
	}
	write(t, filepath.Join(dir, "go"), "on")
	task := j.stopped()
	for name, code := range map[string]int32{"main": 6, "helper": 2, "other": 8} {
		exited(t, task, name, code)
	}
	if task.StopCode != types.TaskStopCodeEssentialContainerExited || *task.StoppedReason != "Essential container in task exited" {
		t.Error(tell(task))
	}
	if task.ExecutionStoppedAt == nil || task.StoppingAt == nil || task.ExecutionStoppedAt.Before(*task.StartedAt) || task.StoppedAt.Before(*task.ExecutionStoppedAt) {
		t.Errorf("started %s, execution stopped %s, stopping %s, stopped %s", task.StartedAt, task.ExecutionStoppedAt, task.StoppingAt, task.StoppedAt)
	}
}

// TestRestartPolicy: a container that ran long enough starts again, unless its exit code is ignored.
func TestRestartPolicy(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	policy := func(c types.ContainerDefinition, ignored ...int32) types.ContainerDefinition {
		c.RestartPolicy = &types.ContainerRestartPolicy{Enabled: aws.Bool(true), RestartAttemptPeriod: aws.Int32(60), IgnoredExitCodes: ignored}
		return c
	}
	const v4 = "get=$ECS_CONTAINER_METADATA_URI_V4"
	t.Run("long enough", func(t *testing.T) {
		t.Parallel()
		// What it wrote is still there the second time, and then it sleeps.
		c := policy(s.probe("probe", "list=/tmp", v4, "write=/tmp/been:", "sleep=61s", "exit=3"))
		c.StopTimeout = aws.Int32(2) // it does not listen while it sleeps
		j := s.job(t, c).start()
		id := part(t, j.running(), "probe").RuntimeId
		eventually(t, "a second start", func() (bool, string) {
			got := j.said("probe")
			return len(got) == 6, tell(j.look())
		})
		got := j.said("probe")
		if text := got[3].Text; text != "been" {
			t.Errorf("after its restart /tmp has %q", text)
		}
		if one := metadata[struct{ RestartCount int }](t, got[3:], v4); one.RestartCount != 1 {
			t.Errorf("restart count %d", one.RestartCount)
		}
		task := j.look()
		if c := part(t, task, "probe"); *c.RuntimeId != *id || *task.LastStatus != "RUNNING" || c.ExitCode != nil {
			t.Errorf("a container that was restarted: %s", tell(task))
		}
		exited(t, j.stop(), "probe", 137)
	})
	t.Run("ignored exit code", func(t *testing.T) {
		t.Parallel()
		exited(t, s.job(t, policy(s.probe("probe", "sleep=61s", "exit=3"), 3)).start().stopped(), "probe", 3)
	})
	t.Run("too soon", func(t *testing.T) {
		t.Parallel()
		task := s.job(t, policy(s.probe("probe", "exit=3"))).start().stopped()
		exited(t, task, "probe", 3)
		if took := task.StoppedAt.Sub(*task.ExecutionStoppedAt); took > 50*time.Second {
			t.Errorf("a task whose container ran too shortly was STOPPED %s after its end", took)
		}
	})
}
