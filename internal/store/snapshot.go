package store

import (
	"slices"
	"strings"
	"sync/atomic"
)

// A Snapshot is the whole state at one revision. It never changes and needs no
// closing; keeping one keeps the rows it shows in memory.
type Snapshot struct {
	layout   *layout
	revision Revision
	// head counts the transactions ever committed: the one key by which servers
	// see that another was faster.
	head   int64
	tables []*tableData
}

// Revision is the newest change that the snapshot shows.
func (s *Snapshot) Revision() Revision { return s.revision }

// A row is one record at one revision. Everything that holds the record holds
// the same row, so that two pointers are equal exactly if nothing was written between.
type row struct {
	key   string
	value any // the *T
	// revision is set before the row is published, and never after.
	revision  Revision
	fragments atomic.Pointer[fragments]
}

func (s *Snapshot) data(sc *schema) *tableData { return s.tables[s.layout.of(sc)] }

func (s *Snapshot) get(sc *schema, key string) *row { return s.data(sc).get(key) }

func (s *Snapshot) scan(sc *schema, sp span, yield func(*row) bool) { s.data(sc).scan(sp, yield) }

// A draft is a snapshot being made. It shares all trees with the snapshot it
// started from until it writes to them.
type draft struct {
	Snapshot
	owned []bool
}

func (s *Snapshot) draft() *draft {
	d := &draft{Snapshot: *s, owned: make([]bool, len(s.tables))}
	d.tables = slices.Clone(s.tables)
	return d
}

// set puts a row, or deletes it where r is nil, and tells what was there.
func (d *draft) set(place int, key string, r *row) (old *row) {
	if !d.owned[place] {
		d.tables[place] = d.tables[place].copy()
		d.owned[place] = true
	}
	return d.tables[place].set(key, r)
}

// publish ends the making of a snapshot, after which nobody writes to it any more. written is what it has that the
// snapshot before it had not.
func (d *draft) publish(at Revision, written []writtenRow) {
	d.revision = at
	for _, w := range written {
		if w.row != nil {
			w.row.revision = at
		}
		d.tables[w.table].newest.note(w.key, w.row)
	}
	for i, t := range d.tables {
		if d.owned[i] {
			t.published = at
		}
	}
}

// tableData is a table's rows and indexes.
type tableData struct {
	schema  *schema
	rows    *rowTree
	indexes []*indexTree

	newest *newest
	// published is the revision at which nobody wrote to it any more; 0 before.
	published Revision
}

func newTableData(s *schema) *tableData {
	t := &tableData{schema: s, rows: newRowTree()}
	for range s.indexes {
		t.indexes = append(t.indexes, newIndexTree())
	}
	return t
}

func (t *tableData) copy() *tableData {
	c := &tableData{schema: t.schema, rows: t.rows.copy(), indexes: make([]*indexTree, len(t.indexes)), newest: t.newest}
	for i, x := range t.indexes {
		c.indexes[i] = x.copy()
	}
	return c
}

func (t *tableData) get(key string) *row {
	if t.published != 0 {
		if r := t.newest.find(key, t.published); r != nil {
			return r
		}
	}
	return t.rows.get(key)
}

func (t *tableData) set(key string, r *row) (old *row) {
	if r == nil {
		old = t.rows.delete(key)
	} else {
		old = t.rows.set(r)
	}
	for i, x := range t.schema.indexes {
		var before, after string
		if old != nil {
			before = x.value(old.value)
		}
		if r != nil {
			after = x.value(r.value)
		}
		if before == after {
			continue
		}
		if before != "" {
			t.indexes[i].delete(before, key)
		}
		if after != "" {
			t.indexes[i].set(after, key)
		}
	}
	return old
}

// primary is the number of no index: the table's keys themselves.
const primary = -1

// A span is a part of a table in key order: the keys that start with within, or
// an index's rows with the value within; of those the ones after a key.
type span struct {
	index         int
	within, after string
}

func (t *tableData) scan(sp span, yield func(*row) bool) {
	if sp.index != primary {
		t.indexes[sp.index].ascend(sp.within, sp.after, func(key string) bool {
			return key == sp.after && sp.after != "" || yield(t.get(key))
		})
		return
	}
	t.rows.ascend(max(sp.within, sp.after), func(r *row) bool {
		if r.key == sp.after && sp.after != "" {
			return true
		}
		return strings.HasPrefix(r.key, sp.within) && yield(r)
	})
}
