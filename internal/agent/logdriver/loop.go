package logdriver

import (
	"context"
	"sync"
	"time"
	"unicode/utf8"
)

const (
	firstPause = 100 * time.Millisecond // after a delivery that went wrong; doubles
	longPause  = 5 * time.Second
)

// run delivers until the context ends. What is read and not delivered then is read again next time.
func (p *pump) run(ctx context.Context) {
	defer close(p.ended)
	pause := time.Duration(0)
	for ctx.Err() == nil {
		wait, err := p.step(ctx)
		if err == nil {
			pause = 0
			p.sleep(ctx, wait)
			continue
		}
		if ctx.Err() != nil {
			return
		}
		if pause == 0 {
			p.log.Warn("the output of a container is not delivered, and is tried again", "err", err)
		}
		pause = min(max(2*pause, firstPause), longPause)
		p.shed()
		timer(ctx, pause)
	}
}

// step reads what there is and delivers a batch if one is due. It returns how long to
// wait for the next step: 0 is not at all, and negative until something happens.
func (p *pump) step(ctx context.Context) (wait time.Duration, err error) {
	if err := p.review(ctx); err != nil {
		return 0, err
	}
	finished, err := p.fill()
	if err != nil {
		return 0, err
	}
	if wait = p.due(finished); wait == 0 {
		return 0, p.deliver(ctx)
	}
	if finished {
		p.settle()
	}
	return wait, nil
}

// fill reads until a batch is full or there is no more. It reports whether all was
// read and no more will come.
func (p *pump) fill() (finished bool, err error) {
	buffer := buffers.Get().(*[]byte)
	defer buffers.Put(buffer)
	now := p.now()
	full := func() bool { return p.size >= maxBatchBytes || len(p.queue) >= maxBatchEvents }
	for more := true; more; {
		more = false
		for _, t := range p.tails {
			if full() {
				return false, nil
			}
			read, err := t.read(*buffer, now, p.take)
			if err != nil {
				return false, err
			}
			more = more || read
		}
	}
	finished = true
	for _, t := range p.tails {
		if !t.holds() && !p.awaited() {
			finished = false // nobody wants to know
			continue
		}
		ended, err := t.ended()
		if err != nil {
			return false, err
		}
		if ended {
			t.flush(p.take)
		} else if since := t.join.since(); !since.IsZero() && now.Sub(since) >= p.plan.hold {
			t.join.flush(p.take)
		}
		finished = finished && ended
	}
	return finished, nil
}

var buffers = sync.Pool{New: func() any { return new(make([]byte, chunkSize)) }}

// take queues an event. Times never go back, whatever the clock does. What is no
// text becomes U+FFFD byte by byte, as it would on the way; here its size counts.
func (p *pump) take(e event) {
	if !utf8.Valid(e.text) {
		e.text = []byte(string([]rune(string(e.text))))
	}
	if e.time.Before(p.last) {
		e.time = p.last
	}
	p.last = e.time
	p.queue = append(p.queue, e)
	p.size += len(e.text) + eventOverhead
}

// due is how long to wait for the next batch or for more output: 0 is not at all,
// and negative until something happens.
func (p *pump) due(finished bool) time.Duration {
	if len(p.queue) == 0 {
		return p.held()
	}
	if finished || p.size >= maxBatchBytes || len(p.queue) >= maxBatchEvents {
		return 0
	}
	return max(p.plan.interval-p.now().Sub(p.sent), 0)
}

// held is how long until an event that waits for more lines has waited enough;
// negative where there is none.
func (p *pump) held() time.Duration {
	least := time.Duration(-1)
	for _, t := range p.tails {
		if since := t.join.since(); !since.IsZero() {
			wait := max(p.plan.hold-p.now().Sub(since), time.Millisecond)
			if least < 0 || wait < least {
				least = wait
			}
		}
	}
	return least
}

// sleep waits for something to happen, as long as step says.
func (p *pump) sleep(ctx context.Context, most time.Duration) {
	var over <-chan time.Time
	if most == 0 {
		return
	}
	if most > 0 {
		t := time.NewTimer(most)
		defer t.Stop()
		over = t.C
	}
	wake := p.wake
	if len(p.queue) > 0 && !p.awaited() {
		wake = nil // more output changes nothing before the batch is due
	}
	select {
	case <-ctx.Done():
	case <-over:
	case <-wake:
	case <-p.asked:
	}
}

func timer(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
