package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"gantry/internal/agent/engine"
	"gantry/internal/wire"
	"gantry/internal/wire/acsapi"
	"gantry/internal/wire/ecsapi"

	"golang.org/x/sync/semaphore"
)

// submissionsAtOnce is how many state changes the genuine agent submits in parallel.
const submissionsAtOnce = 10

// A reporter tells the control plane of state changes: many in one message of the control connection while the control
// plane takes that, else by a call of the API for each, a few at a time.
type reporter struct {
	calls engine.Submitter
	slots *semaphore.Weighted

	mu   sync.Mutex
	open *batches // guarded by mu; nil while no connection takes batches
}

func newReporter(calls engine.Submitter) *reporter {
	return &reporter{calls: calls, slots: semaphore.NewWeighted(submissionsAtOnce)}
}

// SubmitTaskStateChange tells of one change and returns when it is durable there. A batch that is lost with its
// connection is told again by a call: whoever hears a change twice takes no notice of the second time.
func (r *reporter) SubmitTaskStateChange(ctx context.Context, change *ecsapi.SubmitTaskStateChangeInput) error {
	r.mu.Lock()
	b := r.open
	r.mu.Unlock()
	if b != nil {
		if err := b.submit(ctx, change); !errors.Is(err, errConnectionLost) {
			return err
		}
	}
	if err := r.slots.Acquire(ctx, 1); err != nil {
		return err
	}
	defer r.slots.Release(1)
	return r.calls.SubmitTaskStateChange(ctx, change)
}

// use sends changes through a connection from now on; nil for none.
func (r *reporter) use(b *batches) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open = b
}

var errConnectionLost = errors.New("the control connection was lost")

// Batches are the state changes that go through one control connection. What arrives while as many messages as may be
// are unanswered goes together into the next one.
type batches struct {
	send func(acsapi.TaskStateChanges) error
	// mostChanges and mostFlying are the control plane's bounds: changes in a message, messages unanswered.
	mostChanges, mostFlying int

	mu      sync.Mutex
	waiting []submission            // guarded by mu; not sent yet
	flying  map[string][]submission // guarded by mu; by message id
	lost    bool                    // guarded by mu
}

// A submission is a change and whoever waits for its answer.
type submission struct {
	change *ecsapi.SubmitTaskStateChangeInput
	answer chan error // holds one
}

func newBatches(w acsapi.WelcomeMessage, send func(acsapi.TaskStateChanges) error) *batches {
	return &batches{send: send, mostChanges: w.MaxStateChanges, mostFlying: max(w.MaxFlying, 1), flying: map[string][]submission{}}
}

// submit hands a change over and waits for its answer; errConnectionLost where none will come.
func (b *batches) submit(ctx context.Context, change *ecsapi.SubmitTaskStateChangeInput) error {
	s := submission{change, make(chan error, 1)}
	b.mu.Lock()
	if b.lost {
		b.mu.Unlock()
		return errConnectionLost
	}
	b.waiting = append(b.waiting, s)
	b.mu.Unlock()
	b.flush()
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	select {
	case err := <-s.answer:
		return err
	case <-ctx.Done():
		return fmt.Errorf("submit a task's state change on the control connection: %w", ctx.Err())
	}
}

// flush sends what waits, as far as the control plane's bounds let it.
func (b *batches) flush() {
	for {
		message, ok := b.next()
		if !ok {
			return
		}
		if b.send(message) != nil {
			b.lose()
			return
		}
	}
}

// next is the message to be sent next, which counts as sent.
func (b *batches) next() (m acsapi.TaskStateChanges, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.lost || len(b.waiting) == 0 || len(b.flying) >= b.mostFlying {
		return m, false
	}
	n := min(len(b.waiting), b.mostChanges)
	sent := slices.Clone(b.waiting[:n])
	b.waiting = slices.Delete(b.waiting, 0, n)
	m.MessageID = newID()
	for _, s := range sent {
		m.Changes = append(m.Changes, *s.change)
	}
	b.flying[m.MessageID] = sent
	return m, true
}

// answered hands out the answers to one message, and sends what waited for it.
func (b *batches) answered(ack *acsapi.TaskStateChangesAck) {
	b.mu.Lock()
	sent := b.flying[ack.MessageID]
	delete(b.flying, ack.MessageID)
	b.mu.Unlock()
	answers := make([]error, len(sent))
	for _, f := range ack.Failures {
		if f.Index >= 0 && f.Index < len(sent) {
			answers[f.Index] = rejection(&wire.Error{Code: f.Code, Message: f.Message})
		}
	}
	for i, s := range sent {
		s.answer <- answers[i]
	}
	b.flush()
}

// lose answers everyone that the connection is gone.
func (b *batches) lose() {
	b.mu.Lock()
	left := b.waiting
	for _, sent := range b.flying {
		left = append(left, sent...)
	}
	b.waiting, b.flying, b.lost = nil, nil, true
	b.mu.Unlock()
	for _, s := range left {
		s.answer <- errConnectionLost
	}
}

// rejection makes an answer that stays the same however often one asks a *engine.Rejection.
func rejection(err error) error {
	var refused *wire.Error
	if errors.As(err, &refused) {
		switch refused.Code {
		case "AccessDeniedException", "InvalidParameterException", "ClientException":
			return &engine.Rejection{Err: err}
		}
	}
	return err
}
