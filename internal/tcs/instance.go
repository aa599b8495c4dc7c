package tcs

import (
	"slices"
	"time"

	"gantry/internal/wire"
	"gantry/internal/wire/acsapi"
	"gantry/internal/wire/ecsapi"
)

// checkTypes are the agents' words for what they check, and the API's. What an
// agent says of itself has no word in the API: there it is whether it is connected.
var checkTypes = map[string]ecsapi.InstanceHealthCheckType{
	"ContainerRuntime":    ecsapi.InstanceHealthCheckTypeContainerRuntime,
	"ACCELERATED_COMPUTE": ecsapi.InstanceHealthCheckTypeAcceleratedCompute,
	"EBSDaemon":           ecsapi.InstanceHealthCheckTypeDaemon,
}

// InstanceHealth is what the agent of a container instance, named by its key, last
// said of the instance itself; nil if it is not connected or has said nothing. The
// result is shared: do not change it.
func (s *Server) InstanceHealth(instance string) []ecsapi.InstanceHealthCheckResult {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.latest[instance]; p != nil {
		return p.health
	}
	return nil
}

// healthOf puts an agent's statuses into the API's words; others are left out.
func healthOf(statuses []acsapi.InstanceStatus) []ecsapi.InstanceHealthCheckResult {
	var out []ecsapi.InstanceHealthCheckResult
	for _, s := range statuses {
		state, typ := ecsapi.InstanceHealthCheckState(s.Status), checkTypes[s.Type]
		if typ == "" || !slices.Contains(state.Values(), state) {
			continue
		}
		out = append(out, ecsapi.InstanceHealthCheckResult{
			Type: typ, Status: state, LastUpdated: moment(s.LastUpdated), LastStatusChange: moment(s.LastStatusChange),
		})
	}
	return out
}

// moment is a time that was told in seconds since 1970; 0 is none.
func moment(seconds float64) *wire.Timestamp {
	if seconds == 0 {
		return nil
	}
	return wire.At(time.UnixMilli(int64(seconds * 1000)))
}
