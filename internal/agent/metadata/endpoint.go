package metadata

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// Tasks is what the agent knows of its tasks.
type Tasks interface {
	// TaskByMetadataID finds the task with the container that has a MetadataID, from the moment the task is known.
	TaskByMetadataID(id string) (Task, bool)
	// Tasks is all of them, stopped ones too as long as the agent keeps them.
	Tasks() []Task
}

// StatsReader has the latest measurements.
type StatsReader interface {
	// Stats tells what a container, by its runtime's id, uses; false if it does not run or was not measured yet.
	Stats(containerID string) (Sample, bool)
}

// CredentialStore has the keys of the tasks' roles.
type CredentialStore interface {
	// Credentials finds keys by their id. Keys without an AccessKeyID are expected but have not come yet.
	Credentials(id string) (Credentials, bool)
}

// TagLister asks ECS for tags.
type TagLister interface {
	// Tags lists those of a task and of this instance. What cannot be listed is in Errors.
	Tags(ctx context.Context, taskARN string) Tags
}

// A Config has what the task metadata endpoint tells. All of it is needed.
type Config struct {
	Tasks       Tasks
	Stats       StatsReader
	Credentials CredentialStore
	Tags        TagLister
	Protector   Protector
	Now         func() time.Time // for the limit of requests per second
}

// tagsDeadline is how long a container waits for its tags: as long as the ECS agent lets it wait for ECS.
const tagsDeadline = 4 * time.Second

// NewEndpoint is what containers find at http://169.254.170.2: metadata, stats and credentials.
func NewEndpoint(cfg Config) http.Handler {
	e := &endpoint{cfg}
	mux := http.NewServeMux()
	for _, v := range []version{v3, v4} {
		at := func(path string, answer func(http.ResponseWriter, *http.Request, version, Task, Container)) {
			mux.HandleFunc(fmt.Sprintf("GET /v%d/{id}%s", v, path), e.find(v, answer))
		}
		at("", e.container)
		at("/task", e.task)
		at("/taskWithTags", e.taskWithTags)
		at("/stats", e.stats)
		at("/task/stats", e.taskStats)
		at("/associations/{type}", e.associations)
		at("/associations/{type}/{name}", e.association)
	}
	mux.HandleFunc("GET /v2/credentials/{id}", e.credentialsV2)
	mux.HandleFunc("GET /v2/credentials/{$}", e.credentialsV2)
	mux.HandleFunc("GET /v2/credentials", e.credentialsV2)
	mux.HandleFunc("GET /v1/credentials", e.credentialsV1)
	mux.HandleFunc("GET /v2/metadata", e.awsvpcOnly)
	mux.HandleFunc("GET /v2/stats", e.awsvpcOnly)
	mux.HandleFunc("GET /api/{id}/task-protection/v1/state", e.getProtection)
	mux.HandleFunc("PUT /api/{id}/task-protection/v1/state", e.putProtection)
	mux.HandleFunc("POST /api/{id}/fault/v1/{kind}/{action}", e.fault)
	return newLimiter(cfg.Now).wrap(mux)
}

type endpoint struct{ cfg Config }

// find looks up who asks and lets answer do the rest. An unknown id is answered 404 with a sentence, as a JSON string.
func (e *endpoint) find(v version, answer func(http.ResponseWriter, *http.Request, version, Task, Container)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		t, c, ok := e.caller(r)
		if !ok {
			writeJSON(w, http.StatusNotFound, fmt.Sprintf(
				"V%d metadata handler: unable to get container ID from request: unable to get docker ID from v3 endpoint ID: %s", v, r.PathValue("id")))
			return
		}
		answer(w, r, v, t, c)
	}
}

func (e *endpoint) caller(r *http.Request) (Task, Container, bool) {
	id := r.PathValue("id")
	t, ok := e.cfg.Tasks.TaskByMetadataID(id)
	if !ok {
		return Task{}, Container{}, false
	}
	for _, c := range t.Containers {
		if c.MetadataID == id {
			return t, c, true
		}
	}
	return Task{}, Container{}, false
}

func (e *endpoint) container(w http.ResponseWriter, _ *http.Request, v version, _ Task, c Container) {
	writeJSON(w, http.StatusOK, renderContainer(c, v))
}

func (e *endpoint) task(w http.ResponseWriter, _ *http.Request, v version, t Task, _ Container) {
	writeJSON(w, http.StatusOK, renderTask(t, v))
}

func (e *endpoint) taskWithTags(w http.ResponseWriter, r *http.Request, v version, t Task, _ Container) {
	ctx, cancel := context.WithTimeout(r.Context(), tagsDeadline)
	defer cancel()
	writeJSON(w, http.StatusOK, renderTaskWithTags(t, e.cfg.Tags.Tags(ctx, t.ARN), v))
}

func (e *endpoint) stats(w http.ResponseWriter, _ *http.Request, v version, _ Task, c Container) {
	sample, ok := e.cfg.Stats.Stats(c.ID)
	if !ok {
		writeJSON(w, http.StatusNotFound, fmt.Sprintf(
			"V%d container stats handler: unable to get container stats: no stats of container %s yet", v, c.Name))
		return
	}
	writeJSON(w, http.StatusOK, renderStats(c, sample, v))
}

// taskStats tells every container that was created; one without measurements is null, as Docker clients expect.
func (e *endpoint) taskStats(w http.ResponseWriter, _ *http.Request, v version, t Task, _ Container) {
	all := map[string]*statsAnswer{}
	for _, c := range t.Containers {
		if c.ID == "" {
			continue
		}
		all[c.ID] = nil
		if sample, ok := e.cfg.Stats.Stats(c.ID); ok {
			all[c.ID] = new(renderStats(c, sample, v))
		}
	}
	writeJSON(w, http.StatusOK, all)
}

// associations lists a task's accelerators of a type. There are none to have.
func (e *endpoint) associations(w http.ResponseWriter, _ *http.Request, _ version, _ Task, _ Container) {
	writeJSON(w, http.StatusOK, struct{ Associations []string }{[]string{}})
}

func (e *endpoint) association(w http.ResponseWriter, r *http.Request, _ version, t Task, _ Container) {
	writeJSON(w, http.StatusNotFound, fmt.Sprintf("task %s has no %s association %s", t.ARN, r.PathValue("type"), r.PathValue("name")))
}

// awsvpcOnly answers version 2, whose callers are known by an address of their task's own.
func (e *endpoint) awsvpcOnly(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusNotFound, "task metadata version 2 is for tasks in networkMode awsvpc, which gantry does not offer yet: use ECS_CONTAINER_METADATA_URI_V4")
}

// writeJSON answers with a document. An error in writing is the caller's hanging up.
func writeJSON(w http.ResponseWriter, status int, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		http.Error(w, "render answer: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(data)
}
