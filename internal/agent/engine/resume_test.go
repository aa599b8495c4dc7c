package engine

import (
	"testing"
	"time"
)

// TestTakeUp: what an agent that was killed makes of a container that it knows and the runtime has.
func TestTakeUp(t *testing.T) {
	now := time.Date(2026, 11, 28, 4, 0, 0, 0, time.UTC)
	asked := now.Add(-time.Minute)
	exit := &Exit{Code: 3, At: now.Add(-time.Hour)}
	for name, test := range map[string]struct {
		c        Container
		found    FoundState
		rebooted bool
		phase    Phase
		reason   string
		stopSent time.Time
	}{
		"runs":                               {c: Container{Phase: Up}, found: FoundRunning, phase: Up},
		"runs, and was asked to end":         {c: Container{Phase: Up, StopSentAt: asked, Signalled: true}, found: FoundRunning, phase: Up, stopSent: asked},
		"runs, and was about to be asked":    {c: Container{Phase: Up, StopSentAt: asked}, found: FoundRunning, phase: Up},
		"ended meanwhile":                    {c: Container{Phase: Up}, found: FoundExited, phase: Exited},
		"waits to be restarted":              {c: Container{Phase: Restarting, Exit: exit}, found: FoundExited, phase: Restarting},
		"was made, and the machine went off": {c: Container{Phase: Launching}, found: FoundCreated, rebooted: true, phase: Exited, reason: "ContainerVanishedError: the machine was restarted while the container was being started"},
		"ran, and is gone":                   {c: Container{Phase: Up}, phase: Exited, reason: "ContainerVanishedError: its container was gone when the agent came back"},
		"was being made":                     {c: Container{Phase: Launching}, found: FoundCreated, phase: Launching},
	} {
		c := test.c
		c.RuntimeID = "r1"
		task := &Task{Boot: "before", Containers: []Container{c}}
		boot := "before"
		if test.rebooted {
			boot = "after"
		}
		found := map[string]Found{}
		if test.found != "" {
			found["r1"] = Found{ID: "r1", State: test.found, StartedAt: now.Add(-2 * time.Hour), Exit: exit}
		}
		takeUpTask(now, boot, task, found)
		got := task.Containers[0]
		if got.Phase != test.phase || got.Reason != test.reason || !got.StopSentAt.Equal(test.stopSent) {
			t.Errorf("%s: %s %q, asked to end %s; want %s %q %s", name, got.Phase, got.Reason, got.StopSentAt, test.phase, test.reason, test.stopSent)
		}
	}
}
