// Package tcs is the telemetry service: the websocket over which agents publish
// what their tasks use, how healthy containers are, and how the container
// instance itself is, every 20 seconds.
//
// The newest metrics and instance statuses are kept in memory and are gone with
// the process; health goes to whoever keeps the tasks. Nothing is told to agents
// but that their message arrived.
package tcs

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"gantry"
	"gantry/internal/api"
	"gantry/internal/wire/acsapi"
	"gantry/internal/wire/ecsapi"

	"github.com/coder/websocket"
)

const (
	// maxFrame bounds one message, in bytes: agents send at most a mebibyte and a header block.
	maxFrame = 1<<20 + 64<<10
	// heartbeatEvery reassures agents that have nothing to publish: they give up
	// after 60 s without an answer.
	heartbeatEvery = 30 * time.Second
	// silentAfter ends a session whose agent has published nothing for that long: six rounds.
	silentAfter = 2 * time.Minute
	// writeTimeout bounds how long an agent may take to read an answer.
	writeTimeout = 30 * time.Second
	// maxRound bounds the tasks of one round: an instance has no room for more.
	maxRound = 10_000
	// recordTimeout bounds how long a health report may take to be recorded.
	recordTimeout = 10 * time.Second
)

// Health records how the containers of a task are.
type Health interface {
	// ReportHealth takes the news of one task on the instance, by container name.
	// Health of a task that is not known, or elsewhere, is dropped.
	ReportHealth(ctx context.Context, cluster gantry.ClusterName, instance gantry.InstanceID, task gantry.TaskID,
		health map[string]ecsapi.HealthStatus) error
}

// Config says where telemetry goes.
type Config struct {
	Place  gantry.Place
	Health Health
	Log    *slog.Logger
}

// A Server holds the sessions of the agents that publish here.
type Server struct {
	Config
	life     context.Context // ends when Run does
	end      context.CancelFunc
	sessions sync.WaitGroup

	mu     sync.Mutex
	closed bool
	latest map[string]*published // by instance key
}

// published is the newest of what one instance has published.
type published struct {
	sessions int
	metrics  map[string]acsapi.TaskMetric       // of the last whole round, by task ARN
	round    map[string]acsapi.TaskMetric       // of the round under way
	health   []ecsapi.InstanceHealthCheckResult // of the instance itself
}

// New makes a server; it takes sessions until Run ends.
func New(c Config) *Server {
	s := &Server{Config: c, latest: map[string]*published{}}
	s.life, s.end = context.WithCancel(context.Background())
	return s
}

// Run waits for ctx to end, then closes all sessions so that agents reconnect.
func (s *Server) Run(ctx context.Context) error {
	<-ctx.Done()
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.end()
	s.sessions.Wait()
	return ctx.Err()
}

// Metrics is the newest telemetry of a task, by its ARN and its instance's key.
func (s *Server) Metrics(instance, taskARN string) (acsapi.TaskMetric, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.latest[instance]
	if p == nil {
		return acsapi.TaskMetric{}, false
	}
	m, ok := p.metrics[taskARN]
	return m, ok
}

// ServeHTTP lets an agent connect. It returns when the session is over.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ref := r.URL.Query().Get("containerInstance")
	arn, err := gantry.ParseARN(ref)
	if err != nil || arn.Type != "container-instance" || !strings.Contains(arn.Path, "/") {
		api.RefuseSession(w, http.StatusBadRequest, "InvalidParameterException", "containerInstance is not the ARN of a container instance: "+ref)
		return
	}
	if p := api.Principal(r.Context()); p == nil || p.Kind != gantry.RootPrincipal && p.Instance != arn.Path {
		api.RefuseSession(w, http.StatusForbidden, "AccessDeniedException", "This access key does not speak for "+ref+".")
		return
	}
	if !s.enter(arn.Path) {
		api.RefuseSession(w, http.StatusServiceUnavailable, "ServerException", "gantry is shutting down; connect again.")
		return
	}
	defer s.leave(arn.Path)
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true}) // agents are no browsers: they sign instead
	if err != nil {
		s.Log.Info("agent's telemetry handshake failed", "instance", arn.Path, "error", err)
		return
	}
	conn.SetReadLimit(maxFrame)
	s.serve(conn, arn.Path)
}

// enter counts a session in, unless the server is closing.
func (s *Server) enter(instance string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.sessions.Add(1)
	if s.latest[instance] == nil {
		s.latest[instance] = &published{round: map[string]acsapi.TaskMetric{}}
	}
	s.latest[instance].sessions++
	return true
}

// leave forgets what an instance has published when its last session ends.
func (s *Server) leave(instance string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.latest[instance]; p != nil {
		if p.sessions--; p.sessions == 0 {
			delete(s.latest, instance)
		}
	}
	s.sessions.Done()
}

// serve reads and acknowledges messages until the connection, or the server, ends.
func (s *Server) serve(conn *websocket.Conn, instance string) {
	stop := context.AfterFunc(s.life, func() { conn.Close(websocket.StatusGoingAway, "gantry is shutting down") })
	defer stop()
	over := make(chan struct{})
	defer close(over)
	go s.reassure(conn, over)
	for {
		ctx, cancel := context.WithTimeout(context.Background(), silentAfter)
		_, data, err := conn.Read(ctx)
		cancel()
		if err != nil {
			s.Log.Debug("telemetry ends", "instance", instance, "reason", err)
			conn.CloseNow()
			return
		}
		answer := s.take(instance, data)
		if answer == "" {
			continue
		}
		if err := send(conn, answer, acsapi.PublishAck{Message: "OK"}); err != nil {
			s.Log.Debug("telemetry ends", "instance", instance, "reason", err)
			conn.CloseNow()
			return
		}
	}
}

// reassure sends heartbeats until the session is over.
func (s *Server) reassure(conn *websocket.Conn, over <-chan struct{}) {
	tick := time.NewTicker(heartbeatEvery)
	defer tick.Stop()
	for {
		select {
		case <-over:
			return
		case <-tick.C:
			if send(conn, acsapi.TypeHeartbeat, acsapi.HeartbeatMessage{Healthy: new(true)}) != nil {
				return // the reader finds out as well
			}
		}
	}
}

// take records one message, and says with which type it is acknowledged; "" for
// one that nobody understands.
func (s *Server) take(instance string, data []byte) (answer string) {
	f, err := acsapi.Decode(body(data))
	if err != nil {
		s.Log.Warn("agent published an unreadable message", "instance", instance, "error", err)
		return ""
	}
	switch f.Type {
	case acsapi.TypePublishMetrics:
		var m acsapi.PublishMetricsRequest
		if err = json.Unmarshal(f.Message, &m); err == nil {
			s.takeMetrics(instance, &m)
		}
		answer = acsapi.TypeAckPublishMetric
	case acsapi.TypePublishHealth:
		var h acsapi.PublishHealthRequest
		if err = json.Unmarshal(f.Message, &h); err == nil {
			s.takeHealth(instance, h.Tasks)
		}
		answer = acsapi.TypeAckPublishHealth
	case acsapi.TypePublishInstanceStatus:
		var i acsapi.PublishInstanceStatusRequest
		if err = json.Unmarshal(f.Message, &i); err == nil {
			s.mu.Lock()
			s.latest[instance].health = healthOf(i.Statuses)
			s.mu.Unlock()
		}
		answer = acsapi.TypeAckPublishInstanceStatus
	default:
		s.Log.Debug("agent published an unknown message", "instance", instance, "type", f.Type)
	}
	if err != nil {
		s.Log.Warn("agent published an unreadable message", "instance", instance, "type", f.Type, "error", err)
	}
	return answer
}

// body is a message without the header block that the genuine agent puts in
// front to sign it; the connection was signed for already.
func body(data []byte) []byte {
	if bytes.HasPrefix(data, []byte("{")) {
		return data
	}
	_, after, _ := bytes.Cut(data, []byte("\r\n\r\n"))
	return after
}

// takeMetrics adds to the round under way. A round ends with the message that
// says fin; what it does not mention is gone.
func (s *Server) takeMetrics(instance string, m *acsapi.PublishMetricsRequest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.latest[instance]
	for _, t := range m.TaskMetrics {
		p.round[t.TaskArn] = t
	}
	if m.Metadata.Fin || len(p.round) > maxRound {
		p.metrics, p.round = p.round, map[string]acsapi.TaskMetric{}
	}
}

func (s *Server) takeHealth(instance string, tasks []acsapi.TaskHealth) {
	cluster, id, _ := strings.Cut(instance, "/")
	ctx, cancel := context.WithTimeout(s.life, recordTimeout)
	defer cancel()
	for _, t := range tasks {
		arn, err := gantry.ParseARN(t.TaskArn)
		if err != nil {
			continue
		}
		taskCluster, task, long := strings.Cut(arn.Path, "/")
		if !long || taskCluster != cluster {
			continue
		}
		health := make(map[string]ecsapi.HealthStatus, len(t.Containers))
		for _, c := range t.Containers {
			health[c.ContainerName] = ecsapi.HealthStatus(c.HealthStatus)
		}
		if err := s.Health.ReportHealth(ctx, gantry.ClusterName(cluster), gantry.InstanceID(id), gantry.TaskID(task), health); err != nil {
			s.Log.Error("record a task's health", "task", arn.Path, "error", err)
		}
	}
}

func send(conn *websocket.Conn, typ string, message any) error {
	data, err := acsapi.Encode(typ, message)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
	defer cancel()
	return conn.Write(ctx, websocket.MessageText, data)
}
