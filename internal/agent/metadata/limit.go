package metadata

import (
	"math"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

const (
	// requestRate and requestBurst are the ECS agent's: what a container may ask per second, and at once.
	requestRate  = 40
	requestBurst = 60
	// maxCallers bounds the memory for callers. It is as many as a host has containers by far; beyond it a caller
	// is remembered at the price of another's being forgotten, which only gives that one its burst back.
	maxCallers = 8192
)

// A limiter lets each caller, known by address, ask a limited number of times per second.
type limiter struct {
	now func() time.Time

	mu      sync.Mutex
	callers map[netip.Addr]bucket // guarded by mu
}

// bucket is what a caller has left at an instant; it fills up by the rate.
type bucket struct {
	left float64
	at   time.Time
}

func newLimiter(now func() time.Time) *limiter {
	return &limiter{now: now, callers: map[netip.Addr]bucket{}}
}

// allow says whether the caller may ask now, and counts it if so.
func (l *limiter) allow(caller netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	b, known := l.callers[caller]
	if !known {
		b = bucket{requestBurst, now}
		for other := range l.callers {
			if len(l.callers) < maxCallers {
				break
			}
			delete(l.callers, other)
		}
	}
	b.left = math.Min(requestBurst, b.left+max(0, now.Sub(b.at).Seconds())*requestRate)
	b.at = now
	allowed := b.left >= 1
	if allowed {
		b.left--
	}
	l.callers[caller] = b
	return allowed
}

// wrap answers 429 to callers that ask too often.
func (l *limiter) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller, err := netip.ParseAddrPort(r.RemoteAddr)
		if err == nil && !l.allow(caller.Addr().Unmap()) {
			http.Error(w, "You have reached maximum request limit.", http.StatusTooManyRequests)
			return
		}
		next.ServeHTTP(w, r)
	})
}
