package events

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"time"

	"gantry"
	"gantry/internal/events/record"
	"gantry/internal/loop"
	"gantry/internal/store"
	"gantry/internal/wire/ecsapi"
	"gantry/internal/wire/logsapi"

	"golang.org/x/sync/errgroup"
)

// How much is kept, and for how long.
var (
	// recordLimits are for events on their way to targets. A target that is down for longer than the age, or that has
	// more than the total before it, loses the oldest: no retry policy lasts longer than a day.
	recordLimits = record.Limits{Segment: 4 << 20, Total: 128 << 20, Age: 25 * time.Hour}
	// historyLimits are for stopped tasks: at two to three kilobytes each, more than a hundred thousand.
	historyLimits = record.Limits{Segment: 8 << 20, Total: 256 << 20, Age: DefaultHistory}
)

// DefaultHistory is for how long stopped tasks stay readable.
const DefaultHistory = 7 * 24 * time.Hour

// Config is what an Engine needs of the world.
type Config struct {
	Store *store.Store
	Place gantry.Place
	// Dir is the folder of the record and the history.
	Dir string
	// Seed makes the ids of events this gantry's own.
	Seed string
	Show Shower
	// History is for how long stopped tasks stay readable; DefaultHistory where 0.
	History time.Duration

	// What the targets are reached by.
	CreateLogStream func(context.Context, *logsapi.CreateLogStreamInput) (*logsapi.CreateLogStreamOutput, error)
	PutLogEvents    func(context.Context, *logsapi.PutLogEventsInput) (*logsapi.PutLogEventsOutput, error)
	RunTask         func(context.Context, *ecsapi.RunTaskInput) (*ecsapi.RunTaskOutput, error)
	StopTask        func(context.Context, *ecsapi.StopTaskInput) (*ecsapi.StopTaskOutput, error)
	HTTP            *http.Client // http.DefaultClient where nil

	// RecordOnly has what happens recorded, and nothing delivered and no schedule fired.
	RecordOnly bool

	Now func() time.Time // time.Now where nil
	Log *slog.Logger     // nil where nobody is to be told
}

// An Engine makes events and delivers them. Open makes one.
type Engine struct {
	Config
	record  *record.Record
	history *record.Record
	teller  Teller
	follower
	deliveries
}

// Open opens the record and the history, making them if need be. Nothing runs yet.
func Open(c Config) (*Engine, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.HTTP == nil {
		c.HTTP = http.DefaultClient
	}
	limits := historyLimits
	if c.History > 0 {
		limits.Age = c.History
	}
	e := &Engine{Config: c, teller: Teller{Place: c.Place, Show: c.Show}}
	var err error
	if e.record, err = record.Open(filepath.Join(c.Dir, "record"), recordLimits); err != nil {
		return nil, fmt.Errorf("open the record of events: %w", err)
	}
	if e.history, err = record.Open(filepath.Join(c.Dir, "history"), limits); err != nil {
		return nil, errors.Join(fmt.Errorf("open the history of tasks: %w", err), e.record.Close())
	}
	e.pace, e.moved = map[string]time.Time{}, make(chan struct{}, 1)
	e.deliveries.begin()
	return e, nil
}

// Close closes the files, after Run has returned.
func (e *Engine) Close() error { return errors.Join(e.record.Close(), e.history.Close()) }

// Run tells, delivers and fires until ctx ends, and then returns its error. Of several servers each records what happens,
// and one delivers: another one that takes over goes on where the cursors in the store say.
func (e *Engine) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return e.follow(ctx) })
	g.Go(func() error { return e.tend(ctx) })
	if e.RecordOnly {
		return g.Wait()
	}
	g.Go(func() error {
		if err := e.Store.Lead(ctx, "deliveries", e.term); err != nil {
			return fmt.Errorf("lead the deliveries: %w", err)
		}
		return ctx.Err()
	})
	g.Go(func() error {
		return loop.Loop{Name: "schedules", Wakes: e.wakes, Reconcile: e.fire, Workers: 2, Leader: e.Store, Log: e.Log}.Run(ctx)
	})
	return g.Wait()
}

// term delivers while this server leads.
func (e *Engine) term(ctx context.Context) error {
	e.deliveries.begin()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return e.deliver(ctx) })
	g.Go(func() error { return e.keepCursors(ctx) })
	err := g.Wait()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), partingTime)
	defer cancel()
	e.writeCursors(last)
	return err
}

// tendEvery is how often the record and the history are looked through for what is too old or too much.
const tendEvery = time.Minute

func (e *Engine) tend(ctx context.Context) error {
	for {
		for _, r := range []*record.Record{e.record, e.history} {
			if err := r.Trim(e.Now()); err != nil {
				e.Log.Warn("removing old events failed, and will be repeated", "error", err)
			}
		}
		if err := sleep(ctx, tendEvery); err != nil {
			return err
		}
	}
}

// sleep waits, unless ctx ends first.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
