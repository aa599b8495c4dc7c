package metadata

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
)

// maxProtectionBody bounds a request that has two small members.
const maxProtectionBody = 4096

// protectionAnswer is the task protection endpoint's answer when ECS itself did not refuse.
type protectionAnswer struct {
	Error protectionError `json:"error"`
}

type protectionError struct {
	ARN     string `json:"Arn,omitempty"`
	Code    string
	Message string
}

// protection answers $ECS_AGENT_URI/task-protection/v1/state. Scale-in protection belongs to services, which gantry does
// not offer yet: a request that is otherwise right is told so.
func (e *endpoint) protection(w http.ResponseWriter, r *http.Request) {
	t, _, ok := e.caller(r)
	refuse := func(status int, code, message string) {
		writeJSON(w, status, protectionAnswer{protectionError{t.ARN, code, message}})
	}
	if !ok {
		refuse(http.StatusNotFound, "ResourceNotFoundException", "Failed to find a task for the request")
		return
	}
	if r.Method == http.MethodPut {
		if err := checkProtection(http.MaxBytesReader(w, r.Body, maxProtectionBody)); err != nil {
			refuse(http.StatusBadRequest, "InvalidParameterException", err.Error())
			return
		}
	}
	refuse(http.StatusNotImplemented, "UnsupportedFeatureException", "gantry does not offer task scale-in protection yet")
}

// checkProtection refuses a body that is not {"ProtectionEnabled": true or false, "ExpiresInMinutes": a number}.
func checkProtection(body io.Reader) error {
	var request struct {
		ProtectionEnabled *bool
		ExpiresInMinutes  *int64
	}
	d := json.NewDecoder(body)
	d.DisallowUnknownFields()
	if err := d.Decode(&request); err != nil {
		return errors.New("UpdateTaskProtection: failed to decode request")
	}
	if request.ProtectionEnabled == nil {
		return errors.New("Invalid request: does not contain 'ProtectionEnabled' field")
	}
	return nil
}

// faultError is how a fault injection request is refused.
type faultError struct{ Error string }

// fault answers $ECS_AGENT_URI/fault/v1: injecting faults into a task's network is not offered yet.
func (e *endpoint) fault(w http.ResponseWriter, r *http.Request) {
	t, _, ok := e.caller(r)
	switch {
	case !ok:
		writeJSON(w, http.StatusNotFound, faultError{"unable to get task for the request"})
	case !t.FaultInjection:
		writeJSON(w, http.StatusBadRequest, faultError{"fault injection is not enabled for task: " + t.ARN})
	default:
		writeJSON(w, http.StatusNotImplemented, faultError{"gantry does not offer fault injection yet"})
	}
}
