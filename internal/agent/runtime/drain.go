package runtime

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	// drainPatience is how long the output of an ended container is waited for.
	// It ends at once with the container's last process, unless the container
	// shares processes with others and left one behind that holds it open.
	drainPatience = 2 * time.Second
	drainLook     = time.Millisecond // doubled with every look
)

// drain waits until the shim has written all that an ended container printed:
// it closes the files then.
func (r *Runtime) drain(ctx context.Context, id ContainerID, l Log) {
	pid, err := os.ReadFile(filepath.Join(r.stateDir(id), shimDir, shimPID))
	if err != nil {
		return // no shim, so nobody writes
	}
	ctx, cancel := context.WithTimeout(ctx, drainPatience)
	defer cancel()
	for pause := drainLook; holdsOpen(strings.TrimSpace(string(pid)), l); pause *= 2 {
		select {
		case <-ctx.Done():
			return // what is still to come belongs to somebody else
		case <-time.After(pause):
		}
	}
}

// holdsOpen is whether a process has one of the files open.
func holdsOpen(pid string, l Log) bool {
	dir := filepath.Join("/proc", pid, "fd")
	entries, err := os.ReadDir(dir)
	if err != nil {
		return false // it ended
	}
	for _, entry := range entries {
		target, err := os.Readlink(filepath.Join(dir, entry.Name()))
		if err == nil && target != "" && (target == l.Stdout || target == l.Stderr) {
			return true
		}
	}
	return false
}
