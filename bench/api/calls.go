package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"gantry/bench/client"
	"gantry/bench/measure"
	"gantry/internal/wire/ecsapi"
)

const (
	few, many = 100, 100_000
	// connections is how many requests are under way at once: more than the cores can work on.
	connections = 32
	// pacedRate is the rate at which RunTask's latency is asked for, per second, and
	// readRate that of calls that read.
	pacedRate = 1500
	readRate  = 3000
)

// A series is what one measurement gave on one server, round by round.
type series struct {
	rate      measure.Sample // answers per second
	serverCPU measure.Sample // µs of the server for each answer, its agent included
	clientCPU measure.Sample // µs of the load's side
	others    measure.Sample // share of the machine that others used
	p50, p99  measure.Sample // ms
}

func (s *series) add(r client.Result, span measure.Span, clientCPU time.Duration) {
	n := float64(len(r.Latencies))
	s.rate = append(s.rate, r.PerSecond())
	s.serverCPU = append(s.serverCPU, float64((span.CPU-clientCPU).Microseconds())/n)
	s.clientCPU = append(s.clientCPU, float64(clientCPU.Microseconds())/n)
	s.others = append(s.others, span.Others)
	s.p50 = append(s.p50, r.Quantile(0.50).Seconds()*1000)
	s.p99 = append(s.p99, r.Quantile(0.99).Seconds()*1000)
}

// full is the rate that two cores would give if nobody else used them, from the CPU
// time of both sides: what is comparable from one busy machine to the next.
func (s *series) full() float64 { return 2e6 / (s.serverCPU.Median() + s.clientCPU.Median()) }

func (s *series) print(name string) {
	fmt.Printf("%-34s %18s/s  p50 %5.2f ms  p99 %6.2f ms  CPU %4.0f µs + %3.0f µs  others %2.0f%%  two whole cores: %.0f/s\n",
		name, s.rate.Text("%.0f"), s.p50.Median(), s.p99.Median(), s.serverCPU.Median(), s.clientCPU.Median(),
		100*s.others.Median(), s.full())
}

// onPlane starts a control plane with so many tasks and hands it to do; it ends with it.
func onPlane(o options, tasks int, do func(*peer) error) (err error) {
	p, err := start(planeRole, wish{tasks, o.profile})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.End()) }()
	return do(p)
}

// measureCalls runs the loads on two control planes and the bare server in turns.
func measureCalls(o options) error {
	if o.only == "" || o.only == "read" {
		began := time.Now()
		err := onPlane(o, few, func(small *peer) error {
			return onPlane(o, many, func(large *peer) error {
				fmt.Printf("two control planes with %d and %d tasks came up in %.1f s\n", few, many, time.Since(began).Seconds())
				for _, r := range readings {
					if err := measureReading(o, small, large, r); err != nil {
						return err
					}
				}
				return nil
			})
		})
		if err != nil {
			return err
		}
	}
	if o.only == "" || o.only == "run" {
		return measureRun(o)
	}
	return nil
}

// measureRun takes every round with a control plane of its own, alone on the machine: that of
// the round before has thousands of tasks more.
func measureRun(o options) error {
	var full, paced [2]series
	var left [2]string
	for range o.rounds {
		for i, tasks := range []int{few, many} {
			err := onPlane(o, tasks, func(p *peer) (err error) {
				left[i], err = runRound(o, p, &full[i], &paced[i])
				return err
			})
			if err != nil {
				return err
			}
		}
	}
	fmt.Printf("\nRunTask of one task, %d connections, the agent at work in the same process\n", connections)
	full[0].print(fmt.Sprintf("  beside %d tasks", few))
	full[1].print(fmt.Sprintf("  beside %d tasks", many))
	ratio(&full[0], &full[1])
	fmt.Printf("\nRunTask at %d/s, latency from when each was due\n", pacedRate)
	paced[0].print(fmt.Sprintf("  beside %d tasks", few))
	paced[1].print(fmt.Sprintf("  beside %d tasks", many))
	for i, n := range []int{few, many} {
		fmt.Printf("  at the end of the last round %s, of those beside %d\n", left[i], n)
	}
	return nil
}

// runRound calls RunTask as fast as it goes, then at a rate, and says what it has left.
func runRound(o options, c *peer, full, paced *series) (string, error) {
	load, err := runLoad(c)
	if err != nil {
		return "", err
	}
	if err := c.rest(); err != nil {
		return "", err
	}
	if err := full.round(c, func() (client.Result, error) { return load.Saturate(o.length) }); err != nil {
		return "", err
	}
	if err := c.settle(); err != nil {
		return "", err
	}
	if err := paced.round(c, func() (client.Result, error) { return load.Pace(o.length, pacedRate) }); err != nil {
		return "", err
	}
	if err := c.settle(); err != nil {
		return "", err
	}
	running, pending, err := c.counts()
	return fmt.Sprintf("%d tasks run and %d wait", running, pending), err
}

// round measures once.
func (s *series) round(c *peer, load func() (client.Result, error)) error {
	clock, own := measure.Start(c.Pid(), os.Getpid()), measure.CPU(os.Getpid())
	r, err := load()
	if err != nil {
		return err
	}
	s.add(r, clock.Stop(), measure.CPU(os.Getpid())-own)
	return nil
}

func ratio(few, many *series) {
	fmt.Printf("  few : many = %.2f by the clock, %.2f by the server's CPU\n",
		few.rate.Median()/many.rate.Median(), many.serverCPU.Median()/few.serverCPU.Median())
}

func bareRatio(s, bare *series) float64 {
	return (s.serverCPU.Median() + s.clientCPU.Median()) / (bare.serverCPU.Median() + bare.clientCPU.Median())
}

var noFailures = []byte(`"failures":[]`)

// counts are how many tasks run and wait.
func (c *peer) counts() (running, pending int32, err error) {
	var out ecsapi.DescribeClustersOutput
	err = c.API.Call("DescribeClusters", &ecsapi.DescribeClustersInput{Clusters: []string{cluster}}, &out)
	if err != nil || len(out.Clusters) != 1 {
		return 0, 0, fmt.Errorf("describe the cluster: %d found: %w", len(out.Clusters), err)
	}
	return *out.Clusters[0].RunningTasksCount, *out.Clusters[0].PendingTasksCount, nil
}

// settleWithin bounds how long the agent may take for what is left of a round.
const settleWithin = 20 * time.Second

// rest waits until a control plane that has just come up, and goes through all its tasks
// once, uses less than a tenth of a core.
func (c *peer) rest() error {
	const look = 200 * time.Millisecond
	for end := time.Now().Add(settleWithin); ; {
		before := measure.CPU(c.Pid())
		time.Sleep(look)
		if measure.CPU(c.Pid())-before < look/10 {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("the control plane is still busy after %s", settleWithin)
		}
	}
}

// settle waits until the agent has no work, so that the next round is not measured with this one's.
func (c *peer) settle() error {
	for end := time.Now().Add(settleWithin); ; time.Sleep(20 * time.Millisecond) {
		_, pending, err := c.counts()
		if err != nil || pending == 0 {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("%d tasks still wait after %s", pending, settleWithin)
		}
	}
}
