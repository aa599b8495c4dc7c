package runtime

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	tasksapi "github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/containerd/typeurl/v2"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/types/known/anypb"
)

// maxExecOutput is how much of a program's output Exec keeps: as much as Docker
// keeps of a health check's.
const maxExecOutput = 4096

// ErrExecTimeout is wrapped when a program was killed because its time was up.
var ErrExecTimeout = errors.New("the program did not end in time and was killed")

// An ExecResult is how a program in a container ended.
type ExecResult struct {
	Code uint32
	// Output is the start of what it printed, standard output and error as
	// they came, at most 4 KiB.
	Output []byte
	Start  time.Time
	End    time.Time
}

// Exec runs a program in a running container, as the container's user and with
// its environment and directory, and waits for it: a health check. After
// timeout (0 is none) it is killed, and the error wraps ErrExecTimeout; the
// result then holds what it printed until then.
func (r *Runtime) Exec(ctx context.Context, id ContainerID, args []string, timeout time.Duration) (ExecResult, error) {
	result, err := r.exec(r.in(ctx), id, args, timeout)
	if err != nil {
		return result, failed(CannotInspect, err, "execute %q in container %s", args, id)
	}
	return result, nil
}

func (r *Runtime) exec(ctx context.Context, id ContainerID, args []string, timeout time.Duration) (result ExecResult, err error) {
	process, err := r.execProcess(ctx, id, args)
	if err != nil {
		return result, err
	}
	name := "exec-" + newToken()
	output, err := r.openOutput(id, name)
	if err != nil {
		return result, err
	}
	tasks := r.client.TaskService()
	defer func() { err = errors.Join(err, output.close()) }()
	_, err = tasks.Exec(ctx, &tasksapi.ExecProcessRequest{
		ContainerID: string(id), ExecID: name, Stdout: output.path, Stderr: output.path, Spec: process})
	if err != nil {
		return result, plain(err)
	}
	e := execution{tasks: tasks, container: string(id), name: name}
	result.Start = time.Now()
	if _, err := tasks.Start(ctx, &tasksapi.StartRequest{ContainerID: string(id), ExecID: name}); err != nil {
		return result, errors.Join(plain(err), e.collect(ctx))
	}
	result.Code, result.End, err = e.await(ctx, timeout)
	// Collecting it waits for the last of its output.
	err = errors.Join(err, e.collect(ctx))
	result.Output = output.text()
	return result, err
}

// An execution is a program under way in a container.
type execution struct {
	tasks           tasksapi.TasksClient
	container, name string
}

// await waits for the end. What nobody waits for any longer is killed.
func (e execution) await(ctx context.Context, timeout time.Duration) (uint32, time.Time, error) {
	// The limit is a timer of ours and no deadline of the call's: that would go
	// to the shim with it, which could then be the first to say that it passed.
	limited, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if timeout > 0 {
		defer time.AfterFunc(timeout, func() { cancel(ErrExecTimeout) }).Stop()
	}
	wait := &tasksapi.WaitRequest{ContainerID: e.container, ExecID: e.name}
	done, err := e.tasks.Wait(limited, wait)
	if err == nil {
		return done.ExitStatus, done.ExitedAt.AsTime(), nil
	}
	cause := context.Cause(limited)
	if cause == nil {
		cause = plain(err)
	}
	anyway := context.WithoutCancel(ctx)
	_, killed := e.tasks.Kill(anyway, &tasksapi.KillRequest{ContainerID: e.container, ExecID: e.name, Signal: uint32(unix.SIGKILL)})
	if killed = errgrpc.ToNative(killed); killed != nil && !errdefs.IsNotFound(killed) {
		return 0, time.Now(), errors.Join(cause, killed)
	}
	if _, err := e.tasks.Wait(anyway, wait); err != nil {
		return 0, time.Now(), errors.Join(cause, plain(err))
	}
	return 0, time.Now(), cause
}

// collect removes what is left of the program, after the last of its output.
func (e execution) collect(ctx context.Context) error {
	_, err := e.tasks.DeleteProcess(context.WithoutCancel(ctx), &tasksapi.DeleteProcessRequest{ContainerID: e.container, ExecID: e.name})
	if err = errgrpc.ToNative(err); err != nil && !errdefs.IsNotFound(err) {
		return err
	}
	return nil
}

// execProcess is the container's own process with another command line.
func (r *Runtime) execProcess(ctx context.Context, id ContainerID, args []string) (*anypb.Any, error) {
	entry, err := r.client.ContainerService().Get(ctx, string(id))
	if errdefs.IsNotFound(err) {
		return nil, fmt.Errorf("no such container: %w", ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	var oci specs.Spec
	if err := json.Unmarshal(entry.Spec.GetValue(), &oci); err != nil {
		return nil, err
	}
	oci.Process.Args, oci.Process.Terminal = args, false
	return typeurl.MarshalAnyToProto(oci.Process)
}

// An execOutput is a named pipe that the shim writes to, and the start of what
// came through it. Reading goes on to the end, so that a program that prints
// much is not held up.
type execOutput struct {
	path string
	pipe *os.File
	done chan struct{}
	once sync.Once
	mu   sync.Mutex
	kept bytes.Buffer // under mu
}

func (r *Runtime) openOutput(id ContainerID, name string) (*execOutput, error) {
	dir := r.stateDir(id)
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return nil, err
	}
	o := &execOutput{path: filepath.Join(dir, name), done: make(chan struct{})}
	if err := unix.Mkfifo(o.path, 0o600); err != nil {
		return nil, err
	}
	// Opened for both, so that it does not wait for the shim.
	pipe, err := os.OpenFile(o.path, os.O_RDWR|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, errors.Join(err, os.Remove(o.path))
	}
	o.pipe = pipe
	go o.drain()
	return o, nil
}

func (o *execOutput) drain() {
	defer close(o.done)
	buffer := make([]byte, maxExecOutput)
	for {
		n, err := o.pipe.Read(buffer)
		o.mu.Lock()
		o.kept.Write(buffer[:min(n, maxExecOutput-o.kept.Len())])
		o.mu.Unlock()
		if err != nil {
			return // it was closed, or given a deadline
		}
	}
}

// text is what was kept, once the program has ended and everything that it
// wrote is in the pipe.
func (o *execOutput) text() []byte {
	o.once.Do(func() {
		// Empties the pipe, then fails: nothing comes any more.
		_ = o.pipe.SetReadDeadline(time.Now())
		<-o.done
		o.rest()
	})
	o.mu.Lock()
	defer o.mu.Unlock()
	return bytes.Clone(o.kept.Bytes())
}

// rest reads what the deadline kept drain from reading.
func (o *execOutput) rest() {
	raw, err := o.pipe.SyscallConn()
	if err != nil {
		return
	}
	buffer := make([]byte, maxExecOutput)
	_ = raw.Control(func(fd uintptr) {
		for {
			n, err := unix.Read(int(fd), buffer)
			if n <= 0 || err != nil {
				return
			}
			o.mu.Lock()
			o.kept.Write(buffer[:min(n, maxExecOutput-o.kept.Len())])
			o.mu.Unlock()
		}
	})
}

func (o *execOutput) close() error {
	err := o.pipe.Close()
	<-o.done
	return errors.Join(err, os.Remove(o.path))
}
