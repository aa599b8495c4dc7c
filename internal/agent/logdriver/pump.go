package logdriver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
	"unicode/utf8"
)

// A sink is a log driver for one container.
type sink interface {
	// put returns once the events are where they belong. They are one batch, ordered by time.
	// A *refusal is an answer that stays the same however often one asks; other errors are tried again.
	put(ctx context.Context, events []event) error
	// size is that of a file of the sink's own, for the record; else 0.
	size() int64
	close() error
}

// A counter is a sink whose destination counts its events, so that it can tell
// whether a batch was accepted whose answer nobody heard.
type counter interface {
	// next is the number of the destination's next event. It is 0 where that cannot be known.
	next(ctx context.Context) (uint64, error)
}

// A refusal is why a batch will never be accepted.
type refusal struct{ err error }

func (r *refusal) Error() string { return r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

// A plan is how a container's options want its output delivered.
type plan struct {
	most     int           // bytes of one event
	interval time.Duration // between two batches, unless one is full
	hold     time.Duration // how long an event of several lines waits for more
	join     func() *joiner
	backlog  int64 // bytes of one source that are kept while nothing can be delivered
}

const (
	firstPause = 100 * time.Millisecond // after a delivery that went wrong; doubles
	longPause  = 5 * time.Second
	// lastPut is how long a delivery that is under way may take when the agent ends: cut off, it might have been
	// accepted, and would be doubled.
	lastPut = 2 * time.Second
)

// A pump delivers the output of one container.
type pump struct {
	dir    string
	plan   plan
	sink   sink
	log    *slog.Logger
	record *os.File
	wake   chan struct{} // something was written
	asked  chan struct{} // somebody waits for the end
	ended  chan struct{} // closed when run has returned

	// What follows is run's own.
	tails [sources]*tail
	doubt attempt // of before a restart, until it is known what became of it
	queue []event // read and not delivered, ordered by time
	size  int     // of their texts
	now   func() time.Time
	last  time.Time // of the newest event
	sent  time.Time // of the newest batch

	mu      sync.Mutex
	waiting []chan struct{} // closed when all is delivered and no more will come
	heard   chan struct{}   // closed at the next delivery; nil where nobody listens
}

// openPump goes on where the record says.
func openPump(dir string, p plan, s func(rec record) (sink, error), log *slog.Logger) (_ *pump, err error) {
	pu := &pump{dir: dir, plan: p, log: log, wake: make(chan struct{}, 1), asked: make(chan struct{}, 1), ended: make(chan struct{}), now: time.Now}
	defer func() {
		if err != nil {
			err = errors.Join(err, pu.close())
		}
	}()
	if pu.record, err = os.OpenFile(filepath.Join(dir, recordFile), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return nil, err
	}
	rec, err := readRecord(pu.record)
	if err != nil {
		return nil, err
	}
	pu.doubt = rec.attempt
	for src := range sources {
		var join *joiner
		if p.join != nil {
			join = p.join()
		}
		if pu.tails[src], err = openTail(filepath.Join(dir, src.String()), src, rec.delivered[src], p.most, join); err != nil {
			return nil, err
		}
	}
	pu.sink, err = s(rec)
	return pu, err
}

func (p *pump) close() error {
	var errs []error
	if p.record != nil {
		errs = append(errs, p.record.Close())
	}
	for _, t := range p.tails {
		if t != nil {
			errs = append(errs, t.file.Close())
		}
	}
	if p.sink != nil {
		errs = append(errs, p.sink.close())
	}
	return errors.Join(errs...)
}

// written tells the pump that there may be more output.
func (p *pump) written() { signal(p.wake) }

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // it is signalled already
	}
}

// drained returns a channel that closes when all is delivered and no more will come.
// Who does not wait for it any more calls leave.
func (p *pump) drained() (done <-chan struct{}, leave func()) {
	c := make(chan struct{})
	p.mu.Lock()
	p.waiting = append(p.waiting, c)
	p.mu.Unlock()
	signal(p.asked)
	return c, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.waiting = slices.DeleteFunc(p.waiting, func(w chan struct{}) bool { return w == c })
	}
}

// news returns a channel that closes when something more was delivered.
func (p *pump) news() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.heard == nil {
		p.heard = make(chan struct{})
	}
	return p.heard
}

func (p *pump) tell() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.heard != nil {
		close(p.heard)
		p.heard = nil
	}
}

func (p *pump) awaited() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.waiting) > 0
}

func (p *pump) settle() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.waiting {
		close(c)
	}
	p.waiting = nil
}

// run delivers until the context ends. What is read and not delivered then is read again next time.
func (p *pump) run(ctx context.Context) {
	defer close(p.ended)
	pause := time.Duration(0)
	for ctx.Err() == nil {
		err := p.review(ctx)
		finished := false
		if err == nil {
			finished, err = p.fill()
		}
		if err == nil {
			wait := p.due(finished)
			if wait == 0 && len(p.queue) > 0 {
				err = p.deliver(ctx)
			} else if finished {
				p.settle()
			}
			if err == nil {
				pause = 0
				if wait != 0 {
					p.sleep(ctx, wait)
				}
				continue
			}
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

// review finds out what became of a batch that was under way when gantry was killed.
func (p *pump) review(ctx context.Context) error {
	sink, ok := p.sink.(counter)
	if p.doubt == (attempt{}) || !ok {
		return nil
	}
	next, err := sink.next(ctx)
	if err != nil {
		return fmt.Errorf("ask for the batch before the restart: %w", err)
	}
	if next >= p.doubt.next {
		for src, t := range p.tails {
			t.seek(max(t.delivered, p.doubt.end[src]))
		}
	}
	p.doubt = attempt{}
	return p.note()
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

// deliver delivers one batch and records it.
func (p *pump) deliver(ctx context.Context) error {
	batch := p.queue[:cutBatch(p.queue)]
	if err := p.announce(ctx, batch); err != nil {
		return err
	}
	ctx, cancel := outlive(ctx, lastPut)
	defer cancel()
	err := p.sink.put(ctx, batch)
	var never *refusal
	if errors.As(err, &never) {
		p.log.Error("a batch of a container's output was refused and is lost", "events", len(batch), "err", err)
	} else if err != nil {
		return err
	}
	p.sent = p.now()
	for i := range batch {
		e := &batch[i]
		p.size -= len(e.text) + eventOverhead
		p.tails[e.source].delivered = e.end
	}
	if p.queue = p.queue[len(batch):]; len(p.queue) == 0 {
		p.queue = nil
	}
	return p.note()
}

// announce records a batch before it is delivered, so that it can be found out later
// whether it was accepted.
func (p *pump) announce(ctx context.Context, batch []event) error {
	sink, ok := p.sink.(counter)
	if !ok {
		return nil
	}
	next, err := sink.next(ctx)
	if err != nil || next == 0 {
		return err
	}
	rec := p.progress()
	rec.attempt = attempt{end: rec.delivered, next: next}
	for i := range batch {
		e := &batch[i]
		rec.attempt.end[e.source] = e.end
		if len(e.text) > 0 {
			rec.attempt.next++
		}
	}
	return writeRecord(p.record, rec)
}

// progress is what was delivered so far.
func (p *pump) progress() record {
	rec := record{size: p.sink.size()}
	for src, t := range p.tails {
		rec.delivered[src] = t.delivered
	}
	return rec
}

// outlive is a context that ends a while after its parent.
func outlive(parent context.Context, while time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(parent))
	stop := context.AfterFunc(parent, func() { time.AfterFunc(while, cancel) })
	return ctx, func() { stop(); cancel() }
}

// note records what was delivered and gives its space back.
func (p *pump) note() error {
	if err := writeRecord(p.record, p.progress()); err != nil {
		return fmt.Errorf("record what was delivered: %w", err)
	}
	p.tell()
	for _, t := range p.tails {
		if err := t.punch(); err != nil {
			p.log.Warn("a container's output takes more space than it should", "err", err)
		}
	}
	return nil
}

// sleep waits for something to happen, at most so long; a negative time has no end.
func (p *pump) sleep(ctx context.Context, most time.Duration) {
	var over <-chan time.Time
	if most >= 0 {
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

// shed gives up the oldest output where more than the plan's backlog waits, so that
// an endpoint that never answers cannot fill the disk.
func (p *pump) shed() {
	for _, t := range p.tails {
		info, err := t.file.Stat()
		if err != nil {
			continue
		}
		lost := info.Size() - p.plan.backlog - t.delivered
		if lost <= 0 {
			continue
		}
		p.drop(t, lost)
	}
}

// drop gives up the next bytes of a source and the rest of the line they end in.
func (p *pump) drop(t *tail, bytes int64) {
	src := t.lines.source
	to := nextLine(t.file, t.delivered+bytes)
	p.log.Error("output of a container is lost: more waits for delivery than may", "source", src.String(), "bytes", to-t.delivered, "limit", p.plan.backlog)
	kept := p.queue[:0]
	p.size = 0
	for _, e := range p.queue {
		if e.source != src {
			kept = append(kept, e)
			p.size += len(e.text) + eventOverhead
		}
	}
	p.queue = kept
	t.seek(to)
	if err := p.note(); err != nil {
		p.log.Warn("the loss was not recorded", "err", err)
	}
}

// nextLine is the offset of the first line that begins at or behind an offset, or
// the offset itself where none begins soon.
func nextLine(f *os.File, offset int64) int64 {
	buffer := make([]byte, chunkSize)
	n, _ := f.ReadAt(buffer, offset) // nothing read is no line found
	for i, b := range buffer[:n] {
		if b == '\n' {
			return offset + int64(i) + 1
		}
	}
	return offset
}
