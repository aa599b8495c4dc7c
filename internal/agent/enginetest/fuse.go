package enginetest

import (
	"context"
	"errors"
	"sync"
	"time"

	"gantry"
	"gantry/internal/agent/engine"
	"gantry/internal/wire/ecsapi"
)

// A Fuse kills an agent at its n-th operation on the machine or call to the control plane: from then on nothing it does
// has any effect, as if its process were gone.
type Fuse struct {
	after bool   // the operation still happens
	kill  func() // called once, at that moment

	mu   sync.Mutex
	left int           // guarded by mu
	gone bool          // guarded by mu
	wire chan struct{} // closed when it has blown
}

// NewFuse makes a fuse that blows at the operation after n others. With after, that operation still happens.
func NewFuse(n int, after bool, kill func()) *Fuse {
	return &Fuse{left: n, after: after, kill: kill, wire: make(chan struct{})}
}

// Wire is closed when the fuse has blown.
func (f *Fuse) Wire() <-chan struct{} { return f.wire }

// Blown reports whether the agent was killed.
func (f *Fuse) Blown() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.gone
}

var errKilled = errors.New("the agent was killed")

// do does an operation, unless the agent is dead. An operation during which it dies never returns to it.
func (f *Fuse) do(ctx context.Context, operation func() error) error {
	f.mu.Lock()
	if f.gone {
		f.mu.Unlock()
		return f.silence(ctx)
	}
	blows := f.left == 0
	f.left--
	if !blows {
		f.mu.Unlock()
		return operation()
	}
	if f.after {
		// What takes time happens too: the machine does not know that nobody waits.
		f.mu.Unlock()
		_ = operation()
		f.mu.Lock()
	}
	if !f.gone {
		f.gone = true
		f.kill()
		close(f.wire)
	}
	f.mu.Unlock()
	return f.silence(ctx)
}

// silence is what a dead agent hears: nothing, until the test lets go of it.
func (f *Fuse) silence(ctx context.Context) error {
	if ctx.Done() == nil {
		return errKilled
	}
	<-ctx.Done()
	return ctx.Err()
}

// Guard puts the fuse between an engine and its parts.
func (f *Fuse) Guard(p engine.Parts) engine.Parts {
	g := guarded{f, p}
	p.Images, p.Containers, p.Prober, p.Sandboxes, p.Network, p.Logs, p.Submitter = g, g, g, g, guardedNetwork{f, p.Network}, guardedLogs{f, p.Logs}, g
	return p
}

type guarded struct {
	f *Fuse
	p engine.Parts
}

func (g guarded) Pull(ctx context.Context, ref string) (image engine.Image, err error) {
	err = g.f.do(ctx, func() (err error) { image, err = g.p.Images.Pull(ctx, ref); return err })
	return image, err
}

func (g guarded) Create(ctx context.Context, spec *engine.Spec) error {
	return g.f.do(ctx, func() error { return g.p.Containers.Create(ctx, spec) })
}

func (g guarded) Start(ctx context.Context, id string) (at time.Time, err error) {
	err = g.f.do(ctx, func() (err error) { at, err = g.p.Containers.Start(ctx, id); return err })
	return at, err
}

func (g guarded) Restart(ctx context.Context, id string) (at time.Time, err error) {
	err = g.f.do(ctx, func() (err error) { at, err = g.p.Containers.Restart(ctx, id); return err })
	return at, err
}

// Wait only looks, and so is no operation at which to die.
func (g guarded) Wait(ctx context.Context, id string) (engine.Exit, error) {
	exit, err := g.p.Containers.Wait(ctx, id)
	if g.f.Blown() {
		return exit, g.f.silence(ctx)
	}
	return exit, err
}

func (g guarded) Stop(ctx context.Context, id, signal string) error {
	return g.f.do(ctx, func() error { return g.p.Containers.Stop(ctx, id, signal) })
}

func (g guarded) Kill(ctx context.Context, id string) error {
	return g.f.do(ctx, func() error { return g.p.Containers.Kill(ctx, id) })
}

func (g guarded) Delete(ctx context.Context, id string) error {
	return g.f.do(ctx, func() error { return g.p.Containers.Delete(ctx, id) })
}

func (g guarded) List(ctx context.Context) (found []engine.Found, err error) {
	return g.p.Containers.List(ctx)
}

func (g guarded) Probe(ctx context.Context, id string, command []string, timeout time.Duration) (code int, output string, err error) {
	err = g.f.do(ctx, func() (err error) { code, output, err = g.p.Prober.Probe(ctx, id, command, timeout); return err })
	return code, output, err
}

func (g guarded) Prepare(ctx context.Context, t engine.TaskSandbox) error {
	return g.f.do(ctx, func() error { return g.p.Sandboxes.Prepare(ctx, t) })
}

func (g guarded) Release(ctx context.Context, id gantry.TaskID) error {
	return g.f.do(ctx, func() error { return g.p.Sandboxes.Release(ctx, id) })
}

func (g guarded) RemoveVolumes(ctx context.Context, id gantry.TaskID) error {
	return g.f.do(ctx, func() error { return g.p.Sandboxes.RemoveVolumes(ctx, id) })
}

func (g guarded) SubmitTaskStateChange(ctx context.Context, c *ecsapi.SubmitTaskStateChangeInput) error {
	return g.f.do(ctx, func() error { return g.p.Submitter.SubmitTaskStateChange(ctx, c) })
}

type guardedNetwork struct {
	f *Fuse
	n engine.Network
}

func (g guardedNetwork) Attach(ctx context.Context, r engine.AttachRequest) (a engine.Attached, err error) {
	err = g.f.do(ctx, func() (err error) { a, err = g.n.Attach(ctx, r); return err })
	return a, err
}

func (g guardedNetwork) Detach(ctx context.Context, id string) error {
	return g.f.do(ctx, func() error { return g.n.Detach(ctx, id) })
}

type guardedLogs struct {
	f *Fuse
	l engine.Logs
}

func (g guardedLogs) Attach(ctx context.Context, out engine.LogOutput) error {
	return g.f.do(ctx, func() error { return g.l.Attach(ctx, out) })
}

func (g guardedLogs) Drain(ctx context.Context, id string) error {
	return g.f.do(ctx, func() error { return g.l.Drain(ctx, id) })
}

func (g guardedLogs) Forget(ctx context.Context, id string) error {
	return g.f.do(ctx, func() error { return g.l.Forget(ctx, id) })
}
