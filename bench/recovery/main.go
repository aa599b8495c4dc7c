// Command recovery measures how long a service goes without a task whose container was
// killed: from the kill -9 of its program until the program of the task that replaces it
// runs, on a real `gantry up` in a network namespace of its own. The steps between are
// told by the tasks themselves: their times are those of this machine's clock.
//
// Beside it, in turns, it takes the time from RunTask until the same program runs: the
// container's own start, with all that gantry does for it.
//
// Then it kills whole machines: three of them, a network namespace each, have joined a
// server. All processes of the one that runs the task are killed, and in other rounds its
// link is cut before, as when its power fails. What counts is how much longer than
// --replace-lost-after it takes until the replacement's program runs.
//
//	go run ./bench/recovery [-rounds 15] [-machines 6] [-cut 3] [-gantry bin/gantry]
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
	"gantry/bench/gantryup"
	"gantry/bench/measure"
	"gantry/bench/running"
)

type options struct {
	program string
	rounds  int
	// machines is how many are killed with their links up, and cut how many whose
	// links are cut first.
	machines, cut int
}

func main() {
	var o options
	flag.StringVar(&o.program, "gantry", "bin/gantry", "the gantry to measure")
	flag.IntVar(&o.rounds, "rounds", 15, "how many containers are killed, one after the other")
	flag.IntVar(&o.machines, "machines", 6, "how many machines are killed, one after the other")
	flag.IntVar(&o.cut, "cut", 3, "how many machines are cut off before they are killed")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "bench/recovery:", err)
		os.Exit(1)
	}
}

// warmup is how long a task has to have run to count as healthy: one that ends before is
// taken for one that crashes, and its replacement waits.
const warmup = time.Second

func run(o options) (err error) {
	if why := alone.Lacking(o.program); why != "" {
		fmt.Println("bench/recovery: skipped:", why)
		return nil
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
	if err := killContainers(ctx, o, dir, image, signals); err != nil {
		return err
	}
	if err := killMachines(ctx, o, dir, image, signals); err != nil {
		return err
	}
	fmt.Printf("machine, at the end: %s\n", measure.Describe())
	return nil
}

// killContainers measures what becomes of a container whose program was killed.
func killContainers(ctx context.Context, o options, dir, image string, signals *running.Signals) (err error) {
	if o.rounds == 0 {
		return nil
	}
	server, err := gantryup.Start(o.program, filepath.Join(dir, "g"), "--task-warmup", warmup.String())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Down()) }()
	b := bench{server: server, signals: signals}
	if err := b.prepare(image, replicas); err != nil {
		return err
	}
	for range o.rounds {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := b.startOne(); err != nil {
			return err
		}
		if err := b.killOne(); err != nil {
			return err
		}
	}
	b.print()
	return nil
}
