// Command api measures the ECS API: how many DescribeTasks of a hundred tasks and how
// many RunTask a second gantry answers, with a hundred tasks in its state and with a
// hundred thousand, and how fast and how small `gantry up` is.
//
// The control plane and an agent whose containers only pretend run in one process, as
// in `gantry up`; the load comes from another. Both share the machine's cores, talk
// over loopback, and every request is signed and verified. State is in etcd with
// fsync on. The two sizes and a bare net/http server, which answers as many bytes
// without doing anything, take turns, so that ratios hold on a busy machine.
//
//	go run ./bench/api [-rounds 5] [-profile DIR] [-up bin/gantry]
package main

import (
	"flag"
	"fmt"
	"os"
	"time"

	"gantry/bench/alone"
	"gantry/bench/child"
	"gantry/bench/measure"
	"gantry/bench/plane"
)

// options are the flags; their defaults keep the whole run below three minutes.
type options struct {
	rounds  int
	length  time.Duration
	profile string
	program string
	only    string
}

func main() {
	if role := child.Role(); role != "" {
		plane.TuneHeap()
		if err := play(role); err != nil {
			fmt.Fprintln(os.Stderr, "bench/api:", err)
			os.Exit(1)
		}
		return
	}
	var o options
	flag.IntVar(&o.rounds, "rounds", 5, "how often each measurement is taken")
	flag.DurationVar(&o.length, "length", time.Second, "how long one of them takes")
	flag.StringVar(&o.profile, "profile", "", "a folder for CPU profiles of the control planes")
	flag.StringVar(&o.only, "only", "", "measure only this: read, run or up")
	flag.StringVar(&o.program, "up", "bin/gantry", "the gantry whose start is measured; empty leaves that out")
	flag.Parse()
	if os.Geteuid() == 0 { // gantry up makes a bridge
		if err := alone.Enter(); err != nil {
			fmt.Fprintln(os.Stderr, "bench/api:", err)
			os.Exit(1)
		}
	}
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "bench/api:", err)
		os.Exit(1)
	}
}

func run(o options) error {
	fmt.Printf("machine: %s\n", measure.Describe())
	if o.only != "up" {
		if err := measureCalls(o); err != nil {
			return err
		}
	}
	if o.program != "" && (o.only == "" || o.only == "up") {
		if err := measureUp(o); err != nil {
			return err
		}
	}
	fmt.Printf("machine, at the end: %s\n", measure.Describe())
	return nil
}
