package runtime

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	shimapi "github.com/containerd/containerd/api/runtime/task/v3"
	"github.com/containerd/ttrpc"
	"golang.org/x/sys/unix"
)

// sweepShims ends the shims that a killed gantry left without a container: the
// spare ones, and those taken for a container that did not come to be. It must
// run before containerd starts. One that was let run stays: what its shim noted is
// how it ended.
func (r *Runtime) sweepShims(ctx context.Context) error {
	dirs, err := filepath.Glob(filepath.Join(r.config.RunDir, "spare", "*"))
	if err != nil {
		return err
	}
	taken, err := r.takenShims()
	if err != nil {
		return err
	}
	for _, dir := range taken {
		id := ContainerID(filepath.Base(filepath.Dir(dir)))
		if _, err := os.Stat(r.bundle(string(id))); errors.Is(err, fs.ErrNotExist) && !r.wasStarted(id) {
			dirs = append(dirs, dir)
		}
	}
	// One shim more or less must not keep gantry from starting.
	if err := r.endShimsIn(ctx, dirs); err != nil {
		r.log.Warn("a container shim is left over", "error", err)
	}
	return nil
}

// takenShims are the directories of the shims that were taken for a container.
func (r *Runtime) takenShims() ([]string, error) {
	return filepath.Glob(filepath.Join(r.config.RunDir, "containers", "*", shimDir))
}

// endShimsIn ends the shims of directories, and removes these.
func (r *Runtime) endShimsIn(ctx context.Context, dirs []string) error {
	var problems []error
	for _, dir := range dirs {
		err := r.endShimIn(ctx, dir, ContainerID(filepath.Base(filepath.Dir(dir))))
		if err == nil {
			err = os.RemoveAll(dir)
		}
		problems = append(problems, err)
	}
	return errors.Join(problems...)
}

// endShimIn ends the shim of a directory, if it still runs, and the container of
// that name with it: a process that was being set up when gantry was killed may
// have got to its shim and not to containerd.
func (r *Runtime) endShimIn(ctx context.Context, dir string, id ContainerID) error {
	address, err := os.ReadFile(filepath.Join(dir, "address"))
	if errors.Is(err, fs.ErrNotExist) {
		return r.dropState(ctx, id)
	}
	if err != nil {
		return err
	}
	socket := strings.TrimPrefix(string(address), "unix://")
	if err := r.endShimAt(ctx, socket, dir, id); err != nil {
		return err
	}
	if err := os.Remove(socket); err != nil && !errors.Is(err, fs.ErrNotExist) { // one that was killed leaves it
		return err
	}
	return nil
}

func (r *Runtime) endShimAt(ctx context.Context, socket, dir string, id ContainerID) error {
	err := inTime(ctx, func(ctx context.Context) error { return urgeShim(ctx, socket, id) })
	if ctx.Err() != nil {
		return err
	}
	if state := r.dropState(ctx, id); err == nil || state != nil {
		return state
	}
	// A container that was half made can be neither killed nor deleted by its shim.
	if err := killShim(dir); err != nil {
		return err
	}
	return inTime(ctx, func(ctx context.Context) error { return shimGone(ctx, socket) })
}

// urgeShim has a shim drop its container and end, until nobody listens on its socket. It stays
// while it has a container, and may be in the middle of making one.
func urgeShim(ctx context.Context, socket string, id ContainerID) error {
	for pause := shimLook; ; pause *= 2 {
		err := errors.Join(dropContainer(ctx, socket, id), endShim(ctx, socket))
		conn, dialed := dialShim(socket)
		if conn == nil {
			return dialed
		}
		conn.Close()
		select {
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("shim %s does not end", socket), err)
		case <-time.After(pause):
		}
	}
}

// inTime gives a shim a while for what is usually done at once: a busy machine may be slow.
func inTime(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, shimEnd)
	defer cancel()
	return do(ctx)
}

// shimGone waits until nobody listens on a shim's socket: it answers before it ends.
func shimGone(ctx context.Context, socket string) error {
	for pause := shimLook; ; pause *= 2 {
		conn, err := dialShim(socket)
		if conn == nil {
			return err
		}
		conn.Close()
		select {
		case <-ctx.Done():
			return fmt.Errorf("shim %s does not end", socket)
		case <-time.After(pause):
		}
	}
}

// seeOff waits until a container's shim has ended, which containerd only tells to do so.
func (r *Runtime) seeOff(ctx context.Context, id ContainerID) error {
	address, err := os.ReadFile(filepath.Join(r.stateDir(id), shimDir, "address"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return inTime(ctx, func(ctx context.Context) error { return shimGone(ctx, strings.TrimPrefix(string(address), "unix://")) })
}

// dropState has runc kill what is left of a container that nobody else knows, and
// forget it: else another could not be made in its name.
func (r *Runtime) dropState(ctx context.Context, id ContainerID) error {
	root := filepath.Join(r.config.RunDir, "runc", namespace)
	if _, err := os.Stat(filepath.Join(root, string(id))); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	out, err := exec.CommandContext(ctx, r.programs.runc, "--root", root, "delete", "--force", string(id)).CombinedOutput()
	if err != nil {
		return fmt.Errorf("have runc delete container %s: %w: %s", id, err, bytes.TrimSpace(out))
	}
	return nil
}

// killShim kills the shim that works in a directory.
func killShim(dir string) error {
	text, err := os.ReadFile(filepath.Join(dir, shimPID))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it was never started
	}
	if err != nil {
		return err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return err
	}
	if works, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid)); err != nil || works != dir {
		return nil // it has ended, and another process may have its number
	}
	if err := unix.Kill(pid, unix.SIGKILL); err != nil && err != unix.ESRCH {
		return fmt.Errorf("kill shim %d: %w", pid, err)
	}
	return nil
}

// dropContainer kills and deletes what a shim has under a container's name. Usually
// that is nothing.
func dropContainer(ctx context.Context, socket string, id ContainerID) error {
	conn, err := dialShim(socket)
	if conn == nil {
		return err
	}
	client := ttrpc.NewClient(conn)
	defer client.Close()
	shim := shimapi.NewTTRPCTaskClient(client)
	if _, err := shim.State(ctx, &shimapi.StateRequest{ID: string(id)}); err != nil {
		return nil // it has none, or is about to end
	}
	// What does not succeed shows when the shim is asked to end. What cannot be killed
	// was half made, and has no end to wait for.
	if _, err := shim.Kill(ctx, &shimapi.KillRequest{ID: string(id), Signal: uint32(unix.SIGKILL), All: true}); err == nil {
		_, _ = shim.Wait(ctx, &shimapi.WaitRequest{ID: string(id)})
	}
	_, _ = shim.Delete(ctx, &shimapi.DeleteRequest{ID: string(id)})
	return nil
}

// dialShim connects to a shim; nil where it has ended.
func dialShim(socket string) (net.Conn, error) {
	conn, err := net.Dial("unix", socket)
	if errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, unix.ENOENT) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("end shim %s: %w", socket, err)
	}
	return conn, nil
}
