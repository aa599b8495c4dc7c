package service

import (
	"sync"
	"time"
)

// A pace keeps apart looks that find little to do. A look at a service of ten thousand
// tasks takes ten milliseconds, and while such a service starts or stops, each report of
// its agents is a wake: looked at after each, it would keep a core busy for nothing.
//
// It forgets no wake: who comes too early is told when to come again.
type pace struct {
	mu    sync.Mutex
	until map[string]time.Time // guarded by mu; by service, those that rest
}

const (
	// restTimes is for how many times as long as it took a look that found little is not
	// repeated: a service then takes a fifth of a core for looking, and no more.
	restTimes = 4
	// longestRest bounds that: so much later at most is seen that a task has ended.
	longestRest = 200 * time.Millisecond
)

// wait is how long a service still rests; 0 where it may be looked at.
func (p *pace) wait(key string, now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	left := p.until[key].Sub(now)
	if left <= 0 {
		delete(p.until, key)
		return 0
	}
	return left
}

// rest lets a service rest after a look that took so long and found little to do.
func (p *pace) rest(key string, now time.Time, took time.Duration) {
	if took <= 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.until == nil {
		p.until = map[string]time.Time{}
	}
	p.until[key] = now.Add(min(restTimes*took, longestRest))
}

// small reports whether a plan starts nothing and could have changed more tasks.
func (p *Plan) small(changes int) bool {
	return len(p.Starts) == 0 && len(p.Stops) < changes && len(p.Reckon) < changes
}
