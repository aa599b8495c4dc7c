package runtime

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/errdefs"
	"github.com/containerd/typeurl/v2"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/types/known/anypb"
)

const (
	// sandboxName is the sandbox that stands for shims of our own starting.
	sandboxName = "gantry"
	// extension is where gantry's own record of a container lies within containerd's.
	extension  = "gantry"
	recordType = "gantry/container"
)

// A record is what gantry keeps of a container beyond what containerd does.
type record struct {
	Task       TaskID
	Image      string
	Digest     string
	ImageID    string            `json:",omitzero"` // older records have none
	Labels     map[string]string `json:",omitzero"`
	StopSignal string
	Mounts     []Mount `json:",omitzero"`
	Log        Log
	// SharesProcesses is whether its pid namespace is also others'.
	SharesProcesses bool `json:",omitzero"`
	// Anchor marks the holder of a task's shared namespaces.
	Anchor bool `json:",omitzero"`
	// CreatedAt is containerd's, not stored again.
	CreatedAt time.Time `json:"-"`
}

// createTimeout is how long making a container may take, as the ECS agent has
// it. Passing it is a ContainerRuntimeTimeoutError.
const createTimeout = 4 * time.Minute

// Create makes a container ready to start: its root file system, its control
// group, its process set up and waiting. Its image must be on the host. What
// of the Spec this host cannot honour is an error and leaves nothing behind.
func (r *Runtime) Create(ctx context.Context, spec Spec) (Container, error) {
	ctx, cancel := context.WithTimeout(r.in(ctx), createTimeout)
	defer cancel()
	c, err := r.create(ctx, spec)
	if err != nil {
		kind := CannotCreate
		if _, ok := errors.AsType[setUpError](err); ok {
			kind = CannotStart
		}
		return Container{}, failed(kind, err, "create container %s", spec.ID)
	}
	return c, nil
}

// A setUpError is runc's refusal to set a container's process up: there is no such
// program, a mount has no place. Docker asks runc only when it starts a container,
// and so ECS users know it as a CannotStartContainerError.
type setUpError struct{ error }

func (e setUpError) Unwrap() error { return e.error }

func (r *Runtime) create(ctx context.Context, spec Spec) (_ Container, err error) {
	// Before anything is written that would belong to the other.
	if _, err := r.client.ContainerService().Get(ctx, string(spec.ID)); err == nil {
		return Container{}, ErrExists
	} else if !errdefs.IsNotFound(err) {
		return Container{}, err
	}
	image, err := r.imageRecord(ctx, spec.Image)
	if err != nil {
		return Container{}, err
	}
	info, err := r.imageInfo(ctx, image.Target)
	if err != nil {
		return Container{}, fmt.Errorf("read image %s: %w", spec.Image, err)
	}
	r.lastUsed.Store(image.Name, time.Now())
	undo := cleanup{}
	defer func() {
		if err != nil {
			err = errors.Join(err, undo.run())
		}
	}()
	if err := r.addMounts(ctx, &spec, info); err != nil {
		return Container{}, err
	}
	plan, err := r.blueprint(ctx, spec, info, &undo)
	if err != nil {
		return Container{}, err
	}
	oci, err := ociSpec(plan)
	if err != nil {
		return Container{}, err
	}
	kept := record{
		Task: spec.Task, Image: spec.Image, Digest: image.Target.Digest.String(), ImageID: info.id.String(), Labels: spec.Labels,
		StopSignal: stopSignal(spec.StopSignal, info.config.StopSignal), Mounts: spec.Mounts, Log: spec.Log,
		SharesProcesses: spec.PID.Host || spec.PID.Anchor != "",
	}
	if _, err := parseSignal(kept.StopSignal); err != nil {
		return Container{}, err
	}
	return r.launch(ctx, launch{id: spec.ID, oci: oci, kept: kept, image: image.Name, chain: info.chain,
		terminal: spec.Terminal, interactive: spec.Interactive}, &undo)
}

// A launch is a container on its way into containerd.
type launch struct {
	id   ContainerID
	oci  *specs.Spec
	kept record
	// image and chain are empty for an anchor, which has no layers.
	image, chain          string
	terminal, interactive bool
	// again is whether it ran before and its layer is there.
	again bool
}

// launch records the container, stacks its layers and has runc set it up.
func (r *Runtime) launch(ctx context.Context, l launch, undo *cleanup) (Container, error) {
	text, err := typeurl.MarshalAny(l.oci)
	if err != nil {
		return Container{}, err
	}
	own, err := json.Marshal(l.kept)
	if err != nil {
		return Container{}, err
	}
	runc, err := typeurl.MarshalAny(&options.Options{BinaryName: r.programs.runc, Root: filepath.Join(r.config.RunDir, "runc")})
	if err != nil {
		return Container{}, err
	}
	entry := containers.Container{
		ID: string(l.id), Image: l.image, Spec: text,
		// The path, since containerd would look for a name on PATH.
		Runtime:    containers.RuntimeInfo{Name: r.programs.shim, Options: runc},
		SandboxID:  sandboxName,
		Extensions: map[string]typeurl.Any{extension: &anypb.Any{TypeUrl: recordType, Value: own}},
	}
	if l.chain != "" {
		// The record comes first: what it names is not collected.
		entry.Snapshotter, entry.SnapshotKey = snapshotter, string(l.id)
	}
	entry, err = r.client.ContainerService().Create(ctx, entry)
	if err != nil {
		return Container{}, err
	}
	undo.add(func() error { return r.forget(context.WithoutCancel(ctx), entry) })
	pid, err := r.createTask(ctx, l)
	if err != nil {
		return Container{}, setUpError{err}
	}
	l.kept.CreatedAt = entry.CreatedAt
	c := l.kept.container(l.id)
	c.State, c.PID = Created, pid
	return c, nil
}

func (k record) container(id ContainerID) Container {
	return Container{ID: id, Task: k.Task, Image: k.Image, Digest: k.Digest, ImageID: k.ImageID, Labels: k.Labels,
		StopSignal: k.StopSignal, Mounts: k.Mounts, Log: k.Log, CreatedAt: k.CreatedAt, State: Lost}
}

// record reads what gantry kept of a container.
func (r *Runtime) record(ctx context.Context, id ContainerID) (record, error) {
	entry, err := r.client.ContainerService().Get(ctx, string(id))
	if errdefs.IsNotFound(err) {
		return record{}, fmt.Errorf("no such container: %w", ErrNotFound)
	}
	if err != nil {
		return record{}, err
	}
	return readRecord(entry)
}

func readRecord(entry containers.Container) (record, error) {
	own := entry.Extensions[extension]
	if own == nil {
		return record{}, errors.New("it was not made by gantry")
	}
	var kept record
	if err := json.Unmarshal(own.GetValue(), &kept); err != nil {
		return record{}, fmt.Errorf("read its record: %w", err)
	}
	kept.CreatedAt = entry.CreatedAt
	return kept, nil
}

// forget removes a container's record, layer and files. The task must be gone.
func (r *Runtime) forget(ctx context.Context, entry containers.Container) error {
	if entry.SnapshotKey != "" {
		err := r.client.SnapshotService(snapshotter).Remove(ctx, entry.SnapshotKey)
		if err != nil && !errdefs.IsNotFound(err) {
			return fmt.Errorf("remove its layer: %w", err)
		}
	}
	if err := r.removeState(ContainerID(entry.ID)); err != nil {
		return err
	}
	if err := r.client.ContainerService().Delete(ctx, entry.ID); err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("remove its record: %w", err)
	}
	return nil
}

func stopSignal(asked, image string) string {
	switch {
	case asked != "":
		return asked
	case image != "":
		return image
	default:
		return "SIGTERM"
	}
}

// parseSignal reads "SIGTERM", "TERM" or "15", and "RTMIN+3".
func parseSignal(text string) (syscall.Signal, error) {
	name := strings.TrimPrefix(strings.ToUpper(text), "SIG")
	if n, err := strconv.Atoi(name); err == nil && n > 0 && n <= 64 {
		return syscall.Signal(n), nil
	}
	if n := unix.SignalNum("SIG" + name); n != 0 {
		return n, nil
	}
	const rtmin, rtmax = 34, 64
	if rest, ok := strings.CutPrefix(name, "RTMIN"); ok {
		if n, err := strconv.Atoi("0" + strings.TrimPrefix(rest, "+")); err == nil && rtmin+n <= rtmax {
			return syscall.Signal(rtmin + n), nil
		}
	}
	if rest, ok := strings.CutPrefix(name, "RTMAX"); ok {
		if n, err := strconv.Atoi("0" + strings.TrimPrefix(rest, "-")); err == nil && rtmax-n >= rtmin {
			return syscall.Signal(rtmax - n), nil
		}
	}
	return 0, fmt.Errorf("signal %q is not known", text)
}

// A cleanup undoes, last first, what a failed operation has done.
type cleanup struct{ steps []func() error }

func (c *cleanup) add(step func() error) { c.steps = append(c.steps, step) }

func (c *cleanup) run() error {
	var problems []error
	for i := len(c.steps) - 1; i >= 0; i-- {
		problems = append(problems, c.steps[i]())
	}
	return errors.Join(problems...)
}
