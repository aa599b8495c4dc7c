package runtime

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/containerd/errdefs"
	"github.com/containerd/typeurl/v2"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Restart starts a container that has ended once more, in place, as a restart
// policy wants it: with what it wrote to its root file system, in the same
// network, appending to the same output files. Its former exit is forgotten.
// One with a terminal cannot be restarted once it has printed something: its
// shim would write over that.
func (r *Runtime) Restart(ctx context.Context, id ContainerID) (Container, error) {
	if err := r.recreate(r.in(ctx), id); err != nil {
		return Container{}, failed(CannotStart, err, "restart container %s", id)
	}
	return r.Start(ctx, id)
}

// recreate takes the ended process away and has runc set up another one.
func (r *Runtime) recreate(ctx context.Context, id ContainerID) error {
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
	c, err := r.look(ctx, id, kept)
	if err != nil {
		return err
	}
	if c.State == Running {
		return fmt.Errorf("it is %s", c.State)
	}
	var oci specs.Spec
	if err := typeurl.UnmarshalTo(entry.Spec, &oci); err != nil {
		return fmt.Errorf("read its specification: %w", err)
	}
	_, err = os.Stat(filepath.Join(r.stateDir(id), stdinPipe))
	interactive := err == nil
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := r.deleteTask(ctx, entry); err != nil {
		return err
	}
	r.exits.forget(id)
	if err := r.unmarkStarted(id); err != nil {
		return err
	}
	if err := r.removeShim(id); err != nil {
		return err
	}
	_, err = r.createTask(ctx, launch{id: id, kept: kept, image: entry.Image, chain: entry.SnapshotKey,
		terminal: oci.Process.Terminal, interactive: interactive, again: true})
	return err
}
