package events

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"gantry/internal/events/pattern"
	"gantry/internal/events/record"
	"gantry/internal/store"
)

const (
	// followerName is whose place in the store's history it is.
	followerName = "events"
	// markEvery is how often that place is written down at most. After a crash what came since is read again, and the
	// record knows what of it is there already.
	markEvery = time.Minute
	// settleAt is how many bytes are gathered before they go to disk while there is more to read.
	settleAt = 1 << 20
	// partingTime is how long writing down the place may take when gantry stops.
	partingTime = 2 * time.Second
)

// A follower is how far the store's history has been told. It belongs to the goroutine of follow.
type follower struct {
	rules   []*compiled
	done    store.Revision // told and written
	marked  store.Revision // and on disk, and noted in the store
	markAt  time.Time
	posted  []string // ids of posted events that have been recorded
	changed bool     // something was told since the last mark that is not the mark itself
}

// A compiled rule is one that can match.
type compiled struct {
	name    string
	pattern *pattern.Pattern // nil for a rule that only fires
}

// follow tells what happens until ctx ends.
func (e *Engine) follow(ctx context.Context) error {
	for {
		after, err := e.begin(ctx)
		if err != nil {
			return err
		}
		err = e.followFrom(ctx, after)
		if ctx.Err() != nil {
			e.part()
			return ctx.Err()
		}
		if !errors.Is(err, store.ErrCompacted) {
			return err
		}
		now := e.Store.View().Revision()
		e.Log.Warn("what happened between two revisions is not told: the store no longer knows it, as after a restore", "after", after, "upTo", now)
		e.done, e.posted = now, nil
		if err := e.mark(ctx); err != nil {
			return err
		}
	}
}

// begin is the revision after which to go on. The first time, nothing that is there already is told.
func (e *Engine) begin(ctx context.Context) (store.Revision, error) {
	snap := e.Store.View()
	for _, r := range []*record.Record{e.record, e.history} {
		if last := r.Last(); last.Revision > int64(snap.Revision()) {
			e.Log.Warn("a record of events comes from another store, and is removed", "its revision", last.Revision, "the store's", snap.Revision())
			if err := r.Forget(); err != nil {
				return 0, err
			}
		}
	}
	e.markAt = e.Now()
	if f, ok := store.Followers.Get(snap, followerName); ok {
		e.done, e.marked = f.Done, f.Done
		return f.Done, nil
	}
	e.done = snap.Revision()
	return e.done, e.mark(ctx)
}

func (e *Engine) followFrom(ctx context.Context, after store.Revision) error {
	e.compile()
	for changes, err := range e.Store.Follow(ctx, after) {
		if err != nil {
			return fmt.Errorf("follow what happens: %w", err)
		}
		e.take(changes)
		rev := changes[0].Revision
		more, ok := e.Store.Changes(rev)
		if ok && len(more) == 0 || e.record.Buffered()+e.history.Buffered() > settleAt || len(e.posted) > 100 {
			if err := e.settle(ctx, rev); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

// take tells the changes of one revision, in an order that is always the same.
func (e *Engine) take(changes []store.Change) {
	if len(changes) > 1 {
		changes = slices.Clone(changes)
	}
	slices.SortStableFunc(changes, func(a, b store.Change) int { return cmp.Or(cmp.Compare(a.Table, b.Table), cmp.Compare(a.Key, b.Key)) })
	snap := e.Store.View()
	at := record.Position{Revision: int64(changes[0].Revision)}
	for _, c := range changes {
		if _, _, ok := store.EventRules.Of(c); ok {
			e.compile()
		}
		if _, posted, ok := store.PostedEvents.Of(c); ok && posted != nil {
			e.posted = append(e.posted, posted.ID)
		}
		if !own(c) {
			e.changed = true
		}
		for _, h := range e.teller.Tell(snap, c) {
			e.tell(at, h)
			at.N++
		}
	}
}

// own reports whether a change is of the engine's own books, which are no reason to write them again.
func own(c store.Change) bool {
	_, posted, isPosted := store.PostedEvents.Of(c)
	_, _, isCursor := store.EventCursors.Of(c)
	_, _, isFollower := store.Followers.Of(c)
	return isCursor || isFollower || isPosted && posted == nil
}

// compile reads the rules that have somebody to tell.
func (e *Engine) compile() {
	e.rules = nil
	for r := range store.EventRules.All(e.Store.View(), "") {
		if !r.Enabled() || len(r.Targets) == 0 {
			continue
		}
		c := &compiled{name: r.Name}
		if r.Pattern != "" {
			var err error
			if c.pattern, err = pattern.Parse(r.Pattern); err != nil { // it was checked when it was put
				e.Log.Error("a rule's pattern cannot be read", "rule", r.Name, "error", err)
				continue
			}
		}
		e.rules = append(e.rules, c)
	}
}

// tell records a happening for the rules that look for it, and a task's end for the history.
func (e *Engine) tell(at record.Position, h Happening) {
	now := e.Now()
	if h.At.IsZero() {
		h.At = now
	}
	if h.Ended != nil {
		e.remember(at, now, h.Ended)
	}
	rules, event, err := e.ask(at, h)
	if err != nil {
		e.Log.Error("an event cannot be made", "type", h.Type, "resources", h.Resources, "error", err)
		return
	}
	if len(rules) > 0 {
		e.record.Append(record.Entry{Position: at, At: now, Keys: rules, Body: event})
	}
}

// ask finds the rules that look for a happening. The event is made if any may.
func (e *Engine) ask(at record.Position, h Happening) (rules []string, event []byte, err error) {
	if len(e.rules) == 0 {
		return nil, nil, nil
	}
	top := map[string]string{"source": h.Source, "detail-type": h.Type}
	var decoded any
	for _, r := range e.rules {
		switch {
		case h.Rule != "":
			if r.name != h.Rule {
				continue
			}
		case r.pattern == nil || !r.pattern.Wants(top):
			continue
		}
		if event == nil {
			if h.ID == "" {
				h.ID = idOf(e.Seed, store.Revision(at.Revision), at.N)
			}
			if event, err = encode(e.Place, h); err != nil {
				return nil, nil, err
			}
			if decoded, err = pattern.Decode(event); err != nil {
				return nil, nil, err
			}
		}
		if h.Rule != "" || r.pattern.Match(decoded) {
			rules = append(rules, r.name)
		}
	}
	return rules, event, nil
}

// settle writes what was told up to a revision, and tries until it has.
func (e *Engine) settle(ctx context.Context, upTo store.Revision) error {
	for wait := firstRetry; ; wait = min(2*wait, mostSettleRetry) {
		err := errors.Join(e.history.Flush(), e.record.Flush())
		if err == nil {
			break
		}
		e.Log.Error("recording events failed, and will be repeated", "error", err)
		if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
	e.done = upTo
	if len(e.posted) == 0 && (!e.changed || e.Now().Sub(e.markAt) < markEvery) {
		return nil
	}
	return e.mark(ctx)
}

// mostSettleRetry bounds how long the record waits for a disk that is full.
const mostSettleRetry = 10 * time.Second

// mark writes down how far everything has been told, and lets go of posted events that have been recorded. A failure of
// the store is no failure of ours: what was told stays told, and the next mark says so.
func (e *Engine) mark(ctx context.Context) error {
	// After a power cut what came since the last mark is told again, to the same places: until then nothing needs the disk.
	if err := errors.Join(e.history.Sync(), e.record.Sync()); err != nil {
		e.Log.Error("recording events failed, and will be repeated", "error", err)
		return nil
	}
	_, err := e.Store.Update(ctx, func(tx *store.Tx) error {
		for _, id := range e.posted {
			store.PostedEvents.Delete(tx, id)
		}
		store.Followers.Put(tx, &store.Follower{Name: followerName, Done: e.done})
		return nil
	})
	if errors.Is(err, store.ErrClosed) || ctx.Err() != nil {
		return err
	}
	e.markAt = e.Now()
	if err != nil {
		e.Log.Warn("writing down how far events were told failed, and will be repeated", "error", err)
		return nil
	}
	e.marked, e.posted, e.changed = e.done, nil, false
	return nil
}

// part marks what was told when gantry stops, so that little has to be read again.
func (e *Engine) part() {
	if e.done == e.marked && len(e.posted) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), partingTime)
	defer cancel()
	if err := e.mark(ctx); err != nil {
		e.Log.Debug("how far events were told is not written down", "error", err)
	}
}
