package e2e

import (
	"strings"
	"testing"
)

// TestJoinedMachineIsGivenAnotherToken: who starts agents with a fresh token each time takes
// no machine its key; another cluster and another server are refused before anything changes.
func TestJoinedMachineIsGivenAnotherToken(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1)
	m := f.machines[0]
	fresh := func(flags ...string) string {
		t.Helper()
		token, err := f.token(flags...)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	restart := func(flags ...string) error {
		t.Helper()
		if err := m.terminate(); err != nil {
			t.Fatal(err)
		}
		return m.start(flags...)
	}
	token := fresh()
	if err := restart("--server", f.endpoint(), "--token", token); err != nil {
		t.Fatalf("with another token: %v", err)
	}
	if !strings.Contains(m.out.String(), "container instance "+m.instance) {
		t.Errorf("with another token it is another container instance than %s:\n%s", m.instance, m.out)
	}
	if out, err := f.gantry("token", "ls"); err != nil || !strings.Contains(out, "0 of 1") {
		t.Errorf("the token that was not needed is spent: %v\n%s", err, out)
	}

	f.aws(t, "ecs", "create-cluster", "--cluster-name", "other")
	if err := restart("--server", f.endpoint(), "--token", token, "--cluster", "other"); err == nil || !strings.Contains(err.Error(), "this machine has joined cluster default, and --cluster says other") {
		t.Errorf("into another cluster: %v", err)
	}
	another := newFleet(t, 0)
	theirs, err := another.token()
	if err != nil {
		t.Fatal(err)
	}
	if err := m.start("--server", another.endpoint(), "--token", theirs); err == nil || !strings.Contains(err.Error(), "the token is another server's") {
		t.Errorf("to another server: %v", err)
	}

	if out, err := f.gantry("agent", "revoke", m.instance); err != nil {
		t.Fatalf("revoke: %v\n%s", err, out)
	}
	if err := m.start("--server", f.endpoint(), "--token", token); err != nil {
		t.Fatalf("revoked, and with another token: %v", err)
	}
	if !strings.Contains(m.out.String(), "container instance "+m.instance) {
		t.Errorf("after its key was revoked it is another container instance than %s:\n%s", m.instance, m.out)
	}
}
