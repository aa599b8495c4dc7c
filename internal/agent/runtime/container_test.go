package runtime

import (
	"testing"
	"time"
)

func TestRunOne(t *testing.T) {
	r, ctx := open(t)
	begin := time.Now()
	got := run(t, r, ctx, spec(t))
	t.Log(time.Since(begin))
	if got.Exit.Code != 0 || got.Stdout != "hello\n" || got.Stderr != "world\n" {
		t.Errorf("got %+v", got)
	}
	if got.Exit.At.Before(begin) || got.Exit.OOMKilled {
		t.Errorf("exit %+v", got.Exit)
	}
}
