package acsapi

import "gantry/internal/wire/ecsapi"

// Type names of the messages of gantry's own, which only an agent that announced
// Capability is sent, and which it sends only to a control plane that said it takes them.
const (
	// TypeWelcome, control plane to agent: what the control plane takes beyond the genuine protocol.
	TypeWelcome = "GantryWelcomeMessage"
	// TypeStateChanges, agent to control plane, and TypeStateChangesAck, its answer:
	// what SubmitTaskStateChange would say of many tasks, at once.
	TypeStateChanges    = "GantryTaskStateChanges"
	TypeStateChangesAck = "GantryTaskStateChangesAck"
)

// WelcomeMessage opens a connection to an agent of gantry's own.
type WelcomeMessage struct {
	// MaxStateChanges is how many state changes one message may hold; 0: none are taken.
	MaxStateChanges int `json:"maxStateChanges"`
	// MaxFlying is how many such messages may be unanswered.
	MaxFlying int `json:"maxFlying"`
}

// TaskStateChanges are calls of SubmitTaskStateChange, each about another task.
type TaskStateChanges struct {
	MessageID string                              `json:"messageId"`
	Changes   []ecsapi.SubmitTaskStateChangeInput `json:"changes"`
}

// TaskStateChangesAck says that all changes but those that failed are durable.
type TaskStateChangesAck struct {
	MessageID string               `json:"messageId"`
	Failures  []StateChangeFailure `json:"failures,omitzero"`
}

// A StateChangeFailure is the exception that SubmitTaskStateChange would have answered.
type StateChangeFailure struct {
	Index   int    `json:"index"` // in Changes
	Code    string `json:"code"`  // "AccessDeniedException"
	Message string `json:"message"`
}
