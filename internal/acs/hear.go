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
	for _, c := range ask.StopCandidates {
		if s.mayStop(snap, c.TaskArn) {
			ack.StopTasks = append(ack.StopTasks, acsapi.TaskIdentifier{
				TaskArn: c.TaskArn, TaskClusterArn: c.TaskClusterArn, DesiredStatus: string(gantry.Stopped),
			})
		}
	}
	if len(ack.StopTasks) > 0 {
		s.Log.Info("agent may stop tasks that should not be there", "instance", s.key, "asked", len(ask.StopCandidates), "allowed", len(ack.StopTasks))
	}
	return s.send(acsapi.TypeTaskStopVerificationAck, ack)
}

// mayStop says whether a task that an agent has must not run there.
func (s *session) mayStop(snap *store.Snapshot, taskARN string) bool {
	arn, err := gantry.ParseARN(taskARN)
	if err != nil || arn.Type != "task" || !strings.HasPrefix(arn.Path, string(s.cluster)+"/") {
		return false // not a task of this cluster: not ours to say
	}
	t, known := store.Tasks.Get(snap, arn.Path)
	if !known {
		// Forgotten tasks have been STOPPED for long, unless the memory is younger than the task.
		return !s.KeepUnknown
	}
	return t.Instance != s.instance || t.DesiredStatus == gantry.Stopped || t.LastStatus == gantry.Stopped
}
