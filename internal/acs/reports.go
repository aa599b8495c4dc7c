package acs

import (
	"context"
	"errors"
	"slices"

	"gantry"
	"gantry/internal/store"
	"gantry/internal/wire"
	"gantry/internal/wire/acsapi"
	"gantry/internal/wire/ecsapi"
)

const (
	// maxStateChanges bounds one message of state changes: with the reservations of
	// tasks that end it fits a transaction of an etcd that takes its usual 128 operations.
	maxStateChanges = 50
	// maxReporting bounds the messages of one agent that are being recorded: while one
	// waits for the disk the next is gathered.
	maxReporting = 2
)

// Reports takes over what agents tell of their tasks.
type Reports interface {
	// SubmitTaskStateChanges does for each change what the API's operation
	// SubmitTaskStateChange does, in one transaction, and returns what it would
	// answer: nil, or its exception.
	SubmitTaskStateChanges(context.Context, []ecsapi.SubmitTaskStateChangeInput) []error
}

// welcome tells an agent of gantry's own what it may say beyond the genuine protocol.
func (s *session) welcome(snap *store.Snapshot) error {
	i, ok := store.Instances.Get(snap, s.key)
	if !ok || s.Reports == nil || !slices.ContainsFunc(i.Attributes, func(a ecsapi.Attribute) bool { return wire.Value(a.Name) == acsapi.Capability }) {
		return nil
	}
	return s.send(acsapi.TypeWelcome, acsapi.WelcomeMessage{MaxStateChanges: maxStateChanges, MaxFlying: maxReporting})
}

// report records what the agent says of its tasks, and answers when that is durable.
// It waits only for an agent that has more messages under way than it may.
func (s *session) report(m acsapi.TaskStateChanges) {
	if s.Reports == nil {
		return
	}
	s.reporting <- struct{}{}
	go func() {
		defer func() { <-s.reporting }()
		if err := s.send(acsapi.TypeStateChangesAck, s.record(m)); err != nil {
			s.Log.Debug("an agent's report could not be answered", "instance", s.key, "error", err)
		}
	}()
}

// record takes over those changes that the agent may tell of.
func (s *session) record(m acsapi.TaskStateChanges) acsapi.TaskStateChangesAck {
	ack := acsapi.TaskStateChangesAck{MessageID: m.MessageID}
	fail := func(index int, err error) {
		var e *wire.Error
		if !errors.As(err, &e) {
			s.Log.Error("record an agent's report", "instance", s.key, "error", err)
			e = ecsapi.NewServerException("gantry could not record the report; send it again.")
		}
		ack.Failures = append(ack.Failures, acsapi.StateChangeFailure{Index: index, Code: e.Code, Message: e.Message})
	}
	snap := s.Store.View()
	var taken []ecsapi.SubmitTaskStateChangeInput
	var at []int // their places in the message
	for i, c := range m.Changes {
		switch {
		case i >= maxStateChanges:
			fail(i, ecsapi.NewInvalidParameterException("There are more state changes in the message than it may hold."))
		case !s.speaksFor(snap, wire.Value(c.Task)):
			fail(i, ecsapi.NewAccessDeniedException("This container instance does not run the task "+wire.Value(c.Task)+"."))
		default:
			taken, at = append(taken, c), append(at, i)
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.life), recordTimeout)
	defer cancel()
	for i, err := range s.Reports.SubmitTaskStateChanges(ctx, taken) {
		if err != nil {
			fail(at[i], err)
		}
	}
	return ack
}

// speaksFor says whether the agent may tell of a task: it is on its instance, or
// nobody knows it any more.
func (s *session) speaksFor(snap *store.Snapshot, arn string) bool {
	key, ours := s.taskKey(arn)
	if !ours {
		return false
	}
	t, known := store.Tasks.Get(snap, key)
	return !known || t.Instance == s.instance || t.Instance == gantry.InstanceID("")
}
