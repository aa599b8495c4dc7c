package store

import "iter"

// difference yields what is not the same in two snapshots of one store, table by
// table in key order. from may be empty. Tables that nobody wrote to cost nothing.
func difference(from, to *Snapshot) iter.Seq[Change] {
	return func(yield func(Change) bool) {
		for i, now := range to.tables {
			old := newTableData(now.schema)
			if from.tables != nil {
				old = from.tables[i]
			}
			if old == now {
				continue
			}
			if !differ(old, now, yield) {
				return
			}
		}
	}
}

func differ(old, now *tableData, yield func(Change) bool) bool {
	next, stop := iter.Pull(func(yield func(*row) bool) { old.scan(span{index: primary}, yield) })
	defer stop()
	before, some := next()
	gone := func(r *row) bool {
		return yield(Change{Table: old.schema.name, Key: r.key, Old: r.value})
	}
	more := true
	now.scan(span{index: primary}, func(r *row) bool {
		for some && before.key < r.key && more {
			more = gone(before)
			before, some = next()
		}
		if !more {
			return false
		}
		c := Change{Revision: r.revision, Table: now.schema.name, Key: r.key, New: r.value}
		if some && before.key == r.key {
			same := before == r
			c.Old = before.value
			before, some = next()
			if same {
				return true
			}
		}
		more = yield(c)
		return more
	})
	for some && more {
		more = gone(before)
		before, some = next()
	}
	return more
}
