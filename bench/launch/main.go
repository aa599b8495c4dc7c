// Command launch measures how long it takes from asking for a container until its
// program runs: gantry's RunTask (bridge network with a dynamic host port, awslogs),
// beside the bare containerd client (no network, no log) and Docker Engine (bridge
// network with a published port), one container at a time and twenty at once.
//
// All start the same tiny image, which is there already, with one folder of the host
// mounted: the program says by a socket in it that it runs. They take turns, in one
// network namespace and one mount namespace that end with the benchmark.
//
//	go run ./bench/launch [-budget 80s] [-docker DIR]
//
// Docker Engine is Debian's docker.io, unpacked into a folder and never installed;
// where that cannot be had it is left out, and the output says why.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"gantry/bench/alone"
	"gantry/bench/measure"
	"gantry/bench/running"
)

type options struct {
	program string
	docker  string
	budget  time.Duration
	most    int
}

func main() {
	var o options
	flag.StringVar(&o.program, "gantry", "bin/gantry", "the gantry to measure")
	flag.StringVar(&o.docker, "docker", dockerFolder(), "the folder of Docker Engine's programs, fetched once and kept; empty leaves it out")
	flag.DurationVar(&o.budget, "budget", 60*time.Second, "when to stop taking turns")
	flag.IntVar(&o.most, "rounds", 15, "how many turns at most, of one container; a third as many of twenty")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "bench/launch:", err)
		os.Exit(1)
	}
}

func run(o options) (err error) {
	if why := alone.Lacking(o.program); why != "" {
		fmt.Println("bench/launch: skipped:", why)
		return nil
	}
	if !alone.Inside() && o.docker != "" {
		if err := unpackDocker(context.Background(), o.docker); err != nil {
			fmt.Println("Docker Engine cannot be had:", err)
		}
	}
	if err := alone.Enter(); err != nil {
		return err
	}
	fmt.Printf("machine: %s\n", measure.Describe())
	dir, err := os.MkdirTemp("", "gb") // short: paths of sockets have little room
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	// Told to end, it takes everything down that it has started.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	image, err := running.Pack(dir)
	if err != nil {
		return err
	}
	signals, err := running.Listen(filepath.Join(dir, "signal"))
	if err != nil {
		return err
	}
	defer signals.Close()

	var peers []peer
	defer func() {
		for _, p := range peers {
			err = errors.Join(err, p.close())
		}
	}()
	g, err := openGantry(o.program, filepath.Join(dir, "g"), image, signals.Dir)
	if err != nil {
		return err
	}
	peers = append(peers, g)
	b, err := openBare(context.WithoutCancel(ctx), filepath.Join(dir, "b"), image, signals.Dir)
	if err != nil {
		return err
	}
	peers = append(peers, b)
	if d, why := openDocker(o.docker, filepath.Join(dir, "d"), image, signals.Dir); d != nil {
		peers = append(peers, d)
	} else {
		fmt.Printf("Docker Engine: left out: %v\n", why)
	}
	return compare(ctx, o, signals, peers)
}

// dockerFolder is in the user's cache.
func dockerFolder() string {
	cache, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(cache, "gantry-bench", "docker")
}
