package logdriver

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
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

// A divider is a sink with files of its own that may only grow so large.
type divider interface {
	// fit is how many of the events are put next, at least one. It may begin a new file, and
	// progress has to be recorded before put.
	fit(events []event) (int, error)
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
