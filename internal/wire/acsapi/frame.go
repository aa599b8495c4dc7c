// Package acsapi is what the control plane and a container instance's agent say
// to each other over the ACS and TCS websockets: the messages of the genuine
// amazon-ecs-agent, member for member, and the few that only gantry's own agent
// understands (see Capability).
//
// A frame is {"type": "<Type>", "message": {…}} in a text message. Unknown types
// and unknown members are ignored by both sides.
package acsapi

import (
	"encoding/json"
	"fmt"
)

// A Frame is one websocket text message.
type Frame struct {
	Type    string          `json:"type"`
	Message json.RawMessage `json:"message"`
}

// Type names of the ACS messages, control plane to agent.
const (
	TypePayload                 = "PayloadMessage"
	TypeHeartbeat               = "HeartbeatMessage"
	TypeCredentials             = "IAMRoleCredentialsMessage"
	TypeTaskManifest            = "TaskManifestMessage"
	TypeTaskStopVerificationAck = "TaskStopVerificationAck"
	TypeClose                   = "CloseMessage"
	TypeError                   = "ErrorMessage"
)

// Type names of the ACS messages, agent to control plane.
const (
	TypeAck                  = "AckRequest"
	TypeNack                 = "NackRequest"
	TypeHeartbeatAck         = "HeartbeatAckRequest"
	TypeCredentialsAck       = "IAMRoleCredentialsAckRequest"
	TypeTaskStopVerification = "TaskStopVerificationMessage"
)

// Type names of the TCS messages, agent to control plane and back.
const (
	TypePublishMetrics           = "PublishMetricsRequest"
	TypePublishHealth            = "PublishHealthRequest"
	TypePublishInstanceStatus    = "PublishInstanceStatusRequest"
	TypeAckPublishMetric         = "AckPublishMetric"
	TypeAckPublishHealth         = "AckPublishHealth"
	TypeAckPublishInstanceStatus = "AckPublishInstanceStatus"
)

// Capability is the attribute by which gantry's own agent says that it
// understands gantry's extra messages. The genuine agent never has it.
const Capability = "gantry.capability.agent"

// Encode makes the frame of one message.
func Encode(typ string, message any) ([]byte, error) {
	body, err := json.Marshal(message)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", typ, err)
	}
	return Join(typ, body), nil
}

// Join makes the frame of a message that is encoded already, in one part or several. It does not look into it, as
// json.Marshal would do all over again.
func Join(typ string, message ...[]byte) []byte {
	size := len(typ) + len(`{"type":"","message":}`)
	for _, part := range message {
		size += len(part)
	}
	frame := make([]byte, 0, size)
	frame = append(frame, `{"type":"`...)
	frame = append(frame, typ...) // letters only
	frame = append(frame, `","message":`...)
	for _, part := range message {
		frame = append(frame, part...)
	}
	return append(frame, '}')
}

// Decode reads a frame without looking into its message.
func Decode(data []byte) (Frame, error) {
	var f Frame
	if err := json.Unmarshal(data, &f); err != nil {
		return Frame{}, fmt.Errorf("decode frame: %w", err)
	}
	if f.Type == "" {
		return Frame{}, fmt.Errorf("decode frame: it has no type")
	}
	return f, nil
}
