package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"gantry"
	"gantry/internal/store"
	"gantry/internal/wire"
	"gantry/internal/wire/awsjson"
	"gantry/internal/wire/ecsapi"
)

// commands answers gantry's own commands, under /gantry/v1/ and for the root
// principal only: what a person wants daily and the ECS API does not have. Those
// under way end with life: a followed log would go on for ever.
func (c *control) commands(life context.Context, m machine) http.Handler {
	mux := &commandMux{life: life, log: c.log}
	handle := mux.handle
	handle("GET /status", func(w http.ResponseWriter, r *http.Request) error {
		return answerJSON(w, c.status(m))
	})
	handle("GET /images", func(w http.ResponseWriter, r *http.Request) error {
		images, err := m.images(r.Context())
		if err != nil {
			return err
		}
		return answerJSON(w, images)
	})
	handle("POST /images", func(w http.ResponseWriter, r *http.Request) error {
		images, err := c.loadImages(r.Context(), m, r.Body)
		if err != nil {
			return err
		}
		return answerJSON(w, images)
	})
	handle("DELETE /images", func(w http.ResponseWriter, r *http.Request) error {
		if err := c.shelf.Remove(r.FormValue("name")); err != nil {
			return err
		}
		return answerJSON(w, struct{}{})
	})
	c.joinCommands(handle)
	handle("GET /logs", func(w http.ResponseWriter, r *http.Request) error {
		from, err := c.findOutput(r.FormValue("cluster"), r.FormValue("task"), r.FormValue("container"))
		if err != nil {
			return err
		}
		from.follow = r.FormValue("follow") != ""
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		return c.output(r.Context(), m, flushed{w}, from)
	})
	c.handleHistory(handle, m)
	handle("GET /backup", func(w http.ResponseWriter, r *http.Request) error {
		w.Header().Set("Content-Type", "application/octet-stream")
		return writeBackup(r.Context(), w, c.identity, c.store)
	})
	handle("/", func(w http.ResponseWriter, r *http.Request) error {
		return &wire.Error{Code: "UnknownOperationException", Status: http.StatusNotFound,
			Message: "This gantry (" + version + ") has no command " + r.Method + " " + r.URL.Path + ": the gantry that asks may be newer."}
	})
	return mux
}

// A commandMux routes commands. Those under way end with life.
type commandMux struct {
	http.ServeMux
	life context.Context
	log  *slog.Logger
}

// A commandHandler answers one command; its error is the answer where it has not begun one.
type commandHandler = func(http.ResponseWriter, *http.Request) error

func (m *commandMux) handle(pattern string, h commandHandler) {
	m.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		unhurried(w) // an image or a followed log takes as long as it takes
		out := &counted{ResponseWriter: w}
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		defer context.AfterFunc(m.life, cancel)()
		if err := h(out, r.WithContext(ctx)); err != nil {
			if out.wrote { // too late for an error: break off, so that the client sees that something is missing
				m.log.Info("command broken off", "command", r.URL.Path, "error", err)
				panic(http.ErrAbortHandler)
			}
			refuseCommand(w, r, err)
		}
	})
}

// refuseCommand answers with the error's own sentence: whoever asks is root.
func refuseCommand(w http.ResponseWriter, r *http.Request, err error) {
	e, ok := errors.AsType[*wire.Error](err)
	if !ok {
		e = &wire.Error{Code: "CommandFailedException", Message: err.Error(), Status: http.StatusBadRequest}
	}
	awsjson.WriteError(w, r, e)
}

func answerJSON(w http.ResponseWriter, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	_, err = w.Write(body)
	return err
}

// unhurried takes the door's time limits off a request.
func unhurried(w http.ResponseWriter) {
	rc := http.NewResponseController(w)
	// Only a connection that is gone cannot be given more time.
	_ = rc.SetReadDeadline(time.Time{})
	_ = rc.SetWriteDeadline(time.Time{})
}

// counted knows whether an answer has begun.
type counted struct {
	http.ResponseWriter
	wrote bool
}

func (c *counted) Write(p []byte) (int, error) {
	c.wrote = true
	return c.ResponseWriter.Write(p)
}

func (c *counted) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// flushed sends every line at once.
type flushed struct{ http.ResponseWriter }

func (f flushed) Write(p []byte) (int, error) {
	n, err := f.ResponseWriter.Write(p)
	if err == nil {
		err = http.NewResponseController(f.ResponseWriter).Flush()
	}
	return n, err
}

// findOutput finds the task that is meant by an id, a beginning of one, or an
// ARN, and the container of it: the only one, or the one that is named.
func (c *control) findOutput(cluster, ref, container string) (outputRequest, error) {
	if arn, err := gantry.ParseARN(ref); err == nil {
		name, id, _ := strings.Cut(arn.Path, "/")
		cluster, ref = name, id
	}
	if ref == "" {
		return outputRequest{}, errors.New("name a task: its id, the beginning of it, or its ARN")
	}
	var found []*gantry.Task
	snap := c.store.View()
	for cl := range store.Clusters.All(snap, "") {
		if cluster != "" && string(cl.Name) != cluster {
			continue
		}
		for t := range store.Tasks.All(snap, string(cl.Name)+"/"+ref) {
			found = append(found, t)
		}
	}
	switch {
	case len(found) == 0:
		return outputRequest{}, fmt.Errorf("there is no task %s", ref)
	case len(found) > 1:
		return outputRequest{}, fmt.Errorf("%d tasks begin with %s: give more of the id", len(found), ref)
	}
	t := found[0]
	var names []string
	for _, k := range t.Containers {
		names = append(names, k.Name)
	}
	switch {
	case container == "" && len(names) == 1:
		container = names[0]
	case container == "":
		return outputRequest{}, fmt.Errorf("task %s has several containers, name one: %s", t.ID, strings.Join(names, ", "))
	case t.Container(container) == nil:
		return outputRequest{}, fmt.Errorf("task %s has no container %s, but: %s", t.ID, container, strings.Join(names, ", "))
	}
	return outputRequest{task: t, container: container}, nil
}

// A statusReport is what gantry status shows.
type statusReport struct {
	Version  string          `json:"version"`
	ID       string          `json:"id"`
	Endpoint string          `json:"endpoint"`
	Region   gantry.Region   `json:"region"`
	Account  gantry.Account  `json:"account"`
	DataDir  string          `json:"dataDir"`
	Revision int64           `json:"revision"`
	Machine  string          `json:"machine"`
	Clusters []clusterReport `json:"clusters"`
}

type clusterReport struct {
	Name      string `json:"name"`
	Status    string `json:"status"`
	Instances int    `json:"instances"`
	Connected int    `json:"connected"`
	Running   int    `json:"running"`
	Pending   int    `json:"pending"`
	Stopped   int    `json:"stopped"`
}

func (c *control) status(m machine) statusReport {
	snap := c.store.View()
	s := statusReport{
		Version: version, ID: c.identity.ID, Endpoint: c.endpoint, Region: c.identity.Region, Account: c.identity.Account,
		DataDir: c.dir.path, Revision: int64(snap.Revision()), Machine: m.String(), Clusters: []clusterReport{},
	}
	for cl := range store.Clusters.All(snap, "") {
		prefix := string(cl.Name) + "/"
		count := func(status gantry.TaskStatus) int { return store.TasksByStatus.Count(snap, prefix+string(status)) }
		r := clusterReport{
			Name: string(cl.Name), Status: string(cl.Status), Running: count(gantry.Running),
			Pending: count(gantry.Provisioning) + count(gantry.Pending) + count(gantry.Activating), Stopped: count(gantry.Stopped),
		}
		for i := range store.Instances.All(snap, prefix) {
			if i.Status == gantry.InstanceInactive {
				continue
			}
			r.Instances++
			if conn, ok := store.Connections.Get(snap, i.Key()); ok && conn.Connected {
				r.Connected++
			}
		}
		s.Clusters = append(s.Clusters, r)
	}
	return s
}

// operations are the ECS API's, with what a machine that belongs to every
// cluster adds: a new cluster has an instance when CreateCluster answers, and
// this machine alone does not keep a cluster from being deleted.
func (c *control) operations(m machine) *ecsapi.Operations {
	ops := c.ecs.Operations()
	c.joinCreated(ops, m)
	c.leaveDeleted(ops, m)
	return ops
}
