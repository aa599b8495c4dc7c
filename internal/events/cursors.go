package events

import (
	"context"
	"errors"
	"time"

	"gantry"
	"gantry/internal/events/record"
	"gantry/internal/store"
)

// cursorsEvery is how long a target's progress may wait to be written down: what was delivered in that time is delivered
// again after a crash.
const cursorsEvery = 500 * time.Millisecond

// moveCursor notes that a target has got everything up to a position.
func (e *Engine) moveCursor(rule, target string, to record.Position) {
	c := gantry.EventCursor{Rule: rule, Target: target, Revision: to.Revision, N: to.N}
	e.deliveries.mu.Lock()
	e.dirty[c.Key()] = c
	e.deliveries.mu.Unlock()
	select {
	case e.moved <- struct{}{}:
	default:
	}
}

// keepCursors writes down how far the targets are, until ctx ends.
func (e *Engine) keepCursors(ctx context.Context) error {
	for {
		select {
		case <-e.moved:
			e.writeCursors(ctx)
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := sleep(ctx, cursorsEvery); err != nil {
			return err
		}
	}
}

// writeCursors writes those that have moved. A target that is gone has none. A cursor never goes back: another server
// may have taken over.
func (e *Engine) writeCursors(ctx context.Context) {
	e.deliveries.mu.Lock()
	moved := e.dirty
	e.dirty = map[string]gantry.EventCursor{}
	e.deliveries.mu.Unlock()
	if len(moved) == 0 {
		return
	}
	_, err := e.Store.Update(ctx, func(tx *store.Tx) error {
		for key, c := range moved {
			r, ok := store.EventRules.Get(tx, c.Rule)
			if !ok || r.Target(c.Target) == nil {
				store.EventCursors.Delete(tx, key)
				continue
			}
			to := record.Position{Revision: c.Revision, N: c.N}
			if have, ok := store.EventCursors.Get(tx, key); !ok || (record.Position{Revision: have.Revision, N: have.N}).Before(to) {
				store.EventCursors.Put(tx, &c)
			}
		}
		return nil
	})
	if err == nil {
		return
	}
	if !errors.Is(err, store.ErrClosed) && ctx.Err() == nil {
		e.Log.Warn("writing down what was delivered failed, and will be repeated", "error", err)
	}
	e.deliveries.mu.Lock()
	defer e.deliveries.mu.Unlock()
	for key, c := range moved {
		if _, newer := e.dirty[key]; !newer {
			e.dirty[key] = c
		}
	}
	select {
	case e.moved <- struct{}{}:
	default:
	}
}
