package runtime

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/ttrpc"
)

// shimLog is the file in a shim's directory to which it prints, also when it crashes.
const shimLog = "log"

// An endedShim says that a container's shim ended while it was asked for something.
type endedShim struct {
	words string // what the shim printed last; empty if nothing
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
func (r *Runtime) shimEnded(id ContainerID, err error) error {
	if err == nil || !strings.HasSuffix(err.Error(), ttrpc.ErrClosed.Error()) {
		return err
	}
	printed, read := os.ReadFile(filepath.Join(r.stateDir(id), shimDir, shimLog))
	if read != nil && !errors.Is(read, fs.ErrNotExist) {
		r.log.Warn("what a container's shim printed cannot be read", "container", id, "error", read)
	}
	r.log.Error("a container's shim ended by itself", "container", id, "printed", string(printed))
	return &endedShim{lastWords(string(printed)), err}
}

// lastWords is the line that says why a program crashed, or else the last one.
func lastWords(printed string) string {
	lines := strings.Split(strings.TrimSpace(printed), "\n")
	if i := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, "panic: ") || strings.HasPrefix(l, "fatal error: ") }); i >= 0 {
		return lines[i]
	}
	return lines[len(lines)-1]
}
