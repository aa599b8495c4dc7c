package provisioning

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"gantry"
	"gantry/internal/extension"
	"gantry/internal/wire/ecsapi"
)

var now = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

func TestPlans(t *testing.T) {
	text, err := os.ReadFile("testdata/plans.txt")
	if err != nil {
		t.Fatal(err)
	}
	look, n, plans := Look{Empty: map[string]bool{}}, 0, 0
	for line := range strings.Lines(string(text)) {
		n++
		line = strings.TrimSpace(line)
		words := strings.Fields(line)
		switch {
		case line == "" || line[0] == '#':
		case words[0] == "empty":
			look.Empty[words[1]] = true
		case words[0] == "->":
			plans++
			if got, want := told(MakePlan(now, look, DefaultSettings)), strings.TrimSpace(line[2:]); got != want {
				t.Errorf("line %d:\n  %s\nwant\n  %s", n, got, want)
			}
			look = Look{Empty: map[string]bool{}}
		default:
			look.Waiting = append(look.Waiting, waitingOf(t, words))
		}
	}
	if plans < 10 || len(look.Waiting) > 0 {
		t.Errorf("%d plans, and tasks without one: %v", plans, look.Waiting)
	}
}

func duration(t *testing.T, text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func waitingOf(t *testing.T, words []string) *gantry.Task {
	task := &gantry.Task{
		ID: gantry.TaskID(words[0]), Definition: gantry.DefinitionName(words[1] + ":1"), CreatedAt: now.Add(-duration(t, words[2])),
		LastStatus: gantry.Provisioning, DesiredStatus: gantry.Running,
	}
	for i := 3; i < len(words); i += 2 {
		switch value := words[i+1]; words[i] {
		case "queue":
			task.Tags = []ecsapi.Tag{{Key: new(extension.Queue), Value: new(value)}}
		case "provider":
			task.CapacityProvider = value
		case "not-before":
			task.NotBefore = now.Add(duration(t, value))
		default:
			t.Fatalf("%q: what is that?", words[i])
		}
	}
	return task
}

func told(p Plan) string {
	var parts, tries []string
	for _, t := range p.Tries {
		var ids []string
		for _, task := range t.Tasks {
			ids = append(ids, string(task.ID))
		}
		tries = append(tries, strings.Join(ids, "+"))
	}
	if tries != nil {
		parts = append(parts, "try "+strings.Join(tries, ", "))
	}
	for _, o := range p.Over {
		parts = append(parts, fmt.Sprintf("over %s %q", o.Task, o.Reason))
	}
	if p.Again > 0 {
		parts = append(parts, "again "+p.Again.String())
	}
	if parts == nil {
		return "nothing"
	}
	return strings.Join(parts, "; ")
}

func TestMayRetry(t *testing.T) {
	failed := func(change func(*gantry.Task)) *gantry.Task {
		task := &gantry.Task{ID: "t", LastStatus: gantry.Stopped, Failed: true, Group: "family:job",
			Tags: []ecsapi.Tag{{Key: new(extension.Retries), Value: new("2")}}}
		change(task)
		return task
	}
	for _, tt := range []struct {
		name string
		task *gantry.Task
		want bool
	}{
		{"failed", failed(func(*gantry.Task) {}), true},
		{"once again already", failed(func(t *gantry.Task) { t.Attempt = 1 }), true},
		{"as often as asked", failed(func(t *gantry.Task) { t.Attempt = 2 }), false},
		{"ended well, or was stopped", failed(func(t *gantry.Task) { t.Failed = false }), false},
		{"not over", failed(func(t *gantry.Task) { t.LastStatus = gantry.Running }), false},
		{"taken care of", failed(func(t *gantry.Task) { t.RetriedBy = "u" }), false},
		{"a service's", failed(func(t *gantry.Task) { t.Group = "service:web" }), false},
		{"not asked for", failed(func(t *gantry.Task) { t.Tags = nil }), false},
	} {
		if got := MayRetry(tt.task); got != tt.want {
			t.Errorf("%s: %t", tt.name, got)
		}
	}
}

// The first retry is at once, the pause before each further one doubles, and the tags
// tell which one it is.
func TestRetry(t *testing.T) {
	failed := &gantry.Task{ID: "t0", Tags: []ecsapi.Tag{{Key: new("a"), Value: new("b")}, {Key: new(extension.Retries), Value: new("9")}}}
	for i, pause := range []time.Duration{0, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second, 32 * time.Second, time.Minute, time.Minute} {
		again := &gantry.Task{ID: gantry.TaskID(fmt.Sprintf("t%d", i+1))}
		Retry(again, failed, now, DefaultSettings)
		var got time.Duration
		if !again.NotBefore.IsZero() {
			got = again.NotBefore.Sub(now)
		}
		var tags string
		for _, tag := range again.Tags {
			tags += *tag.Key + "=" + *tag.Value + " "
		}
		want := fmt.Sprintf("a=b gantry:retries=9 gantry:attempt=%d gantry:retry-of=%s ", i+2, failed.ID)
		if got != pause || tags != want || again.Attempt != i+1 {
			t.Errorf("attempt %d after %s with %s; want after %s with %s", again.Attempt, got, tags, pause, want)
		}
		failed = again
	}
}
