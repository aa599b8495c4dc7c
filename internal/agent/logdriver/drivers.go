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

// Drivers delivers the output of an agent's containers while it runs. It is safe for concurrent use.
type Drivers struct {
	cfg   Config
	ready chan struct{}  // closed when Run has taken up what there was
	group sync.WaitGroup // of what Run started

	// Set by Run before ready.
	watch *watcher
	ctx   context.Context // of Run

	mu      sync.Mutex
	pumps   map[string]*running // by container id
	closing bool                // Run is over
}

// running is a pump and how to end it.
type running struct {
	*pump
	watches []int32
	cancel  context.CancelFunc
}

// Open makes the drivers of what is in cfg.Dir. Everything else waits for Run.
func Open(cfg Config) (*Drivers, error) {
	if cfg.HTTP == nil {
		cfg.HTTP = newHTTPClient()
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, err
	}
	return &Drivers{cfg: cfg, ready: make(chan struct{}), pumps: map[string]*running{}}, nil
}

// Run takes up the containers whose output is in the directory, and delivers until
// the context ends. What was not delivered then waits in the files. It runs once.
func (d *Drivers) Run(ctx context.Context) error {
	watch, err := newWatcher()
	if err != nil {
		return err
	}
	d.watch, d.ctx = watch, ctx
	if err := d.resume(); err != nil {
		return errors.Join(err, watch.close())
	}
	close(d.ready)
	failed := make(chan error, 1)
	go func() { failed <- watch.run() }()
	select {
	case <-ctx.Done():
		err = errors.Join(watch.close(), <-failed)
	case err = <-failed:
		err = errors.Join(err, watch.close())
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

// resume goes on with every container there was.
func (d *Drivers) resume() error {
	entries, err := os.ReadDir(d.cfg.Dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		out, ok, err := loadOutput(filepath.Join(d.cfg.Dir, entry.Name()))
		if err == nil && ok {
			err = d.begin(out)
		}
		if err != nil {
			// One container's damaged record must not keep the others' output back.
			d.cfg.Log.Error("the output of a container is not delivered", "container", entry.Name(), "err", err)
		}
	}
	return nil
}

// await returns once Run has begun.
func (d *Drivers) await(ctx context.Context) error {
	select {
	case <-d.ready:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for the log drivers: %w", ctx.Err())
	}
}

// start runs a pump; under mu.
func (d *Drivers) start(r *running) {
	ctx, cancel := context.WithCancel(d.ctx)
	r.cancel = cancel
	if d.closing {
		cancel()
	}
	deliver := func() {
		defer cancel()
		r.run(ctx)
		if err := r.close(); err != nil {
			d.cfg.Log.Warn("close a container's output", "err", err)
		}
	}
	if d.closing {
		deliver() // Run waits for nobody any more; this only closes
		return
	}
	d.group.Go(deliver)
}

func (r *running) stop() { r.cancel() }

func (d *Drivers) dir(containerID string) string { return filepath.Join(d.cfg.Dir, containerID) }

// Attach begins to deliver a container's output, before the container starts. For one
// whose output is being delivered already it does nothing. A driver or an option
// that is not offered, and a log group that is not there, is an error that reads as
// an ECS reason ("CannotStartContainerError: …").
func (d *Drivers) Attach(ctx context.Context, out Output) error {
	if err := d.await(ctx); err != nil {
		return err
	}
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
	if err := d.await(ctx); err != nil {
		return err
	}
	r := d.find(containerID)
	if r == nil {
		return nil
	}
	done, leave := r.drained()
	defer leave()
	select {
	case <-done:
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
	if err := d.await(ctx); err != nil {
		return err
	}
	d.mu.Lock()
	r := d.pumps[containerID]
	delete(d.pumps, containerID)
	d.mu.Unlock()
	if r != nil {
		for _, w := range r.watches {
			d.watch.remove(w)
		}
		r.stop()
		select {
		case <-r.ended:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return os.RemoveAll(d.dir(containerID))
}
