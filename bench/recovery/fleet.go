package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"gantry/bench/gantryup"
	"gantry/bench/measure"
	"gantry/bench/running"
	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"
)

const (
	// machines is how many there are: one of three may be lost without anybody being asked.
	machines = 3
	// patience is for how long an agent has to be disconnected.
	patience = 5 * time.Second
)

// killMachines measures what becomes of a task whose machine was killed.
func killMachines(ctx context.Context, o options, dir, image string, signals *running.Signals) (err error) {
	if o.machines+o.cut == 0 {
		return nil
	}
	if err := makeNetwork(); err != nil {
		return err
	}
	server, err := gantryup.Serve(o.program, filepath.Join(dir, "s"), address, "--task-warmup", warmup.String(), "--replace-lost-after", patience.String())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Down()) }()
	killed, cut := bench{server: server, signals: signals}, bench{server: server, signals: signals}
	var all []*machine
	for n := range machines {
		m, err := newMachine(o.program, filepath.Join(dir, fmt.Sprint("m", n)), "http://"+server.API.Address, n)
		if m != nil {
			defer func() { err = errors.Join(err, m.down()) }()
		}
		if err != nil {
			return err
		}
		token, err := server.Output("token", "create")
		if err != nil {
			return err
		}
		token, _, _ = strings.Cut(token, "\n")
		if err := m.start("--token", token); err != nil {
			return err
		}
		joined, err := killed.connected(n + 1)
		if err != nil {
			return errors.Join(err, errors.New(m.log.String()))
		}
		for _, other := range all {
			joined = without(joined, other.instance)
		}
		m.instance = joined[0]
		all = append(all, m)
	}
	if err := killed.prepare(image, 1); err != nil {
		return err
	}
	for n := range o.machines + o.cut {
		if err := ctx.Err(); err != nil {
			return err
		}
		b := &killed
		if n >= o.machines {
			b = &cut
		}
		if n == o.machines {
			cut.alive = killed.alive
		}
		if err := b.killMachine(all, b == &cut); err != nil {
			return err
		}
	}
	killed.printMachines("kill -9 of all of a machine")
	cut.printMachines("its link cut, and the same")
	return nil
}

// connected waits until so many agents are, and is the ARNs of their instances.
func (b *bench) connected(n int) ([]string, error) {
	for end := time.Now().Add(running.Within); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		var listed ecsapi.ListContainerInstancesOutput
		if err := b.server.API.Call("ListContainerInstances", &ecsapi.ListContainerInstancesInput{Filter: new("agentConnected == true")}, &listed); err != nil {
			return nil, err
		}
		if len(listed.ContainerInstanceArns) == n {
			return listed.ContainerInstanceArns, nil
		}
	}
	return nil, fmt.Errorf("%d agents are not connected after %s", n, running.Within)
}

// killMachine kills the machine that runs the service's only task, and takes the time
// until the replacement's program runs; then the machine is started again.
func (b *bench) killMachine(machines []*machine, cut bool) error {
	time.Sleep(pause)
	before, err := b.tasks()
	if err != nil {
		return err
	}
	var m *machine
	for _, other := range machines {
		if len(before) == 1 && other.instance == wire.Value(before[0].ContainerInstanceArn) {
			m = other
		}
	}
	if m == nil {
		return fmt.Errorf("no machine runs the service's task: %d tasks", len(before))
	}
	killed := time.Now()
	if cut {
		if err := ip("link set " + m.link + " down"); err != nil {
			return err
		}
	}
	if err := m.kill(); err != nil {
		return err
	}
	next, err := b.signals.Next()
	if err != nil {
		return err
	}
	b.alive[0].Conn.Close()
	b.alive = []running.Arrival{next}
	ended, made, err := b.swapped(before)
	if err != nil {
		return err
	}
	b.whole = append(b.whole, ms(next.At.Sub(killed)))
	last := killed
	for i, at := range [steps]time.Time{stopped: ended.StoppedAt.Time, placed: made.CreatedAt.Time, runs: next.At, known: made.StartedAt.Time} {
		if i == noticed {
			continue // nobody is left who could notice
		}
		b.steps[i] = append(b.steps[i], ms(at.Sub(last)))
		last = at
	}
	if cut {
		if err := ip("link set " + m.link + " up"); err != nil {
			return err
		}
	}
	if err := m.start(); err != nil {
		return err
	}
	_, err = b.connected(len(machines))
	return err
}

func without(all []string, one string) (rest []string) {
	for _, s := range all {
		if s != one {
			rest = append(rest, s)
		}
	}
	return rest
}

func (b *bench) printMachines(what string) {
	if len(b.whole) == 0 {
		return
	}
	fmt.Printf("\n%s until the program of the service's replacement runs, with --replace-lost-after %s: %s ms\n", what, patience, b.whole.Text("%.0f"))
	var beyond measure.Sample
	for _, t := range b.whole {
		beyond = append(beyond, t-ms(patience))
	}
	fmt.Printf("  that is beyond that time %s ms\n", beyond.Text("%.0f"))
	for i, s := range b.steps {
		if len(s) > 0 {
			fmt.Printf("  %-32s after %s ms\n", stepNames[i], s.Text("%.0f"))
		}
	}
}
