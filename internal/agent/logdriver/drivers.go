package logdriver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
)

// Config is what the drivers need of the world.
type Config struct {
	// Dir holds a folder for each container, named as the container, and in it the files stdout and stderr
	// to which its output is appended.
	Dir         string
	Region      string // the agent's own
	Endpoint    string // of CloudWatch Logs where awslogs-endpoint names none: "http://127.0.0.1:4747"
	Credentials Credentials
	HTTP        *http.Client // nil is one of its own
	Log         *slog.Logger
}

// Drivers delivers the output of an agent's containers. It is safe for concurrent use.
type Drivers struct {
	cfg   Config
	watch *watcher

	mu      sync.Mutex
	pumps   map[string]*running // by container id
	ctx     context.Context     // of Run, nil outside of it
	closing bool                // Run is over
	group   sync.WaitGroup      // of what Run started
}

// running is a pump and how to end it.
type running struct {
	*pump
	watches []int32
	started bool
	cancel  context.CancelFunc // nil until started
}

// Open takes up the containers whose output is in cfg.Dir. Delivery begins with Run.
func Open(cfg Config) (*Drivers, error) {
	if cfg.HTTP == nil {
		cfg.HTTP = newHTTPClient()
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, err
	}
	watch, err := newWatcher()
	if err != nil {
		return nil, err
	}
	d := &Drivers{cfg: cfg, watch: watch, pumps: map[string]*running{}}
	entries, err := os.ReadDir(cfg.Dir)
	if err != nil {
		return nil, errors.Join(err, watch.close())
	}
	for _, entry := range entries {
		out, ok, err := loadOutput(filepath.Join(cfg.Dir, entry.Name()))
		if err == nil && ok {
			err = d.begin(out)
		}
		if err != nil {
			// One container's damaged record must not keep the others' output back.
			cfg.Log.Error("the output of a container is not delivered", "container", entry.Name(), "err", err)
		}
	}
	return d, nil
}

// Run delivers until the context ends. What was not delivered then waits in the files.
func (d *Drivers) Run(ctx context.Context) error {
	d.mu.Lock()
	d.ctx = ctx
	for _, r := range d.pumps {
		d.start(r)
	}
	d.mu.Unlock()
	failed := make(chan error, 1)
	go func() { failed <- d.watch.run() }()
	var err error
	select {
	case <-ctx.Done():
		err = errors.Join(d.watch.close(), <-failed)
	case err = <-failed:
		err = errors.Join(err, d.watch.close())
	}
	d.mu.Lock()
	d.closing = true
	for _, r := range d.pumps {
		r.stop()
	}
	d.mu.Unlock()
	d.group.Wait()
	return err
}

// start runs a pump once; under mu.
func (d *Drivers) start(r *running) {
	if d.ctx == nil || d.closing || r.started {
		return
	}
	ctx, cancel := context.WithCancel(d.ctx)
	r.started, r.cancel = true, cancel
	d.group.Go(func() {
		defer cancel()
		r.run(ctx)
		if err := r.close(); err != nil {
			d.cfg.Log.Warn("close a container's output", "err", err)
		}
	})
}

func (r *running) stop() {
	if r.cancel != nil {
		r.cancel()
	}
}

func (d *Drivers) dir(containerID string) string { return filepath.Join(d.cfg.Dir, containerID) }

// Attach begins to deliver a container's output, before the container starts. For one
// whose output is being delivered already it does nothing. A driver or an option
// that is not offered, and a log group that is not there, is an error that reads as
// an ECS reason ("CannotStartContainerError: …").
func (d *Drivers) Attach(ctx context.Context, out Output) error {
	if d.find(out.ContainerID) != nil {
		return nil
	}
	if err := d.attach(ctx, out); err != nil {
		return fmt.Errorf("CannotStartContainerError: failed to initialize logging driver: %w", err)
	}
	return nil
}

func (d *Drivers) find(containerID string) *running {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.pumps[containerID]
}

// Drain returns when all that an ended container printed was delivered. It waits for
// the container's shim to write the last of it, and for a container that still runs
// until that ends; or until ctx does.
func (d *Drivers) Drain(ctx context.Context, containerID string) error {
	r := d.find(containerID)
	if r == nil {
		return nil
	}
	select {
	case <-r.drained():
		return nil
	case <-r.ended:
		return fmt.Errorf("drain the output of container %s: delivery has ended before", containerID)
	case <-ctx.Done():
		return fmt.Errorf("drain the output of container %s: %w", containerID, ctx.Err())
	}
}

// Forget ends the delivery of a container's output and removes what is kept of it on
// this machine, also its json-file log.
func (d *Drivers) Forget(ctx context.Context, containerID string) error {
	d.mu.Lock()
	r := d.pumps[containerID]
	delete(d.pumps, containerID)
	d.mu.Unlock()
	if r != nil {
		for _, w := range r.watches {
			d.watch.remove(w)
		}
		r.stop()
		if r.started {
			select {
			case <-r.ended:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return os.RemoveAll(d.dir(containerID))
}
