// Command throughput measures how fast a gantry brings services up: a control plane in
// one process (etcd with fsync, every request signed and verified), simulated container
// instances by the thousand in another (their websockets and reports are real, their
// containers are not), and services that want ten thousand tasks. It prints how many
// tasks are placed, durably, and how many run, per second, and what each costs.
//
// Both processes share the machine's cores. In the same run it puts as many records of
// the same size into a bare etcd: what the disk and etcd alone take.
//
//	go run ./bench/throughput [-instances 100,1000,5000] [-tasks 10000] [-services 10]
//
// The peers on such a machine are not run here: docs/design/2026-11-throughput.md has
// their figures, as they were recorded.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"

	"gantry/bench/child"
	"gantry/bench/measure"
	"gantry/bench/plane"
)

type options struct {
	instances string
	tasks     int
	services  int
	rounds    int
	reports   string
	telemetry bool
	profile   string
	latency   int
	roll      bool
}

// The roles of this program's copies.
const (
	planeRole   = "control plane"
	fleetRole   = "agents"
	machineRole = "machine"
	etcdRole    = "bare etcd"
)

func main() {
	if role := child.Role(); role != "" {
		plane.TuneHeap()
		if err := play(role); err != nil {
			fmt.Fprintf(os.Stderr, "bench/throughput: %s: %v\n", role, err)
			os.Exit(1)
		}
		return
	}
	var o options
	flag.StringVar(&o.instances, "instances", "100,1000,5000", "how many container instances there are, turn by turn")
	flag.IntVar(&o.tasks, "tasks", 10_000, "how many tasks the services want together")
	flag.IntVar(&o.services, "services", 10, "how many services there are")
	flag.IntVar(&o.rounds, "rounds", 1, "how often each turn is taken")
	flag.StringVar(&o.reports, "reports", "single,batched", "how agents report: single, batched, or both in turn")
	flag.BoolVar(&o.telemetry, "telemetry", false, "agents hold the telemetry websocket too")
	flag.BoolVar(&o.roll, "roll", false, "every service is then deployed anew, and that is timed too")
	flag.StringVar(&o.profile, "profile", "", "a folder for CPU and heap profiles of the control plane")
	flag.IntVar(&o.latency, "latency", 200, "how often RunTask is timed until its task runs; 0 leaves that out")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "bench/throughput:", err)
		os.Exit(1)
	}
}

// play is a child's side.
func play(role string) error {
	switch role {
	case planeRole:
		return playPlane()
	case fleetRole:
		return playFleet()
	case machineRole:
		return playMachine()
	case etcdRole:
		return playEtcd()
	}
	return errors.New("there is no such role")
}

func run(o options) error {
	fmt.Printf("machine: %s\n", measure.Describe())
	if err := measureEtcd(o.tasks); err != nil {
		return err
	}
	for _, reports := range strings.Split(o.reports, ",") {
		if reports != "single" && reports != "batched" {
			return fmt.Errorf("reports are single or batched, not %q", reports)
		}
		fmt.Printf("\n%d tasks of %d services, %s reports\n", o.tasks, o.services, reports)
		var first *turn
		for _, text := range strings.Split(o.instances, ",") {
			n, err := strconv.Atoi(text)
			if err != nil {
				return fmt.Errorf("-instances: %w", err)
			}
			for range o.rounds {
				t, err := takeTurn(o, n, reports == "batched")
				if err != nil {
					return fmt.Errorf("%d instances: %w", n, err)
				}
				t.print(first)
				if first == nil {
					first = t
				}
			}
		}
	}
	if o.latency > 0 {
		if err := measureLatency(o.latency); err != nil {
			return err
		}
	}
	fmt.Printf("machine, at the end: %s\n", measure.Describe())
	return nil
}
