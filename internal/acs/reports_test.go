package acs

import (
	"context"
	"sync"
	"testing"

	"gantry"
	"gantry/internal/store"
	"gantry/internal/wire"
	"gantry/internal/wire/acsapi"
	"gantry/internal/wire/ecsapi"

	"github.com/google/go-cmp/cmp"
)

// taken remembers the tasks that were told of, and refuses those it is told to.
type taken struct {
	mu    sync.Mutex
	tasks []string
}

func (r *taken) SubmitTaskStateChanges(_ context.Context, changes []ecsapi.SubmitTaskStateChangeInput) []error {
	r.mu.Lock()
	defer r.mu.Unlock()
	answers := make([]error, len(changes))
	for i, c := range changes {
		r.tasks = append(r.tasks, *c.Task)
		if wire.Value(c.Status) == "SLEEPING" {
			answers[i] = ecsapi.NewInvalidParameterException("no such status")
		}
	}
	return answers
}

const taskPrefix = "arn:aws:ecs:us-east-1:123456789012:task/prod/"

func TestAnAgentOfOursMayReportManyTasksAtOnce(t *testing.T) {
	f := onLoopback(t)
	var r taken
	f.server.Reports = &r
	f.update(func(tx *store.Tx) {
		store.Instances.Put(tx, &gantry.Instance{ID: "i1", Cluster: "prod", Status: ecsapi.ContainerInstanceStatusActive,
			Attributes: []ecsapi.Attribute{{Name: new(acsapi.Capability)}}})
		store.Tasks.Put(tx, &gantry.Task{ID: "foreign", Cluster: "prod", Instance: "i2", LastStatus: gantry.Pending, DesiredStatus: gantry.Running})
	})
	f.task("mine", gantry.Running, gantry.Running)
	p := f.connect(nil)
	var w acsapi.WelcomeMessage
	p.next(acsapi.TypeWelcome, &w)
	if w.MaxStateChanges < 1 || w.MaxFlying < 1 {
		t.Errorf("welcome: %+v", w)
	}
	p.next(acsapi.TypeTaskManifest, new(acsapi.TaskManifestMessage))
	change := func(task, status string) ecsapi.SubmitTaskStateChangeInput {
		return ecsapi.SubmitTaskStateChangeInput{Task: new(taskPrefix + task), Status: &status}
	}
	p.say(acsapi.TypeStateChanges, acsapi.TaskStateChanges{MessageID: "r1", Changes: []ecsapi.SubmitTaskStateChangeInput{
		change("foreign", "STOPPED"), change("mine", "RUNNING"), change("mine", "SLEEPING"), change("forgotten", "STOPPED"), {Task: new("nonsense")},
	}})
	var ack acsapi.TaskStateChangesAck
	p.next(acsapi.TypeStateChangesAck, &ack)
	failed := map[int]string{}
	for _, f := range ack.Failures {
		failed[f.Index] = f.Code
	}
	want := map[int]string{0: "AccessDeniedException", 2: "InvalidParameterException", 4: "AccessDeniedException"}
	if diff := cmp.Diff(want, failed); ack.MessageID != "r1" || diff != "" {
		t.Errorf("answer to %q, failures (-want +got):\n%s", ack.MessageID, diff)
	}
	if diff := cmp.Diff([]string{taskPrefix + "mine", taskPrefix + "mine", taskPrefix + "forgotten"}, r.tasks); diff != "" {
		t.Errorf("told of (-want +got):\n%s", diff)
	}
}

// The genuine agent logs what it does not know; it is not to be bothered.
func TestOnlyAnAgentOfOursIsWelcomed(t *testing.T) {
	f := onLoopback(t)
	f.server.Reports = new(taken)
	f.connect(nil).next(acsapi.TypeTaskManifest, new(acsapi.TaskManifestMessage))
}
