package store

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// How the store is kept small.
const (
	// keepEvery is how often that is looked after.
	keepEvery = time.Minute
	// relieveEvery is how often it is at most while space is short.
	relieveEvery = 5 * time.Second
	// historyKept is for how long history is kept that no follower has asked for:
	// long enough for a server to go away and come back without reading everything anew.
	historyKept = 10 * time.Minute

	// Of a hundred parts of the quota: from sparingAt on, no history is kept but the
	// followers', and space that is free inside the database is given back; from
	// fullAt on nothing new is taken, so that there is room left to delete in, and
	// followers are no longer waited for.
	sparingAt, fullAt = 80, 90
	// looseAt is what part of the database may at most be in use, of a hundred, for
	// it to be worth rewriting.
	looseAt = 70
)

// keeper is the goroutine that looks after history and space.
func (s *Store) keeper() {
	timer := time.NewTimer(keepEvery)
	defer timer.Stop()
	var old []mark
	for {
		select {
		case <-timer.C:
		case <-s.tight:
		case <-s.ctx.Done():
			return
		}
		timer.Reset(keepEvery)
		now := time.Now()
		old = append(old, mark{now, s.View().revision})
		var upTo Revision
		for len(old) > 0 && now.Sub(old[0].at) >= historyKept {
			upTo, old = old[0].revision, old[1:]
		}
		if err := s.tend(s.ctx, upTo); err != nil && s.ctx.Err() == nil {
			s.log.Warn("keeping the store small failed, and will be repeated", "error", err)
		}
	}
}

// A mark is a revision that the store had at some time.
type mark struct {
	at       time.Time
	revision Revision
}

// Reclaim forgets all history that no follower needs, gives unused space back to
// the disk, and lets the store take updates again if it was full and there is room
// now. The store does all that by itself every minute, and at once when it runs
// full; call it after deleting much, and again if that was not enough, for pages that
// are being read are not free yet. It may stop updates for about a second per gigabyte.
func (s *Store) Reclaim(ctx context.Context) error { return s.tend(ctx, s.View().revision) }

// tend compacts history up to a revision, or as far as the space demands and the
// followers allow, and then sees to the space itself.
func (s *Store) tend(ctx context.Context, upTo Revision) error {
	space, limited := s.backend.space()
	if limited && space.above(sparingAt) {
		upTo = s.View().revision
	}
	if needed := s.needed(); upTo > needed {
		if limited && space.above(fullAt) {
			s.log.Warn("the store is full: changes are forgotten that a follower has not seen yet", "follower at", needed)
		} else {
			upTo = needed
		}
	}
	if upTo > s.compacted.Load() {
		if err := s.Compact(ctx, upTo); err != nil {
			return err
		}
	}
	if !limited {
		return nil
	}
	if err := s.backend.shrink(ctx); err != nil {
		return fmt.Errorf("give unused space back: %w", err)
	}
	return nil
}

// needed is the newest revision that no follower needs any more.
func (s *Store) needed() Revision {
	now := s.View()
	least := now.revision
	if _, has := now.layout.place[Followers.schema]; has {
		for f := range Followers.All(now, "") {
			least = min(least, f.Done)
		}
	}
	return least
}

// Compact forgets the history up to and including a revision, also for followers
// that still need it; the store itself compacts what they have let go. What
// Changes has at hand, and all rows, stay.
func (s *Store) Compact(ctx context.Context, upTo Revision) error {
	if err := s.backend.compact(ctx, upTo); err != nil {
		return fmt.Errorf("compact the store to revision %d: %w", upTo, err)
	}
	s.compacted.Store(upTo)
	return nil
}

// admit refuses what adds rows while the store is full.
func (s *Store) admit(tx *Tx) error {
	if space, limited := s.backend.space(); !limited || !space.above(fullAt) {
		return nil
	}
	for _, w := range tx.writes {
		if w.row != nil && tx.base.get(w.schema, w.key) == nil {
			return fmt.Errorf("put %s %s: %w", w.schema.name, w.key, ErrNoSpace)
		}
	}
	return nil
}

// relieve has the keeper come, soon if the store is running full.
func (s *Store) relieve(err error) {
	if space, limited := s.backend.space(); !errors.Is(err, ErrNoSpace) && (!limited || !space.above(sparingAt)) {
		return
	}
	if last := s.relieved.Load(); time.Now().UnixNano()-last < int64(relieveEvery) {
		return
	}
	s.relieved.Store(time.Now().UnixNano())
	select {
	case s.tight <- struct{}{}:
	default: // it comes already
	}
}

// space is a database's size in bytes: the file, what of it is in use, what it may be.
type space struct{ size, inUse, quota int64 }

func (s space) above(percent int64) bool { return s.size > s.quota/100*percent }
func (s space) loose() bool              { return s.inUse < s.size/100*looseAt }
