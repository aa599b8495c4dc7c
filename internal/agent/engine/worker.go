package engine

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"gantry"
)

// A worker carries one task on. All of its state but the view belongs to the goroutine of run; whoever else has
// something to say puts a note in the mail.
type worker struct {
	e   *Engine
	def *Definition
	key string // of its records in the journal
	// needs is what the task takes of the machine.
	needs needs
	mail  *mailbox
	done  chan struct{}        // closed when run has returned
	seen  atomic.Pointer[Task] // the task as readers see it; never changed once stored

	task  *Task
	gone  bool           // it was forgotten: run ends
	steps sync.WaitGroup // steps and waits under way
	pulls map[string]context.CancelFunc
	saved []chan error // to be told when the task is next on disk
	dirty bool         // the task has changed since save
	news  news
}

func newWorker(e *Engine, def *Definition, task *Task, key string) *worker {
	w := &worker{e: e, def: def, key: key, needs: needsOf(def), mail: newMailbox(), done: make(chan struct{}), task: task, dirty: true, pulls: map[string]context.CancelFunc{}}
	w.seen.Store(task.clone())
	return w
}

func (w *worker) view() View { return View{Def: w.def, Task: w.seen.Load()} }

// stop asks for the task to be stopped; the function it returns waits until that is on disk.
func (w *worker) stop(ctx context.Context) (wait func() error) {
	saved := make(chan error, 1)
	w.mail.put(func() {
		w.task.Desired = gantry.Stopped
		w.saved = append(w.saved, saved)
	})
	return func() error {
		select {
		case err := <-saved:
			return err
		case <-w.done:
			return nil // it was forgotten meanwhile, or the agent ends and takes it up again
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// run looks at the task whenever something has happened or is due, until ctx ends or the task is forgotten.
func (w *worker) run(ctx context.Context) {
	defer close(w.done)
	defer w.steps.Wait()
	w.resume(ctx)
	for !w.gone {
		for _, note := range w.mail.take() {
			note()
			w.dirty = true
		}
		wake := w.look(ctx)
		if w.gone {
			break
		}
		if !w.rest(ctx, wake) {
			return
		}
	}
}

// rest returns when there is mail or it is time to wake; false once ctx has ended.
func (w *worker) rest(ctx context.Context, wake time.Time) bool {
	var due <-chan time.Time
	if !wake.IsZero() {
		timer := time.NewTimer(time.Until(wake))
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-w.mail.wake:
	case <-due:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

// look decides what is next, writes down what is about to be done, and begins it. It says when to look again.
func (w *worker) look(ctx context.Context) (wake time.Time) {
	for {
		w.task.noteRunning(time.Now(), w.def)
		plan := MakePlan(time.Now(), w.e.cfg.Rules, w.def, w.task)
		risky := slices.ContainsFunc(plan.Steps, Step.risky)
		before := w.task
		if risky {
			before = w.task.clone()
		}
		if plan.Stop {
			w.task.Desired, w.dirty = gantry.Stopped, true
		}
		var begin []func(context.Context)
		changed := false
		for _, s := range plan.Steps {
			do, now := w.intend(s)
			changed = changed || now
			w.dirty = w.dirty || now || !s.unrecorded()
			if do != nil {
				begin = append(begin, do)
			}
		}
		if err := w.save(risky); err != nil {
			w.e.log.Error("what a task is about to do could not be recorded; trying again", "task", w.def.ARN, "err", err)
			w.task = before
			return time.Now().Add(time.Second)
		}
		for _, do := range begin {
			w.steps.Go(func() { do(ctx) })
		}
		if !changed && !plan.Stop {
			return earliest(plan.Wake, w.tell(ctx))
		}
	}
}

// risky reports whether a step must be on disk before it is done: an exit is known nowhere else once its container is
// removed, and of a container that starts again the runtime does not tell how often. A first launch is not risky: the
// name that the container will have is on disk since the task was accepted.
func (s Step) risky() bool { return s.Kind == Restart || s.Kind == Finish }

// unrecorded reports whether a step that is under way leaves no trace in the journal: only what it comes to does.
func (s Step) unrecorded() bool { return s.Kind == Pull || s.Kind == Prepare || s.Kind == Probe }

// save makes the task's state visible, if it has changed, and has it written to disk, soon. It waits for the disk only
// where it must: for a risky step, and because what a payload asks for is acknowledged when it returns.
// Everything else the runtime can tell again after a crash.
func (w *worker) save(risky bool) error {
	if !w.dirty && !risky && len(w.saved) == 0 {
		return nil
	}
	before, now := w.seen.Load(), w.task.clone()
	w.seen.Store(now)
	w.dirty = false
	w.e.changes.tell()
	if healthChanged(before, now) {
		w.e.healthChanges.tell()
	}
	e := &entry{recordID: recordID{bucketTasks, w.key}, value: now}
	if !risky && len(w.saved) == 0 {
		w.e.journal.later(e)
		return nil
	}
	err := w.e.journal.put(e)
	w.dirty = err != nil
	w.tellSaved(err)
	if !risky {
		return nil
	}
	return err
}

// healthChanged reports whether a container's health is another, or is watched no more or only now.
func healthChanged(before, now *Task) bool {
	return !slices.EqualFunc(before.Containers, now.Containers, func(a, b Container) bool {
		return a.Phase == b.Phase && a.Health.Status == b.Health.Status || a.Health.Status == "" && b.Health.Status == ""
	})
}

func (w *worker) tellSaved(err error) {
	for _, ch := range w.saved {
		ch <- err
	}
	w.saved = nil
}

// earliest is the first of several times, of which the zero time is none.
func earliest(times ...time.Time) (first time.Time) {
	for _, t := range times {
		if !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	return first
}
