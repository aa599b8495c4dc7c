package ecs

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"gantry"
	"gantry/internal/wire/ecsapi"
)

// TestReports plays the scenarios of testdata/report.txt: what becomes of a task
// by what its agent reports.
//
//	containers web side?          a new PENDING task; "?" is not essential
//	user stops "text"             StopTask
//	report STATUS "text" c=…      the agent's report; - for no status, "text" for a reason
//	health c=STATUS …             the agent's telemetry
//	=> …                          the task: last/desired status, version, why it stops, containers
//	= unchanged                   the last line changed nothing at all
//
// A container reads name=STATUS, name=STATUS:exit code, and may end in "reason".
func TestReports(t *testing.T) {
	file, err := os.Open("testdata/report.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var s *scenario
	lines := bufio.NewScanner(file)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		at := fmt.Sprintf("testdata/report.txt:%d: %s", n, line)
		verb, rest, _ := strings.Cut(line, " ")
		switch verb {
		case "", "#":
		case "containers":
			s = newScenario(rest)
		case "=>":
			if got := s.String(); got != rest {
				t.Errorf("%s\n   got %s", at, got)
			}
		case "=":
			if s.changed {
				t.Errorf("%s: it changed to %s", at, s)
			}
		default:
			if err := s.play(verb, fields(rest)); err != nil {
				t.Fatalf("%s: %v", at, err)
			}
		}
	}
}

type scenario struct {
	task     *gantry.Task
	optional map[string]bool
	now      time.Time
	changed  bool
}

func newScenario(names string) *scenario {
	s := &scenario{optional: map[string]bool{}, now: time.Unix(1_795_000_000, 0).UTC()}
	s.task = &gantry.Task{LastStatus: gantry.Pending, DesiredStatus: gantry.Running, Version: 1, CreatedAt: s.now}
	for _, name := range strings.Fields(names) {
		name, optional := strings.CutSuffix(name, "?")
		s.optional[name] = optional
		s.task.Containers = append(s.task.Containers, gantry.Container{Name: name, LastStatus: gantry.Pending})
	}
	return s
}

// fields splits at spaces outside of quotes.
func fields(text string) []string {
	quoted := false
	return strings.FieldsFunc(text, func(r rune) bool {
		if r == '"' {
			quoted = !quoted
		}
		return r == ' ' && !quoted
	})
}

func (s *scenario) play(verb string, args []string) error {
	s.now = s.now.Add(time.Second)
	before := s.task
	switch verb {
	case "user":
		next := *s.task
		next.DesiredStatus, next.StoppingAt = gantry.Stopped, s.now
		next.StopCode, next.StoppedReason = ecsapi.TaskStopCodeUserInitiated, strings.Trim(args[1], `"`)
		next.Version++
		s.task = &next
	case "report":
		r := report{status: gantry.TaskStatus(strings.Trim(args[0], "-"))}
		for _, a := range args[1:] {
			if strings.HasPrefix(a, `"`) {
				r.reason = strings.Trim(a, `"`)
				continue
			}
			c, err := containerChange(a)
			if err != nil {
				return err
			}
			r.containers = append(r.containers, c)
		}
		s.task = tell(s.task, r, func(name string) bool { return !s.optional[name] }, s.now)
	case "health":
		health := map[string]ecsapi.HealthStatus{}
		for _, a := range args {
			name, status, _ := strings.Cut(a, "=")
			health[name] = ecsapi.HealthStatus(status)
		}
		s.task = tellHealth(s.task, health)
	default:
		return fmt.Errorf("unknown verb %s", verb)
	}
	s.changed = s.task != before
	return nil
}

func containerChange(text string) (ecsapi.ContainerStateChange, error) {
	text, reason, _ := strings.Cut(text, `"`)
	name, status, ok := strings.Cut(text, "=")
	if !ok {
		return ecsapi.ContainerStateChange{}, fmt.Errorf("%q is no container", text)
	}
	status, exit, exited := strings.Cut(status, ":")
	c := ecsapi.ContainerStateChange{ContainerName: new(name), Status: new(status), Reason: some(strings.TrimSuffix(reason, `"`))}
	if exited {
		code, err := strconv.ParseInt(exit, 10, 32)
		if err != nil {
			return c, err
		}
		c.ExitCode = new(int32(code))
	}
	return c, nil
}

func (s *scenario) String() string {
	t := s.task
	out := fmt.Sprintf("%s/%s v%d", t.LastStatus, t.DesiredStatus, t.Version)
	if t.StopCode != "" {
		out += fmt.Sprintf(" %s %q", t.StopCode, t.StoppedReason)
	}
	for _, c := range t.Containers {
		out += fmt.Sprintf(" %s=%s", c.Name, c.LastStatus)
		if c.ExitCode != nil {
			out += fmt.Sprintf(":%d", *c.ExitCode)
		}
		if c.Health != "" {
			out += "(" + string(c.Health) + ")"
		}
		if c.Reason != "" {
			out += strconv.Quote(c.Reason)
		}
	}
	for _, at := range []struct {
		name string
		is   time.Time
	}{{"started", t.StartedAt}, {"stopping", t.StoppingAt}, {"stopped", t.StoppedAt}} {
		if !at.is.IsZero() {
			out += fmt.Sprintf(" %s+%d", at.name, int(at.is.Sub(t.CreatedAt).Seconds()))
		}
	}
	return out
}

// TestReportsOfManyTasksAtOnce: each is answered, and does, what its own call would.
func TestReportsOfManyTasksAtOnce(t *testing.T) {
	w := newWorld(t)
	w.makeCluster("prod")
	w.define("web", 128, 64)
	w.join("prod", 1024, 1024)
	tasks := w.run("prod", "web", 2)
	change := func(task *string, status string) ecsapi.SubmitTaskStateChangeInput {
		return ecsapi.SubmitTaskStateChangeInput{Cluster: new("prod"), Task: task, Status: &status}
	}
	answers := w.SubmitTaskStateChanges(w.ctx, []ecsapi.SubmitTaskStateChangeInput{
		change(tasks[0].TaskArn, "RUNNING"), change(tasks[1].TaskArn, "SLEEPING"), change(new("0123456789abcdef0123456789abcdef"), "STOPPED"),
		change(tasks[1].TaskArn, "STOPPED"), change(tasks[0].TaskArn, "STOPPED"),
	})
	w.wantRefusal(answers[1], "InvalidParameterException: Invalid status: SLEEPING. Valid values are: PENDING, RUNNING, STOPPED.")
	for _, i := range []int{0, 2, 3, 4} {
		if answers[i] != nil {
			t.Errorf("change %d: %v", i, answers[i])
		}
	}
	described := must(w, w.ops.DescribeTasks, &ecsapi.DescribeTasksInput{Cluster: new("prod"), Tasks: []string{*tasks[0].TaskArn, *tasks[1].TaskArn}})
	for _, task := range described.Tasks {
		if *task.LastStatus != "STOPPED" {
			t.Errorf("%s is %s", *task.TaskArn, *task.LastStatus)
		}
	}
	w.run("prod", "web", 8) // their room is free again
}
