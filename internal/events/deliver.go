package events

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"gantry"
	"gantry/internal/events/record"
	"gantry/internal/store"
	"gantry/internal/wire"
	"gantry/internal/wire/eventsapi"
)

// What a target's retry policy is where the user gives none, and how the tries are spaced. The defaults are AWS's.
const (
	defaultAttempts = 185
	defaultAge      = 24 * time.Hour
	firstRetry      = 200 * time.Millisecond
	mostRetry       = 10 * time.Minute
	// attemptTime bounds one try.
	attemptTime = 30 * time.Second
)

// A message is an event for one target.
type message struct {
	record.Entry
	id    string // the event's
	time  time.Time
	input []byte // what the target is given
}

// A refused delivery is not tried again: the target will not take it later either.
type refused struct{ reason string }

func (r refused) Error() string { return r.reason }

// deliveries are the deliverers that are at work.
type deliveries struct {
	mu sync.Mutex
	at map[string]*deliverer // by cursor key
	// pace is when a destination may be called next, by its name.
	pace map[string]time.Time
	// dirty are cursors that have moved, and moved says so.
	dirty map[string]gantry.EventCursor
	moved chan struct{}
}

// begin forgets what was at work before: another server may have delivered since.
func (d *deliveries) begin() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.at, d.dirty = map[string]*deliverer{}, map[string]gantry.EventCursor{}
}

// A deliverer hands events to one target, one after the other.
type deliverer struct {
	e            *Engine
	rule, target string
	stop         context.CancelFunc
	done         chan struct{}

	mu sync.Mutex
	s  TargetStatus
}

// A TargetStatus is how a target is doing.
type TargetStatus struct {
	Rule      string `json:"rule"`
	Target    string `json:"target"`
	ARN       string `json:"arn"`
	Delivered int64  `json:"delivered"` // since gantry was started
	// GivenUp are events that were not delivered and will not be.
	GivenUp int64 `json:"givenUp"`
	// Overrun is when events were last found removed that it had not been given yet.
	Overrun time.Time `json:"overrun,omitzero"`
	// Retries is how often the event under way has been tried in vain, and Since since when it is tried.
	Retries   int       `json:"retries,omitzero"`
	Since     time.Time `json:"since,omitzero"`
	LastError string    `json:"lastError,omitzero"`
}

// deliver keeps a deliverer at work for each target until ctx ends.
func (e *Engine) deliver(ctx context.Context) error {
	defer e.stopAll()
	wakes := e.Store.Wakes(ctx, func(c store.Change) []string {
		if _, _, ok := store.EventRules.Of(c); ok {
			return []string{c.Key}
		}
		return nil
	})
	for name := range wakes {
		rule, _ := store.EventRules.Get(e.Store.View(), name)
		e.staff(ctx, name, rule)
	}
	return cmp.Or(ctx.Err(), errors.New("deliver events: the store has ended"))
}

// staff starts and stops the deliverers of a rule, nil where it is gone.
func (e *Engine) staff(ctx context.Context, name string, rule *gantry.EventRule) {
	e.deliveries.mu.Lock()
	var leaving []*deliverer
	for key, d := range e.at {
		if d.rule == name && (rule == nil || rule.Target(d.target) == nil) {
			leaving = append(leaving, d)
			delete(e.at, key)
		}
	}
	e.deliveries.mu.Unlock()
	for _, d := range leaving {
		d.stop()
		<-d.done // one that comes again with this id must not meet the old one
	}
	if rule == nil {
		return
	}
	e.deliveries.mu.Lock()
	defer e.deliveries.mu.Unlock()
	for i := range rule.Targets {
		id := *rule.Targets[i].Id
		key := name + "/" + id
		if e.at[key] != nil {
			continue
		}
		d := &deliverer{e: e, rule: name, target: id, done: make(chan struct{}), s: TargetStatus{Rule: name, Target: id}}
		var life context.Context
		life, d.stop = context.WithCancel(ctx)
		e.at[key] = d
		go d.run(life)
	}
}

// stopAll stops the deliverers and waits for them: one that has just delivered notes how far it is.
func (e *Engine) stopAll() {
	e.deliveries.mu.Lock()
	all := slices.Collect(maps.Values(e.at))
	e.deliveries.mu.Unlock()
	for _, d := range all {
		d.stop()
	}
	for _, d := range all {
		<-d.done
	}
}

// Status says how the targets are doing.
func (e *Engine) Status() []TargetStatus {
	e.deliveries.mu.Lock()
	defer e.deliveries.mu.Unlock()
	out := []TargetStatus{}
	for _, d := range e.at {
		d.mu.Lock()
		s := d.s
		d.mu.Unlock()
		if _, t := d.config(); t != nil {
			s.ARN = *t.Arn
		}
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b TargetStatus) int { return strings.Compare(a.Rule+"/"+a.Target, b.Rule+"/"+b.Target) })
	return out
}

// config is the target as it is now; nil if it is gone.
func (d *deliverer) config() (*gantry.EventRule, *eventsapi.Target) {
	r, ok := store.EventRules.Get(d.e.Store.View(), d.rule)
	if !ok {
		return nil, nil
	}
	return r, r.Target(d.target)
}

// run delivers what comes after the target's cursor, until ctx ends.
func (d *deliverer) run(ctx context.Context) {
	defer close(d.done)
	after := d.e.record.Last() // of a target whose cursor is lost
	if c, ok := store.EventCursors.Get(d.e.Store.View(), d.rule+"/"+d.target); ok {
		after = record.Position{Revision: c.Revision, N: c.N}
	}
	f := d.e.record.Follow(after)
	defer f.Close()
	for wait := firstRetry; ; {
		batch, last, err := d.gather(ctx, f)
		if ctx.Err() != nil {
			return
		}
		if f.Missed() {
			d.missed()
		}
		if err != nil {
			d.e.Log.Error("reading the record of events failed, and will be repeated", "rule", d.rule, "target", d.target, "error", err)
			if sleep(ctx, wait) != nil {
				return
			}
			wait = min(2*wait, mostRetry)
			continue
		}
		wait = firstRetry
		for len(batch) > 0 {
			n := d.hand(ctx, batch)
			if ctx.Err() != nil {
				return
			}
			batch = batch[n:]
		}
		d.e.moveCursor(d.rule, d.target, last)
	}
}

// mostGathered bounds how many events go to a target at once that takes several.
const mostGathered = 100

// gather waits for events of the rule. Last is up to where it has read.
func (d *deliverer) gather(ctx context.Context, f *record.Follower) (batch []message, last record.Position, err error) {
	for len(batch) == 0 {
		entry, err := f.Next(ctx)
		if err != nil {
			return nil, last, err
		}
		for ok := true; ok; {
			last = entry.Position
			if slices.Contains(entry.Keys, d.rule) {
				batch = append(batch, message{Entry: entry})
			}
			if len(batch) == mostGathered {
				break
			}
			if entry, ok, err = f.Try(); err != nil {
				return batch, last, nil // the next call finds it again
			}
		}
	}
	return batch, last, nil
}

// hand delivers the first events of a batch, or gives the first one up, and says how many that were.
func (d *deliverer) hand(ctx context.Context, batch []message) (n int) {
	for tried := 0; ; {
		rule, target := d.config()
		if target == nil {
			return len(batch) // its deliverer is about to be stopped
		}
		retries, mostAge := policy(target)
		if age := d.e.Now().Sub(batch[0].At); age >= mostAge {
			d.giveUp(batch[0], cmp.Or(d.lastError(), fmt.Errorf("it is %s old, and its target takes events of at most %s", age.Round(time.Second), mostAge)))
			return 1
		}
		done, err := d.attempt(ctx, rule, target, batch)
		if ctx.Err() != nil {
			return 0
		}
		if done > 0 {
			d.delivered(done)
			return done
		}
		tried++
		if _, final := errors.AsType[refused](err); final || tried > retries {
			d.giveUp(batch[0], err)
			return 1
		}
		d.failed(tried, err)
		if sleep(ctx, backOff(tried, rand.Float64())) != nil {
			return 0
		}
	}
}

// policy is how often a target is tried again, and for how long.
func policy(t *eventsapi.Target) (retries int, age time.Duration) {
	retries, age = defaultAttempts, defaultAge
	if p := t.RetryPolicy; p != nil {
		if p.MaximumRetryAttempts != nil {
			retries = int(*p.MaximumRetryAttempts)
		}
		if p.MaximumEventAgeInSeconds != nil {
			age = time.Duration(*p.MaximumEventAgeInSeconds) * time.Second
		}
	}
	return retries, age
}

// backOff is how long to wait after a number of tries in vain: doubling, between half and all of it; random, in [0,1),
// says where.
func backOff(tried int, random float64) time.Duration {
	wait := mostRetry
	if tried < 14 {
		wait = min(firstRetry<<(tried-1), mostRetry)
	}
	return wait/2 + time.Duration(random*float64(wait/2))
}

// attempt tries once to deliver the first events of a batch: all of them to a log group, else one.
func (d *deliverer) attempt(ctx context.Context, rule *gantry.EventRule, target *eventsapi.Target, batch []message) (n int, err error) {
	defer func() {
		if p := recover(); p != nil {
			n, err = 0, refused{fmt.Sprintf("panic: %v", p)}
		}
	}()
	kind := kindOf(*target.Arn)
	if kind != logTarget {
		batch = batch[:1]
	}
	for i := range batch {
		if batch[i].input, err = inputOf(target, rule.Name, d.e.Place, batch[i].Body, batch[i].At); err != nil {
			return 0, refused{err.Error()}
		}
		if batch[i].input == nil {
			batch[i].input = []byte("null")
		}
		var event struct {
			ID   string    `json:"id"`
			Time time.Time `json:"time"`
		}
		if err := json.Unmarshal(batch[i].Body, &event); err != nil {
			return 0, refused{err.Error()}
		}
		batch[i].id, batch[i].time = event.ID, event.Time
	}
	switch kind {
	case logTarget:
		return d.e.sendToLogs(ctx, rule, target, batch)
	case destinationTarget:
		ctx, cancel := context.WithTimeout(ctx, attemptTime)
		defer cancel()
		err = d.e.sendToDestination(ctx, target, batch[0])
	case taskTarget:
		err = d.e.sendToECS(ctx, rule, target, batch[0])
	default:
		err = refused{"gantry has no targets such as " + wire.Shorten(*target.Arn)}
	}
	if err != nil {
		return 0, err
	}
	return 1, nil
}

// missed tells that the target was so far behind that events were removed before they could be delivered.
func (d *deliverer) missed() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.s.Overrun = d.e.Now()
	d.e.Log.Error("events are lost to a target that does not take them: there are too many, or they are too old", "rule", d.rule, "target", d.target,
		"bytes", recordLimits.Total, "age", recordLimits.Age)
}

func (d *deliverer) delivered(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.s.Delivered += int64(n)
	d.s.Retries, d.s.Since, d.s.LastError = 0, time.Time{}, ""
}

// failed notes a try in vain. The first one is told, and then each that has doubled their number.
func (d *deliverer) failed(tried int, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if tried == 1 {
		d.s.Since = d.e.Now()
	}
	d.s.Retries, d.s.LastError = tried, err.Error()
	if tried&(tried-1) == 0 {
		d.e.Log.Warn("a target does not take an event, and is tried again", "rule", d.rule, "target", d.target, "tries", tried, "error", err)
	}
}

// lastError is what the event under way has failed with; nil if it has not been tried.
func (d *deliverer) lastError() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.s.Retries == 0 {
		return nil
	}
	return errors.New(d.s.LastError)
}

func (d *deliverer) giveUp(m message, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.s.GivenUp++
	d.s.Retries, d.s.Since, d.s.LastError = 0, time.Time{}, err.Error()
	d.e.Log.Error("an event is given up: its target has not taken it", "rule", d.rule, "target", d.target, "event", m.id, "recorded", m.At, "error", err)
}
