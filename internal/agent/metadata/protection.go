package metadata

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"
)

// A Protector asks ECS for the scale-in protection of a task, as it is or as it is to be.
type Protector interface {
	// Protection is a task's protection.
	Protection(ctx context.Context, taskARN string) ProtectionAnswer
	// Protect begins a task's protection, for so many minutes or for as long as ECS thinks fit where they are nil, or ends it.
	Protect(ctx context.Context, taskARN string, enabled bool, minutes *int32) ProtectionAnswer
}

// A ProtectionAnswer is one of Protection, Failure and Error: what ECS answered, what it could not do, why it was not asked
// or refused.
type ProtectionAnswer struct {
	RequestID  string             `json:"requestID,omitempty"`
	Protection *Protection        `json:"protection,omitempty"`
	Failure    *ProtectionFailure `json:"failure,omitempty"`
	Error      *ProtectionError   `json:"error,omitempty"`
	// Status is the HTTP status to answer with; 0 is 200.
	Status int `json:"-"`
}

// Protection is whether a task is protected, and until when; the date is null where it is not.
type Protection struct {
	ExpirationDate    *time.Time
	ProtectionEnabled bool
	TaskARN           string `json:"TaskArn"`
}

// ProtectionFailure is why ECS leaves a task's protection as it is, such as TASK_NOT_VALID.
type ProtectionFailure struct {
	ARN    string `json:"Arn"`
	Detail *string
	Reason string
}

// ProtectionError is an exception, ECS's or the endpoint's own.
type ProtectionError struct {
	ARN     string `json:"Arn,omitempty"`
	Code    string
	Message string
}

const (
	// maxProtectionBody bounds a request that has two small members.
	maxProtectionBody = 4096
	// protectionDeadline is how long ECS may take to answer, as with the ECS agent.
	protectionDeadline = 4 * time.Second
)

// getProtection answers GET $ECS_AGENT_URI/task-protection/v1/state.
func (e *endpoint) getProtection(w http.ResponseWriter, r *http.Request) {
	e.protection(w, r, e.cfg.Protector.Protection)
}

// putProtection answers PUT $ECS_AGENT_URI/task-protection/v1/state.
func (e *endpoint) putProtection(w http.ResponseWriter, r *http.Request) {
	enabled, minutes, bad := readProtection(http.MaxBytesReader(w, r.Body, maxProtectionBody))
	e.protection(w, r, func(ctx context.Context, arn string) ProtectionAnswer {
		if bad != nil {
			return ProtectionAnswer{Error: &ProtectionError{arn, "InvalidParameterException", bad.Error()}, Status: http.StatusBadRequest}
		}
		return e.cfg.Protector.Protect(ctx, arn, enabled, minutes)
	})
}

// protection answers what ask comes to for the task whose container asks.
func (e *endpoint) protection(w http.ResponseWriter, r *http.Request, ask func(ctx context.Context, taskARN string) ProtectionAnswer) {
	t, _, ok := e.caller(r)
	if !ok {
		writeJSON(w, http.StatusNotFound, ProtectionAnswer{Error: &ProtectionError{"", "ResourceNotFoundException", "Failed to find a task for the request"}})
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), protectionDeadline)
	defer cancel()
	answer := ask(ctx, t.ARN)
	if answer.Status == 0 {
		answer.Status = http.StatusOK
	}
	writeJSON(w, answer.Status, answer)
}

// readProtection reads {"ProtectionEnabled": true or false, "ExpiresInMinutes": a number} and refuses anything else.
func readProtection(body io.Reader) (enabled bool, minutes *int32, err error) {
	var request struct {
		ProtectionEnabled *bool
		ExpiresInMinutes  *int32
	}
	d := json.NewDecoder(body)
	d.DisallowUnknownFields()
	if err := d.Decode(&request); err != nil {
		return false, nil, errors.New("UpdateTaskProtection: failed to decode request")
	}
	if request.ProtectionEnabled == nil {
		return false, nil, errors.New("Invalid request: does not contain 'ProtectionEnabled' field")
	}
	return *request.ProtectionEnabled, request.ExpiresInMinutes, nil
}
