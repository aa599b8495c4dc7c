package parts

import (
	"context"
	"errors"
	"time"

	"gantry/internal/agent/engine"
	"gantry/internal/agent/runtime"
)

type images struct{ Machine }

func (m images) Pull(ctx context.Context, ref string) (engine.Image, error) {
	var progress func(runtime.Progress)
	if m.OnPull != nil {
		progress = func(p runtime.Progress) { m.OnPull(ref, p) }
	}
	cached := m.cached(ctx, ref)
	var brought error
	if m.Bring != nil {
		brought = m.Bring(ctx, ref) // where that fails, the image may be here, or a registry may have it
	}
	image, err := m.Runtime.Pull(ctx, ref, runtime.RegistryAuth{}, m.Machine.Pull, progress)
	if err != nil && brought != nil {
		return engine.Image{}, &reasonError{text: asReason(err).Error() + "; and it could not be had from the server: " + brought.Error(), err: err}
	}
	if err != nil {
		return engine.Image{}, asReason(err)
	}
	return engine.Image{ID: image.ID, Digest: image.Digest, Cached: cached}, nil
}

// cached reports whether no registry has to be asked, since an image that is here will do. ECS's default is to ask, so
// that an image that was loaded, which no registry has, counts as pulled.
func (m images) cached(ctx context.Context, ref string) bool {
	if m.Machine.Pull != runtime.PullOnce && m.Machine.Pull != runtime.PullPreferCached {
		return false
	}
	_, err := m.Runtime.Image(ctx, ref)
	return err == nil
}

type containers struct{ Machine }

func (m containers) Create(ctx context.Context, s *engine.Spec) error {
	spec, err := m.spec(s)
	if err != nil {
		return err
	}
	_, err = m.Runtime.Create(ctx, spec)
	if !errors.Is(err, runtime.ErrExists) {
		return asReason(err)
	}
	// An agent that was killed may have left it half made. One that runs, or ran, stays.
	if old, missing := m.Runtime.Inspect(ctx, spec.ID); missing != nil || old.State == runtime.Running || old.State == runtime.Stopped {
		return asReason(err)
	}
	if err := m.Runtime.Delete(ctx, spec.ID); err != nil {
		return asReason(err)
	}
	_, err = m.Runtime.Create(ctx, spec)
	return asReason(err)
}

// Start tells the time before the runtime was asked, as Docker does: a container may have ended when it answers, on a busy
// machine long ago, and has not run less than its program did.
func (m containers) Start(ctx context.Context, id string) (time.Time, error) {
	startedAt := time.Now()
	if _, err := m.Runtime.Start(ctx, runtime.ContainerID(id)); err != nil {
		return time.Time{}, asReason(err)
	}
	return startedAt, nil
}

func (m containers) Restart(ctx context.Context, id string) (time.Time, error) {
	startedAt := time.Now()
	if _, err := m.Runtime.Restart(ctx, runtime.ContainerID(id)); err != nil {
		return time.Time{}, asReason(err)
	}
	return startedAt, nil
}

func (m containers) Wait(ctx context.Context, id string) (engine.Exit, error) {
	exit, err := m.Runtime.Wait(ctx, runtime.ContainerID(id))
	if err != nil {
		return engine.Exit{}, err
	}
	return engineExit(exit), nil
}

func engineExit(e runtime.Exit) engine.Exit {
	return engine.Exit{Code: int32(e.Code), At: e.At, OOMKilled: e.OOMKilled}
}

func (m containers) Stop(ctx context.Context, id, signal string) error {
	return asReason(m.Runtime.Kill(ctx, runtime.ContainerID(id), signal))
}

func (m containers) Kill(ctx context.Context, id string) error {
	return asReason(m.Runtime.Kill(ctx, runtime.ContainerID(id), "SIGKILL"))
}

func (m containers) Delete(ctx context.Context, id string) error {
	return asReason(m.Runtime.Delete(ctx, runtime.ContainerID(id)))
}

// List is every container. One that is Lost is recorded without a process: it has to be made again, or is gone.
func (m containers) List(ctx context.Context) ([]engine.Found, error) {
	list, err := m.Runtime.List(ctx)
	if err != nil {
		return nil, err
	}
	var found []engine.Found
	for _, c := range list {
		f := engine.Found{ID: string(c.ID), Cluster: c.Labels["com.amazonaws.ecs.cluster"], State: engine.FoundCreated,
			Image: engine.Image{ID: c.ImageID, Digest: c.Digest}}
		switch c.State {
		case runtime.Running:
			f.State = engine.FoundRunning
		case runtime.Stopped:
			f.State = engine.FoundExited
			exit := engineExit(*c.Exit)
			f.Exit = &exit
		}
		found = append(found, f)
	}
	return found, nil
}

type prober struct{ Machine }

func (m prober) Probe(ctx context.Context, id string, command []string, timeout time.Duration) (int, string, error) {
	r, err := m.Runtime.Exec(ctx, runtime.ContainerID(id), command, timeout)
	return int(r.Code), string(r.Output), err
}

type meter struct{ Machine }
