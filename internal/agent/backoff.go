package agent

import (
	"context"
	"math/rand/v2"
	"time"
)

// A backoff is a pause that grows with every failure. The zero attempt gives the first pause.
type backoff struct {
	first, last time.Duration
	factor      float64
	jitter      float64 // part of the pause that is added or taken away at random

	pause time.Duration
}

// The pauses of the genuine agent.
func registerBackoff() backoff {
	return backoff{first: 3 * time.Second, last: 192 * time.Second, factor: 2, jitter: 0.2}
}

func acsBackoff() backoff {
	return backoff{first: 250 * time.Millisecond, last: 2 * time.Minute, factor: 1.5, jitter: 0.2}
}

func tcsBackoff() backoff {
	return backoff{first: time.Second, last: time.Minute, factor: 2, jitter: 0.2}
}

// next is the pause before the next attempt.
func (b *backoff) next() time.Duration {
	if b.pause == 0 {
		b.pause = b.first
	} else {
		b.pause = min(time.Duration(float64(b.pause)*b.factor), b.last)
	}
	return time.Duration(float64(b.pause) * (1 + b.jitter*(2*rand.Float64()-1)))
}

// reset forgets past failures.
func (b *backoff) reset() { b.pause = 0 }

// sleep waits, or returns ctx's error if that ends first.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// jittered is between d and d+most, so that agents that were started together do not stay so.
func jittered(d, most time.Duration) time.Duration {
	if most <= 0 {
		return d
	}
	return d + rand.N(most)
}
