package agent_test

import (
	"bytes"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/coder/websocket"
)

func TestReconnects(t *testing.T) {
	h := newHost(t)
	h.start()
	h.plane.Connected(1)
	for n, end := range []func(){
		func() { h.plane.Close(websocket.StatusGoingAway) },
		func() { h.plane.Close(websocket.StatusNormalClosure) },
		func() { h.plane.Drop() },
		func() { h.plane.Close(4000) },
	} {
		end()
		if got := h.plane.Connected(n + 2).Query["sendCredentials"][0]; got != "false" {
			t.Errorf("connection %d asks for all credentials: %s", n+2, got)
		}
	}
	if n := len(h.plane.Calls("RegisterContainerInstance")); n != 1 {
		t.Errorf("%d registrations", n)
	}
	if n := len(h.plane.Calls("DiscoverPollEndpoint")); n > 2 {
		t.Errorf("%d times was the endpoint asked for, which is good for twelve hours", n)
	}
}

func TestARefusedHandshake(t *testing.T) {
	h := newHost(t)
	var refuse atomic.Bool
	refuse.Store(true)
	h.plane.RefuseControl = func() (int, string) {
		if refuse.Load() {
			return 400, `{"ServerException":"not now"}`
		}
		return 0, ""
	}
	h.start()
	h.plane.Connected(2)
	refuse.Store(false)
	if got := h.plane.Connected(3).Query["sendCredentials"][0]; got != "true" {
		t.Errorf("the first connection that opens asks for all credentials: %s", got)
	}
}

// Whose key was taken back is told so where operators look, and the agent goes on trying.
func TestARefusedKeyIsAWarning(t *testing.T) {
	h := newHost(t)
	var said bytes.Buffer
	h.config.Logger = slog.New(slog.NewTextHandler(&said, &slog.HandlerOptions{Level: slog.LevelWarn}))
	h.plane.RefuseControl = func() (int, string) { return 403, `{"AccessDeniedException":"UnrecognizedClientException: invalid"}` }
	h.start()
	h.plane.Connected(2) // after the first refusal was told
	h.stop()
	if !strings.Contains(said.String(), "refuses this agent's key: was it revoked?") {
		t.Errorf("the log says:\n%s", said.String())
	}
}

// Who was deregistered is told so when it connects; its tasks, which the control plane shows as STOPPED by then, end.
func TestADeregisteredInstanceStopsItsTasks(t *testing.T) {
	h := newHost(t)
	var deregistered atomic.Bool
	h.plane.RefuseControl = func() (int, string) {
		if deregistered.Load() {
			return 400, `{"InactiveInstanceException":"it was deregistered"}`
		}
		return 0, ""
	}
	h.start()
	h.plane.Connected(1)
	h.plane.Payload("p1", 1, run(taskA, "web"))
	h.plane.Change(taskA, "RUNNING")
	deregistered.Store(true)
	h.plane.Close(websocket.StatusNormalClosure)
	stopped := h.plane.Change(taskA, "STOPPED")
	if code := stopped.Containers[0].ExitCode; code == nil || *code != 143 {
		t.Errorf("stopped with %+v", stopped)
	}
}
