package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"gantry/bench/child"
	"gantry/bench/client"
	"gantry/bench/measure"
	"gantry/bench/plane"
	"gantry/bench/sim"
	"gantry/internal/wire/ecsapi"
)

// within bounds how long all tasks may take to run.
const within = 3 * time.Minute

// zones is over how many availability zones the instances are spread.
const zones = 3

// A turn is what one start of all services came to.
type turn struct {
	options
	instances int
	saw       seen
	did       sim.Count
	agents    time.Duration // until all were connected
	wall      time.Duration // from the first service until all tasks run
	planeCPU  time.Duration
	fleetCPU  time.Duration
	others    float64
	before    memory
	after     memory
	written   int64   // bytes to disk
	decision  float64 // µs

	rolled                       seen // while every service was deployed anew
	rollWall, rollCPU, rollFleet time.Duration
}

// takeTurn brings a control plane and its agents up, and the services on them.
func takeTurn(o options, instances int, batched bool) (t *turn, err error) {
	t = &turn{options: o, instances: instances}
	p, err := child.Start(planeRole)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.End()) }()
	f, err := child.Start(fleetRole)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.End()) }()
	var at client.API
	if err := p.Ask("open", openIn{Agents: instances, Warmup: warmup}, &at); err != nil {
		return nil, err
	}
	began := time.Now()
	// Room for half as much again as is wanted.
	room := int32(o.tasks*3/2/instances + 2)
	if o.roll { // both revisions are there for a while
		room *= 2
	}
	if err := f.Ask("connect", sim.Config{
		Address: at.Address, Region: at.Region, Cluster: cluster, Agents: instances, Zones: zones,
		CPU: room * plane.TaskCPU, Memory: room * plane.TaskMiB, Batched: batched, Telemetry: o.telemetry,
	}, nil); err != nil {
		return nil, err
	}
	if err := p.Ask("connected", instances, nil); err != nil {
		return nil, err
	}
	t.agents = time.Since(began)
	if err := p.Ask("decide", decide{Tasks: decisions, Batch: 100}, &t.decision); err != nil {
		return nil, err
	}
	if err := t.deploy(p, f, at); err != nil || !o.roll {
		return t, err
	}
	return t, t.rollAll(p, f, at)
}

// warmup is for how long the tasks of services have to have run until they are healthy:
// little, so that a deployment does not wait for it.
const warmup = time.Second

// rollAll deploys every service anew: as many tasks start as stop.
func (t *turn) rollAll(p, f *child.Child, at client.API) error {
	time.Sleep(2 * warmup) // the first deployment is over then
	if err := p.Ask("begin", nil, nil); err != nil {
		return err
	}
	if t.profile != "" {
		if err := p.Ask("profile", profile{filepath.Join(t.profile, "throughput-roll.pprof")}, nil); err != nil {
			return err
		}
	}
	clock, agents, began := measure.Start(p.Pid()), measure.CPU(f.Pid()), time.Now()
	for i := range t.services {
		if err := at.Call("UpdateService", &ecsapi.UpdateServiceInput{
			Cluster: new(cluster), Service: new(serviceName(i)), ForceNewDeployment: new(true),
		}, nil); err != nil {
			return err
		}
	}
	n := t.tasks / t.services * t.services
	if err := p.Ask("settle", settle{Running: n, Stopped: n, Within: within}, &t.rolled); err != nil {
		return err
	}
	t.rollWall, t.rollCPU, t.rollFleet = time.Since(began), clock.Stop().CPU, measure.CPU(f.Pid())-agents
	if t.profile != "" {
		return p.Ask("profile", profile{}, nil)
	}
	return nil
}

func serviceName(i int) string { return fmt.Sprintf("web-%03d", i) }

// decisions is how many are timed, in batches of 100.
const decisions = 10_000

// deploy starts the services, and takes the time.
func (t *turn) deploy(p, f *child.Child, at client.API) error {
	if err := p.Ask("begin", nil, nil); err != nil {
		return err
	}
	if err := p.Ask("memory", nil, &t.before); err != nil {
		return err
	}
	var count sim.Count
	if err := f.Ask("count", nil, &count); err != nil {
		return err
	}
	name := filepath.Join(t.profile, "throughput-"+strconv.Itoa(t.instances))
	if t.profile != "" {
		if err := p.Ask("profile", profile{name + ".pprof"}, nil); err != nil {
			return err
		}
	}
	written := writtenBy(p.Pid())
	clock, agents, began := measure.Start(p.Pid()), measure.CPU(f.Pid()), time.Now()
	for i := range t.services {
		if err := at.Call("CreateService", &ecsapi.CreateServiceInput{
			Cluster: new(cluster), ServiceName: new(serviceName(i)), TaskDefinition: new(plane.Family), DesiredCount: new(int32(t.tasks / t.services)),
		}, nil); err != nil {
			return err
		}
	}
	if err := p.Ask("settle", settle{Running: t.tasks / t.services * t.services, Within: within}, &t.saw); err != nil {
		return err
	}
	t.wall = time.Since(began)
	span := clock.Stop()
	t.planeCPU, t.fleetCPU = span.CPU, measure.CPU(f.Pid())-agents
	t.others = max(0, span.Others-t.fleetCPU.Seconds()/span.Wall.Seconds()/float64(runtime.NumCPU()))
	t.written = writtenBy(p.Pid()) - written
	if t.profile != "" {
		if err := errors.Join(p.Ask("profile", profile{}, nil), p.Ask("profile", profile{name + ".heap"}, nil)); err != nil {
			return err
		}
	}
	if err := f.Ask("count", nil, &t.did); err != nil {
		return err
	}
	t.did = t.did.Minus(count)
	return p.Ask("memory", nil, &t.after)
}

// writtenBy is how many bytes a process has had written to disk.
func writtenBy(pid int) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "write_bytes: "); ok {
			n, _ := strconv.ParseInt(strings.TrimSpace(rest), 10, 64)
			return n
		}
	}
	return 0
}

// print says what a turn came to; first is the one to compare with, nil for none.
func (t *turn) print(first *turn) {
	n := float64(t.saw.Running.N)
	fmt.Printf("%6d instances, connected in %.1f s\n", t.instances, t.agents.Seconds())
	fmt.Printf("       placed %6.0f/s   running %6.0f/s   all run after %.2f s   others used %.0f%%\n",
		t.saw.Placed.perSecond(), t.running(), t.wall.Seconds(), 100*t.others)
	fmt.Printf("       control plane %.3f ms CPU a task, agents %.3f ms; memory a task %.1f KB (%.1f KB of it live heap)\n",
		ms(t.planeCPU)/n, ms(t.fleetCPU)/n, float64(t.after.PSS-t.before.PSS)/1000/n, float64(t.after.Live-t.before.Live)/1000/n)
	fmt.Printf("       a task: %.2f records written, %.2f signed requests, %.2f messages of agents, %.0f bytes to agents, %.0f bytes to disk; %.0f tasks a transaction\n",
		float64(t.saw.Rows)/n, float64(t.did.Requests)/n, float64(t.did.Messages)/n, float64(t.did.Received)/n, float64(t.written)/n, 2*n/float64(t.saw.Transactions))
	fmt.Printf("       a decision: %.1f µs", t.decision)
	if first != nil {
		fmt.Printf(", %.2f × that of %d instances; CPU a task %.2f ×", t.decision/first.decision, first.instances,
			ms(t.planeCPU)/n/(ms(first.planeCPU)/float64(first.saw.Running.N)))
	}
	fmt.Println()
	if t.roll {
		t.printRoll()
	}
	for _, table := range slices.Sorted(maps.Keys(t.saw.Tables)) {
		fmt.Printf("         %-16s %.3f records a task\n", table, float64(t.saw.Tables[table])/n)
	}
}

// printRoll says what deploying every service anew came to.
func (t *turn) printRoll() {
	n := float64(t.rolled.Running.N)
	fmt.Printf("       deployed anew in %.2f s: control plane %.3f ms CPU a task that is replaced, agents %.3f ms; %.2f records written\n",
		t.rollWall.Seconds(), ms(t.rollCPU)/n, ms(t.rollFleet)/n, float64(t.rolled.Rows)/n)
}

// running is the rate at which tasks came to run, from the first that was placed.
func (t *turn) running() float64 {
	return float64(t.saw.Running.N) / t.saw.Running.Last.Sub(t.saw.Placed.First).Seconds()
}

func ms(d time.Duration) float64 { return d.Seconds() * 1000 }
