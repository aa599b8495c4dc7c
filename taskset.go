package gantry

import (
	"math"
	"time"

	"gantry/internal/wire/ecsapi"
)

// A TaskSet is a part of a service whose deployment controller is EXTERNAL: so many
// percent of the service's desired count, made from one service revision, which has the
// same digits. CreateTaskSet, UpdateTaskSet and DeleteTaskSet write it; the scheduler
// removes it when the last task of a draining one has stopped.
type TaskSet struct {
	ID         RevisionID   `json:"id"`
	Cluster    ClusterName  `json:"cluster"`
	Service    ServiceName  `json:"service"`
	ExternalID string       `json:"externalId,omitzero"`
	Scale      ecsapi.Scale `json:"scale"`
	// Draining is set by DeleteTaskSet: its tasks stop, and then it is gone.
	Draining bool         `json:"draining,omitzero"`
	Tags     []ecsapi.Tag `json:"tags,omitzero"`
	// Token is the caller's by which CreateTaskSet is told that it has been done.
	Token     string    `json:"token,omitzero"`
	CreatedAt time.Time `json:"createdAt"`
	UpdatedAt time.Time `json:"updatedAt"`
}

// Key is the task set's place in the store: "<cluster>/<service>/<digits>".
func (s *TaskSet) Key() string {
	return string(s.Cluster) + "/" + string(s.Service) + "/" + string(s.ID)
}

// Desired is how many of the tasks that its service wants are to be of the task set:
// its percentage, rounded up.
func (s *TaskSet) Desired(service int) int {
	if s.Draining || s.Scale.Value == nil {
		return 0
	}
	const dust = 1e-9 // what 7 % of 100 is off by as a floating-point number
	return int(math.Ceil(float64(service)**s.Scale.Value/100 - dust))
}

// A TaskSetState is what the scheduler remembers of a task set.
type TaskSetState struct {
	ID RevisionID `json:"id"`
	// Rollout counts the failures of its tasks, and slows them down.
	Rollout Rollout `json:"rollout"`
	// Told and Unplaced are as in ServiceHistory.
	Told     []Told    `json:"told,omitzero"`
	Unplaced *Unplaced `json:"unplaced,omitzero"`
}
