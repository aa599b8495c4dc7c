package store

import "errors"

var (
	// ErrClosed: the store has been closed.
	ErrClosed = errors.New("the store is closed")

	// ErrUnknown: the quorum did not answer in time, so that nobody can say
	// whether the update was made. Repeating it with the same names and tokens is
	// safe; assuming either is not.
	ErrUnknown = errors.New("the store did not answer in time, the update may or may not have been made")

	// ErrNoSpace: the store has reached its quota. Nothing was written. Reads go
	// on, and so do updates that add no rows; see [Store.Reclaim].
	ErrNoSpace = errors.New("the store is full: delete what is not needed, or start gantry with a higher store quota")

	// ErrTooLarge: one update writes more than one transaction may.
	ErrTooLarge = errors.New("the update is too large for one transaction")

	// ErrCompacted: the changes asked for are no longer kept. Look at the state
	// afresh, and follow from there.
	ErrCompacted = errors.New("changes that old are no longer kept")

	// ErrAbsent: the row to change is not there.
	ErrAbsent = errors.New("no such row")

	// ErrNewer: the data was written by a newer gantry.
	ErrNewer = errors.New("the data was written by a newer gantry: run that version or a later one, this one would not understand it")
)
