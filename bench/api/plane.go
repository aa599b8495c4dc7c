package main

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime/pprof"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"gantry"
	"gantry/bench/plane"
)

// agentKey is the key of the one container instance that works.
var agentKey = &gantry.Principal{AccessKeyID: "AKIABENCHBENCHBENCH1", SecretKey: "a secret for the agent", Kind: gantry.AgentPrincipal}

// comeUp bounds how long the agent may take until tasks can be placed on it.
const comeUp = 30 * time.Second

// servePlane serves a control plane with so many tasks, and an agent that works, until
// the parent is done.
func servePlane(tasks int, profile string) (err error) {
	dir, err := os.MkdirTemp("", "gantry-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer ln.Close()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	p, err := plane.Open(ctx, filepath.Join(dir, "state"), "http://"+ln.Addr().String())
	if err != nil {
		return err
	}
	defer p.Store.Close()
	described, err := seed(ctx, p, tasks)
	if err != nil {
		return err
	}
	if err := p.AddKeys(ctx, agentKey); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return p.Run(ctx, ln) })
	g.Go(func() error {
		return plane.RunMachine(ctx, filepath.Join(dir, "agent"), ln.Addr().String(), cluster, agentKey)
	})
	if err := agentConnected(ctx, p); err != nil {
		return err
	}
	if profile != "" {
		f, err := os.Create(filepath.Join(profile, "api-"+strconv.Itoa(tasks)+".pprof"))
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
		g, err := os.Create(filepath.Join(profile, "api-allocs-"+strconv.Itoa(tasks)+".pprof"))
		if err != nil {
			return err
		}
		defer g.Close()
		defer func() { pprof.Lookup("allocs").WriteTo(g, 0) }()
	}
	err = announce(ready{API: plane.API(ln.Addr().String()), Describe: described})
	stop()
	if ended := g.Wait(); !errors.Is(ended, context.Canceled) {
		err = errors.Join(err, ended)
	}
	return err
}

// agentConnected returns when tasks can be placed.
func agentConnected(ctx context.Context, p *plane.Plane) error {
	ctx, cancel := context.WithTimeout(ctx, comeUp)
	defer cancel()
	return p.Connected(ctx, cluster, 1, func(id gantry.InstanceID) bool { return !isFull(id) })
}
