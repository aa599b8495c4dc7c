package loop

import (
	"sync"
	"time"
)

// A queue holds the keys that are due, in the order in which they became so, each once.
type queue struct {
	mu     sync.Mutex
	some   sync.Cond // there is a key, or the queue is closed
	ready  []string
	keys   map[string]*state // those that are not at rest
	closed bool
}

// state is what is known of a key that is not at rest.
type state struct {
	ready, running bool
	woken          bool        // while running
	later          *time.Timer // to become ready; nil if not waiting
	failures       int         // in a row
	backingOff     bool
}

// verdict is how a run ended.
type verdict struct {
	again  time.Duration // 0: not before the next wake
	failed bool
}

func newQueue() *queue {
	q := &queue{keys: map[string]*state{}}
	q.some.L = &q.mu
	return q
}

// wake makes a key due: at once, after its present run, or when its back-off is over.
func (q *queue) wake(key string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := q.keys[key]
	if s == nil {
		s = &state{}
		q.keys[key] = s
	}
	switch {
	case s.running:
		s.woken = true
	case s.backingOff: // it will look at the state afresh, then
	default:
		q.push(key, s)
	}
}

// push makes a key ready, unless it is. Callers hold q.mu.
func (q *queue) push(key string, s *state) {
	if s.later != nil {
		s.later.Stop()
		s.later = nil
	}
	s.backingOff = false
	if s.ready || q.closed {
		return
	}
	s.ready = true
	q.ready = append(q.ready, key)
	q.some.Signal()
}

// next waits for a key, which is running from then on. It reports false when the
// queue is closed.
func (q *queue) next() (key string, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.ready) == 0 && !q.closed {
		q.some.Wait()
	}
	if q.closed {
		return "", false
	}
	key, q.ready = q.ready[0], q.ready[1:]
	s := q.keys[key]
	s.ready, s.running = false, true
	return key, true
}

// failures is how often in a row a running key has failed.
func (q *queue) failures(key string) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.keys[key].failures
}

// done ends a key's run.
func (q *queue) done(key string, v verdict) {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := q.keys[key]
	woken := s.woken
	s.running, s.woken = false, false
	if v.failed {
		s.failures++
	} else {
		s.failures = 0
	}
	switch {
	case woken && !v.failed:
		q.push(key, s)
	case v.again > 0 && !q.closed:
		s.backingOff = v.failed
		var t *time.Timer
		t = time.AfterFunc(v.again, func() {
			q.mu.Lock()
			defer q.mu.Unlock()
			if s.later == t { // else it has been overtaken by a wake
				q.push(key, s)
			}
		})
		s.later = t
	default:
		delete(q.keys, key)
	}
}

// close sends the workers home. What was due is forgotten.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	for _, s := range q.keys {
		if s.later != nil {
			s.later.Stop()
		}
	}
	q.some.Broadcast()
}
