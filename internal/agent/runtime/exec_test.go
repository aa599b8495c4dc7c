package runtime

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestExec(t *testing.T) {
	r, ctx := open(t)
	s := spec(t, "wait")
	_, err := r.Create(ctx, s)
	must(t, err)
	_, err = r.Start(ctx, s.ID)
	must(t, err)

	got, err := r.Exec(ctx, s.ID, []string{"/probe", "print", "fine", "so far"}, 0)
	must(t, err)
	if text := string(got.Output); got.Code != 0 || (text != "fine\nso far\n" && text != "so far\nfine\n") {
		t.Errorf("got %d %q", got.Code, text)
	}
	got, err = r.Exec(ctx, s.ID, []string{"/probe", "exit", "7"}, time.Minute)
	must(t, err)
	if got.Code != 7 {
		t.Errorf("exit code %d, not 7", got.Code)
	}
	got, err = r.Exec(ctx, s.ID, []string{"/probe", "lines", "100000"}, time.Minute)
	must(t, err)
	if len(got.Output) != maxExecOutput {
		t.Errorf("kept %d bytes", len(got.Output))
	}
	got, err = r.Exec(ctx, s.ID, []string{"/probe", "stubborn"}, 200*time.Millisecond)
	if !errors.Is(err, ErrExecTimeout) || string(got.Output) != "waiting\n" {
		t.Errorf("got %v %q", err, got.Output)
	}
	if _, err = r.Exec(ctx, s.ID, []string{"/missing"}, 0); err == nil || !strings.Contains(err.Error(), "/missing") {
		t.Errorf("a missing program: %v", err)
	}
	must(t, r.Kill(ctx, s.ID, ""))
	if got := finish(t, r, ctx, s); got.Exit.Code != 3 {
		t.Errorf("exit %+v", got.Exit)
	}
}

// Whoever sees first that a program's time is up, it is killed and said so.
func TestExecTimeouts(t *testing.T) {
	r, ctx := open(t)
	s := spec(t, "wait")
	_, err := r.Create(ctx, s)
	must(t, err)
	_, err = r.Start(ctx, s.ID)
	must(t, err)
	for range 50 {
		if _, err := r.Exec(ctx, s.ID, []string{"/probe", "stubborn"}, 20*time.Millisecond); !errors.Is(err, ErrExecTimeout) {
			t.Fatal(err)
		}
	}
	must(t, r.Kill(ctx, s.ID, ""))
	finish(t, r, ctx, s)
}
