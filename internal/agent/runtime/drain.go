package runtime

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	// drainPatience is how long the output of an ended container is waited for. It ends
	// with the container's last process; what may still be on its way to the disk then
	// is held up by nothing but the disk.
	drainPatience = time.Minute
	// sharedPatience is the same for a container that shares processes with others: it
	// may have left one behind that holds its output open.
	sharedPatience = 2 * time.Second
	drainLook      = time.Millisecond // doubled with every look
)

// drain waits until the shim has written all that an ended container printed:
// it closes the files then.
func (r *Runtime) drain(ctx context.Context, id ContainerID, kept record) {
	pid, err := os.ReadFile(filepath.Join(r.stateDir(id), shimDir, shimPID))
	if err != nil {
		return // no shim, so nobody writes
	}
	patience := drainPatience
	if kept.SharesProcesses {
		patience = sharedPatience
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for pause := drainLook; holdsOpen(strings.TrimSpace(string(pid)), kept.Log); pause *= 2 {
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
