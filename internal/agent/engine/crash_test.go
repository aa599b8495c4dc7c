package engine_test

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gantry"
	"gantry/internal/agent/engine"
	"gantry/internal/agent/enginetest"
	"gantry/internal/wire/acsapi"

	"pgregory.net/rapid"
)

// Whatever the moment at which the agent is killed, before or after something was asked of the machine: what was asked
// for runs once, nothing is lost, what ended is told with its true exit code, and at last nothing is left.
func TestKilledAtAnyMoment(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		kills := rapid.SliceOfN(rapid.IntRange(0, 25), 1, 4).Draw(r, "operations until each kill")
		after := rapid.Bool().Draw(r, "killed after the operation")
		synctest.Test(t, func(t *testing.T) { killed(t, r, kills, after) })
	})
}

func killed(t *testing.T, r *rapid.T, kills []int, after bool) {
	machine := enginetest.New(map[string]enginetest.Program{
		"init": {Runs: 3 * time.Second, StartTakes: time.Second},
		"web":  {PullTakes: time.Second, StartTakes: time.Second, Health: []int{1, 0}},
		"side": {Runs: 20 * time.Second, ExitCode: 3},
		"bad":  {StartError: "CannotStartContainerError: no"},
		"cron": {Runs: 10 * time.Second, ExitCode: 1},
	})
	plane := &listener{}
	dir := scratch(t)
	path := filepath.Join(dir, "agent.db")
	task := newTask("a")
	task.Volumes = []acsapi.Volume{{Name: "data", Type: "docker", Docker: &acsapi.DockerVolume{Scope: "task"}}}
	task.Containers = append(task.Containers,
		readContainer(t, "init", nil),
		readContainer(t, "web", map[string]string{"essential": "", "depends": "init:SUCCESS", "health": "5s/3", "port": "8080"}),
		readContainer(t, "side", map[string]string{"depends": "web:HEALTHY"}),
		readContainer(t, "bad", nil),
		readContainer(t, "cron", map[string]string{"restart": "5s"}),
	)
	stop := acsapi.Task{Arn: task.Arn, Family: "web", Version: "1", DesiredStatus: "STOPPED", Overrides: "{}"}

	begin := time.Now()
	for round := 0; ; round++ {
		journal, err := engine.OpenJournal(path)
		must(t, err)
		parts := machine.Parts(plane)
		wire := make(<-chan struct{}) // never blows
		if round < len(kills) {
			next := filepath.Join(dir, fmt.Sprintf("killed-%d.db", round))
			fuse := enginetest.NewFuse(kills[round], after, func() { must(t, journal.Copy(next)) })
			parts, wire, path = fuse.Guard(parts), fuse.Wire(), next
		}
		e, err := engine.Open(context.Background(), engine.Config{
			Identity: engine.Identity{Cluster: "demo"}, Rules: engine.Rules{Cleanup: time.Minute}, StopTimeout: 30 * time.Second,
			Boot: "one", Logger: slog.New(slog.DiscardHandler),
		}, parts, journal)
		must(t, err)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- e.Run(ctx) }()
		alive := story(ctx, t, e, begin, wire, task, stop)
		if alive && len(e.Tasks()) > 0 {
			r.Errorf("the agent still knows %+v", e.Tasks()[0].Task)
		}
		cancel()
		must(t, <-done)
		must(t, journal.Close())
		if alive {
			break
		}
	}
	check(r, machine, plane)
}

// story is what the control plane wants: the task runs for a minute, then it is stopped, and an hour later all is gone.
// It sends what it wants to every agent that comes. alive is false if the agent was killed meanwhile.
func story(ctx context.Context, t *testing.T, e *engine.Engine, begin time.Time, wire <-chan struct{}, task, stop acsapi.Task) (alive bool) {
	sending, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-wire: // nobody will acknowledge
			cancel()
		case <-sending.Done():
		}
	}()
	for _, act := range []struct {
		want  acsapi.Task
		until time.Duration
	}{{task, time.Minute}, {stop, time.Hour}} {
		if time.Since(begin) >= act.until {
			continue
		}
		if _, err := e.Accept(sending, []acsapi.Task{act.want}); err != nil && sending.Err() == nil {
			t.Fatal(err)
		}
		select {
		case <-wire:
			return false
		case <-time.After(time.Until(begin.Add(act.until))):
			synctest.Wait()
		}
	}
	return true
}

func check(r *rapid.T, machine *enginetest.Machine, plane *listener) {
	var story []string
	for _, e := range slices.Concat(machine.Log(), plane.events) {
		story = append(story, fmt.Sprint(e.At.Format("04:05.000 "), e.Text))
	}
	slices.Sort(story)
	defer func() {
		if r.Failed() {
			r.Log(strings.Join(story, "\n"))
		}
	}()
	starts, exits := machine.Starts(), map[string]int{}
	for _, e := range machine.Log() {
		if name, ok := strings.CutPrefix(e.Text, "exit "); ok {
			exits[strings.Fields(name)[0]]++
		}
	}
	for name, n := range starts {
		switch {
		case name == "bad": // which never starts, however often it is tried
		case n != exits[name]:
			r.Errorf("%s was started %d times and ended %d times", name, n, exits[name])
		case n != 1 && name != "cron":
			r.Errorf("%s was started %d times", name, n)
		}
	}
	if left := machine.Left(); len(left) > 0 {
		r.Errorf("left on the machine: %v", left)
	}
	last := map[string]string{}
	for _, e := range plane.events {
		parts := strings.Split(e.Text, "; ")
		last["task"] = parts[0]
		for _, p := range parts[1:] {
			name, status, _ := strings.Cut(p, " ")
			if strings.HasPrefix(last[name], string(gantry.Stopped)) && last[name] != status {
				r.Errorf("%s was told %q after %q", name, status, last[name])
			}
			last[name] = status
		}
	}
	if len(starts) == 5 && (starts["cron"] < 5 || starts["cron"] > 8) {
		r.Errorf("cron was started %d times in a minute of runs of 10 s", starts["cron"])
	}
	want := map[string]string{"init": "STOPPED exit 0", "web": "STOPPED :8080 exit 143", "side": "STOPPED exit 3",
		"bad": "STOPPED (CannotStartContainerError: no)", "cron": ""}
	for name, status := range want {
		if name == "cron" && (last[name] == "STOPPED exit 143" || last[name] == "STOPPED exit 1") {
			continue // stopped while it ran, or as it had just ended
		}
		if _, started := starts[name]; started && last[name] != status {
			r.Errorf("%s was told %q, want %q", name, last[name], status)
		}
	}
	if last["task"] != "tell a STOPPED" {
		r.Errorf("the last report was %q", last["task"])
	}
}
