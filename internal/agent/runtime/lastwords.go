package runtime

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/containerd/ttrpc"
	"golang.org/x/sys/unix"
)

const (
	// shimLog is the file in a shim's directory to which it prints, also when it crashes.
	shimLog = "log"
	// shimEnding begins the line that is added to it once the shim has ended.
	shimEnding = "its process ended: "
	// shimEndingWithin bounds how long that takes.
	shimEndingWithin = 2 * time.Second
)

// An endedShim says that a container's shim ended while it was asked for something.
type endedShim struct {
	words string // what the shim printed last; empty if nothing
	met   bool   // containerd had reached it
	err   error
}

func (e *endedShim) Error() string {
	if e.words == "" {
		return "its shim ended: " + e.err.Error()
	}
	return fmt.Sprintf("its shim ended: %s (%s)", e.err, e.words)
}

func (e *endedShim) Unwrap() error { return e.err }

// shimEnded explains an error of a container's shim that is nothing but its end, and logs all that the shim printed.
func (r *Runtime) shimEnded(ctx context.Context, id ContainerID, err error) error {
	if err == nil {
		return nil
	}
	met, never := strings.HasSuffix(err.Error(), ttrpc.ErrClosed.Error()), nobodyListens(err)
	if !met && !never {
		return err
	}
	printed := r.printedByShim(ctx, id)
	r.log.Error("a container's shim ended by itself", "container", id, "printed", printed)
	return &endedShim{lastWords(printed), met, err}
}

// printedByShim is what a container's shim printed, and how it ended if it was this process that started it.
func (r *Runtime) printedByShim(ctx context.Context, id ContainerID) (printed string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shimEndingWithin)
	defer cancel()
	for pause := shimLook; ; pause *= 2 {
		text, err := os.ReadFile(filepath.Join(r.stateDir(id), shimDir, shimLog))
		if err != nil {
			return printed
		}
		printed = string(text)
		if strings.Contains(printed, shimEnding) {
			return printed
		}
		select {
		case <-ctx.Done():
			return printed
		case <-time.After(pause):
		}
	}
}

// nobodyListens reports whether an error is that a shim's socket could not be connected to, which its text alone tells.
func nobodyListens(err error) bool {
	text := err.Error()
	return strings.Contains(text, "failed to create TTRPC connection: dial unix ") &&
		(strings.HasSuffix(text, "connect: "+unix.ENOENT.Error()) || strings.HasSuffix(text, "connect: "+unix.ECONNREFUSED.Error()))
}

// shimNeverMet reports whether a shim had ended before containerd reached it, so that nothing was done with it.
func shimNeverMet(err error) bool {
	ended, ok := errors.AsType[*endedShim](err)
	return ok && !ended.met
}

// lastWords is the line that says why a program crashed, or else the last one.
func lastWords(printed string) string {
	lines := strings.Split(strings.TrimSpace(printed), "\n")
	if i := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, "panic: ") || strings.HasPrefix(l, "fatal error: ") }); i >= 0 {
		return lines[i]
	}
	return lines[len(lines)-1]
}
