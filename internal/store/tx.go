package store

import (
	"fmt"
	"reflect"
	"unsafe"
)

// A Tx is one run of an update's function. It shows the state that the run
// started from plus the run's own writes, and is of no use afterwards.
type Tx struct {
	base  state
	reads []read
	// writes are in the order of their first mention; at finds one by table and key.
	writes []*write
	at     map[place]*write
	// own are the tables as this run sees them, made when it scans one that it
	// has written to.
	own map[*schema]*tableData
	err error
	// bytes is the size of all writes, once sealed.
	bytes int
}

// state is what a run starts from and is held against: a [Snapshot], or the
// committer's draft.
type state interface {
	Reader
	data(*schema) *tableData
}

// A place is where a row lies.
type place struct {
	schema *schema
	key    string
}

// A write puts a row, or deletes it where row is nil.
type write struct {
	place
	row   *row
	bytes []byte // the row as it goes to disk
}

// A read is what a run relied on: one row or its absence, or the first rows of a span.
type read struct {
	place
	row  *row
	scan *scanned
}

// scanned tells what a scan yielded: count rows whose identities add up to sum.
// ended says that there was nothing more.
type scanned struct {
	span
	count int
	sum   uint64
	ended bool
}

// add folds a row into the sum. The snapshot that was read keeps its rows alive,
// so that no other row has the same address.
func (s *scanned) add(r *row) {
	const prime = 1099511628211 // FNV-1a's
	s.count++
	s.sum = (s.sum ^ uint64(uintptr(unsafe.Pointer(r)))) * prime
}

// run calls an update's function once on the given state, and encodes what it wrote.
func run(base state, l limits, f func(*Tx) error) (*Tx, error) {
	tx := &Tx{base: base}
	if err := f(tx); err != nil {
		return tx, err
	}
	if err := tx.seal(); err != nil {
		return tx, err
	}
	return tx, l.check(tx)
}

func (tx *Tx) get(s *schema, key string) *row {
	at := place{s, key}
	if w, ok := tx.at[at]; ok {
		return w.row
	}
	found := tx.base.get(s, key)
	tx.reads = append(tx.reads, read{place: at, row: found})
	return found
}

func (tx *Tx) scan(s *schema, sp span, yield func(*row) bool) {
	seen := &scanned{span: sp}
	tx.reads = append(tx.reads, read{place: place{schema: s}, scan: seen})
	own := tx.overlay(s)
	if own == nil {
		more := true
		tx.base.scan(s, sp, func(r *row) bool {
			seen.add(r)
			more = yield(r)
			return more
		})
		seen.ended = more
		return
	}
	// What is yielded mixes in own writes; what was relied on is all of the base.
	tx.base.scan(s, sp, func(r *row) bool { seen.add(r); return true })
	seen.ended = true
	own.scan(sp, yield)
}

// overlay is a table with the run's own writes; nil if it wrote nothing there.
func (tx *Tx) overlay(s *schema) *tableData {
	if own := tx.own[s]; own != nil {
		return own.copy() // the loop over it may write
	}
	var own *tableData
	for _, w := range tx.writes {
		if w.schema != s {
			continue
		}
		if own == nil {
			own = tx.base.data(s).copy()
		}
		own.set(w.key, w.row)
	}
	if own == nil {
		return nil
	}
	if tx.own == nil {
		tx.own = map[*schema]*tableData{}
	}
	tx.own[s] = own
	return own.copy()
}

func (tx *Tx) put(s *schema, v any) {
	key := s.key(v)
	if key == "" {
		tx.err = fmt.Errorf("put a %s: it has no key", s.name)
		return
	}
	if old := tx.get(s, key); old != nil && reflect.DeepEqual(old.value, v) {
		return
	}
	tx.write(place{s, key}, &row{key: key, value: v})
}

func (tx *Tx) delete(s *schema, key string) {
	if tx.get(s, key) == nil {
		return
	}
	tx.write(place{s, key}, nil)
}

func (tx *Tx) write(at place, r *row) {
	if w, ok := tx.at[at]; ok {
		w.row = r
	} else {
		w = &write{place: at, row: r}
		tx.writes = append(tx.writes, w)
		if tx.at == nil {
			tx.at = map[place]*write{}
		}
		tx.at[at] = w
	}
	if own := tx.own[at.schema]; own != nil {
		own.set(at.key, r)
	}
}

// seal encodes what was written.
func (tx *Tx) seal() error {
	if tx.err != nil {
		return tx.err
	}
	for _, w := range tx.writes {
		if w.row != nil {
			b, err := encode(w.row.value)
			if err != nil {
				return fmt.Errorf("put %s %s: %w", w.schema.name, w.key, err)
			}
			w.bytes = b
		}
		tx.bytes += len(w.bytes) + len(w.key) + perWrite
	}
	return nil
}

// holds reports whether everything the run read is still so in the given state.
func (tx *Tx) holds(now state) bool {
	for _, r := range tx.reads {
		if r.scan == nil {
			if now.get(r.schema, r.key) != r.row {
				return false
			}
			continue
		}
		if !r.scan.same(r.schema, now) {
			return false
		}
	}
	return true
}

// same reports whether the scan would yield the same rows again.
func (s *scanned) same(sc *schema, now state) bool {
	again := scanned{span: s.span, ended: true}
	now.scan(sc, s.span, func(r *row) bool {
		if again.count == s.count {
			again.ended = false // there is more
			return false
		}
		again.add(r)
		return true
	})
	return again.count == s.count && again.sum == s.sum && (again.ended || !s.ended)
}
