package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"gantry/bench/alone"
	"gantry/bench/gantryup"
	"gantry/bench/measure"
	"gantry/internal/wire/ecsapi"
)

// idleAfter is how long gantry is left alone before its memory is looked at.
const idleAfter = 5 * time.Second

// measureUp starts the real program again and again on one data dir, with one
// cluster that its machine is an instance of.
func measureUp(o options) (err error) {
	if why := alone.Lacking(o.program); why != "" {
		fmt.Printf("\ngantry up: skipped: %s\n", why)
		return nil
	}
	dir, err := os.MkdirTemp("", "gantry-bench")
	if err != nil {
		return err
	}
	s, err := gantryup.Start(o.program, dir)
	if err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	defer func() { err = errors.Join(err, s.Down()) }()
	first := s.Ready
	if err := s.API.Call("CreateCluster", &ecsapi.CreateClusterInput{}, nil); err != nil {
		return err
	}
	var warm measure.Sample
	for range o.rounds {
		if err := s.Terminate(); err != nil {
			return fmt.Errorf("stop gantry: %w", err)
		}
		if s, err = gantryup.Start(o.program, dir); err != nil {
			return err
		}
		warm = append(warm, s.Ready.Seconds()*1000)
	}
	time.Sleep(idleAfter)
	clock := measure.Start(s.Pid())
	own, err := measure.PSS(s.Pid())
	if err != nil {
		return err
	}
	all := own
	for _, pid := range measure.Children(s.Pid()) {
		if pss, err := measure.PSS(pid); err == nil {
			all += pss
		}
	}
	time.Sleep(idleAfter)
	span := clock.Stop()
	fmt.Printf("\ngantry up, one cluster, its machine an instance of it\n")
	fmt.Printf("  first start, which unpacks the runtime: ready in %d ms\n", first.Milliseconds())
	fmt.Printf("  warm: ready in %s ms\n", warm.Text("%.0f"))
	fmt.Printf("  idle: %d MiB PSS; with the processes it keeps ready %d MiB; %.1f%% of a core\n",
		own>>20, all>>20, 100*span.CPU.Seconds()/span.Wall.Seconds())
	return nil
}
