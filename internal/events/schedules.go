package events

import (
	"context"
	"fmt"
	"iter"
	"time"

	"gantry"
	"gantry/internal/events/schedule"
	"gantry/internal/store"
	"gantry/internal/wire"
)

const (
	// longestNap is how long a schedule waits at most before it looks at the clock again, which may have been set.
	longestNap = time.Minute
	// missedTag is the tag of a rule by which the runs that were missed are not made up for: gantry:missed=skip.
	missedTag, missedSkip = "gantry:missed", "skip"
	// lateAfter is how late a run may come before it counts as missed.
	lateAfter = time.Minute
)

// wakes yields the rules whose schedules are to be looked at.
func (e *Engine) wakes(ctx context.Context) iter.Seq[string] {
	return e.Store.Wakes(ctx, func(c store.Change) []string {
		if _, r, ok := store.EventRules.Of(c); ok && r != nil && r.Schedule != "" {
			return []string{c.Key}
		}
		return nil
	})
}

// fire fires a rule's schedule if it is due, and says when to look again.
func (e *Engine) fire(ctx context.Context, name string) (again time.Duration, err error) {
	r, ok := store.EventRules.Get(e.Store.View(), name)
	if !ok || r.Schedule == "" || !r.Enabled() {
		return 0, nil
	}
	s, err := schedule.Parse(r.Schedule)
	if err != nil { // it was checked when it was put
		return 0, fmt.Errorf("the schedule of rule %s: %w", name, err)
	}
	now := e.Now().UTC()
	look := func(from store.Reader) (due, next time.Time) {
		f, _ := store.EventFirings.Get(from, name)
		return Due(s, r, wire.Value(f).At, now)
	}
	due, next := look(e.Store.View())
	if !due.IsZero() {
		_, err = e.Store.Update(ctx, func(tx *store.Tx) error {
			current, ok := store.EventRules.Get(tx, name)
			if !ok || current.Schedule != r.Schedule || !current.Anchor.Equal(r.Anchor) || !current.Enabled() {
				return nil // it has changed, which wakes
			}
			if due, _ := look(tx); !due.IsZero() {
				store.EventFirings.Put(tx, &gantry.EventFiring{Rule: name, At: due})
			}
			return nil
		})
		if err != nil {
			return 0, fmt.Errorf("fire rule %s: %w", name, err)
		}
	}
	if next.IsZero() {
		return 0, nil // never again
	}
	return min(longestNap, max(next.Sub(now), time.Millisecond)), nil
}

// Due says which run of a rule's schedule is due, and when the next one is; zero where there is none. Last is the run that
// came last, zero if none has. Of several that were missed, while gantry was down, the latest is made up for, once; none
// where the rule's tag says so.
func Due(s schedule.Schedule, r *gantry.EventRule, last, now time.Time) (due, next time.Time) {
	from := r.Anchor
	if last.After(from) && !last.After(now.Add(time.Hour)) { // a clock that was far ahead does not count
		from = last
	}
	due, ok := s.Next(r.Anchor, from)
	if !ok {
		return time.Time{}, time.Time{}
	}
	if due.After(now) {
		return time.Time{}, due
	}
	due = latestBy(s, r.Anchor, due, now)
	next, _ = s.Next(r.Anchor, now)
	if now.Sub(due) > lateAfter && skipsMissed(r) {
		return time.Time{}, next
	}
	return due, next
}

func skipsMissed(r *gantry.EventRule) bool {
	for _, t := range r.Tags {
		if *t.Key == missedTag && *t.Value == missedSkip {
			return true
		}
	}
	return false
}

// latestBy is the last time up to now at which a schedule fires, which it does at first. It looks at a short while before
// now, and then at longer ones: a schedule of every minute that was missed for a year is not counted through.
func latestBy(s schedule.Schedule, anchor, first, now time.Time) time.Time {
	for _, before := range []time.Duration{time.Hour, 24 * time.Hour, 32 * 24 * time.Hour, 366 * 24 * time.Hour} {
		from := now.Add(-before)
		if !from.After(first) {
			break
		}
		if at, ok := s.Next(anchor, from); ok && !at.After(now) {
			first = at
			break
		}
	}
	for {
		next, ok := s.Next(anchor, first)
		if !ok || next.After(now) {
			return first
		}
		first = next
	}
}
