package e2e

import (
	"strings"
	"testing"
)

// A taskSet is what the CLI prints of one.
type taskSet struct {
	ID                   string `json:"id"`
	ARN                  string `json:"taskSetArn"`
	Status               string
	StabilityStatus      string
	TaskDefinition       string
	ComputedDesiredCount int
	RunningCount         int
	PendingCount         int
}

// TestTaskSetsWithTheCLI deploys as an external deployer does: a second task set beside the first, more and more of the
// tasks, then primary, and the first one deleted.
func TestTaskSetsWithTheCLI(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	cluster := s.cluster(t)
	first, second := s.define(t, nil), s.define(t, nil)
	service := []string{"--cluster", cluster, "--service", "web"}
	one := func(command string, args ...string) taskSet {
		t.Helper()
		return awsJSON[struct{ TaskSet taskSet }](t, s, append(append([]string{"ecs", command}, service...), args...)...).TaskSet
	}
	all := func() []taskSet {
		t.Helper()
		return awsJSON[struct{ TaskSets []taskSet }](t, s, append([]string{"ecs", "describe-task-sets"}, service...)...).TaskSets
	}
	steady := func(running ...int) []taskSet {
		t.Helper()
		var sets []taskSet
		eventually(t, "steady task sets", func() (bool, string) {
			sets = all()
			text, done := "", len(sets) == len(running)
			for i, set := range sets {
				text += set.ID + " " + set.Status + " " + set.StabilityStatus + "; "
				done = done && set.StabilityStatus == "STEADY_STATE" && set.RunningCount == running[i] && set.PendingCount == 0
			}
			return done, text
		})
		return sets
	}

	s.aws(t, "ecs", "create-service", "--cluster", cluster, "--service-name", "web", "--deployment-controller", "type=EXTERNAL", "--desired-count", "2")
	blue := one("create-task-set", "--task-definition", first, "--scale", "value=100,unit=PERCENT", "--external-id", "deployment-1")
	if blue.Status != "ACTIVE" || blue.ComputedDesiredCount != 2 || !strings.HasSuffix(blue.ARN, ":task-set/"+cluster+"/web/"+blue.ID) {
		t.Fatalf("create-task-set: %+v", blue)
	}
	one("update-service-primary-task-set", "--primary-task-set", blue.ARN)
	if sets := steady(2); sets[0].Status != "PRIMARY" {
		t.Errorf("the primary one: %+v", sets)
	}
	// With one PRIMARY task set and no deployments the service is as its waiter wants it only by its counts.
	if got := describeService(t, s.sdk(), cluster, "web"); got.RunningCount != 2 || len(got.TaskSets) != 1 || name(*got.TaskDefinition) != first || len(got.Deployments) != 0 {
		t.Errorf("the service: %s", showService(got))
	}

	green := one("create-task-set", "--task-definition", second, "--scale", "value=50,unit=PERCENT")
	steady(2, 1)
	one("update-task-set", "--task-set", green.ID, "--scale", "value=100,unit=PERCENT")
	one("update-service-primary-task-set", "--primary-task-set", green.ID)
	sets := steady(2, 2)
	if sets[0].Status != "ACTIVE" || sets[1].Status != "PRIMARY" {
		t.Errorf("after the shift: %+v", sets)
	}
	if got := s.awsError(t, append(append([]string{"ecs", "delete-task-set"}, service...), "--task-set", blue.ID)...); !strings.Contains(got, "(InvalidParameterException)") || !strings.Contains(got, "scaled above 0") {
		t.Errorf("delete-task-set without force: %s", got)
	}
	if gone := one("delete-task-set", "--task-set", blue.ID, "--force"); gone.Status != "DRAINING" || gone.ComputedDesiredCount != 0 {
		t.Errorf("deleted: %+v", gone)
	}
	if sets := steady(2); sets[0].ID != green.ID {
		t.Errorf("left: %+v", sets)
	}
	got := describeService(t, s.sdk(), cluster, "web")
	if name(*got.TaskDefinition) != second || got.RunningCount != 2 {
		t.Errorf("the service afterwards: %s", showService(got))
	}
	told := ""
	for _, e := range got.Events {
		told += *e.Message + "\n"
	}
	for _, want := range []string{
		"(service web, taskSet " + blue.ID + ") has reached a steady state.\n",
		"(service web, taskSet " + blue.ID + ") has stopped 2 running tasks: ",
		"(service web, taskSet " + green.ID + ") has started 1 tasks: ",
	} {
		if !strings.Contains(told, want) {
			t.Errorf("no event %q in:\n%s", want, told)
		}
	}
	// A protected task stays when the task set is scaled in.
	tasks := awsJSON[struct{ TaskArns []string }](t, s, "ecs", "list-tasks", "--cluster", cluster, "--service-name", "web")
	protect := append([]string{"ecs", "update-task-protection", "--cluster", cluster, "--tasks"}, tasks.TaskArns...)
	if p := awsJSON[struct {
		ProtectedTasks []struct{ ProtectionEnabled bool }
	}](t, s, append(protect, "--protection-enabled")...); len(p.ProtectedTasks) != 2 || !p.ProtectedTasks[0].ProtectionEnabled {
		t.Errorf("update-task-protection: %+v", p)
	}
	one("update-task-set", "--task-set", green.ID, "--scale", "value=50,unit=PERCENT")
	eventually(t, "the event that it cannot scale in", func() (bool, string) {
		got := describeService(t, s.sdk(), cluster, "web")
		return strings.Contains(*got.Events[0].Message, "task set ("+green.ID+") was unable to scale in. Reason: The number of protected tasks are more than the desired count of tasks."), *got.Events[0].Message
	})
	if sets := all(); sets[0].RunningCount != 2 || sets[0].StabilityStatus != "STABILIZING" {
		t.Errorf("with protected tasks: %+v", sets)
	}
	s.aws(t, append(protect, "--no-protection-enabled")...)
	steady(1)

	s.aws(t, append(append([]string{"ecs", "delete-service"}, service...), "--force")...)
	s.aws(t, "ecs", "wait", "services-inactive", "--cluster", cluster, "--services", "web")
}
