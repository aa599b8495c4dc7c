package acs

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"gantry"
	"gantry/internal/store"
	"gantry/internal/wire/acsapi"

	"github.com/coder/websocket"
)

const (
	// writeTimeout bounds how long an agent may take to read one message.
	writeTimeout = 30 * time.Second
	// maxPayloadTasks and maxPayloadBytes bound one PayloadMessage: enough that a
	// burst of tasks goes out in a few messages, little enough that an agent
	// acknowledges each well within ackTimeout.
	maxPayloadTasks = 50
	maxPayloadBytes = 256 << 10
)

var (
	errOvertaken = errors.New("a newer connection of the same container instance took over")
	errInactive  = errors.New("the container instance was deregistered")
	errDeaf      = errors.New("the agent did not acknowledge heartbeats")
	errShutdown  = errors.New("gantry is shutting down")
)

// A session is one agent's connection. All but wake belongs to the goroutine of run.
type session struct {
	*Server
	hello
	conn  *websocket.Conn
	epoch int64
	arn   string // of the instance
	out   *outbox
	heard time.Time // when the agent last said anything
	asked string    // the message id of the manifest whose question is unanswered
	// reporting holds one for each batch of state changes that is being recorded.
	reporting chan struct{}

	woken chan struct{} // holds one: there is something to look at
	mu    sync.Mutex
	dirty map[gantry.TaskID]bool // tasks to look at; guarded by mu
}

func newSession(s *Server, h hello, conn *websocket.Conn, epoch int64) *session {
	return &session{
		Server: s, hello: h, conn: conn, epoch: epoch,
		arn: string(s.Place.Instance(h.cluster, h.instance)),
		out: newOutbox(h.started), heard: s.Now(), reporting: make(chan struct{}, maxReporting),
		woken: make(chan struct{}, 1), dirty: map[gantry.TaskID]bool{},
	}
}

// wake says that something about a task, or with "" about the instance, has changed.
func (s *session) wake(task gantry.TaskID) {
	if task != "" {
		s.mu.Lock()
		s.dirty[task] = true
		s.mu.Unlock()
	}
	select {
	case s.woken <- struct{}{}:
	default:
	}
}

// run serves the agent until one of the two is gone, and says why it ended.
func (s *session) run(ctx context.Context, timeline store.Revision) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	frames := make(chan acsapi.Frame)
	lost := make(chan error, 1)
	go s.read(ctx, frames, lost)

	err := s.converse(ctx, timeline, frames, lost)
	s.conn.Close(closing(err)) // waits a few seconds for the agent's own close, then drops the connection
	return err
}

// closing is the close code for the reason why a session ended. With 1000 and
// 1001 agents reconnect at once, with others after a pause.
func closing(err error) (websocket.StatusCode, string) {
	switch {
	case errors.Is(err, errShutdown):
		return websocket.StatusGoingAway, errShutdown.Error()
	case errors.Is(err, errOvertaken):
		return websocket.StatusPolicyViolation, errOvertaken.Error()
	case errors.Is(err, errInactive):
		return websocket.StatusNormalClosure, errInactive.Error()
	}
	return websocket.StatusNormalClosure, "reconnect to continue"
}

// read hands on what the agent says, until the connection breaks.
func (s *session) read(ctx context.Context, frames chan<- acsapi.Frame, lost chan<- error) {
	for {
		_, data, err := s.conn.Read(context.WithoutCancel(ctx)) // a cancelled Read would drop the connection without a close frame
		if err != nil {
			lost <- err
			return
		}
		f, err := acsapi.Decode(data)
		if err != nil {
			s.Log.Warn("agent sent an unreadable message", "instance", s.key, "error", err)
			continue
		}
		select {
		case frames <- f:
		case <-ctx.Done():
			lost <- ctx.Err()
			return
		}
	}
}

// converse is the session's loop.
func (s *session) converse(ctx context.Context, timeline store.Revision, frames <-chan acsapi.Frame, lost <-chan error) error {
	if err := s.begin(timeline); err != nil {
		return err
	}
	heartbeat := time.NewTicker(heartbeatEvery)
	defer heartbeat.Stop()
	resend := time.NewTimer(time.Hour)
	defer resend.Stop()
	for {
		if at := s.out.next(); !at.IsZero() {
			resend.Reset(at.Sub(s.Now()))
		}
		var err error
		select {
		case <-ctx.Done():
			return errShutdown
		case err = <-lost:
			return err
		case <-s.woken:
			err = s.look()
		case f := <-frames:
			s.heard = s.Now()
			err = s.hear(f)
		case <-resend.C:
			for _, id := range s.out.overdue(s.Now()) {
				s.wake(id)
			}
		case <-heartbeat.C:
			err = s.beat()
		}
		if err != nil {
			return err
		}
	}
}

// begin tells the agent what should be here, and has a look at everything.
func (s *session) begin(timeline store.Revision) error {
	snap := s.Store.View()
	if err := s.welcome(snap); err != nil {
		return err
	}
	manifest := acsapi.TaskManifestMessage{
		MessageID: s.NewID(), ClusterArn: string(s.Place.Cluster(s.cluster)), ContainerInstanceArn: s.arn,
		GeneratedAt: s.Now().UnixMilli(), Timeline: int64(timeline), Tasks: []acsapi.TaskIdentifier{},
	}
	for t := range store.TasksByInstance.All(snap, s.key) {
		if t.LastStatus != gantry.Stopped {
			manifest.Tasks = append(manifest.Tasks, s.identifier(t.Cluster, t.ID, t.DesiredStatus))
			s.wake(t.ID)
		}
	}
	s.asked = manifest.MessageID
	if err := s.send(acsapi.TypeTaskManifest, manifest); err != nil {
		return err
	}
	return s.look()
}

func (s *session) identifier(c gantry.ClusterName, id gantry.TaskID, desired gantry.TaskStatus) acsapi.TaskIdentifier {
	return acsapi.TaskIdentifier{
		TaskArn: string(s.Place.Task(c, id)), TaskClusterArn: string(s.Place.Cluster(c)), DesiredStatus: string(desired),
	}
}

// beat keeps the agent connected, and makes it report its health.
func (s *session) beat() error {
	if s.acksHeartbeats && s.Now().Sub(s.heard) > deafAfter {
		return errDeaf
	}
	return s.send(acsapi.TypeHeartbeat, acsapi.HeartbeatMessage{MessageID: s.NewID(), Healthy: new(true)})
}

// look tells the agent what it does not know yet.
func (s *session) look() error {
	dirty := s.takeDirty()
	snap := s.Store.View() // not before dirty was taken: it has to have what dirty is about
	if c, ok := store.Connections.Get(snap, s.key); ok && c.Epoch > s.epoch {
		return errOvertaken
	} else if ok && c.Epoch == s.epoch && !c.Connected {
		s.insist(s.key, s.epoch)
	}
	if i, ok := store.Instances.Get(snap, s.key); !ok || i.Status == gantry.InstanceInactive {
		return errInactive
	}
	due := s.due(snap, dirty)
	for len(due) > 0 && !s.out.full() {
		n := min(len(due), maxPayloadTasks)
		if err := s.sendPayload(snap, due[:n]); err != nil {
			return err
		}
		due = due[n:]
	}
	s.putBack(due) // an acknowledgement will make room
	return nil
}

// takeDirty takes the tasks that have to be looked at.
func (s *session) takeDirty() map[gantry.TaskID]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	dirty := s.dirty
	s.dirty = map[gantry.TaskID]bool{}
	return dirty
}

// due is those of some tasks that the agent has to be told of: first those to stop,
// which may make room for those to run, then the oldest.
func (s *session) due(snap *store.Snapshot, dirty map[gantry.TaskID]bool) []*gantry.Task {
	var due []*gantry.Task
	for id := range dirty {
		t, ok := store.Tasks.Get(snap, string(s.cluster)+"/"+string(id))
		if ok && t.Instance == s.instance && s.out.due(t) != "" {
			due = append(due, t)
		}
	}
	slices.SortFunc(due, func(a, b *gantry.Task) int {
		return cmp.Or(-cmp.Compare(a.DesiredStatus, b.DesiredStatus), a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	return due
}

// putBack keeps tasks to be looked at again, without a wake-up.
func (s *session) putBack(tasks []*gantry.Task) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range tasks {
		s.dirty[t.ID] = true
	}
}

// sendPayload sends tasks, in as many messages as their size asks for.
func (s *session) sendPayload(snap *store.Snapshot, tasks []*gantry.Task) error {
	var batch []*gantry.Task
	var encoded [][]byte
	size := 0
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		id := s.NewID()
		message, err := payloadMessage(acsapi.PayloadMessage{
			MessageID: id, ClusterArn: string(s.Place.Cluster(s.cluster)), ContainerInstanceArn: s.arn,
			GeneratedAt: s.Now().UnixMilli(), SeqNum: int64(snap.Revision()),
		}, encoded)
		if err == nil {
			err = s.write(acsapi.TypePayload, message...)
		}
		s.out.sent(id, batch, s.Now())
		batch, encoded, size = nil, nil, 0
		return err
	}
	for _, t := range tasks {
		data, err := s.encode(snap, t)
		if err != nil {
			s.Log.Error("a task cannot be told to its agent", "task", t.Key(), "error", err)
			continue
		}
		if size+len(data) > maxPayloadBytes {
			if err := flush(); err != nil {
				return err
			}
		}
		batch, encoded, size = append(batch, t), append(encoded, data), size+len(data)
	}
	return flush()
}

// payloadMessage is a PayloadMessage with tasks that are encoded already, in parts: head has all its other members.
func payloadMessage(head acsapi.PayloadMessage, tasks [][]byte) ([][]byte, error) {
	head.Tasks = []acsapi.Task{}
	message, err := json.Marshal(head)
	if err != nil {
		return nil, err
	}
	// The tasks are the last member: they go where its bracket closes.
	parts := append(make([][]byte, 0, 2*len(tasks)+1), bytes.TrimSuffix(message, []byte("]}")))
	for i, task := range tasks {
		if i > 0 {
			parts = append(parts, []byte(","))
		}
		parts = append(parts, task)
	}
	return append(parts, []byte("]}")), nil
}

func (s *session) encode(snap *store.Snapshot, t *gantry.Task) ([]byte, error) {
	if t.DesiredStatus == gantry.Stopped {
		return json.Marshal(StopPayload(s.Place, t))
	}
	def, ok := store.Definitions.Get(snap, string(t.Definition))
	if !ok {
		return nil, fmt.Errorf("task definition %s is gone", t.Definition)
	}
	defaults := Defaults{}
	if s.Settings != nil {
		defaults.LogDriverMode = s.Settings.DefaultLogDriverMode(snap)
	}
	var revision *gantry.ServiceRevision
	if service := t.Group.Service(); service != "" {
		revision, _ = store.ServiceRevisions.Get(snap, string(t.Cluster)+"/"+service+"/"+string(t.Revision()))
	}
	p, err := Payload(s.Place, t, def, revision, defaults)
	if err != nil {
		return nil, err
	}
	if s.Roles != nil {
		p.RoleCredentials, p.ExecutionRoleCredentials = s.Roles.Credentials(t)
	}
	return json.Marshal(p)
}

func (s *session) send(typ string, message any) error {
	data, err := json.Marshal(message)
	if err != nil {
		return err
	}
	return s.write(typ, data)
}

// write sends a message that is encoded already, in one part or several.
func (s *session) write(typ string, message ...[]byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
	defer cancel()
	if err := s.conn.Write(ctx, websocket.MessageText, acsapi.Join(typ, message...)); err != nil {
		return fmt.Errorf("send %s: %w", typ, err)
	}
	return nil
}
