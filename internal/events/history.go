package events

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"gantry"
	"gantry/internal/events/record"
	"gantry/internal/store"
	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"
)

// An Ended task is what the history remembers of a task that has stopped: the task as ECS describes it, and what its
// definition said that is needed to explain its end once that is gone.
type Ended struct {
	Task       *ecsapi.Task     `json:"task"`
	Containers []EndedContainer `json:"containers"`
	// RecordedAt is when its end was recorded.
	RecordedAt time.Time `json:"-"`
}

// An EndedContainer is what a definition said of a container.
type EndedContainer struct {
	Name      string `json:"name"`
	Essential bool   `json:"essential,omitzero"`
	Driver    string `json:"driver,omitzero"`
	// Group and Stream are where the driver awslogs has put what the container printed.
	Group  string `json:"group,omitzero"`
	Stream string `json:"stream,omitzero"`
}

// remember puts the end of a task into the history. What is told of a task after its end is a further entry; the newest
// counts.
func (e *Engine) remember(at record.Position, now time.Time, t *gantry.Task) {
	body, err := json.Marshal(e.Ended(t))
	if err != nil {
		e.Log.Error("a task's end cannot be remembered", "task", t.Key(), "error", err)
		return
	}
	e.history.Append(record.Entry{Position: at, At: now, Keys: []string{t.Key(), string(t.Group)}, Body: body})
}

// Ended is what there is to know of a task, stopped or not.
func (e *Engine) Ended(t *gantry.Task) Ended {
	snap := e.Store.View()
	out := Ended{Task: e.Show.ShowTask(snap, t)}
	def, ok := store.Definitions.Get(snap, string(t.Definition))
	if !ok {
		return out
	}
	for _, c := range def.Wire.ContainerDefinitions {
		k := EndedContainer{Name: wire.Value(c.Name), Essential: c.Essential == nil || *c.Essential}
		if l := c.LogConfiguration; l != nil {
			k.Driver = string(l.LogDriver)
			if l.LogDriver == ecsapi.LogDriverAwslogs {
				k.Group, k.Stream = l.Options["awslogs-group"], streamOf(t, k.Name, l.Options)
			}
		}
		out.Containers = append(out.Containers, k)
	}
	return out
}

// streamOf is the stream into which the awslogs driver puts a container's output.
func streamOf(t *gantry.Task, container string, options map[string]string) string {
	if prefix, ok := options["awslogs-stream-prefix"]; ok {
		return prefix + "/" + container + "/" + string(t.ID)
	}
	if stream, ok := options["awslogs-stream"]; ok {
		return stream
	}
	if c := t.Container(container); c != nil {
		return c.RuntimeID
	}
	return ""
}

// A Search says which stopped tasks are meant.
type Search struct {
	Cluster gantry.ClusterName // empty: of all
	Group   gantry.Group       // empty: of all
	ID      string             // the beginning of the id
	Since   time.Time
	Most    int // how many, the newest first
}

// Stopped finds tasks that have stopped, the one that stopped last first, also those that the store has forgotten.
func (e *Engine) Stopped(s Search) (out []Ended, err error) {
	out = []Ended{}
	seen := map[string]bool{}
	for entry, err := range e.history.Newest() {
		if err != nil {
			return nil, err
		}
		if entry.At.Before(s.Since) {
			break
		}
		key := entry.Keys[0]
		cluster, id, _ := strings.Cut(key, "/")
		if seen[key] || s.Cluster != "" && cluster != string(s.Cluster) || !strings.HasPrefix(id, s.ID) || s.Group != "" && entry.Keys[1] != string(s.Group) {
			continue
		}
		seen[key] = true
		t := Ended{RecordedAt: entry.At}
		if err := json.Unmarshal(entry.Body, &t); err != nil {
			return nil, err
		}
		if out = append(out, t); len(out) == s.Most {
			break
		}
	}
	slices.SortStableFunc(out, func(a, b Ended) int { return stopped(b).Compare(stopped(a)) })
	return out, nil
}

func stopped(t Ended) time.Time { return wire.Value(t.Task.StoppedAt).Time }
