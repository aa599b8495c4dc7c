package main

import (
	"fmt"
	"slices"
	"syscall"
	"time"

	"gantry/bench/gantryup"
	"gantry/bench/measure"
	"gantry/bench/running"
	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"
)

const (
	family  = "hello"
	service = "web"
	// replicas is how many tasks the service has: one is killed, the others are there.
	replicas = 3
)

// A bench is a gantry with a service, and what was measured on it.
type bench struct {
	server  *gantryup.Server
	signals *running.Signals
	alive   []running.Arrival // the service's programs

	start measure.Sample // RunTask until the program runs, ms
	whole measure.Sample // from the kill until the next program runs
	steps [steps]measure.Sample
}

// The steps from a kill to the replacement.
const (
	noticed = iota // the agent knows that the container has ended
	stopped        // the task is STOPPED in the state
	placed         // the task that replaces it is there
	runs           // its program runs
	known          // it is RUNNING in the state
	steps
)

var stepNames = [steps]string{
	"the agent has noticed the end", "the task is STOPPED", "its replacement is placed", "the program runs", "the task is RUNNING",
}

// prepare starts the service with so many tasks and waits for their programs.
func (b *bench) prepare(image string, tasks int) error {
	if err := b.server.Command("image", "load", image); err != nil {
		return err
	}
	if err := b.server.Joined(running.Within); err != nil {
		return err
	}
	api := b.server.API
	if err := api.Call("RegisterTaskDefinition", &ecsapi.RegisterTaskDefinitionInput{
		Family: new(family), NetworkMode: ecsapi.NetworkModeBridge,
		Volumes: []ecsapi.Volume{{Name: new("bench"), Host: &ecsapi.HostVolumeProperties{SourcePath: &b.signals.Dir}}},
		ContainerDefinitions: []ecsapi.ContainerDefinition{{
			Name: new("hello"), Image: new(running.ImageName), Cpu: new(int32(10)), Memory: new(int32(32)),
			PortMappings: []ecsapi.PortMapping{{ContainerPort: new(int32(8080)), HostPort: new(int32(0))}},
			MountPoints:  []ecsapi.MountPoint{{SourceVolume: new("bench"), ContainerPath: new("/bench")}},
		}},
	}, nil); err != nil {
		return err
	}
	if err := api.Call("CreateService", &ecsapi.CreateServiceInput{
		ServiceName: new(service), TaskDefinition: new(family), DesiredCount: new(int32(tasks)),
	}, nil); err != nil {
		return err
	}
	for range tasks {
		a, err := b.signals.Next()
		if err != nil {
			return err
		}
		b.alive = append(b.alive, a)
	}
	return nil
}

// startOne takes the time of RunTask, and lets the task end.
func (b *bench) startOne() error {
	began := time.Now()
	if err := b.server.API.Call("RunTask", &ecsapi.RunTaskInput{TaskDefinition: new(family)}, nil); err != nil {
		return err
	}
	a, err := b.signals.Next()
	if err != nil {
		return err
	}
	b.start = append(b.start, ms(a.At.Sub(began)))
	return a.Conn.Close()
}

// pause lets a replacement count as healthy, and what was measured before come to rest.
const pause = warmup + warmup/2

// killOne kills the program that has run the longest, and takes the times.
func (b *bench) killOne() error {
	time.Sleep(pause)
	victim := b.alive[0]
	pid, err := victim.Pid()
	if err != nil {
		return err
	}
	before, err := b.tasks()
	if err != nil {
		return err
	}
	killed := time.Now()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return fmt.Errorf("kill a container's program: %w", err)
	}
	next, err := b.signals.Next()
	if err != nil {
		return err
	}
	b.alive = append(b.alive[1:], next)
	ended, made, err := b.swapped(before)
	if err != nil {
		return err
	}
	b.whole = append(b.whole, ms(next.At.Sub(killed)))
	last := killed
	for i, at := range [steps]time.Time{
		noticed: ended.ExecutionStoppedAt.Time, stopped: ended.StoppedAt.Time, placed: made.CreatedAt.Time, runs: next.At, known: made.StartedAt.Time,
	} {
		b.steps[i] = append(b.steps[i], ms(at.Sub(last)))
		last = at
	}
	return victim.Conn.Close()
}

// swapped waits until one task of those before has ended and another one runs.
func (b *bench) swapped(before []ecsapi.Task) (ended, made ecsapi.Task, err error) {
	for end := time.Now().Add(running.Within); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		now, err := b.tasks()
		if err != nil {
			return ended, made, err
		}
		for _, t := range now {
			known := slices.ContainsFunc(before, func(o ecsapi.Task) bool { return *o.TaskArn == *t.TaskArn })
			if !known && wire.Value(t.LastStatus) == "RUNNING" {
				made = t
			}
		}
		if made.TaskArn == nil {
			continue
		}
		for _, t := range before {
			if slices.ContainsFunc(now, func(o ecsapi.Task) bool { return *o.TaskArn == *t.TaskArn }) {
				continue
			}
			var out ecsapi.DescribeTasksOutput
			if err := b.server.API.Call("DescribeTasks", &ecsapi.DescribeTasksInput{Tasks: []string{*t.TaskArn}}, &out); err != nil {
				return ended, made, err
			}
			return out.Tasks[0], made, nil
		}
	}
	return ended, made, fmt.Errorf("no task was replaced after %s", running.Within)
}

// tasks are those of the service that are to run.
func (b *bench) tasks() ([]ecsapi.Task, error) {
	var listed ecsapi.ListTasksOutput
	if err := b.server.API.Call("ListTasks", &ecsapi.ListTasksInput{ServiceName: new(service)}, &listed); err != nil {
		return nil, err
	}
	var out ecsapi.DescribeTasksOutput
	if err := b.server.API.Call("DescribeTasks", &ecsapi.DescribeTasksInput{Tasks: listed.TaskArns}, &out); err != nil {
		return nil, err
	}
	return out.Tasks, nil
}

func (b *bench) print() {
	fmt.Printf("\nRunTask until the program runs: %s ms\n", b.start.Text("%.0f"))
	fmt.Printf("kill -9 of a service's program until that of the replacement runs: %s ms\n", b.whole.Text("%.0f"))
	fmt.Printf("  that is %.0f ms and a start, by the medians\n", b.whole.Median()-b.start.Median())
	for i, s := range b.steps {
		fmt.Printf("  %-32s after %s ms\n", stepNames[i], s.Text("%.0f"))
	}
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
