package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"sync"
	"sync/atomic"

	runcoptions "github.com/containerd/containerd/api/types/runc/options"
	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"gantry/internal/agent/runtime"
)

// A barePeer is containerd's own client in containerd's own process, which saves it
// every hop, with containerd's default specification: no seccomp, the host's network.
type barePeer struct {
	runtime *runtime.Runtime
	client  *containerd.Client
	shim    string
	runc    string
	image   containerd.Image
	folder  string
	ctx     context.Context
	next    atomic.Int64

	mu   sync.Mutex
	made []*bareContainer // guarded by mu
}

type bareContainer struct {
	container containerd.Container
	task      containerd.Task
	ended     <-chan containerd.ExitStatus
}

func openBare(ctx context.Context, dir, image, folder string) (*barePeer, error) {
	r, err := runtime.Open(ctx, runtime.Config{
		Dir: dir, ID: "bench", RunDir: dir + "/run",
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})),
	})
	if err != nil {
		return nil, fmt.Errorf("open containerd: %w", err)
	}
	p := &barePeer{runtime: r, folder: folder}
	p.ctx, p.client, p.shim, p.runc = r.Containerd(ctx)
	go r.Run(ctx) // waits for shims that have ended, until the benchmark does
	f, err := os.Open(image)
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	defer f.Close()
	loaded, err := r.Load(ctx, f)
	if err == nil {
		p.image, err = p.client.GetImage(p.ctx, loaded[0].Ref)
	}
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return p, nil
}

func (p *barePeer) name() string { return "bare containerd client, no network, no log" }

func (p *barePeer) pid() int { return os.Getpid() }

func (p *barePeer) counted() bool { return true }

func (p *barePeer) begin() error {
	id := "bare-" + strconv.FormatInt(p.next.Add(1), 10)
	c, err := p.client.NewContainer(p.ctx, id, containerd.WithImage(p.image), containerd.WithNewSnapshot(id, p.image),
		containerd.WithRuntime(p.shim, &runcoptions.Options{BinaryName: p.runc}),
		containerd.WithNewSpec(oci.WithImageConfig(p.image), oci.WithHostNamespace(specs.NetworkNamespace), oci.WithMounts([]specs.Mount{{
			Type: "bind", Source: p.folder, Destination: "/bench", Options: []string{"rbind", "rw"},
		}})))
	if err != nil {
		return fmt.Errorf("make container: %w", err)
	}
	t, err := c.NewTask(p.ctx, cio.NullIO)
	if err != nil {
		return fmt.Errorf("make task: %w", err)
	}
	ended, err := t.Wait(p.ctx)
	if err != nil {
		return err
	}
	p.mu.Lock()
	p.made = append(p.made, &bareContainer{c, t, ended})
	p.mu.Unlock()
	if err := t.Start(p.ctx); err != nil {
		return fmt.Errorf("start task: %w", err)
	}
	return nil
}

func (p *barePeer) settle() error {
	p.mu.Lock()
	made := p.made
	p.made = nil
	p.mu.Unlock()
	for _, m := range made {
		<-m.ended
		if _, err := m.task.Delete(p.ctx); err != nil {
			return err
		}
		if err := m.container.Delete(p.ctx, containerd.WithSnapshotCleanup); err != nil {
			return err
		}
	}
	return nil
}

func (p *barePeer) close() error { return p.runtime.Close() }
