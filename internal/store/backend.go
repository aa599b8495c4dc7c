package store

import (
	"context"
	"fmt"
	"iter"
)

// A backend keeps rows and orders transactions: etcd, or its twin in memory.
// It knows no tables: a row is a table's name, a key and bytes.
type backend interface {
	// load yields all rows at one revision, and that revision with its head.
	load(context.Context) (iter.Seq2[event, error], Revision, int64, error)
	// commit makes the writes if the head is still the one expected, and counts
	// it up. Otherwise, committed is false and nothing was written.
	commit(ctx context.Context, head int64, writes []*write) (rev Revision, committed bool, err error)
	// watch calls apply for every transaction after a revision, in order, until
	// ctx ends or apply fails.
	watch(ctx context.Context, after Revision, apply func(batch) error) error
	// history yields the transactions after a revision as watch does, with the
	// rows as they were before.
	history(ctx context.Context, after Revision) iter.Seq2[batch, error]
	// barrier is a revision that holds all that was committed before the call,
	// and that watch will deliver if it has not.
	barrier(context.Context) (Revision, error)
	// compact forgets the history up to and including a revision.
	compact(context.Context, Revision) error
	close() error
}

// A batch is what one transaction wrote. Head is 0 if it did not count it up.
type batch struct {
	revision Revision
	head     int64
	events   []event
}

// An event is a row as it was written; value is nil if it was deleted. Only
// history tells before, nil where there was no row; only load tells the revision.
type event struct {
	table, key    string
	value, before []byte
	revision      Revision
}

// load reads all rows into a first snapshot.
func load(ctx context.Context, b backend, l *layout) (*Snapshot, error) {
	all, rev, head, err := b.load(ctx)
	if err != nil {
		return nil, err
	}
	empty := &Snapshot{layout: l, revision: rev, head: head}
	for _, s := range l.schemas {
		empty.tables = append(empty.tables, newTableData(s))
	}
	d := empty.draft()
	for e, err := range all {
		if err != nil {
			return nil, err
		}
		r, err := l.row(e.table, e.key, e.value)
		if err != nil {
			return nil, err
		}
		r.revision = e.revision
		d.set(l.named[e.table], e.key, r)
	}
	return &d.Snapshot, nil
}

// row decodes a record; nil for nil bytes.
func (l *layout) row(table, key string, value []byte) (*row, error) {
	i, ok := l.named[table]
	if !ok {
		return nil, fmt.Errorf("read %s %s: no such table: %w", table, key, ErrNewer)
	}
	if value == nil {
		return nil, nil
	}
	v, err := l.schemas[i].read(value)
	if err != nil {
		return nil, fmt.Errorf("read %s %s: %w", table, key, err)
	}
	return &row{key: key, value: v}, nil
}
