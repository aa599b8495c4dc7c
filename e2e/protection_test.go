package e2e

import (
	"testing"
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
