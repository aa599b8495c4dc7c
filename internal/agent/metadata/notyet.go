package metadata

import "net/http"

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
