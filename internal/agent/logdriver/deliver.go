package logdriver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// lastPut is how long a delivery that is under way may take when the agent ends: cut
// off, it might have been accepted, and would have to be asked for.
const lastPut = 2 * time.Second

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

// deliver delivers one batch and records it.
func (p *pump) deliver(ctx context.Context) error {
	batch := p.queue[:cutBatch(p.queue)]
	if sink, ok := p.sink.(divider); ok {
		n, err := sink.fit(batch)
		if err != nil {
			return err
		}
		batch = batch[:n]
		if err := p.note(); err != nil {
			return err
		}
	}
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
