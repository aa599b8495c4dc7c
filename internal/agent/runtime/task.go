package runtime

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	tasksapi "github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/api/types"
	tasktypes "github.com/containerd/containerd/api/types/task"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// shimVersion is that of the protocol our shims speak; from 3 on containerd
// takes a shim as it is instead of starting it.
const shimVersion = 3

// createTask gives the container a shim and has runc set the process up.
func (r *Runtime) createTask(ctx context.Context, l launch) (pid int, err error) {
	request := &tasksapi.CreateTaskRequest{
		ContainerID: string(l.id), Terminal: l.terminal, RuntimePath: r.programs.shim,
		Stdout: l.kept.Log.Stdout, Stderr: l.kept.Log.Stderr,
	}
	if err := makeLogs(l.kept.Log); err != nil {
		return 0, err
	}
	if l.terminal {
		if err := checkTerminalLog(l.kept.Log); err != nil {
			return 0, err
		}
		request.Stderr = ""
	}
	if l.interactive {
		if request.Stdin, err = r.makeStdin(l.id); err != nil {
			return 0, err
		}
	}
	if l.chain != "" {
		mounts, err := r.layers(ctx, l)
		if err != nil {
			return 0, fmt.Errorf("add a writable layer: %w", err)
		}
		for _, m := range mounts {
			request.Rootfs = append(request.Rootfs, &types.Mount{Type: m.Type, Source: m.Source, Target: m.Target, Options: m.Options})
		}
	}
	pid, err = r.createBy(ctx, l.id, request)
	if shimNeverMet(err) {
		r.log.Warn("a container gets another shim", "container", l.id, "error", err)
		pid, err = r.createBy(ctx, l.id, request)
	}
	return pid, err
}

// createBy has a shim of its own set a container's process up.
func (r *Runtime) createBy(ctx context.Context, id ContainerID, request *tasksapi.CreateTaskRequest) (pid int, err error) {
	shim, err := r.shims.take(filepath.Join(r.stateDir(id), shimDir))
	if err != nil {
		return 0, err
	}
	request.TaskApiAddress, request.TaskApiVersion = "ttrpc+"+shim.address(), shimVersion
	made, err := r.client.TaskService().Create(ctx, request)
	if err != nil {
		// containerd ends it only if it came to know of it, and it may have gone on making what
		// nobody waits for any more.
		why := r.shimEnded(ctx, id, plain(err))
		return 0, errors.Join(why, r.endShimsIn(context.WithoutCancel(ctx), []string{shim.dir}))
	}
	return int(made.Pid), nil
}

// layers makes the container's writable layer, or finds it.
func (r *Runtime) layers(ctx context.Context, l launch) ([]mount.Mount, error) {
	if l.again {
		return r.client.SnapshotService(snapshotter).Mounts(ctx, string(l.id))
	}
	return r.client.SnapshotService(snapshotter).Prepare(ctx, string(l.id), l.chain)
}

// makeLogs makes the output files, which the shim only opens.
func makeLogs(l Log) error {
	for _, path := range []string{l.Stdout, l.Stderr} {
		if path == "" {
			continue
		}
		if !filepath.IsAbs(path) {
			return fmt.Errorf("output file %q is not an absolute path", path)
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o640)
		if err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	return nil
}

// checkTerminalLog refuses what the shim would overwrite: it copies a terminal's
// output to the start of the file, where it appends that of pipes.
func checkTerminalLog(l Log) error {
	if l.Stdout == "" {
		return errors.New("a container with a terminal needs a file for its output")
	}
	info, err := os.Stat(l.Stdout)
	if err != nil {
		return err
	}
	if info.Size() > 0 {
		return fmt.Errorf("output file %s of a container with a terminal is not empty", l.Stdout)
	}
	return nil
}

// stdinPipe is the name of the pipe in an interactive container's state directory.
const stdinPipe = "stdin"

// makeStdin makes the pipe whose writing end nobody closes: an interactive
// container reads from it and waits, as with "docker run -i" detached.
func (r *Runtime) makeStdin(id ContainerID) (string, error) {
	path := filepath.Join(r.stateDir(id), stdinPipe)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", err
	}
	if err := unix.Mkfifo(path, 0o600); err != nil && !errors.Is(err, os.ErrExist) {
		return "", err
	}
	return path, nil
}

// startTimeout is how long runc may take to execute a container's program, as
// the ECS agent has it. Passing it is a ContainerRuntimeTimeoutError.
const startTimeout = 3 * time.Minute

// Start lets a created container run. It returns once its program was
// executed; a program that cannot be is an error, and the container is stopped.
func (r *Runtime) Start(ctx context.Context, id ContainerID) (Container, error) {
	ctx, cancel := context.WithTimeout(r.in(ctx), startTimeout)
	defer cancel()
	if err := r.markStarted(id); err != nil && !errors.Is(err, os.ErrNotExist) { // containerd says it better
		return Container{}, failed(CannotStart, err, "start container %s", id)
	}
	if _, err := r.client.TaskService().Start(ctx, &tasksapi.StartRequest{ContainerID: string(id)}); err != nil {
		return Container{}, failed(CannotStart, r.shimEnded(ctx, id, plain(err)), "start container %s", id)
	}
	c, err := r.Inspect(ctx, id)
	if err != nil {
		return Container{}, failed(CannotStart, err, "start container %s", id)
	}
	return c, nil
}

// Kill sends a signal, "SIGTERM" or "15", to the container's first process.
// Empty is the container's own stop signal. A container that has ended is no error.
func (r *Runtime) Kill(ctx context.Context, id ContainerID, signal string) error {
	ctx = r.in(ctx)
	if signal == "" {
		kept, err := r.record(ctx, id)
		if err != nil {
			return failed(CannotStop, err, "signal container %s", id)
		}
		signal = kept.StopSignal
	}
	number, err := parseSignal(signal)
	if err != nil {
		return failed(CannotStop, err, "signal container %s", id)
	}
	err = r.kill(ctx, id, number)
	if err != nil && !errdefs.IsNotFound(err) {
		return failed(CannotStop, plain(err), "signal container %s with %s", id, signal)
	}
	return nil
}

func (r *Runtime) kill(ctx context.Context, id ContainerID, signal syscall.Signal) error {
	_, err := r.client.TaskService().Kill(ctx, &tasksapi.KillRequest{
		ContainerID: string(id), Signal: uint32(signal),
		// A shared pid namespace does not end with the container's first process.
		All: signal == unix.SIGKILL,
	})
	return errgrpc.ToNative(err)
}

// Wait waits until a container has ended and all that it printed is in its
// files, and says how it ended; at once if it has. It may be called again, and
// after a restart of gantry, until Delete. (What processes print that outlive
// the container, in a pid namespace that it shares, may still come for as long
// as they run.)
func (r *Runtime) Wait(ctx context.Context, id ContainerID) (Exit, error) {
	ctx = r.in(ctx)
	kept, err := r.record(ctx, id)
	if err != nil {
		return Exit{}, failed(CannotInspect, err, "wait for container %s", id)
	}
	done, err := r.client.TaskService().Wait(ctx, &tasksapi.WaitRequest{ContainerID: string(id)})
	if err != nil && ctx.Err() == nil {
		// Its shim is gone.
		exit, err := r.lostExit(ctx, id)
		if errors.Is(err, ErrLost) {
			return Exit{}, failed(Vanished, err, "wait for container %s", id)
		}
		return exit, err
	}
	if err != nil {
		return Exit{}, failed(CannotInspect, plain(err), "wait for container %s", id)
	}
	r.drain(ctx, id, kept)
	return r.exit(kept.Task, id, done.ExitStatus, done.ExitedAt.AsTime())
}

// killed is the exit code of what SIGKILL ended.
const killed = 128 + uint32(unix.SIGKILL)

// exit completes an exit code with whether memory was the reason.
func (r *Runtime) exit(task TaskID, id ContainerID, code uint32, at time.Time) (Exit, error) {
	e := Exit{Code: code, At: at}
	if code != killed {
		return e, nil
	}
	kills, err := r.cgroups.oomKills(r.containerCgroup(task, id))
	if err != nil {
		return e, failed(CannotInspect, err, "find out why container %s was killed", id)
	}
	e.OOMKilled = kills > 0
	return e, nil
}

// Inspect says what is known of a container.
func (r *Runtime) Inspect(ctx context.Context, id ContainerID) (Container, error) {
	ctx = r.in(ctx)
	kept, err := r.record(ctx, id)
	if err != nil {
		return Container{}, failed(CannotInspect, err, "inspect container %s", id)
	}
	c, err := r.look(ctx, id, kept)
	if err != nil {
		return Container{}, failed(CannotInspect, err, "inspect container %s", id)
	}
	return c, nil
}

// List says what is known of every container, anchors left out, the oldest
// first: what a restarted agent takes up.
func (r *Runtime) List(ctx context.Context) ([]Container, error) {
	ctx = r.in(ctx)
	entries, err := r.client.ContainerService().List(ctx)
	if err != nil {
		return nil, fmt.Errorf("list containers: %w", err)
	}
	var list []Container
	for _, entry := range entries {
		kept, err := readRecord(entry)
		if err != nil {
			return nil, fmt.Errorf("list container %s: %w", entry.ID, err)
		}
		if kept.Anchor {
			continue
		}
		c, err := r.look(ctx, ContainerID(entry.ID), kept)
		if err != nil {
			return nil, fmt.Errorf("list container %s: %w", entry.ID, err)
		}
		list = append(list, c)
	}
	slices.SortStableFunc(list, func(a, b Container) int { return a.CreatedAt.Compare(b.CreatedAt) })
	return list, nil
}

// look asks the container's shim for its state.
func (r *Runtime) look(ctx context.Context, id ContainerID, kept record) (Container, error) {
	c := kept.container(id)
	got, err := r.client.TaskService().Get(ctx, &tasksapi.GetRequest{ContainerID: string(id)})
	if ctx.Err() != nil {
		return c, ctx.Err() // which containerd tells as a shim that does not answer
	}
	if errdefs.IsNotFound(errgrpc.ToNative(err)) || err == nil && got.Process.Status == tasktypes.Status_UNKNOWN {
		// No shim, or none that answers.
		if exit, ok := r.ended(id); ok {
			c.State, c.Exit = Stopped, &exit
		}
		return c, nil
	}
	if err != nil {
		return c, plain(err)
	}
	switch got.Process.Status {
	case tasktypes.Status_CREATED:
		c.State = Created
	case tasktypes.Status_STOPPED:
		if !r.wasStarted(id) {
			return c, nil
		}
		exit, err := r.exit(kept.Task, id, got.Process.ExitStatus, got.Process.ExitedAt.AsTime())
		if err != nil {
			return c, err
		}
		c.State, c.Exit = Stopped, &exit
	default:
		c.State, c.PID = Running, int(got.Process.Pid)
	}
	return c, nil
}

// Delete removes a container with its layer, its process if it still runs, and
// its files, but not its output. Deleting one that is not there is fine.
func (r *Runtime) Delete(ctx context.Context, id ContainerID) error {
	ctx = r.in(ctx)
	entry, err := r.client.ContainerService().Get(ctx, string(id))
	if errdefs.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return failed(CannotRemove, err, "delete container %s", id)
	}
	if err := r.deleteTask(ctx, entry); err != nil {
		return failed(CannotRemove, err, "delete container %s", id)
	}
	if err := r.forget(ctx, entry); err != nil {
		return failed(CannotRemove, err, "delete container %s", id)
	}
	r.exits.forget(id)
	return nil
}

func (r *Runtime) deleteTask(ctx context.Context, entry containers.Container) error {
	tasks, id := r.client.TaskService(), ContainerID(entry.ID)
	got, err := tasks.Get(ctx, &tasksapi.GetRequest{ContainerID: entry.ID})
	if errdefs.IsNotFound(errgrpc.ToNative(err)) {
		// A gantry that was killed may have given it a shim that never got the process. A shim that
		// was killed itself leaves the container's root file system mounted, until containerd
		// finds the time.
		if err := r.endShimIn(ctx, filepath.Join(r.stateDir(id), shimDir), id); err != nil {
			return err
		}
		err := mount.UnmountRecursive(filepath.Join(r.bundle(entry.ID), "rootfs"), 0)
		if errors.Is(err, os.ErrNotExist) {
			return nil // containerd found it
		}
		return err
	}
	if err != nil {
		return plain(err)
	}
	// Deleting a process that was set up and never started would first wait for
	// its output to end.
	if got.Process.Status == tasktypes.Status_CREATED {
		if err := r.unmarkStarted(id); err != nil {
			return err
		}
	}
	if s := got.Process.Status; s == tasktypes.Status_CREATED || s == tasktypes.Status_RUNNING || s == tasktypes.Status_PAUSED {
		if err := r.kill(ctx, id, unix.SIGKILL); err != nil && !errdefs.IsNotFound(err) {
			return plain(err)
		}
		if _, err := tasks.Wait(ctx, &tasksapi.WaitRequest{ContainerID: entry.ID}); err != nil {
			return plain(err)
		}
	}
	_, err = tasks.Delete(ctx, &tasksapi.DeleteTaskRequest{ContainerID: entry.ID})
	if err != nil && !errdefs.IsNotFound(errgrpc.ToNative(err)) {
		return plain(err)
	}
	return r.seeOff(ctx, id)
}

// DeleteAll deletes every container and anchor, and every control group, for
// gantry down; shims too that were taken for a container that did not come to be. It goes
// on when one cannot be deleted.
func (r *Runtime) DeleteAll(ctx context.Context) error {
	entries, err := r.client.ContainerService().List(r.in(ctx))
	if err != nil {
		return fmt.Errorf("list containers: %w", err)
	}
	var group errgroup.Group
	// Each deletion executes runc twice; more at once only queue for the CPU.
	const atOnce = 8
	group.SetLimit(atOnce)
	problems := make([]error, len(entries))
	for i, entry := range entries {
		group.Go(func() error {
			problems[i] = r.Delete(ctx, ContainerID(entry.ID))
			return nil
		})
	}
	_ = group.Wait() // whose functions tell by problems
	// One that was taken by a gantry that was killed before containerd had its container.
	left, err := r.takenShims()
	problems = append(problems, err, r.endShimsIn(ctx, left), r.cgroups.remove(ctx, r.config.CgroupParent))
	return errors.Join(problems...)
}

// plain takes gRPC's wrapping, and what is the same in every message of the
// shim and runc, off an error.
func plain(err error) error {
	native := errgrpc.ToNative(err)
	if errors.Is(native, context.DeadlineExceeded) || errors.Is(native, context.Canceled) || native == nil {
		return native
	}
	text := native.Error()
	for _, noise := range []string{"failed to create task: ", "failed to start task: ", "failed to create shim task: ", "OCI runtime create failed: ", "OCI runtime start failed: ", "runc create failed: ", "runc run failed: "} {
		text = strings.Replace(text, noise, "", 1)
	}
	return &plainError{text, native}
}

type plainError struct {
	text string
	err  error
}

func (e *plainError) Error() string { return e.text }
func (e *plainError) Unwrap() error { return e.err }
