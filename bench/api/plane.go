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

// A controlPlane is one with so many tasks, and an agent that works.
type controlPlane struct {
	dir    string
	plane  *plane.Plane
	stop   context.CancelFunc
	runs   *errgroup.Group
	cpu    *os.File // profiles under way; nil for none
	allocs *os.File
}

func (s *controlPlane) open(w wish) (ready, error) {
	var err error
	if s.dir, err = os.MkdirTemp("", "gantry-bench"); err != nil {
		return ready{}, err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return ready{}, err
	}
	address := ln.Addr().String()
	var ctx context.Context
	ctx, s.stop = context.WithCancel(context.Background())
	if s.plane, err = plane.Open(ctx, filepath.Join(s.dir, "state"), "http://"+address); err != nil {
		return ready{}, err
	}
	described, err := seed(ctx, s.plane, w.Number)
	if err != nil {
		return ready{}, err
	}
	if err := s.plane.AddKeys(ctx, agentKey); err != nil {
		return ready{}, err
	}
	s.runs, ctx = errgroup.WithContext(ctx)
	s.runs.Go(func() error { return s.plane.Run(ctx, ln) })
	s.runs.Go(func() error {
		return plane.RunMachine(ctx, filepath.Join(s.dir, "agent"), address, cluster, agentKey)
	})
	if err := agentConnected(ctx, s.plane); err != nil {
		return ready{}, err
	}
	return ready{API: plane.API(address), Describe: described}, s.profile(w)
}

// profile begins the profiles that are wished for; close ends them.
func (s *controlPlane) profile(w wish) (err error) {
	if w.Profile == "" {
		return nil
	}
	if s.allocs, err = os.Create(filepath.Join(w.Profile, "api-allocs-"+strconv.Itoa(w.Number)+".pprof")); err != nil {
		return err
	}
	if s.cpu, err = os.Create(filepath.Join(w.Profile, "api-"+strconv.Itoa(w.Number)+".pprof")); err != nil {
		return err
	}
	return pprof.StartCPUProfile(s.cpu)
}

func (s *controlPlane) close() (err error) {
	if s.cpu != nil {
		pprof.StopCPUProfile()
		err = errors.Join(s.cpu.Close(), pprof.Lookup("allocs").WriteTo(s.allocs, 0), s.allocs.Close())
	}
	if s.stop != nil {
		s.stop()
	}
	if s.runs != nil {
		if ended := s.runs.Wait(); !errors.Is(ended, context.Canceled) {
			err = errors.Join(err, ended)
		}
	}
	if s.plane != nil {
		err = errors.Join(err, s.plane.Store.Close())
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}

// agentConnected returns when tasks can be placed.
func agentConnected(ctx context.Context, p *plane.Plane) error {
	ctx, cancel := context.WithTimeout(ctx, comeUp)
	defer cancel()
	return p.Connected(ctx, cluster, 1, func(id gantry.InstanceID) bool { return !isFull(id) })
}
