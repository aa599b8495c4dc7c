package store

import "context"

// An update waits for the committer. Its function only ever runs on the
// goroutine that called Update.
type update struct {
	tx *Tx
	// err is what the function last returned. An update that aborted on state that
	// is not durable yet waits for that state like any other.
	err error

	again  chan state    // committer: run on this state, it has changed
	ran    chan attempt  // caller: it has run
	result chan outcome  // committer: done with
	gone   chan struct{} // closed when the caller has left
}

type attempt struct {
	tx  *Tx
	err error
}

type outcome struct {
	revision Revision
	err      error
	// unsure: nothing was written, so that nobody asked whether another server had
	// changed what the function saw.
	unsure bool
}

// Update runs f on the newest state and commits what it wrote, as the package
// comment says. It returns the revision at which the writes are visible. If f
// returns an error, nothing is written and the error comes back as it is.
//
// f may run several times, always on the calling goroutine and never at once. If
// ctx ends, Update returns its error; the writes are made or not, then.
func (s *Store) Update(ctx context.Context, f func(*Tx) error) (Revision, error) {
	for {
		o := s.update(ctx, f)
		if !o.unsure || s.backend.alone() {
			return o.revision, o.err
		}
	}
}

// update is one try of Update.
func (s *Store) update(ctx context.Context, f func(*Tx) error) outcome {
	base, max := s.View(), s.backend.limits()
	tx, err := run(base, max, f)
	for err != nil || len(tx.writes) == 0 {
		// It decided to write nothing: that needs no commit, but must not rest on
		// something that another server has changed before we were called.
		if err := ctx.Err(); err != nil {
			return outcome{err: err}
		}
		fresh, unsure := s.Fresh(ctx)
		if unsure != nil {
			return outcome{err: unsure}
		}
		if fresh == base || s.backend.alone() || tx.holds(fresh) {
			if err != nil {
				return outcome{err: err}
			}
			return outcome{revision: base.revision}
		}
		base = fresh
		tx, err = run(base, max, f)
	}
	if err := s.admit(tx); err != nil {
		s.relieve(err)
		return outcome{err: err}
	}
	u := &update{
		tx:     tx,
		again:  make(chan state),
		ran:    make(chan attempt, 1),
		result: make(chan outcome, 1),
		gone:   make(chan struct{}),
	}
	defer close(u.gone)
	queue := s.queue
	for {
		select {
		case queue <- u:
			queue = nil
		case now := <-u.again:
			tx, err := run(now, max, f)
			u.ran <- attempt{tx, err}
		case r := <-u.result:
			return r
		case <-ctx.Done():
			return outcome{err: ctx.Err()}
		case <-s.ctx.Done():
			return outcome{err: context.Cause(s.ctx)}
		}
	}
}

// left reports whether the caller no longer waits.
func (u *update) left() bool {
	select {
	case <-u.gone:
		return true
	default:
		return false
	}
}

// rerun has the caller run its function on the state now. It reports false if the
// caller has left.
func (u *update) rerun(now state) bool {
	select {
	case u.again <- now:
	case <-u.gone:
		return false
	}
	select {
	case a := <-u.ran:
		u.tx, u.err = a.tx, a.err
		return true
	case <-u.gone:
		return false
	}
}
