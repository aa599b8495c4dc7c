package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// awsProgram is the genuine aws CLI, version 2; build/setup.sh installs it where PATH has none.
var awsProgram = sync.OnceValues(func() (string, error) {
	out, err := exec.Command(filepath.Join(repository(), "build", "setup.sh"), "aws2").Output()
	return strings.TrimSpace(string(out)), err
})

// aws runs one aws CLI command and fails the test if it fails.
func (s *server) aws(t *testing.T, args ...string) string {
	t.Helper()
	out, err := s.tryAWS(t, args...)
	if err != nil {
		t.Fatalf("aws %s: %v", strings.Join(args, " "), err)
	}
	return out
}

// awsJSON runs one aws CLI command and decodes its output.
func awsJSON[T any](t *testing.T, s *server, args ...string) T {
	t.Helper()
	var v T
	out := s.aws(t, append(args, "--output", "json")...)
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		t.Fatalf("aws %s: %v in:\n%s", strings.Join(args, " "), err, out)
	}
	return v
}

// awsError runs a command that must fail, and returns what the CLI said.
func (s *server) awsError(t *testing.T, args ...string) string {
	t.Helper()
	out, err := s.tryAWS(t, args...)
	if err == nil {
		t.Fatalf("aws %s: no error, but:\n%s", strings.Join(args, " "), out)
	}
	return err.Error()
}

type clientError struct{ message string }

func (e clientError) Error() string { return e.message }

func (s *server) tryAWS(t *testing.T, args ...string) (string, error) {
	t.Helper()
	program, err := awsProgram()
	if err != nil {
		t.Skipf("no aws CLI: build/setup.sh aws2: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = s.env
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), clientError{strings.TrimSpace(stderr.String())}
	}
	return strings.TrimSpace(stdout.String()), nil
}

// eventually waits until look returns true, and fails with its last word otherwise.
func eventually(t *testing.T, what string, look func() (done bool, seen string)) {
	t.Helper()
	var seen string
	for deadline := time.Now().Add(stateWithin); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		var done bool
		if done, seen = look(); done {
			return
		}
	}
	t.Fatalf("waited %s for %s; last seen: %s", stateWithin, what, seen)
}
