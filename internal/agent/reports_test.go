package agent

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"

	"gantry/internal/agent/engine"
	"gantry/internal/wire/acsapi"
	"gantry/internal/wire/ecsapi"
)

// calls remembers what is submitted one by one.
type calls struct {
	mu    sync.Mutex
	tasks []string
}

func (c *calls) SubmitTaskStateChange(_ context.Context, change *ecsapi.SubmitTaskStateChangeInput) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tasks = append(c.tasks, *change.Task)
	return nil
}

func running(task string) *ecsapi.SubmitTaskStateChangeInput {
	return &ecsapi.SubmitTaskStateChangeInput{Task: &task, Status: new("RUNNING")}
}

// What comes while as many messages as may be are unanswered goes together in the next one.
func TestStateChangesAreGathered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sent []acsapi.TaskStateChanges
		b := newBatches(acsapi.WelcomeMessage{MaxStateChanges: 3, MaxFlying: 1}, func(m acsapi.TaskStateChanges) error {
			sent = append(sent, m)
			return nil
		})
		r := newReporter(new(calls))
		r.use(b)
		answers := make(chan error, 6)
		for i := range 6 {
			go func() { answers <- r.SubmitTaskStateChange(t.Context(), running(fmt.Sprint("t", i))) }()
			synctest.Wait()
		}
		var sizes []int
		for i := 0; i < len(sent); i++ {
			sizes = append(sizes, len(sent[i].Changes))
			b.answered(&acsapi.TaskStateChangesAck{MessageID: sent[i].MessageID})
		}
		if fmt.Sprint(sizes) != "[1 3 2]" {
			t.Errorf("messages of %v changes, want [1 3 2]", sizes)
		}
		for range 6 {
			if err := <-answers; err != nil {
				t.Error(err)
			}
		}
	})
}

// A refusal reaches the one it is for, and says that repeating is useless.
func TestAnAnswerReachesTheChangeItIsFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ids := make(chan string, 2)
		b := newBatches(acsapi.WelcomeMessage{MaxStateChanges: 2, MaxFlying: 1}, func(m acsapi.TaskStateChanges) error {
			ids <- m.MessageID
			return nil
		})
		first := make(chan error, 1)
		go func() { first <- b.submit(t.Context(), running("first")) }()
		synctest.Wait()
		good, bad := make(chan error, 1), make(chan error, 1)
		go func() { good <- b.submit(t.Context(), running("good")) }()
		synctest.Wait()
		go func() { bad <- b.submit(t.Context(), running("bad")) }()
		synctest.Wait()
		b.answered(&acsapi.TaskStateChangesAck{MessageID: <-ids})
		b.answered(&acsapi.TaskStateChangesAck{MessageID: <-ids, Failures: []acsapi.StateChangeFailure{
			{Index: 1, Code: "AccessDeniedException", Message: "not yours"}, {Index: 7, Code: "X"}}})
		if err := errors.Join(<-first, <-good); err != nil {
			t.Error(err)
		}
		var refused *engine.Rejection
		if err := <-bad; !errors.As(err, &refused) {
			t.Errorf("bad: %v", err)
		}
	})
}

// What a connection takes along is told by calls.
func TestALostBatchIsToldByCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c calls
		r := newReporter(&c)
		b := newBatches(acsapi.WelcomeMessage{MaxStateChanges: 1, MaxFlying: 1}, func(acsapi.TaskStateChanges) error { return nil })
		r.use(b)
		answers := make(chan error, 3)
		for i := range 2 { // one is sent, one waits
			go func() { answers <- r.SubmitTaskStateChange(t.Context(), running(fmt.Sprint("t", i))) }()
		}
		synctest.Wait()
		r.use(nil)
		b.lose()
		go func() { answers <- r.SubmitTaskStateChange(t.Context(), running("t2")) }()
		for range 3 {
			if err := <-answers; err != nil {
				t.Error(err)
			}
		}
		if len(c.tasks) != 3 {
			t.Errorf("called for %v", c.tasks)
		}
	})
}
