package engine_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gantry/internal/agent/engine"
	"gantry/internal/agent/enginetest"
	"gantry/internal/wire/acsapi"
	"gantry/internal/wire/ecsapi"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write what happened into the scenarios instead of comparing")

// Each file of testdata tells a task, what its programs do, and after "----" what then happened, with the second at which
// it did. What happens in the same instant is sorted. See readScenario for the words.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			must(t, err)
			story, want, _ := strings.Cut(string(text), "----\n")
			s := readScenario(t, story)
			var got string
			synctest.Test(t, func(t *testing.T) { got = s.play(t) })
			if *update {
				must(t, os.WriteFile(file, []byte(story+"----\n"+got), 0o644))
				return
			}
			if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(got, "\n")); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// scratch is a folder in memory where there is one: every journal syncs many times.
func scratch(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "engine")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// A scenario is one story.
type scenario struct {
	tasks    []acsapi.Task
	programs map[string]enginetest.Program
	acts     []act
	cleanup  time.Duration
	capacity engine.Capacity
	free     uint64
}

// An act is something that happens from outside.
type act struct {
	at   time.Duration
	do   string // start, stop, kill, reboot, end, free, deaf, hears
	args []string
}

// readScenario reads lines such as
//
//	task b cpu=1024                       the containers that follow belong to it; without it there is one task, "a"
//	container web essential depends=db:HEALTHY health=5s/3 stop=10s start=20s restart=60s ignore=0 port=80 link=db memory=64
//	program web runs=10s exit=1 oom deaf pull=3s starts=1s pull-error="…" create-error="…" start-error="…" health=1,1,0
//	5s stop a | kill | reboot | end web 3 | free 100 | deaf | hears | run
//	cleanup 1m
//	capacity cpu=2048 memory=512
//
// "kill" ends the agent as kill -9 does and starts it again; "deaf" and "hears" make the control plane so.
func readScenario(t *testing.T, story string) *scenario {
	t.Helper()
	s := &scenario{programs: map[string]enginetest.Program{}, cleanup: time.Hour, free: 1 << 40}
	task := func() *acsapi.Task {
		if len(s.tasks) == 0 {
			s.tasks = append(s.tasks, newTask("a"))
		}
		return &s.tasks[len(s.tasks)-1]
	}
	for _, line := range strings.Split(story, "\n") {
		line, _, _ = strings.Cut(line, "#")
		w := words(line)
		if len(w) == 0 {
			continue
		}
		switch w[0] {
		case "task":
			s.tasks = append(s.tasks, newTask(w[1]))
			for k, v := range options(w[2:]) {
				switch k {
				case "cpu":
					task().CPU = float64(number(t, v)) / 1024
				case "memory":
					task().Memory = int64(number(t, v))
				default:
					t.Fatalf("task option %q", k)
				}
			}
		case "container":
			task().Containers = append(task().Containers, readContainer(t, w[1], options(w[2:])))
		case "program":
			s.programs[w[1]] = readProgram(t, options(w[2:]))
		case "cleanup":
			s.cleanup = duration(t, w[1])
		case "capacity":
			o := options(w[1:])
			s.capacity = engine.Capacity{CPU: int64(number(t, o["cpu"])), Memory: int64(number(t, o["memory"]))}
		default:
			s.acts = append(s.acts, act{at: duration(t, w[0]), do: w[1], args: w[2:]})
		}
	}
	return s
}

func arnOf(name string) string {
	return "arn:aws:ecs:us-east-1:123456789012:task/demo/" + strings.Repeat("0", 32-len(name)) + name
}

func newTask(name string) acsapi.Task {
	return acsapi.Task{
		Arn: arnOf(name), Family: "web", Version: "1", DesiredStatus: "RUNNING",
		NetworkMode: "bridge", Overrides: "{}",
	}
}

// words splits at spaces outside of double quotes, which are dropped.
func words(line string) (out []string) {
	quoted := false
	for _, w := range strings.FieldsFunc(line, func(r rune) bool {
		if r == '"' {
			quoted = !quoted
		}
		return r == ' ' && !quoted
	}) {
		out = append(out, strings.ReplaceAll(w, `"`, ""))
	}
	return out
}

func options(words []string) map[string]string {
	o := map[string]string{}
	for _, w := range words {
		k, v, _ := strings.Cut(w, "=")
		o[k] = v
	}
	return o
}

func number(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	must(t, err)
	return n
}

func duration(t *testing.T, s string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(s)
	must(t, err)
	return d
}

func readContainer(t *testing.T, name string, o map[string]string) acsapi.Container {
	t.Helper()
	c := acsapi.Container{Name: name, Image: name}
	for k, v := range o {
		switch k {
		case "essential":
			c.Essential = true
		case "image":
			c.Image = v
		case "memory":
			c.Memory = int64(number(t, v))
		case "cpu":
			c.CPU = int64(number(t, v))
		case "depends":
			for _, d := range strings.Split(v, ",") {
				on, condition, _ := strings.Cut(d, ":")
				c.DependsOn = append(c.DependsOn, acsapi.DependsOn{ContainerName: on, Condition: condition})
			}
		case "link":
			c.Links = append(c.Links, v)
		case "from":
			c.VolumesFrom = append(c.VolumesFrom, acsapi.VolumeFrom{SourceContainer: v})
		case "health":
			interval, retries, _ := strings.Cut(v, "/")
			c.HealthCheckType = "docker"
			c.DockerConfig.Config = fmt.Sprintf(`{"Healthcheck":{"Test":["CMD-SHELL","true"],"Interval":%d,"Retries":%d}}`,
				duration(t, interval), number(t, retries))
		case "stop":
			c.StopTimeout = new(int64(duration(t, v) / time.Second))
		case "start":
			c.StartTimeout = int64(duration(t, v) / time.Second)
		case "restart":
			if c.RestartPolicy == nil {
				c.RestartPolicy = &acsapi.RestartPolicy{Enabled: true}
			}
			c.RestartPolicy.RestartAttemptPeriod = int64(duration(t, v) / time.Second)
		case "ignore":
			if c.RestartPolicy == nil {
				c.RestartPolicy = &acsapi.RestartPolicy{Enabled: true}
			}
			c.RestartPolicy.IgnoredExitCodes = append(c.RestartPolicy.IgnoredExitCodes, int32(number(t, v)))
		case "port":
			c.PortMappings = append(c.PortMappings, acsapi.PortMapping{ContainerPort: 80, HostPort: int64(number(t, v))})
		case "log":
			c.DockerConfig.HostConfig = fmt.Sprintf(`{"LogConfig":{"Type":%q}}`, v)
		default:
			t.Fatalf("container option %q", k)
		}
	}
	return c
}

func readProgram(t *testing.T, o map[string]string) enginetest.Program {
	t.Helper()
	var p enginetest.Program
	for k, v := range o {
		switch k {
		case "runs":
			p.Runs = duration(t, v)
		case "exit":
			p.ExitCode = int32(number(t, v))
		case "oom":
			p.OOM = true
		case "deaf":
			p.Deaf = true
		case "pull":
			p.PullTakes = duration(t, v)
		case "starts":
			p.StartTakes = duration(t, v)
		case "pull-error":
			p.PullError = v
		case "create-error":
			p.CreateError = v
		case "start-error":
			p.StartError = v
		case "health":
			for _, code := range strings.Split(v, ",") {
				p.Health = append(p.Health, number(t, code))
			}
		default:
			t.Fatalf("program option %q", k)
		}
	}
	return p
}

// A listener is the control plane: it remembers what it is told.
type listener struct {
	mu     sync.Mutex
	events []enginetest.Event // guarded by mu
	deaf   bool               // guarded by mu
}

func (l *listener) SubmitTaskStateChange(_ context.Context, c *ecsapi.SubmitTaskStateChangeInput) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.deaf {
		return fmt.Errorf("connection refused")
	}
	l.events = append(l.events, enginetest.Event{At: time.Now(), Text: tell(c)})
	return nil
}

func (l *listener) setDeaf(deaf bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.deaf = deaf
}

// tell is a report in a line: "tell a STOPPED: web STOPPED exit 1 (reason)".
func tell(c *ecsapi.SubmitTaskStateChangeInput) string {
	var b strings.Builder
	fmt.Fprintf(&b, "tell %s %s", strings.TrimLeft((*c.Task)[len(arnOf(""))-32:], "0"), *c.Status)
	if *c.Reason != "" {
		fmt.Fprintf(&b, " (%s)", *c.Reason)
	}
	for _, s := range c.Containers {
		fmt.Fprintf(&b, "; %s %s", *s.ContainerName, *s.Status)
		for _, n := range s.NetworkBindings {
			fmt.Fprintf(&b, " :%d", *n.HostPort)
		}
		if s.ExitCode != nil {
			fmt.Fprintf(&b, " exit %d", *s.ExitCode)
		}
		if s.Reason != nil {
			fmt.Fprintf(&b, " (%s)", *s.Reason)
		}
		if s.RuntimeId != nil && (s.ImageDigest == nil || *s.ImageDigest != "sha256:digest-of-"+*s.ContainerName) {
			b.WriteString(" of an unknown image")
		}
		if s.RuntimeId == nil {
			b.WriteString(" never made")
		}
	}
	return b.String()
}

// A world is a machine, a control plane, and an agent's engine that may be killed and started again.
type world struct {
	t       testing.TB
	s       *scenario
	dir     string
	boot    int
	machine *enginetest.Machine
	plane   *listener
	engine  *engine.Engine
	halt    func()
}

func newWorld(t testing.TB, s *scenario) *world {
	w := &world{t: t, s: s, dir: scratch(t), machine: enginetest.New(s.programs), plane: &listener{}}
	w.machine.SetFree(s.free)
	w.start()
	return w
}

func (w *world) start() {
	w.t.Helper()
	journal, err := engine.OpenJournal(filepath.Join(w.dir, "agent.db"))
	must(w.t, err)
	logger := slog.New(slog.NewTextHandler(w.t.Output(), nil))
	w.engine, err = engine.Open(context.Background(), engine.Config{
		Identity: engine.Identity{Cluster: "demo", Region: "us-east-1"}, Capacity: w.s.capacity,
		Rules: engine.Rules{Cleanup: w.s.cleanup}, StopTimeout: 30 * time.Second, LeastDisk: 1 << 20,
		Boot: fmt.Sprint("boot ", w.boot), Logger: logger,
	}, w.machine.Parts(w.plane), journal)
	must(w.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.engine.Run(ctx) }()
	w.halt = func() {
		cancel()
		must(w.t, <-done)
		must(w.t, journal.Close())
	}
}

// play is what happened, a line per event.
func (s *scenario) play(t *testing.T) string {
	begin := time.Now()
	w := newWorld(t, s)
	if !slices.ContainsFunc(s.acts, func(a act) bool { return a.do == "start" }) {
		w.accept(s.tasks...)
	}
	for _, a := range s.acts {
		time.Sleep(time.Until(begin.Add(a.at)))
		synctest.Wait()
		w.act(a)
	}
	synctest.Wait()
	w.halt()

	events := slices.Concat(w.machine.Log(), w.plane.events)
	slices.SortStableFunc(events, func(a, b enginetest.Event) int {
		if c := a.At.Compare(b.At); c != 0 {
			return c
		}
		return strings.Compare(a.Text, b.Text)
	})
	var out bytes.Buffer
	for _, e := range events {
		fmt.Fprintf(&out, "%-7v %s\n", e.At.Sub(begin), e.Text)
	}
	for _, left := range w.machine.Left() {
		fmt.Fprintf(&out, "left: %s\n", left)
	}
	return out.String()
}

func (w *world) accept(tasks ...acsapi.Task) {
	w.t.Helper()
	bad, err := w.engine.Accept(context.Background(), tasks)
	must(w.t, err)
	for _, b := range bad {
		w.t.Errorf("bad task %s: %v", b.ARN, b.Err)
	}
}

func (w *world) act(a act) {
	w.t.Helper()
	switch a.do {
	case "run": // until then
	case "start":
		for _, task := range w.s.tasks {
			if task.Arn == arnOf(a.args[0]) {
				w.accept(task)
			}
		}
	case "stop":
		w.accept(acsapi.Task{Arn: arnOf(a.args[0]), Family: "web", Version: "1", DesiredStatus: "STOPPED", Overrides: "{}"})
	case "kill":
		w.halt()
		w.start()
	case "reboot":
		w.halt()
		w.machine.Reboot()
		w.boot++
		w.start()
	case "end":
		w.machine.End(a.args[0], engine.Exit{Code: int32(number(w.t.(*testing.T), a.args[1]))})
	case "free":
		w.machine.SetFree(uint64(number(w.t.(*testing.T), a.args[0])))
	case "deaf":
		w.plane.setDeaf(true)
	case "hears":
		w.plane.setDeaf(false)
		w.engine.Nudge()
	default:
		w.t.Fatalf("act %q", a.do)
	}
}
