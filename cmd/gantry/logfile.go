package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
)

const (
	// logFile, in a data dir, holds what gantry up has to tell from info up: the
	// terminal shows the start-up steps, warnings and errors only.
	logFile = "gantry.log"
	// maxLogFile is the size, in bytes, at which the log begins anew; the one before
	// is kept. Twice that is days of a busy machine, and no disk minds it.
	maxLogFile = 10 << 20
)

// A rotatingFile is a log that never holds more than two files of most bytes
// each: path, and path.1 with what was before. It is safe for concurrent use.
type rotatingFile struct {
	path string
	most int64

	mu   sync.Mutex
	file *os.File // guarded by mu, as size is
	size int64
}

// openLog goes on with the log at path, or begins one.
func openLog(path string, most int64) (*rotatingFile, error) {
	r := &rotatingFile{path: path, most: most}
	if err := r.open(); err != nil {
		return nil, fmt.Errorf("open the log: %w", err)
	}
	return r, nil
}

// open is called under mu, or before anyone else knows r.
func (r *rotatingFile) open() error {
	f, err := os.OpenFile(r.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return err
	}
	r.file, r.size = f, info.Size()
	return nil
}

// Write adds a line. A line is never split between two files.
func (r *rotatingFile) Write(line []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.size > 0 && r.size+int64(len(line)) > r.most {
		if err := os.Rename(r.path, r.path+".1"); err != nil {
			return 0, err
		}
		old := r.file
		if err := r.open(); err != nil {
			return 0, err
		}
		old.Close() // what it holds was written
	}
	n, err := r.file.Write(line)
	r.size += int64(n)
	return n, err
}

func (r *rotatingFile) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.file.Close()
}

// newLogger logs to out what is at least as grave as level.
func newLogger(level string, out io.Writer) (*slog.Logger, error) {
	l, err := levelOf(level)
	if err != nil {
		return nil, err
	}
	return slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: l})), nil
}

// newFileLogger is newLogger that also writes everything from info up, or from
// level where that is less, to a file.
func newFileLogger(level string, out, file io.Writer) (*slog.Logger, error) {
	l, err := levelOf(level)
	if err != nil {
		return nil, err
	}
	return slog.New(slog.NewMultiHandler(
		slog.NewTextHandler(out, &slog.HandlerOptions{Level: l}),
		slog.NewTextHandler(file, &slog.HandlerOptions{Level: min(l, slog.LevelInfo)}),
	)), nil
}

func levelOf(text string) (l slog.Level, err error) {
	if err := l.UnmarshalText([]byte(text)); err != nil {
		return l, fmt.Errorf("--log-level %s: choose debug, info, warn or error", text)
	}
	return l, nil
}
