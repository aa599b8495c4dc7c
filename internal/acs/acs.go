// Package acs is the agent communication service: the control websocket over
// which container instances are told which tasks to run and which to stop. It is
// the only way out of the control plane.
//
// A session is one agent's connection. It looks at the tasks that the store has
// on its instance and tells the agent what it does not know yet, until the agent
// has acknowledged it: a lost message is only a slow one, and there is no queue
// to look for. On connecting, the agent gets a manifest, the list of everything
// that should be there; what it has beyond that it asks about before it kills.
//
// Of two sessions of one instance the newer wins: each has an epoch, recorded in
// the instance's Connection, and one that sees a higher epoch than its own ends.
//
// The package never moves a task: agents report through the ECS API.
package acs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"gantry"
	"gantry/internal/api"
	"gantry/internal/store"
	"gantry/internal/wire/acsapi"

	"github.com/coder/websocket"
)

const (
	// heartbeatEvery keeps agents connected: they give up after 60 s without a message.
	heartbeatEvery = 30 * time.Second
	// deafAfter is how long an agent that promised heartbeat acknowledgements may
	// be silent: four heartbeats.
	deafAfter = 2 * time.Minute
	// reconnectGrace is how long an agent may be away before its instance shows as
	// disconnected. Agents renew their connection twice an hour, within milliseconds.
	reconnectGrace = time.Second
	// recordTimeout bounds how long a connection waits for the store to record it.
	recordTimeout = 10 * time.Second
	// maxMessage bounds what an agent may send at once, in bytes: a verification
	// of ten thousand tasks.
	maxMessage = 4 << 20
)

// Roles hands out the short-lived keys of a task's roles.
type Roles interface {
	// Credentials are those of the task role and of the execution role; nil where a task has none.
	Credentials(*gantry.Task) (application, execution *acsapi.RoleCredentials)
}

// Settings are the account settings that reach containers.
type Settings interface {
	// DefaultLogDriverMode is the delivery mode, "blocking" or "non-blocking", of
	// containers whose log configuration names none.
	DefaultLogDriverMode(store.Reader) string
}

// Config says what a Server serves from.
type Config struct {
	Place gantry.Place
	Store *store.Store
	// Settings is nil where none of them counts.
	Settings Settings
	// Roles is nil where no task has role credentials.
	Roles Roles
	// Reports takes what agents tell of their tasks on the connection; nil where they
	// have to call the API for it.
	Reports Reports
	// KeepUnknown forbids agents to stop tasks that the store does not know. It is
	// set once the store was restored from a backup, which may be older than the tasks.
	KeepUnknown bool
	Now         func() time.Time
	NewID       func() string // of messages
	Log         *slog.Logger
}

// A Server holds the sessions of the agents that are connected here.
type Server struct {
	Config
	life     context.Context // ends when Run does
	end      context.CancelFunc
	sessions sync.WaitGroup

	mu     sync.Mutex
	open   map[string]*session // by instance key, the newest of each
	closed bool
}

// New makes a server; it takes sessions at once and feeds them while Run runs.
func New(c Config) *Server {
	s := &Server{Config: c, open: map[string]*session{}}
	s.life, s.end = context.WithCancel(context.Background())
	return s
}

// DisconnectAll records that no agent is connected, as is the case when a server has
// just started: since now, for nobody saw when they left. Sessions that were open when it
// was killed left their instances shown as connected.
func DisconnectAll(ctx context.Context, st *store.Store, now time.Time) error {
	var open []string
	for c := range store.Connections.All(st.View(), "") {
		if c.Connected {
			open = append(open, c.Key())
		}
	}
	for batch := range slices.Chunk(open, st.MostRows()) {
		_, err := st.Update(ctx, func(tx *store.Tx) error {
			for _, key := range batch {
				c, ok := store.Connections.Get(tx, key)
				if !ok || !c.Connected {
					continue
				}
				next := *c
				next.Connected, next.Since = false, now
				store.Connections.Put(tx, &next)
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("record that no agent is connected: %w", err)
		}
	}
	return nil
}

// Run wakes sessions as the store changes, until ctx ends. Then it closes all of
// them so that agents reconnect, and returns when they are gone.
func (s *Server) Run(ctx context.Context) error {
	for key := range s.Store.Wakes(ctx, concerned) {
		instance, task, _ := strings.Cut(key, "|")
		s.mu.Lock()
		session := s.open[instance]
		s.mu.Unlock()
		if session != nil {
			session.wake(gantry.TaskID(task))
		}
	}
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.end()
	s.sessions.Wait()
	return ctx.Err()
}

// concerned says which sessions a change concerns: "<instance key>|<task id>",
// without task id where it is about the instance itself.
func concerned(c store.Change) []string {
	if before, after, ok := store.Tasks.Of(c); ok {
		if after == nil || after.Instance == "" {
			return nil
		}
		if before != nil && before.Instance == after.Instance && before.DesiredStatus == after.DesiredStatus && after.LastStatus != gantry.Stopped {
			return nil // the agent's own report
		}
		return []string{string(after.Cluster) + "/" + string(after.Instance) + "|" + string(after.ID)}
	}
	if before, after, ok := store.Instances.Of(c); ok {
		if before != nil && after != nil && before.Status == after.Status {
			return nil
		}
		return []string{c.Key + "|"}
	}
	if _, _, ok := store.Connections.Of(c); ok {
		return []string{c.Key + "|"}
	}
	return nil
}

// ServeHTTP lets an agent connect, or refuses it as the genuine agent understands.
// It returns when the session is over.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	hello, no := s.greet(r)
	if no != nil {
		s.Log.Info("agent refused", "instance", r.URL.Query().Get("containerInstanceArn"), "exception", no.exception, "reason", no.message)
		api.RefuseSession(w, no.status, no.exception, no.message)
		return
	}
	if !s.enter() {
		api.RefuseSession(w, http.StatusServiceUnavailable, "ServerException", "gantry is shutting down; connect again.")
		return
	}
	defer s.sessions.Done()
	epoch, timeline, err := s.claim(r.Context(), hello)
	if err != nil {
		s.Log.Error("record an agent's connection", "instance", hello.key, "error", err)
		api.RefuseSession(w, http.StatusInternalServerError, "ServerException", "gantry could not record the connection; connect again.")
		return
	}
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true}) // agents are no browsers: they sign instead
	if err != nil {
		s.Log.Info("agent's handshake failed", "instance", hello.key, "error", err)
		s.release(hello.key, epoch)
		return
	}
	conn.SetReadLimit(maxMessage)
	session := newSession(s, hello, conn, epoch)
	s.mu.Lock()
	old := s.open[hello.key]
	if old == nil || old.epoch < epoch {
		s.open[hello.key] = session
	}
	s.mu.Unlock()
	if old != nil {
		old.wake("") // the change of the connection may wake the new one only
	}

	s.Log.Info("agent connected", "instance", hello.key, "version", hello.agentVersion)
	err = session.run(s.life, timeline)
	s.Log.Info("agent disconnected", "instance", hello.key, "reason", err)

	s.mu.Lock()
	if s.open[hello.key] == session {
		delete(s.open, hello.key)
	}
	s.mu.Unlock()
	s.release(hello.key, epoch)
}

// enter counts a session in, unless the server is closing.
func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.sessions.Add(1)
	return true
}

// claim records the connection under an epoch of its own. The revision at which
// it was recorded is greater than any that this agent was ever sent: the
// timeline of its manifest.
func (s *Server) claim(ctx context.Context, h hello) (epoch int64, timeline store.Revision, err error) {
	ctx, cancel := context.WithTimeout(ctx, recordTimeout)
	defer cancel()
	timeline, err = s.Store.Update(ctx, func(tx *store.Tx) error {
		since := s.Now()
		epoch = 1
		if old, ok := store.Connections.Get(tx, h.key); ok {
			if epoch = old.Epoch + 1; old.Connected {
				since = old.Since // it renews its connection, and was never away
			}
		}
		store.Connections.Put(tx, &gantry.Connection{
			Cluster: h.cluster, Instance: h.instance, Connected: true, Epoch: epoch, Since: since,
			AgentVersion: h.agentVersion, AgentHash: h.agentHash, DockerVersion: h.dockerVersion,
		})
		return nil
	})
	return epoch, timeline, err
}

// insist records that the agent is connected after all: a server that has just started
// took it for gone. Silence that nobody kept would have its tasks replaced.
func (s *Server) insist(key string, epoch int64) {
	ctx, cancel := context.WithTimeout(s.life, recordTimeout)
	defer cancel()
	_, err := s.Store.Update(ctx, func(tx *store.Tx) error {
		c, ok := store.Connections.Get(tx, key)
		if !ok || c.Epoch != epoch || c.Connected {
			return nil
		}
		next := *c
		next.Connected, next.Since, next.Loss, next.LostAt = true, s.Now(), "", time.Time{}
		store.Connections.Put(tx, &next)
		return nil
	})
	if err != nil {
		s.Log.Error("record that an agent is connected after all", "instance", key, "error", err)
	}
}

// release records that the agent is gone, unless it has come back meanwhile.
func (s *Server) release(key string, epoch int64) {
	select {
	case <-time.After(reconnectGrace):
	case <-s.life.Done():
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.life), recordTimeout)
	defer cancel()
	_, err := s.Store.Update(ctx, func(tx *store.Tx) error {
		c, ok := store.Connections.Get(tx, key)
		if !ok || c.Epoch != epoch {
			return nil
		}
		next := *c
		next.Connected, next.Since = false, s.Now()
		store.Connections.Put(tx, &next)
		return nil
	})
	if err != nil && !errors.Is(err, store.ErrClosed) {
		s.Log.Error("record that an agent is gone", "instance", key, "error", err)
	}
}
