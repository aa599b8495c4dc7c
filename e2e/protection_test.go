package e2e

import (
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// TestProtectionOfAStandaloneTask: a task asks the agent for its own protection, and is told that only those of a service
// have any.
func TestProtectionOfAStandaloneTask(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	const (
		get = "get=$ECS_AGENT_URI/task-protection/v1/state"
		put = `put=$ECS_AGENT_URI/task-protection/v1/state {"ProtectionEnabled":true,"ExpiresInMinutes":60}`
		bad = `put=$ECS_AGENT_URI/task-protection/v1/state {"ProtectionEnabled":true,"ExpiresInMinutes":3000}`
	)
	j := s.job(t, s.probe("probe", get, put, bad, "wait"))
	j.start()
	got := j.saying("probe", bad)
	type answer struct {
		Failure struct{ Arn, Reason, Detail string }
		Error   struct{ Arn, Code, Message string }
		ID      string `json:"requestID"`
	}
	for _, step := range []string{get, put} {
		if a := metadata[answer](t, got, step).Failure; a.Arn != j.arn || a.Reason != "TASK_NOT_VALID" || a.Detail != "The task does not belong to a service." {
			t.Errorf("%s: %s", step, got.text(t, step))
		}
	}
	if a := metadata[answer](t, got, bad); a.Error.Code != "InvalidParameterException" || a.Error.Arn != j.arn || a.ID == "" ||
		a.Error.Message != "expiresInMinutes is 3000; it has to be between 1 and 2880." {
		t.Errorf("%s: %s", bad, got.text(t, bad))
	}
}

// TestTaskProtectsItself: a service's task is safe from scale-in while it says so, and the other one goes.
func TestTaskProtectsItself(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	cluster := s.cluster(t)
	plain := s.define(t, func(_ *ecs.RegisterTaskDefinitionInput, c *types.ContainerDefinition) { *c = s.probe("probe", "wait") })
	busy := s.define(t, func(_ *ecs.RegisterTaskDefinitionInput, c *types.ContainerDefinition) {
		*c = s.probe("probe", `put=$ECS_AGENT_URI/task-protection/v1/state {"ProtectionEnabled":true,"ExpiresInMinutes":10}`, "wait")
	})
	s.aws(t, "ecs", "create-service", "--cluster", cluster, "--service-name", "web", "--task-definition", busy, "--desired-count", "1")
	s.aws(t, "ecs", "wait", "services-stable", "--cluster", cluster, "--services", "web")
	list := []string{"ecs", "list-tasks", "--cluster", cluster, "--service-name", "web"}
	first := awsJSON[struct{ TaskArns []string }](t, s, list...).TaskArns
	get := append([]string{"ecs", "get-task-protection", "--cluster", cluster, "--tasks"}, first...)
	eventually(t, "the task to be protected", func() (bool, string) {
		got := s.aws(t, append(get, "--query", "protectedTasks[0].protectionEnabled", "--output", "text")...)
		return got == "True", got
	})
	// A deployment keeps it beside the new task, and is not over before.
	s.aws(t, "ecs", "update-service", "--cluster", cluster, "--service", "web", "--task-definition", plain)
	eventually(t, "the new task to run", func() (bool, string) {
		got := describeService(t, s.sdk(), cluster, "web")
		return len(got.Deployments) == 2 && got.Deployments[0].RunningCount == 1 && got.Deployments[1].RunningCount == 1, showService(got)
	})
	if got := awsJSON[struct{ TaskArns []string }](t, s, list...).TaskArns; len(got) != 2 || !slices.Contains(got, first[0]) {
		t.Errorf("the tasks are %v, and %s is protected", got, first[0])
	}
	s.aws(t, append([]string{"ecs", "update-task-protection", "--cluster", cluster, "--no-protection-enabled", "--tasks"}, first...)...)
	s.aws(t, "ecs", "wait", "services-stable", "--cluster", cluster, "--services", "web")
	if got := awsJSON[struct{ TaskArns []string }](t, s, list...).TaskArns; len(got) != 1 || got[0] == first[0] {
		t.Errorf("afterwards the tasks are %v", got)
	}
}
