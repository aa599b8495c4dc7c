package runtime

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	eventtypes "github.com/containerd/containerd/api/events"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/containerd/typeurl/v2"
)

// exits remembers how containers ended whose shim can no longer be asked:
// containerd puts an end to the shim of a container that ended while gantry
// was dead, and a shim may be killed.
type exits struct {
	mu      sync.Mutex
	known   map[ContainerID]Exit // under mu
	changed chan struct{}        // under mu; closed and replaced at every change
}

func newExits() *exits {
	return &exits{known: map[ContainerID]Exit{}, changed: make(chan struct{})}
}

func (e *exits) add(id ContainerID, exit Exit) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.known[id] = exit
	close(e.changed)
	e.changed = make(chan struct{})
}

func (e *exits) forget(id ContainerID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.known, id)
}

// get returns what is known, or what to wait for.
func (e *exits) get(id ContainerID) (Exit, bool, <-chan struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	exit, ok := e.known[id]
	return exit, ok, e.changed
}

// savedExit is the name of the file, in a container's state directory, that
// holds its Exit.
const savedExit = "exit.json"

// rescueExits reads how the containers ended that ended while gantry was dead,
// and saves it where the next start finds it too. It must run before
// containerd starts, which throws their bundles away.
func (r *Runtime) rescueExits() error {
	bundles := filepath.Dir(r.bundle("any"))
	entries, err := os.ReadDir(bundles)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, entry := range entries {
		id := ContainerID(entry.Name())
		if err := r.rescueExit(id); err != nil {
			// One container more or less must not keep gantry from starting.
			r.log.Warn("how a container ended cannot be read", "container", id, "error", err)
		}
	}
	return r.loadExits()
}

func (r *Runtime) rescueExit(id ContainerID) error {
	exit, err := r.bundleExit(r.bundle(string(id)))
	if errors.Is(err, fs.ErrNotExist) || !r.wasStarted(id) {
		return nil // it runs, or is half made
	}
	if err != nil {
		return err
	}
	text, err := json.Marshal(exit)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(r.stateDir(id), 0o711); err != nil {
		return err
	}
	return replaceFile(filepath.Join(r.stateDir(id), savedExit), text, 0o600)
}

// bundle is where containerd keeps what runc is given of a container.
func (r *Runtime) bundle(id string) string {
	return filepath.Join(r.config.RunDir, "containerd", "io.containerd.runtime.v2.task", namespace, id)
}

// loadExits takes up what was saved, by this start or an earlier one.
func (r *Runtime) loadExits() error {
	saved, err := filepath.Glob(filepath.Join(r.config.RunDir, "containers", "*", savedExit))
	if err != nil {
		return err
	}
	for _, path := range saved {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var exit Exit
		if err := json.Unmarshal(text, &exit); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		r.exits.add(ContainerID(filepath.Base(filepath.Dir(path))), exit)
	}
	return nil
}

// ended is how a container ended whose shim is gone, as far as that was heard of
// or written down.
func (r *Runtime) ended(id ContainerID) (Exit, bool) {
	if exit, ok, _ := r.exits.get(id); ok {
		return exit, true
	}
	// It ended while containerd started, which then puts an end to its shim.
	exit, err := readExit(filepath.Join(r.stateDir(id), shimDir))
	if err != nil || !r.wasStarted(id) {
		return Exit{}, false
	}
	r.exits.add(id, exit)
	return exit, true
}

// readExit reads what the shim wrote at the container's end: into the bundle, and
// into its own folder.
func readExit(dir string) (Exit, error) {
	text, err := os.ReadFile(filepath.Join(dir, "exit.json"))
	if err != nil {
		return Exit{}, err
	}
	var wrote struct {
		Timestamp time.Time
		Status    int
	}
	if err := json.Unmarshal(text, &wrote); err != nil {
		return Exit{}, err
	}
	return Exit{Code: uint32(wrote.Status), At: wrote.Timestamp}, nil
}

// bundleExit reads how a container ended while its bundle and control group are there.
func (r *Runtime) bundleExit(bundle string) (Exit, error) {
	exit, err := readExit(bundle)
	if err != nil || exit.Code != killed {
		return exit, err
	}
	text, err := os.ReadFile(filepath.Join(bundle, "config.json"))
	if err != nil {
		return exit, err
	}
	var oci specs.Spec
	if err := json.Unmarshal(text, &oci); err != nil {
		return exit, err
	}
	kills, err := r.cgroups.oomKills(oci.Linux.CgroupsPath)
	exit.OOMKilled = kills > 0
	return exit, err
}

// hearExits notes what containerd tells of ends, until ctx ends.
func (r *Runtime) hearExits(ctx context.Context) {
	heard, _ := r.client.EventService().Subscribe(ctx, `topic=="/tasks/exit"`)
	for {
		select {
		case <-ctx.Done():
			return
		case envelope := <-heard:
			if envelope == nil {
				return
			}
			event, err := typeurl.UnmarshalAny(envelope.Event)
			exit, ok := event.(*eventtypes.TaskExit)
			if err != nil || !ok || exit.ID != exit.ContainerID {
				continue // of a program that was executed in the container
			}
			r.noteExit(ctx, exit)
		}
	}
}

func (r *Runtime) noteExit(ctx context.Context, event *eventtypes.TaskExit) {
	id := ContainerID(event.ContainerID)
	kept, err := r.record(r.in(ctx), id)
	if err != nil || !r.wasStarted(id) {
		return // it was deleted meanwhile, or never ran
	}
	code, at := event.ExitStatus, event.ExitedAt.AsTime()
	if noted, err := readExit(filepath.Join(r.stateDir(id), shimDir)); err == nil {
		// containerd makes a code up where it has put an end to the shim and cannot ask.
		code, at = noted.Code, noted.At
	}
	exit, err := r.exit(kept.Task, id, code, at)
	if err != nil {
		r.log.Warn("how a container ended is not fully known", "container", id, "error", err)
	}
	r.exits.add(id, exit)
}

// shimPatience is how long containerd may take to clean up after a shim that
// was killed, and to tell of its container's end.
const shimPatience = shimAnswer + 15*time.Second

// lostExit is how a container ended whose shim does not answer any more.
func (r *Runtime) lostExit(ctx context.Context, id ContainerID) (Exit, error) {
	limited, cancel := context.WithTimeout(ctx, shimPatience)
	defer cancel()
	for {
		_, _, changed := r.exits.get(id)
		if exit, ok := r.ended(id); ok {
			return exit, nil
		}
		select {
		case <-changed:
		case <-limited.Done():
			if err := ctx.Err(); err != nil {
				return Exit{}, err
			}
			return Exit{}, ErrLost
		}
	}
}
