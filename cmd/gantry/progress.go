package main

import (
	"fmt"
	"io"
	"time"
)

// A progress prints a line for each step of coming up, with the time it took.
type progress struct {
	out     io.Writer
	started time.Time
	last    time.Time
}

func newProgress(out io.Writer) *progress {
	now := time.Now()
	return &progress{out: out, started: now, last: now}
}

// step says that something is done.
func (p *progress) step(format string, args ...any) {
	now := time.Now()
	fmt.Fprintf(p.out, "%7s  %s\n", milliseconds(now.Sub(p.last)), fmt.Sprintf(format, args...))
	p.last = now
}

// total is the time since the first step began.
func (p *progress) total() string { return milliseconds(time.Since(p.started)) }

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%d ms", d.Round(time.Millisecond).Milliseconds())
}
