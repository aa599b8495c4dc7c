package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheTerminalIsQuietAndTheFileTellsMore(t *testing.T) {
	for _, tt := range []struct{ level, terminal, file string }{
		{"warn", "warning error", "info warning error"},
		{"error", "error", "info warning error"},
		{"debug", "detail info warning error", "detail info warning error"},
	} {
		var terminal, file strings.Builder
		log, err := newFileLogger(tt.level, &terminal, &file)
		if err != nil {
			t.Fatal(err)
		}
		log.Debug("detail")
		log.Info("info")
		log.Warn("warning")
		log.Error("error")
		if got := messages(terminal.String()); got != tt.terminal {
			t.Errorf("--log-level %s: the terminal shows %q, want %q", tt.level, got, tt.terminal)
		}
		if got := messages(file.String()); got != tt.file {
			t.Errorf("--log-level %s: the file has %q, want %q", tt.level, got, tt.file)
		}
	}
	if _, err := newFileLogger("loud", nil, nil); err == nil || !strings.Contains(err.Error(), "--log-level loud: choose debug, info, warn or error") {
		t.Errorf("a level that is none: %v", err)
	}
}

// messages are the msg= of log lines.
func messages(text string) string {
	var all []string
	for line := range strings.Lines(text) {
		_, after, _ := strings.Cut(line, "msg=")
		all = append(all, strings.TrimSpace(after))
	}
	return strings.Join(all, " ")
}

// The log goes on where it was, and however much is logged, two files hold the end of it.
func TestLogFileIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), logFile)
	const most, lines = 100, 50
	for n := range lines {
		r, err := openLog(path, most) // as if gantry started anew each time
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Fprintf(r, "line %02d\n", n); err != nil {
			t.Fatal(err)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	before, err := os.ReadFile(path + ".1")
	if err != nil {
		t.Fatal(err)
	}
	now, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(before) > most || len(now) > most || len(now) == 0 {
		t.Errorf("%d and %d bytes; each may have %d", len(before), len(now), most)
	}
	var want strings.Builder
	for n := lines - strings.Count(string(before)+string(now), "\n"); n < lines; n++ {
		fmt.Fprintf(&want, "line %02d\n", n)
	}
	if got := string(before) + string(now); got != want.String() || len(before) != 96 {
		t.Errorf("kept %q", got)
	}
}
