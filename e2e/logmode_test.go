package e2e

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// TestDefaultLogDriverMode: a container that names no mode has the account's. What
// tells the two apart is max-buffer-size, which only non-blocking logs have.
func TestDefaultLogDriverMode(t *testing.T) {
	t.Parallel()
	s := own(t) // account settings hold for the whole account
	c := s.sdk()
	if _, err := s.gantry("image", "load", sampleTar("worker")); err != nil {
		t.Fatal(err)
	}
	buffered := s.define(t, func(_ *ecs.RegisterTaskDefinitionInput, c *types.ContainerDefinition) {
		c.LogConfiguration = &types.LogConfiguration{LogDriver: types.LogDriverAwslogs, Options: map[string]string{
			"awslogs-group": "modes", "awslogs-create-group": "true", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "p", "max-buffer-size": "1m",
		}}
	})
	run := func() *ecs.DescribeTasksInput {
		return &ecs.DescribeTasksInput{Tasks: []string{*must(t, c.RunTask, &ecs.RunTaskInput{TaskDefinition: &buffered}).Tasks[0].TaskArn}}
	}
	set := func(mode string) {
		must(t, c.PutAccountSetting, &ecs.PutAccountSettingInput{Name: types.SettingNameDefaultLogDriverMode, Value: &mode})
	}

	in := run()
	if err := runningWaiter(c).Wait(t.Context(), in, stateWithin); err != nil {
		t.Errorf("non-blocking, as in a new account: %v", err)
	}
	set("blocking")
	in = run()
	if err := stoppedWaiter(c).Wait(t.Context(), in, stateWithin); err != nil {
		t.Fatalf("blocking: %v", err)
	}
	task := must(t, c.DescribeTasks, in).Tasks[0]
	if reason := *task.Containers[0].Reason; !strings.Contains(reason, "max-buffer-size option is only supported with 'mode=non-blocking'") {
		t.Errorf("blocking: the container says %q", reason)
	}
	set("non-blocking")
	if err := runningWaiter(c).Wait(t.Context(), run(), stateWithin); err != nil {
		t.Errorf("non-blocking again: %v", err)
	}
}
