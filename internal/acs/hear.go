package acs

import (
	"encoding/json"
	"strings"

	"gantry"
	"gantry/internal/store"
	"gantry/internal/wire/acsapi"
)

// hear answers one message of the agent's. What it does not know it ignores, as
// the agent does.
func (s *session) hear(f acsapi.Frame) error {
	switch f.Type {
	case acsapi.TypeAck:
		var ack acsapi.AckRequest
		if !s.decode(f, &ack) {
			return nil
		}
		full := s.out.full()
		s.out.acked(ack.MessageID)
		if full {
			return s.look()
		}
	case acsapi.TypeNack:
		var nack acsapi.NackRequest
		if s.decode(f, &nack) {
			s.Log.Warn("agent refused a message", "instance", s.key, "message", nack.MessageID, "reason", nack.Reason)
		}
	case acsapi.TypeTaskStopVerification:
		var ask acsapi.TaskStopVerificationMessage
		if s.decode(f, &ask) {
			return s.verify(ask)
		}
	case acsapi.TypeStateChanges:
		var changes acsapi.TaskStateChanges
		if s.decode(f, &changes) {
			s.report(changes)
		}
	case acsapi.TypeHeartbeatAck, acsapi.TypeCredentialsAck:
		// That it was said is all there is to it.
	default:
		s.Log.Debug("agent sent an unknown message", "instance", s.key, "type", f.Type)
	}
	return nil
}

func (s *session) decode(f acsapi.Frame, into any) bool {
	if err := json.Unmarshal(f.Message, into); err != nil {
		s.Log.Warn("agent sent an unreadable message", "instance", s.key, "type", f.Type, "error", err)
		return false
	}
	return true
}

// verify answers the agent's question which of the tasks that the manifest lacks
// may be stopped.
func (s *session) verify(ask acsapi.TaskStopVerificationMessage) error {
	if ask.MessageID == "" || ask.MessageID != s.asked {
		return nil // of another manifest, or answered already
	}
	s.asked = ""
	snap := s.Store.View()
	ack := acsapi.TaskStopVerificationAck{MessageID: ask.MessageID, GeneratedAt: s.Now().UnixMilli(), StopTasks: []acsapi.TaskIdentifier{}}
	var spared []string
	for _, c := range ask.StopCandidates {
		switch key, ours := s.taskKey(c.TaskArn); {
		case !ours:
		case s.spares(snap, key):
			spared = append(spared, key)
		case s.mayStop(snap, key):
			ack.StopTasks = append(ack.StopTasks, acsapi.TaskIdentifier{
				TaskArn: c.TaskArn, TaskClusterArn: c.TaskClusterArn, DesiredStatus: string(gantry.Stopped),
			})
		}
	}
	if len(ack.StopTasks) > 0 {
		s.Log.Info("agent may stop tasks that should not be there", "instance", s.key, "asked", len(ask.StopCandidates), "allowed", len(ack.StopTasks))
	}
	if len(spared) > 0 {
		s.Log.Warn("tasks that the restored backup does not know run on; stop their containers by hand if they are not wanted",
			"instance", s.key, "tasks", spared)
	}
	return s.send(acsapi.TypeTaskStopVerificationAck, ack)
}

// taskKey is the key of a task that the agent names; ours is false for what is no
// task of this cluster, and so not ours to say anything about.
func (s *session) taskKey(taskARN string) (key string, ours bool) {
	arn, err := gantry.ParseARN(taskARN)
	return arn.Path, err == nil && arn.Type == "task" && strings.HasPrefix(arn.Path, string(s.cluster)+"/")
}

// spares says whether a task may be one that was started after the backup was
// taken which the store comes from.
func (s *session) spares(snap *store.Snapshot, task string) bool {
	_, known := store.Tasks.Get(snap, task)
	return s.KeepUnknown && !known
}

// mayStop says whether a task that an agent has must not run there. One that is
// forgotten has been STOPPED for long.
func (s *session) mayStop(snap *store.Snapshot, task string) bool {
	t, known := store.Tasks.Get(snap, task)
	return !known || t.Instance != s.instance || t.DesiredStatus == gantry.Stopped || t.LastStatus == gantry.Stopped
}
