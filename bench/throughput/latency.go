package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"gantry"
	"gantry/bench/child"
	"gantry/bench/client"
	"gantry/bench/measure"
	"gantry/bench/plane"
	"gantry/bench/sim"
	"gantry/internal/wire/ecsapi"
)

// runWithin bounds how long one task may take to run.
const runWithin = 10 * time.Second

// machineIn is what the parent asks of a machine.
type machineIn struct{ Address string }

// measureLatency times RunTask until the task runs, one after the other, as a client
// sees it that asks again and again. The agent is the real one, with its journal on
// disk, in a process of its own; its containers only pretend.
func measureLatency(n int) (err error) {
	p, err := child.Start(planeRole)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.End()) }()
	m, err := child.Start(machineRole)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.End()) }()
	var at client.API
	if err := p.Ask("open", openIn{Agents: 1}, &at); err != nil {
		return err
	}
	if err := m.Ask("join", machineIn{at.Address}, nil); err != nil {
		return err
	}
	if err := p.Ask("connected", 1, nil); err != nil {
		return err
	}
	var answered, running []time.Duration
	clock := measure.Start(p.Pid(), m.Pid(), os.Getpid())
	for range n {
		a, r, err := runOne(at)
		if err != nil {
			return err
		}
		answered, running = append(answered, a), append(running, r)
	}
	span := clock.Stop()
	a, r := measure.Milliseconds(answered), measure.Milliseconds(running)
	fmt.Printf("\nRunTask, one at a time, %d times, the real agent with containers that pretend, others used %.0f%%\n", n, 100*span.Others)
	fmt.Printf("       answered after p50 %.1f ms, p99 %.1f ms; RUNNING after p50 %.1f ms, p90 %.1f ms, p99 %.1f ms (fastest %.1f)\n",
		a.Median(), a.Quantile(0.99), r.Median(), r.Quantile(0.9), r.Quantile(0.99), r.Quantile(0))
	return nil
}

// runOne runs a task, and says after how long the call was answered and the task ran.
func runOne(at client.API) (answered, running time.Duration, err error) {
	conn, err := client.Dial(at.Address)
	if err != nil {
		return 0, 0, err
	}
	defer conn.Close()
	began := time.Now()
	request, err := at.Sign("RunTask", &ecsapi.RunTaskInput{Cluster: new(cluster), TaskDefinition: new(plane.Family)})
	if err != nil {
		return 0, 0, err
	}
	body, err := conn.Do(request)
	if err != nil {
		return 0, 0, err
	}
	answered = time.Since(began)
	var out ecsapi.RunTaskOutput
	if err := json.Unmarshal(body, &out); err != nil || len(out.Tasks) != 1 {
		return 0, 0, fmt.Errorf("RunTask: %w: %s", err, body)
	}
	look, err := at.Sign("DescribeTasks", &ecsapi.DescribeTasksInput{Cluster: new(cluster), Tasks: []string{*out.Tasks[0].TaskArn}})
	if err != nil {
		return 0, 0, err
	}
	for time.Since(began) < runWithin {
		body, err := conn.Do(look)
		if err != nil {
			return 0, 0, err
		}
		if bytes.Contains(body, []byte(`"lastStatus":"RUNNING","launchType"`)) {
			return answered, time.Since(began), nil
		}
	}
	return 0, 0, fmt.Errorf("a task does not run after %s: %s", runWithin, body)
}

// playMachine is the process of the real agent.
func playMachine() error {
	dir, err := os.MkdirTemp("", "gantry-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	joined := false
	err = child.Serve(func(ask string, in json.RawMessage) (any, error) {
		if ask != "join" {
			return nil, errors.New("that is not known here")
		}
		return answer(in, func(m machineIn) (any, error) {
			id, secret := sim.Key(0)
			joined = true
			go func() {
				ended <- plane.RunMachine(ctx, dir, m.Address, cluster, &gantry.Principal{AccessKeyID: id, SecretKey: secret})
			}()
			return nil, nil
		})
	})
	stop()
	if joined {
		<-ended // it says that it was told to end
	}
	return err
}
