package main

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

func TestPullProgress(t *testing.T) {
	var out, log bytes.Buffer
	p := newPullPrinter(&out, slog.New(slog.NewTextHandler(&log, nil)))
	p.show("nginx", 0, 0)
	p.show("nginx", 1<<20, 3<<20)
	if got := strings.Count(log.String(), "pulling an image"); got != 1 || out.Len() > 0 {
		t.Errorf("without a terminal: %d lines logged, %q printed", got, out.String())
	}
	p.terminal = true
	p.show("nginx", 3<<19, 3<<20)
	p.show("nginx", 3<<20, 3<<20)
	if want := "\r\x1b[Kpulling nginx: 1.5 of 3.0 MiB\r\x1b[Kpulling nginx: 3.0 of 3.0 MiB\n"; out.String() != want {
		t.Errorf("on a terminal: %q, want %q", out.String(), want)
	}
	if len(p.shown) != 0 {
		t.Errorf("still being pulled: %v", p.shown)
	}
}
