package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"gantry"
	"gantry/internal/events"
	"gantry/internal/store"
	"gantry/internal/wire"
	"gantry/internal/wire/logsapi"
)

const (
	// mostTold is how many stopped tasks gantry tasks tells of at most.
	mostTold = 1000
	// lastLines is how many lines gantry why shows of what a container has printed.
	lastLines = 10
	// mostOutput bounds how much of a container's output is kept while its last lines are looked for.
	mostOutput = 64 << 10
)

// A taskReport is what gantry why tells.
type taskReport struct {
	events.Ended
	// Output is what each container has printed last.
	Output map[string]outputReport `json:"output"`
	// Away is since when the agent of the task's container instance has been disconnected, where the task
	// has not ended: what is told was so then.
	Away time.Time `json:"away,omitzero"`
}

// An outputReport is the end of what a container has printed, or why there is none.
type outputReport struct {
	From  string   `json:"from,omitzero"`
	Lines []string `json:"lines,omitzero"`
	Note  string   `json:"note,omitzero"`
}

// handleHistory answers gantry tasks, gantry why and gantry events.
func (c *control) handleHistory(handle func(string, func(http.ResponseWriter, *http.Request) error), m machine) {
	handle("GET /tasks", func(w http.ResponseWriter, r *http.Request) error {
		tasks, err := c.tasksReport(r)
		if err != nil {
			return err
		}
		return answerJSON(w, tasks)
	})
	handle("GET /why", func(w http.ResponseWriter, r *http.Request) error {
		found, err := c.findEnded(r.FormValue("cluster"), r.FormValue("task"))
		if err != nil {
			return err
		}
		report := taskReport{Ended: *found, Output: map[string]outputReport{}, Away: c.away(found)}
		for _, k := range found.Task.Containers {
			name := wire.Value(k.Name)
			report.Output[name] = c.lastOutput(r.Context(), m, found, name)
		}
		return answerJSON(w, report)
	})
	handle("GET /events", func(w http.ResponseWriter, r *http.Request) error { return answerJSON(w, c.events.Status()) })
}

// tasksReport lists tasks: the stopped ones of the history, or those that live.
func (c *control) tasksReport(r *http.Request) ([]events.Ended, error) {
	s := events.Search{Cluster: gantry.ClusterName(r.FormValue("cluster")), Most: mostTold}
	if service := r.FormValue("service"); service != "" {
		s.Group = gantry.ServiceGroup(service)
	}
	if r.FormValue("stopped") != "" {
		if text := r.FormValue("since"); text != "" {
			since, err := time.ParseDuration(text)
			if err != nil {
				return nil, fmt.Errorf("since %s: a duration reads as 90m or 48h", text)
			}
			s.Since = time.Now().Add(-since)
		}
		return c.events.Stopped(s)
	}
	out := []events.Ended{}
	for t := range store.Tasks.All(c.store.View(), "") {
		if t.LastStatus != gantry.Stopped && (s.Cluster == "" || t.Cluster == s.Cluster) && (s.Group == "" || t.Group == s.Group) && len(out) < mostTold {
			out = append(out, c.events.Ended(t))
		}
	}
	return out, nil
}

// findEnded finds the task that is meant by an id, a beginning of one, or an ARN: in the store, or in the history.
func (c *control) findEnded(cluster, ref string) (*events.Ended, error) {
	if arn, err := gantry.ParseARN(ref); err == nil {
		cluster, ref, _ = strings.Cut(arn.Path, "/")
	}
	if ref == "" {
		return nil, errors.New("name a task: its id, the beginning of it, or its ARN")
	}
	found := map[string]events.Ended{}
	old, err := c.events.Stopped(events.Search{Cluster: gantry.ClusterName(cluster), ID: ref, Most: 2})
	if err != nil {
		return nil, err
	}
	for _, t := range old {
		found[*t.Task.TaskArn] = t
	}
	snap := c.store.View()
	for cl := range store.Clusters.All(snap, "") {
		if cluster != "" && string(cl.Name) != cluster {
			continue
		}
		for t := range store.Tasks.All(snap, string(cl.Name)+"/"+ref) {
			now := c.events.Ended(t)
			found[*now.Task.TaskArn] = now
		}
	}
	switch len(found) {
	case 0:
		return nil, fmt.Errorf("there is no task %s, and none in the history of tasks that have stopped", ref)
	case 1:
		for _, t := range found {
			return &t, nil
		}
	}
	return nil, fmt.Errorf("several tasks begin with %s: give more of the id, or the cluster", ref)
}

// away is since when the agent of a task that has not ended has been disconnected; zero where it is connected.
func (c *control) away(t *events.Ended) time.Time {
	task := taskOf(t)
	if wire.Value(t.Task.LastStatus) == string(gantry.Stopped) || task.Instance == "" {
		return time.Time{}
	}
	agent, ok := store.Connections.Get(c.store.View(), string(task.Cluster)+"/"+string(task.Instance))
	if !ok || agent.Connected {
		return time.Time{}
	}
	return agent.Since
}

// lastOutput is the end of what a container has printed: from CloudWatch Logs where its driver put it there, else from
// what is left on this machine.
func (c *control) lastOutput(ctx context.Context, m machine, t *events.Ended, name string) outputReport {
	i := slices.IndexFunc(t.Containers, func(k events.EndedContainer) bool { return k.Name == name })
	if i >= 0 && t.Containers[i].Group != "" {
		k := t.Containers[i]
		out := outputReport{From: "log group " + k.Group + ", stream " + k.Stream}
		answer, err := c.logOps.GetLogEvents(ctx, &logsapi.GetLogEventsInput{LogGroupName: &k.Group, LogStreamName: &k.Stream, Limit: new(int32(lastLines))})
		if wrong, ok := errors.AsType[*wire.Error](err); ok {
			out.Note = wrong.Message
			return out
		}
		if err != nil {
			out.Note = err.Error()
			return out
		}
		for _, e := range answer.Events {
			out.Lines = append(out.Lines, strings.TrimSuffix(wire.Value(e.Message), "\n"))
		}
		return out
	}
	out := outputReport{From: "this machine"}
	task := taskOf(t)
	if task.Container(name) == nil {
		return outputReport{Note: "the task has no such container"}
	}
	end := &tail{}
	if err := c.output(ctx, m, end, outputRequest{task: task, container: name}); err != nil {
		out.Note = err.Error()
	}
	out.Lines = end.lines(lastLines)
	return out
}

// taskOf is as much of a task as its output is found by.
func taskOf(t *events.Ended) *gantry.Task {
	out := &gantry.Task{}
	if arn, err := gantry.ParseARN(wire.Value(t.Task.TaskArn)); err == nil {
		cluster, id, _ := strings.Cut(arn.Path, "/")
		out.Cluster, out.ID = gantry.ClusterName(cluster), gantry.TaskID(id)
	}
	if arn, err := gantry.ParseARN(wire.Value(t.Task.TaskDefinitionArn)); err == nil {
		out.Definition = gantry.DefinitionName(arn.Path)
	}
	if arn, err := gantry.ParseARN(wire.Value(t.Task.ContainerInstanceArn)); err == nil {
		_, id, _ := strings.Cut(arn.Path, "/")
		out.Instance = gantry.InstanceID(id)
	}
	for _, k := range t.Task.Containers {
		out.Containers = append(out.Containers, gantry.Container{Name: wire.Value(k.Name), RuntimeID: wire.Value(k.RuntimeId), LastStatus: gantry.TaskStatus(wire.Value(k.LastStatus))})
	}
	return out
}

// A tail keeps the end of what is written to it.
type tail struct{ end []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.end = append(t.end, p...)
	if len(t.end) > 2*mostOutput {
		t.end = slices.Clone(t.end[len(t.end)-mostOutput:])
	}
	return len(p), nil
}

func (t *tail) lines(n int) []string {
	text := bytes.TrimSuffix(t.end, []byte{'\n'})
	if len(text) == 0 {
		return nil
	}
	all := strings.Split(string(text), "\n")
	return all[max(0, len(all)-n):]
}

// signals are those that end containers, by number.
var signals = map[int32]string{1: "SIGHUP", 2: "SIGINT", 3: "SIGQUIT", 4: "SIGILL", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE", 9: "SIGKILL", 11: "SIGSEGV", 13: "SIGPIPE", 15: "SIGTERM"}

// exitText says what an exit code means.
func exitText(code *int32) string {
	if code == nil {
		return "has no exit code"
	}
	text := "exited with " + strconv.Itoa(int(*code))
	switch signal, ok := signals[*code-128]; {
	case ok:
		return text + ", ended by " + signal
	case *code == 126:
		return text + ": its command cannot be executed"
	case *code == 127:
		return text + ": its command was not found"
	}
	return text
}
