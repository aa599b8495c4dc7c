package e2e

import (
	"encoding/json"
	"testing"
)

// metadata is an answer of the task metadata endpoint that a probe got.
func metadata[T any](t *testing.T, got steps, what string) T {
	t.Helper()
	var v T
	text := got.text(t, what)
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%s: %v in %s", what, err, text)
	}
	return v
}
