package engine

import "sync"

// A mailbox holds what a worker has still to take note of. Putting something in never blocks: what comes in is bounded
// by the steps under way.
type mailbox struct {
	wake chan struct{} // holds one token while there may be mail

	mu    sync.Mutex
	items []func() // guarded by mu
}

func newMailbox() *mailbox { return &mailbox{wake: make(chan struct{}, 1)} }

// put leaves a note, which the worker's goroutine will call.
func (m *mailbox) put(note func()) {
	m.mu.Lock()
	m.items = append(m.items, note)
	m.mu.Unlock()
	m.wakeUp()
}

// wakeUp makes the worker look again.
func (m *mailbox) wakeUp() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

func (m *mailbox) take() []func() {
	m.mu.Lock()
	defer m.mu.Unlock()
	items := m.items
	m.items = nil
	return items
}
