// Package agent makes a machine a container instance of a cluster: what amazon-ecs-agent does, in the same protocol.
//
// It registers the machine, holds the control websocket (ACS) over which it is told which tasks to run and to stop,
// tells the control plane what became of them, and sends telemetry over a second websocket (TCS). The tasks themselves
// are package engine's; the machine's containers, networks and logs come through its Parts.
//
// Three things go on at once and know nothing of each other: the engine, which carries tasks on whether or not a control
// plane is there; the ACS sessions, which only hand it what arrives; and the TCS sessions, which only look.
//
// The agent never reads the control plane's store. Its way in is the websocket, its way out the ECS API.
package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"gantry/internal/agent/engine"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"
)

// Parts is the machine, as the agent uses it.
type Parts struct {
	Images     engine.Images
	Containers engine.Containers
	Prober     engine.Prober
	Sandboxes  engine.Sandboxes
	Network    engine.Network
	Logs       engine.Logs
	Meter      Meter
	// Disk is looked at before a task starts; nil means the file system of the agent's folder.
	Disk engine.Disk
}

// An Agent is one container instance's. Its exported methods may be called from several goroutines.
type Agent struct {
	cfg     Config
	log     *slog.Logger
	journal *engine.Journal
	engine  *engine.Engine
	ecs     *ecsClient
	reports *reporter
	// containers is asked for its health only.
	containers    engine.Containers
	runtimeHealth runtimeHealth
	roles         *roles
	samples       *sampler

	instance  atomic.Pointer[Instance] // nil until registered
	endpoints atomic.Pointer[endpoints]
	inactive  atomic.Bool // the control plane said that the instance is not ACTIVE
	// beat wakes the telemetry session: the control plane sent a heartbeat, and is owed the instance's status.
	beat chan struct{}
	// verification is the manifest whose stops were asked about. It belongs to the ACS loop.
	verification verification
}

// New opens the agent's folder and takes up the containers that an earlier run left. Nothing is done to them before Run.
// Close it after Run has returned.
func New(ctx context.Context, cfg Config, parts Parts) (*Agent, error) {
	cfg, err := cfg.defaults()
	if err != nil {
		return nil, fmt.Errorf("start the agent: %w", err)
	}
	if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
		return nil, fmt.Errorf("start the agent: %w", err)
	}
	boot, err := bootID()
	if err != nil {
		return nil, fmt.Errorf("start the agent: %w", err)
	}
	if parts.Disk == nil {
		parts.Disk = diskOf(cfg.DataDir)
	}
	a := &Agent{
		cfg: cfg, log: cfg.Logger, containers: parts.Containers, roles: newRoles(), beat: make(chan struct{}, 1),
		ecs: &ecsClient{endpoint: cfg.Endpoint, signer: signer{keys: cfg.Credentials, region: cfg.Region}, http: cfg.HTTP},
	}
	a.reports = newReporter(a.ecs)
	if a.journal, err = engine.OpenJournal(filepath.Join(cfg.DataDir, "agent.db")); err != nil {
		return nil, fmt.Errorf("start the agent: %w", err)
	}
	a.engine, err = engine.Open(ctx, engine.Config{
		Identity: engine.Identity{Cluster: cfg.Cluster, Region: cfg.Region, HostMetadata: cfg.HostMetadata},
		Capacity: cfg.capacity(), Rules: engine.Rules{Cleanup: cfg.CleanupWait}, StopTimeout: cfg.StopTimeout,
		LeastDisk: cfg.LeastDisk, Boot: boot, Logger: cfg.Logger,
	}, engine.Parts{
		Images: parts.Images, Containers: parts.Containers, Prober: parts.Prober, Sandboxes: parts.Sandboxes,
		Network: parts.Network, Logs: parts.Logs, Disk: parts.Disk, Submitter: a.reports, Random: randomReader,
	}, a.journal)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the agent: %w", err), a.journal.Close())
	}
	a.samples = newSampler(a.engine, parts.Meter)
	return a, nil
}

// Close lets go of the agent's folder.
func (a *Agent) Close() error {
	if err := a.journal.Close(); err != nil {
		return fmt.Errorf("close the agent: %w", err)
	}
	return nil
}

// Run carries tasks on and stays connected to the control plane until ctx ends; containers then run on. It ends with an
// error if the control plane does not take this machine as an instance.
func (a *Agent) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return a.engine.Run(ctx) })
	group.Go(func() error { return a.samples.run(ctx) })
	group.Go(func() error {
		instance, err := a.register(ctx)
		if err != nil {
			return err
		}
		a.instance.Store(&instance)
		a.log.Info("registered as a container instance", "instance", instance.ARN)
		group.Go(func() error { return a.runACS(ctx) })
		group.Go(func() error { return a.runTCS(ctx) })
		return nil
	})
	err := group.Wait()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// StopAll stops every task of this machine and returns when their containers have ended and what they held was given
// back. It is for when nothing else runs the agent: no control plane needs to be there, but one that is there is told,
// for which it waits so long at most.
func (a *Agent) StopAll(ctx context.Context, telling time.Duration) error {
	running, end := context.WithCancel(ctx)
	group, running := errgroup.WithContext(running)
	group.Go(func() error { return a.engine.Run(running) })
	err := a.engine.StopAll(ctx)
	if telling > 0 && err == nil {
		hearing, cancel := context.WithTimeout(ctx, telling)
		if untold := a.engine.AllTold(hearing); untold != nil {
			a.log.Warn("the control plane does not know yet how every task ended", "err", untold)
		}
		cancel()
	}
	end()
	return errors.Join(err, group.Wait())
}

// Instance is what the machine was registered as; false until it was.
func (a *Agent) Instance() (Instance, bool) {
	i := a.instance.Load()
	if i == nil {
		return Instance{}, false
	}
	return *i, true
}

// Engine is the tasks of this machine.
func (a *Agent) Engine() *engine.Engine { return a.engine }

// newID makes an id for a message or a registration.
func newID() string { return uuid.NewString() }
