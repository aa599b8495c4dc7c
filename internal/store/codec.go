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
