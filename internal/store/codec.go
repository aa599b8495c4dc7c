package store

import (
	"encoding/json"
	"fmt"
)

// format is the first byte of every record: what the rest is. A gantry that
// finds a higher one refuses to open the store. Formats so far:
//
//	1: the record's JSON
const format = 1

// Limits of one transaction and of one update.
const (
	// maxWrites and maxBytes bound one update: a thousand tasks with what belongs
	// to them, several times over, and small enough that the others do not wait
	// for long.
	maxWrites = 8_000
	maxBytes  = 16 << 20
	// batchWrites and batchBytes bound what the committer puts into one
	// transaction of several updates: beyond that a transaction takes longer, and
	// is no cheaper for each.
	batchWrites = 512
	batchBytes  = 1 << 20
	// perWrite is about what a write costs beyond its key and value, in bytes.
	perWrite = 32
)

func encode(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return append(append(make([]byte, 0, len(b)+1), format), b...), nil
}

func (s *schema) read(b []byte) (any, error) {
	if len(b) == 0 {
		return nil, fmt.Errorf("the record is empty")
	}
	if b[0] > format {
		return nil, fmt.Errorf("its format is %d, the highest known is %d: %w", b[0], format, ErrNewer)
	}
	if b[0] < 1 {
		return nil, fmt.Errorf("its format is %d: it is not a record of gantry's", b[0])
	}
	return s.decode(b[1:])
}
