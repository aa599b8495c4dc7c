package agent

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"gantry"
	"gantry/internal/agent/engine"
	"gantry/internal/wire/acsapi"
	"gantry/internal/wire/ecsapi"

	"github.com/coder/websocket"
)

// A nonsenseError is why a message is dropped: it lacks what it must have, or comes too late to mean anything.
type nonsenseError struct{ why string }

func (e *nonsenseError) Error() string { return e.why }

func nonsense(format string, args ...any) error {
	return &nonsenseError{fmt.Sprintf(format, args...)}
}

// exceptions are the refusals that may arrive as a handshake's answer or as a message.
var exceptions = map[string]bool{
	inactiveInstance: true, "InvalidInstanceException": true, "InvalidClusterException": true,
	"AccessDeniedException": true, "BadRequestException": true, "ServerException": true,
}

// readRefusal reads a handshake's answer of one member, {"InactiveInstanceException": "text"}.
func readRefusal(answer *http.Response, err error) error {
	if answer == nil || answer.Body == nil {
		return err
	}
	text, readErr := io.ReadAll(answer.Body)
	var members map[string]string
	if readErr == nil && json.Unmarshal(text, &members) == nil && len(members) == 1 {
		for name, message := range members {
			if exceptions[name] {
				return &refusal{Type: name, Message: message}
			}
		}
	}
	return err
}

// handle does what one message asks for, and answers it.
func (s *session) handle(ctx context.Context, f acsapi.Frame) error {
	switch f.Type {
	case acsapi.TypeHeartbeat:
		return take(ctx, s, f, s.heartbeat)
	case acsapi.TypePayload:
		return take(ctx, s, f, s.payload)
	case acsapi.TypeCredentials:
		return take(ctx, s, f, s.credentials)
	case acsapi.TypeTaskManifest:
		return take(ctx, s, f, s.manifest)
	case acsapi.TypeTaskStopVerificationAck:
		return take(ctx, s, f, s.stopVerified)
	case acsapi.TypeWelcome:
		return take(ctx, s, f, s.welcome)
	case acsapi.TypeStateChangesAck:
		return take(ctx, s, f, s.stateChangesTaken)
	}
	if exceptions[f.Type] {
		var e struct{ Message string }
		if err := json.Unmarshal(f.Message, &e); err != nil {
			e.Message = string(f.Message)
		}
		return &refusal{Type: f.Type, Message: e.Message}
	}
	s.agent.log.Debug("a message of the control plane is not for this agent", "type", f.Type)
	return nil
}

// take decodes a message and hands it on.
func take[M any](ctx context.Context, s *session, f acsapi.Frame, do func(context.Context, *M) error) error {
	var m M
	if err := json.Unmarshal(f.Message, &m); err != nil {
		return nonsense("%v", err)
	}
	return do(ctx, &m)
}

// send answers.
func (s *session) send(ctx context.Context, typ string, message any) error {
	text, err := acsapi.Encode(typ, message)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	return s.conn.Write(ctx, websocket.MessageText, text)
}

func (s *session) heartbeat(ctx context.Context, m *acsapi.HeartbeatMessage) error {
	select {
	case s.agent.beat <- struct{}{}:
	default:
	}
	return s.send(ctx, acsapi.TypeHeartbeatAck, acsapi.HeartbeatAckRequest{MessageID: m.MessageID})
}

// welcome sends state changes through this connection from now on, if the control plane takes them there.
func (s *session) welcome(ctx context.Context, m *acsapi.WelcomeMessage) error {
	if m.MaxStateChanges <= 0 || s.batches != nil {
		return nil
	}
	s.batches = newBatches(*m, func(changes acsapi.TaskStateChanges) error {
		return s.send(ctx, acsapi.TypeStateChanges, changes)
	})
	s.agent.reports.use(s.batches)
	return nil
}

func (s *session) stateChangesTaken(_ context.Context, m *acsapi.TaskStateChangesAck) error {
	if s.batches != nil {
		s.batches.answered(m)
	}
	return nil
}

// payload hands tasks to the engine. It is acknowledged once all of them are on disk; if one makes no sense it is not,
// and that one is reported STOPPED.
func (s *session) payload(ctx context.Context, m *acsapi.PayloadMessage) error {
	if m.MessageID == "" || m.ClusterArn == "" || m.ContainerInstanceArn == "" {
		return nonsense("a payload needs messageId, clusterArn and containerInstanceArn")
	}
	acks := s.keepRoles(m)
	if err := s.agent.noteTimeline(m.SeqNum); err != nil {
		return err
	}
	bad, err := s.agent.engine.Accept(ctx, m.Tasks)
	if err != nil {
		// Not acknowledged, so that it comes again; what is running is not disturbed.
		if ctx.Err() == nil { // an agent that is stopped takes no more
			s.agent.log.Error("a payload could not be recorded", "message", m.MessageID, "err", err)
		}
		return nil
	}
	s.agent.roles.keep(s.agent.needsRole)
	for _, b := range bad {
		s.agent.refuseTask(ctx, b)
	}
	for _, ack := range acks {
		if err := s.send(ctx, acsapi.TypeCredentialsAck, ack); err != nil {
			return err
		}
	}
	if len(bad) > 0 {
		return nil
	}
	return s.ack(ctx, m.ClusterArn, m.ContainerInstanceArn, m.MessageID)
}

func (s *session) ack(ctx context.Context, cluster, instance, id string) error {
	return s.send(ctx, acsapi.TypeAck, acsapi.AckRequest{Cluster: cluster, ContainerInstance: instance, MessageID: id})
}

// keepRoles takes the keys out of a payload and prepares their acknowledgements.
func (s *session) keepRoles(m *acsapi.PayloadMessage) []acsapi.IAMRoleCredentialsAckRequest {
	var acks []acsapi.IAMRoleCredentialsAckRequest
	for i := range m.Tasks {
		for _, c := range []*acsapi.RoleCredentials{m.Tasks[i].RoleCredentials, m.Tasks[i].ExecutionRoleCredentials} {
			if c == nil || c.CredentialsID == "" {
				continue
			}
			s.agent.roles.put(*c)
			acks = append(acks, acsapi.IAMRoleCredentialsAckRequest{
				MessageID: m.MessageID, Expiration: c.Expiration, CredentialsID: c.CredentialsID,
			})
		}
	}
	return acks
}

func (s *session) credentials(ctx context.Context, m *acsapi.IAMRoleCredentialsMessage) error {
	c := m.RoleCredentials
	if m.MessageID == "" || m.TaskArn == "" || c.CredentialsID == "" {
		return nonsense("credentials need messageId, taskArn and roleCredentials.credentialsId")
	}
	if m.RoleType != acsapi.RoleTypeApplication && m.RoleType != acsapi.RoleTypeExecution {
		return nonsense("credentials for the unknown role type %q", m.RoleType)
	}
	if _, known := s.agent.engine.Task(m.TaskArn); !known {
		return nonsense("credentials for the unknown task %s", m.TaskArn)
	}
	s.agent.roles.put(c)
	return s.send(ctx, acsapi.TypeCredentialsAck, acsapi.IAMRoleCredentialsAckRequest{
		MessageID: m.MessageID, Expiration: c.Expiration, CredentialsID: c.CredentialsID,
	})
}

// A verification is the question which of some tasks may be stopped, asked once per manifest.
type verification struct {
	messageID  string
	candidates map[string]bool // by task ARN
}

// manifest compares what should be here with what is, and asks before it stops anything.
func (s *session) manifest(ctx context.Context, m *acsapi.TaskManifestMessage) error {
	if m.MessageID == "" || m.ClusterArn == "" || m.ContainerInstanceArn == "" {
		return nonsense("a manifest needs messageId, clusterArn and containerInstanceArn")
	}
	latest, err := s.agent.timeline()
	if err != nil {
		return err
	}
	if m.Timeline <= latest {
		return nonsense("the manifest is of timeline %d, and %d is known", m.Timeline, latest)
	}
	if err := s.agent.journal.Remember(ctx, keyTimeline, strconv.FormatInt(m.Timeline, 10)); err != nil {
		return err
	}
	if err := s.ack(ctx, m.ClusterArn, m.ContainerInstanceArn, m.MessageID); err != nil {
		return err
	}
	// A manifest names only tasks that are not over.
	var named []string
	for _, t := range m.Tasks {
		named = append(named, t.TaskArn)
	}
	s.agent.engine.TellEndAgain(named)
	candidates := stopCandidates(s.agent.engine.Tasks(), m)
	v := verification{messageID: m.MessageID, candidates: map[string]bool{}}
	for _, c := range candidates {
		v.candidates[c.TaskArn] = true
	}
	s.agent.verification = v
	if len(candidates) == 0 {
		return nil
	}
	return s.send(ctx, acsapi.TypeTaskStopVerification, acsapi.TaskStopVerificationMessage{MessageID: m.MessageID, StopCandidates: candidates})
}

// stopCandidates is the tasks that are wanted RUNNING here and not there.
func stopCandidates(tasks []engine.View, m *acsapi.TaskManifestMessage) []acsapi.TaskIdentifier {
	wanted := map[string]bool{}
	for _, t := range m.Tasks {
		wanted[t.TaskArn] = t.DesiredStatus == string(gantry.Running)
	}
	var out []acsapi.TaskIdentifier
	for _, v := range tasks {
		if v.Task.Desired == gantry.Running && !wanted[v.Def.ARN] {
			out = append(out, acsapi.TaskIdentifier{
				TaskArn: v.Def.ARN, TaskClusterArn: cmp.Or(v.Def.Task.TaskClusterArn, m.ClusterArn), DesiredStatus: string(gantry.Stopped),
			})
		}
	}
	return out
}

// stopVerified stops what was asked about and may be stopped.
func (s *session) stopVerified(ctx context.Context, m *acsapi.TaskStopVerificationAck) error {
	v := s.agent.verification
	if v.messageID == "" || m.MessageID != v.messageID {
		return nonsense("it answers the manifest %q, which was not asked about", m.MessageID)
	}
	s.agent.verification = verification{}
	var arns []string
	for _, t := range m.StopTasks {
		if v.candidates[t.TaskArn] && t.DesiredStatus == string(gantry.Stopped) {
			arns = append(arns, t.TaskArn)
		}
	}
	return s.agent.engine.Stop(ctx, arns)
}

// timeline is the highest seqNum or timeline seen, over restarts.
func (a *Agent) timeline() (int64, error) {
	text, err := a.journal.Recall(keyTimeline)
	if err != nil || text == "" {
		return 0, err
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read the timeline: %w", err)
	}
	return n, nil
}

// noteTimeline notes the seqNum of a payload, which shares the manifests' number line.
func (a *Agent) noteTimeline(seq int64) error {
	latest, err := a.timeline()
	if err == nil && seq > latest {
		a.journal.Note(keyTimeline, strconv.FormatInt(seq, 10))
	}
	return err
}

// refuseTask reports a task that makes no sense. "Unrecognied" is how the genuine agent spells it.
func (a *Agent) refuseTask(ctx context.Context, b engine.BadTask) {
	if b.ARN == "" {
		a.log.Error("a task of a payload has no ARN", "err", b.Err)
		return
	}
	change := &ecsapi.SubmitTaskStateChangeInput{
		Cluster: &a.cfg.Cluster, Task: &b.ARN, Status: new(string(gantry.Stopped)),
		Reason: new("UnrecogniedTaskError: Error loading task - " + b.Err.Error()),
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	pauses := acsBackoff()
	for {
		err := a.ecs.SubmitTaskStateChange(ctx, change)
		var rejected *engine.Rejection
		if err == nil || ctx.Err() != nil || errors.As(err, &rejected) {
			if err != nil {
				// The payload was not acknowledged: it comes again, and with it this report.
				a.log.Error("a task that makes no sense could not be reported", "task", b.ARN, "err", err)
			}
			return
		}
		if sleep(ctx, min(pauses.next(), time.Second)) != nil {
			return
		}
	}
}
