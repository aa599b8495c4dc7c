package runtime

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	tasksapi "github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/api/types"
	"github.com/containerd/errdefs"
	"github.com/containerd/typeurl/v2"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Restart starts a container that has ended once more, in place, as a restart
// policy wants it: with what it wrote to its root file system, in the same
// network, appending to the same output files. Its former exit is forgotten.
func (r *Runtime) Restart(ctx context.Context, id ContainerID) (Container, error) {
	if err := r.recreateTask(r.in(ctx), id); err != nil {
		return Container{}, failed(CannotStart, err, "restart container %s", id)
	}
	return r.Start(ctx, id)
}

// recreateTask takes the ended process away and has runc set up another one.
func (r *Runtime) recreateTask(ctx context.Context, id ContainerID) error {
	entry, err := r.client.ContainerService().Get(ctx, string(id))
	if errdefs.IsNotFound(err) {
		return fmt.Errorf("no such container: %w", ErrNotFound)
	}
	if err != nil {
		return err
	}
	kept, err := readRecord(entry)
	if err != nil {
		return err
	}
	var oci specs.Spec
	if err := typeurl.UnmarshalTo(entry.Spec, &oci); err != nil {
		return fmt.Errorf("read its specification: %w", err)
	}
	if err := r.deleteTask(ctx, entry); err != nil {
		return err
	}
	request := &tasksapi.CreateTaskRequest{
		ContainerID: string(id), RuntimePath: r.programs.shim,
		Stdout: kept.Log.Stdout, Stderr: kept.Log.Stderr,
	}
	if oci.Process != nil && oci.Process.Terminal {
		if err := checkTerminalLog(kept.Log); err != nil {
			return err
		}
		request.Terminal, request.Stderr = true, ""
	}
	stdin := filepath.Join(r.stateDir(id), "stdin")
	if _, err := os.Stat(stdin); err == nil {
		request.Stdin = stdin
	} else if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	mounts, err := r.client.SnapshotService(entry.Snapshotter).Mounts(ctx, entry.SnapshotKey)
	if err != nil {
		return fmt.Errorf("find its layers: %w", err)
	}
	for _, m := range mounts {
		request.Rootfs = append(request.Rootfs, &types.Mount{Type: m.Type, Source: m.Source, Target: m.Target, Options: m.Options})
	}
	if _, err := r.client.TaskService().Create(ctx, request); err != nil {
		return plain(err)
	}
	return nil
}
