package lifecycle

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"gantry"
	"gantry/internal/wire/ecsapi"

	"github.com/google/go-cmp/cmp"
)

var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// scenarios calls check with the two sides of each line, and says which line was wrong.
func scenarios(t *testing.T, file string, check func(t *testing.T, given string) string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(text)) {
		given, want, ok := strings.Cut(line, "->")
		if !ok || strings.HasPrefix(line, "#") {
			continue
		}
		n++
		given, want = strings.Join(strings.Fields(given), " "), strings.TrimSpace(want)
		if got := check(t, given); got != want {
			t.Errorf("%s -> %s, want %s", given, got, want)
		}
	}
	if n == 0 {
		t.Fatalf("%s holds no scenario", file)
	}
}

func TestEnds(t *testing.T) {
	scenarios(t, "testdata/ends.txt", func(t *testing.T, given string) string {
		var last, desired, where string
		if _, err := fmt.Sscanf(strings.Replace(given, " on ", " ", 1), "%s wants %s", &last, &desired); err != nil {
			t.Fatalf("%q: %v", given, err)
		}
		_, where, _ = strings.Cut(given, " on ")
		where, state, _ := strings.Cut(where, ", ")
		task := &gantry.Task{ID: "t", Cluster: "prod", LastStatus: gantry.TaskStatus(last), DesiredStatus: gantry.TaskStatus(desired)}
		var instance *gantry.Instance
		switch where {
		case "nothing":
		case "a forgotten instance":
			task.Instance = "i"
		default:
			task.Instance = "i"
			instance = &gantry.Instance{ID: "i", Cluster: "prod", Status: ecsapi.ContainerInstanceStatus(strings.Fields(where)[1])}
		}
		connection := &gantry.Connection{Cluster: "prod", Instance: "i", Connected: true, Since: now}
		for _, word := range strings.Split(state, ", ") {
			switch word {
			case "":
			case "of a service":
				task.Group, task.StartedBy = gantry.ServiceGroup("web"), gantry.RevisionID("1").StartedBy()
			case "started as if by one":
				task.StartedBy = gantry.RevisionID("1").StartedBy()
			case "away":
				connection.Connected = false
			case "held":
				connection.Connected, connection.Loss = false, gantry.LossHeld
			case "given up":
				connection.Connected, connection.Loss = false, gantry.LossGivenUp
			case "never connected":
				connection = nil
			default:
				t.Fatalf("%q: what is that?", word)
			}
		}
		if task.DesiredStatus == gantry.Stopped {
			task.StopCode, task.StoppedReason = ecsapi.TaskStopCodeUserInitiated, "Task stopped by user"
		}
		e := EndOf(task, instance, connection)
		if e == nil {
			return "stays"
		}
		ended := End(task, *e, now)
		if ended.LastStatus != gantry.Stopped || ended.DesiredStatus != gantry.Stopped || !ended.StoppedAt.Equal(now) || ended.Version != task.Version+1 {
			t.Errorf("%s: ended as %+v", given, ended)
		}
		if ended.StopCode == ecsapi.TaskStopCodeUserInitiated && ended.StoppedReason == "Task stopped by user" {
			return "ends as it was asked to"
		}
		return "ends: " + strings.TrimSpace(string(ended.StopCode)+" "+ended.StoppedReason)
	})
}

func TestOver(t *testing.T) {
	limits := Limits{Stopped: time.Hour, Inactive: 2 * time.Hour}
	scenarios(t, "testdata/over.txt", func(t *testing.T, given string) string {
		what, minutes, _ := strings.Cut(given, ", ")
		var n int
		if _, err := fmt.Sscanf(minutes, "%d min", &n); err != nil {
			t.Fatalf("%q: %v", given, err)
		}
		end := now.Add(-time.Duration(n) * time.Minute)
		tasks := 0
		if before, ok := strings.CutSuffix(what, " with tasks"); ok {
			what, tasks = before, 1
		}
		kind := strings.Fields(what)
		status := kind[0]
		var over bool
		switch kind[len(kind)-1] {
		case "task":
			over = TaskOver(&gantry.Task{LastStatus: gantry.TaskStatus(status), StoppedAt: end}, limits, now)
		case "cluster":
			over = ClusterOver(&gantry.Cluster{Status: gantry.ResourceStatus(status), DeletedAt: end}, limits, now)
		case "service":
			over = ServiceOver(&gantry.Service{Status: gantry.ServiceStatus(status), InactiveAt: end}, limits, now)
		case "instance":
			i := &gantry.Instance{Status: ecsapi.ContainerInstanceStatus(status), RegisteredAt: end.Add(-time.Hour)}
			over = InstanceOver(i, &gantry.Connection{Since: end}, tasks, limits, now)
			i.RegisteredAt = end
			if never := InstanceOver(i, nil, tasks, limits, now); never != over {
				t.Errorf("%s: an instance that never connected is forgotten: %t", given, never)
			}
		case "definition":
			over = DefinitionOver(&gantry.Definition{Status: gantry.ResourceStatus(status)}, tasks)
		case "token":
			token := &gantry.ClientToken{ExpiresAt: end}
			if status == "endless" {
				token.ExpiresAt = time.Time{}
			}
			over = TokenOver(token, now)
		default:
			t.Fatalf("%q: what is that?", given)
		}
		if over {
			return "forgotten"
		}
		return "stays"
	})
}

// An ending leaves the task alone that it was made from: everybody shares it.
func TestEndMakesACopy(t *testing.T) {
	task := &gantry.Task{LastStatus: gantry.Running, DesiredStatus: gantry.Running, Containers: []gantry.Container{{Name: "web", LastStatus: gantry.Running}}}
	ended := End(task, Ending{Reason: "why"}, now)
	if task.Containers[0].LastStatus != gantry.Running || task.LastStatus != gantry.Running {
		t.Errorf("the task was changed: %+v", task)
	}
	want := []gantry.Container{{Name: "web", LastStatus: gantry.Stopped}}
	if diff := cmp.Diff(want, ended.Containers); diff != "" {
		t.Errorf("containers (-want +got):\n%s", diff)
	}
}

// A task that was asked to stop has not failed, and began to stop when it was asked;
// one that loses its instance has, which a retry of a standalone task goes by.
func TestWhoLosesItsInstanceHasFailed(t *testing.T) {
	now := time.Date(2026, 11, 28, 4, 0, 0, 0, time.UTC)
	asked := now.Add(-time.Minute)
	lost := End(&gantry.Task{LastStatus: gantry.Running, DesiredStatus: gantry.Running}, Ending{Reason: "lost"}, now)
	if !lost.Failed || lost.StoppedReason != "lost" || !lost.StoppingAt.Equal(now) {
		t.Errorf("lost: failed %t, %q, stopping since %s", lost.Failed, lost.StoppedReason, lost.StoppingAt)
	}
	stopped := End(&gantry.Task{LastStatus: gantry.Running, DesiredStatus: gantry.Stopped, StoppedReason: "enough", StoppingAt: asked}, Ending{Reason: "lost"}, now)
	if stopped.Failed || stopped.StoppedReason != "enough" || !stopped.StoppingAt.Equal(asked) {
		t.Errorf("asked to stop: failed %t, %q, stopping since %s", stopped.Failed, stopped.StoppedReason, stopped.StoppingAt)
	}
}
