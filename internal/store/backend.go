package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"slices"
	"sync"
)

// A backend keeps rows and orders transactions: etcd, or its twin in memory.
// It knows no tables: a row is a table's name, a key and bytes.
type backend interface {
	// load yields all rows at one revision, and that revision with its head.
	load(context.Context) (iter.Seq2[event, error], Revision, int64, error)
	// commit makes a transaction if the head is still the one it expects, counts it
	// up and leaves the id there. Otherwise committed is false and no row was
	// written. After errUnsettled or ErrNoSpace it may have been made, or may yet be.
	commit(context.Context, transaction) (rev Revision, committed bool, err error)
	// watch calls apply for every transaction after a revision, in order, until
	// ctx ends or apply fails.
	watch(ctx context.Context, after Revision, apply func(batch) error) error
	// history yields the transactions after a revision as watch does, with the
	// rows as they were before.
	history(ctx context.Context, after Revision) iter.Seq2[batch, error]
	// barrier is the head and its revision, which hold all that was committed before
	// the call and which watch will deliver if it has not. It needs a quorum.
	barrier(context.Context) (Revision, int64, error)
	// alone says that nobody else can commit: the replica is then all there is.
	alone() bool
	origin(context.Context) (Origin, error)
	limits() limits
	// space is the database's, as cheap as a pointer; limited is false where it has
	// no quota that we know.
	space() (s space, limited bool)
	// shrink gives back unused space if there is much, and ends the state in which
	// nothing can be written if there is room now. It is called only where space is limited.
	shrink(context.Context) error
	// lead is as [Store.Lead].
	lead(ctx context.Context, name string, run func(context.Context) error) error
	// broken gets what makes the backend useless, if that can happen.
	broken() <-chan error
	// compact forgets the history up to and including a revision.
	compact(context.Context, Revision) error
	close() error
}

// A transaction is what a committer asks for. If it comes too late it leaves turn,
// where that is set: a request that the others let this server go first for once.
type transaction struct {
	head   int64
	id     string // "<server>/<number>"
	turn   string // the server
	writes []*write
}

// A batch is what one transaction wrote, in the order of tables and keys. by is the
// id that its committer left; head is 0 if it did not count it up, and turn is set if
// it came too late and asks for its turn.
type batch struct {
	revision Revision
	head     int64
	by       string
	turn     string
	events   []event
}

func (b *batch) sort() {
	slices.SortFunc(b.events, func(x, y event) int {
		return cmp.Or(cmp.Compare(x.table, y.table), cmp.Compare(x.key, y.key))
	})
}

// errUnsettled: the backend did not say whether the transaction was made.
var errUnsettled = errors.New("no answer")

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
	chunk := make([]event, 0, decodedAtOnce)
	take := func() error {
		rows, err := l.rows(chunk)
		for i, r := range rows {
			d.set(l.named[chunk[i].table], r.key, r)
		}
		chunk = chunk[:0]
		return err
	}
	for e, err := range all {
		if err != nil {
			return nil, err
		}
		if chunk = append(chunk, e); len(chunk) == decodedAtOnce {
			if err := take(); err != nil {
				return nil, err
			}
		}
	}
	if err := take(); err != nil {
		return nil, err
	}
	for i, t := range d.tables {
		t.newest = newNewest()
		t.rows.ascend("", func(r *row) bool { t.newest.note(r.key, r); return true })
		d.owned[i] = true
	}
	d.publish(rev, nil)
	return &d.Snapshot, nil
}

// decodedAtOnce is how many records are read from the backend before they are decoded
// together.
const decodedAtOnce = 4_000

// rows decodes records on all processors: a hundred thousand tasks take seconds of
// them when a gantry starts.
func (l *layout) rows(events []event) ([]*row, error) {
	rows := make([]*row, len(events))
	errs := make([]error, runtime.GOMAXPROCS(0))
	var all sync.WaitGroup
	for worker := range errs {
		all.Go(func() {
			for i := worker; i < len(events) && errs[worker] == nil; i += len(errs) {
				e := events[i]
				if rows[i], errs[worker] = l.row(e.table, e.key, e.value); rows[i] != nil {
					rows[i].revision = e.revision
				}
			}
		})
	}
	all.Wait()
	if err := cmp.Or(errs...); err != nil {
		return nil, err
	}
	return rows, nil
}

// row decodes a record; nil for nil bytes.
func (l *layout) row(table, key string, value []byte) (*row, error) {
	i, err := l.find(table)
	if err != nil {
		return nil, fmt.Errorf("read %s %s: %w", table, key, err)
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
