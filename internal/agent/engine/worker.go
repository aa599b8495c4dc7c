package engine

import (
	"bytes"
	"context"
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
	last  []byte       // what was last queued for the disk
	news  news
}

func newWorker(e *Engine, def *Definition, task *Task) *worker {
	w := &worker{e: e, def: def, needs: needsOf(def), mail: newMailbox(), done: make(chan struct{}), task: task, pulls: map[string]context.CancelFunc{}}
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
		before := w.task.clone()
		plan := MakePlan(time.Now(), w.e.cfg.Rules, w.def, w.task)
		if plan.Stop {
			w.task.Desired = gantry.Stopped
		}
		var begin []func(context.Context)
		risky, changed := false, false
		for _, s := range plan.Steps {
			do, now := w.intend(s)
			changed = changed || now
			risky = risky || s.Kind == Launch || s.Kind == Restart || s.Kind == Finish
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

// save makes the task's state visible and has it written to disk, soon. It waits for the disk only where it must: a container
// that may run without a record would be lost or doubled, an exit is known nowhere else once its container is removed,
// and what a payload asks for is acknowledged when it returns.
// Everything else the runtime can tell again after a crash.
func (w *worker) save(risky bool) error {
	entry, err := record(bucketTasks, w.def.ARN, w.task)
	if err != nil {
		return err
	}
	if bytes.Equal(entry.value, w.last) && !risky && len(w.saved) == 0 {
		return nil
	}
	w.seen.Store(w.task.clone())
	w.e.mu.Lock()
	w.e.announce()
	w.e.mu.Unlock()
	w.last = entry.value
	if !risky && len(w.saved) == 0 {
		w.e.journal.later(entry)
		return nil
	}
	err = w.e.journal.put(entry)
	if err != nil {
		w.last = nil
	}
	w.tellSaved(err)
	if !risky {
		return nil
	}
	return err
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
