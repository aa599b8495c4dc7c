package store

import "fmt"

const (
	// maxWrites and maxBytes bound one update: a thousand tasks with what belongs
	// to them, several times over, and small enough that the others do not wait
	// for long.
	maxWrites = 8_000
	maxBytes  = 16 << 20
	// batchWrites and batchBytes bound what the committer puts into one
	// transaction of several updates. Up to here every further row is cheaper, for
	// those too who are woken by the commit; it is on disk within some 20 ms.
	batchWrites = 1024
	batchBytes  = 1 << 20
	// perWrite is about what a write costs beyond its key and value, in bytes.
	perWrite = 32
)

// limits are those of one update and of one transaction of several, in rows and bytes.
type limits struct {
	writes, bytes           int
	batchWrites, batchBytes int
}

// newLimits are the limits where the backend takes so much in one transaction.
func newLimits(ops, bytes int) limits {
	l := limits{writes: min(maxWrites, ops-1), bytes: min(maxBytes, bytes*3/4)}
	l.batchWrites, l.batchBytes = min(batchWrites, l.writes), min(batchBytes, l.bytes)
	return l
}

// check refuses an update that could never be committed.
func (l limits) check(tx *Tx) error {
	if len(tx.writes) > l.writes || tx.bytes > l.bytes {
		return fmt.Errorf("%w: it has %d rows and %d bytes, of at most %d and %d",
			ErrTooLarge, len(tx.writes), tx.bytes, l.writes, l.bytes)
	}
	return nil
}

// MostRows is how many rows one update may write.
func (s *Store) MostRows() int { return s.backend.limits().writes }
