package e2e

import (
	"fmt"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// TestDownHearsLastWords: gantry down, while gantry runs and when it is dead, waits
// for tasks to stop in order; what they print last, and how they ended, is kept.
func TestDownHearsLastWords(t *testing.T) {
	t.Parallel()
	s := own(t)
	if _, err := s.gantry("image", "load", sampleTar("web")); err != nil {
		t.Fatal(err)
	}
	web := s.define(t, func(_ *ecs.RegisterTaskDefinitionInput, c *types.ContainerDefinition) {
		c.Image = new("gantry/sample-web:latest")
		c.LogConfiguration = &types.LogConfiguration{LogDriver: types.LogDriverAwslogs, Options: map[string]string{
			"awslogs-group": "words", "awslogs-create-group": "true", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "p",
		}}
	})
	for _, dead := range []bool{false, true} {
		arn := *must(t, s.sdk().RunTask, &ecs.RunTaskInput{TaskDefinition: &web}).Tasks[0].TaskArn
		in := &ecs.DescribeTasksInput{Tasks: []string{arn}}
		if err := runningWaiter(s.sdk()).Wait(t.Context(), in, stateWithin); err != nil {
			t.Fatal(err)
		}
		stream := "p/worker/" + id(arn)
		eventually(t, "it to mind its signals", func() (bool, string) {
			said := s.printed(t, "words", stream)
			return slices.Contains(said, "web: listens on port 8080"), fmt.Sprint(said)
		})
		if dead {
			s.kill()
		}
		if err := s.down(); err != nil {
			t.Fatal(err)
		}
		if err := s.start(); err != nil {
			t.Fatal(err)
		}
		task := must(t, s.sdk().DescribeTasks, in).Tasks[0]
		if *task.LastStatus != "STOPPED" || task.StopCode != types.TaskStopCodeUserInitiated || *task.StoppedReason != "Stopped by gantry down" {
			t.Errorf("dead %t: %s, %s, %q", dead, *task.LastStatus, task.StopCode, *task.StoppedReason)
		}
		if code := task.Containers[0].ExitCode; code == nil || *code != 0 {
			t.Errorf("dead %t: the container's exit code is %v, want 0", dead, code)
		}
		said := s.printed(t, "words", stream)
		if !slices.Contains(said, "web: stops gracefully") {
			t.Errorf("dead %t: its last words are missing: %q", dead, said)
		}
	}
}
