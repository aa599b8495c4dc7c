package metadata

import (
	"io"
	"net/http"
	"strings"
	"time"
)

// IntrospectionPort is where the ECS agent answers questions on its instance.
const IntrospectionPort = 51678

// Introspection has what the agent tells on its instance. Version and cluster come from Instance at each request, since an
// instance gets its ARN only when it registers.
type Introspection struct {
	Instance func() Instance
	Tasks    Tasks
	License  string
}

// NewIntrospection is the agent's introspection API, which has to listen where only the instance itself reaches it.
func NewIntrospection(cfg Introspection) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/metadata", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, renderInstance(cfg.Instance()))
	})
	mux.HandleFunc("GET /v1/tasks", func(w http.ResponseWriter, r *http.Request) {
		status, answer := renderTasks(cfg.Tasks.Tasks(), r.URL.Query().Get("taskarn"), r.URL.Query().Get("dockerid"))
		writeJSON(w, status, answer)
	})
	mux.HandleFunc("GET /license", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, cfg.License)
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, struct{ AvailableCommands []string }{[]string{"/v1/metadata", "/v1/tasks", "/license"}})
	})
	return mux
}

type instanceAnswer struct {
	Cluster string
	ARN     *string `json:"ContainerInstanceArn"` // null until registered
	Version string
}

func renderInstance(i Instance) instanceAnswer {
	a := instanceAnswer{Cluster: i.Cluster, Version: i.Version}
	if i.ARN != "" {
		a.ARN = &i.ARN
	}
	return a
}

// introspectedTask is a task in the shape of introspection, which is older than that of task metadata.
type introspectedTask struct {
	ARN           string `json:"Arn"`
	DesiredStatus string `json:",omitempty"`
	KnownStatus   string
	Family        string
	Version       string
	Containers    []introspectedContainer
}

type introspectedContainer struct {
	DockerID     string `json:"DockerId"`
	DockerName   string
	Name         string
	Image        string
	ImageID      string
	CreatedAt    time.Time       `json:",omitzero"`
	StartedAt    time.Time       `json:",omitzero"`
	Ports        []portAnswer    `json:",omitempty"`
	Networks     []networkAnswer `json:",omitempty"`
	Volumes      []Volume        `json:",omitempty"`
	RestartCount *int            `json:",omitempty"`
}

func introspect(t Task) introspectedTask {
	a := introspectedTask{t.ARN, t.DesiredStatus, t.KnownStatus, t.Family, t.Revision, []introspectedContainer{}}
	for _, c := range t.Containers {
		full := renderContainer(c, v4)
		a.Containers = append(a.Containers, introspectedContainer{
			full.DockerID, full.DockerName, full.Name, full.Image, full.ImageID, full.CreatedAt, full.StartedAt,
			full.Ports, full.Networks, full.Volumes, full.RestartCount,
		})
	}
	return a
}

// shortID is how long an abbreviated container id may be: what docker ps prints.
const shortID = 12

// renderTasks answers /v1/tasks: all tasks, or the one with an ARN, or the one with a container whose id is given in full
// or by a prefix that no other has. A task that is not there is 404, a prefix of several 400, each with an empty task.
func renderTasks(tasks []Task, taskARN, containerID string) (status int, answer any) {
	if taskARN == "" && containerID == "" {
		all := []introspectedTask{}
		for _, t := range tasks {
			all = append(all, introspect(t))
		}
		return http.StatusOK, struct{ Tasks []introspectedTask }{all}
	}
	var found []Task
	for _, t := range tasks {
		if taskARN != "" && t.ARN == taskARN || containerID != "" && hasContainer(t, containerID) {
			found = append(found, t)
		}
	}
	switch len(found) {
	case 0:
		return http.StatusNotFound, introspectedTask{}
	case 1:
		return http.StatusOK, introspect(found[0])
	}
	return http.StatusBadRequest, introspectedTask{}
}

func hasContainer(t Task, id string) bool {
	for _, c := range t.Containers {
		if c.ID == id || c.ID != "" && len(id) <= shortID && strings.HasPrefix(c.ID, id) {
			return true
		}
	}
	return false
}
