package store

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
)

// Memory is a backend that forgets everything when the process ends: for tests,
// and for the curious. The stores opened on one Memory are like the servers of one
// gantry. It uses no network, so that it works under testing/synctest.
type Memory struct {
	mu        sync.Mutex
	rows      map[string]kept // by "<table>/<key>"
	log       []batch         // everything after compacted, in order
	compacted Revision
	revision  Revision
	head      int64
	grown     chan struct{}            // closed and replaced with every commit
	seats     map[string]chan struct{} // of leaders, by name
}

type kept struct {
	value    []byte
	revision Revision
}

// NewMemory is an empty one.
func NewMemory() *Memory {
	return &Memory{rows: map[string]kept{}, revision: 1, compacted: 1, grown: make(chan struct{}), seats: map[string]chan struct{}{}}
}

// Open opens a store with the given tables; with [Tables] where none are given.
func (m *Memory) Open(ctx context.Context, tables ...AnyTable) (*Store, error) {
	if len(tables) == 0 {
		tables = Tables()
	}
	return open(ctx, m, tables, slog.New(slog.DiscardHandler))
}

func (m *Memory) load(context.Context) (iter.Seq2[event, error], Revision, int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	rows := maps.Clone(m.rows)
	return func(yield func(event, error) bool) {
		for path, k := range rows {
			table, key, _ := strings.Cut(path, "/")
			if !yield(event{table: table, key: key, value: k.value, revision: k.revision}, nil) {
				return
			}
		}
	}, m.revision, m.head, nil
}

func (m *Memory) commit(ctx context.Context, t transaction) (Revision, bool, error) {
	if err := ctx.Err(); err != nil {
		return 0, false, context.Cause(ctx)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if t.head != m.head {
		if t.turn != "" {
			m.append(batch{turn: t.turn})
		}
		return 0, false, nil
	}
	m.head++
	b := batch{head: m.head, by: t.id}
	for _, w := range t.writes {
		path := w.schema.name + "/" + w.key
		b.events = append(b.events, event{table: w.schema.name, key: w.key, value: w.bytes, before: m.rows[path].value})
		if w.row == nil {
			delete(m.rows, path)
		} else {
			m.rows[path] = kept{w.bytes, m.revision + 1}
		}
	}
	b.sort()
	m.append(b)
	return m.revision, true, nil
}

// append adds to the log. Callers hold m.mu.
func (m *Memory) append(b batch) {
	m.revision++
	b.revision = m.revision
	m.log = append(m.log, b)
	close(m.grown)
	m.grown = make(chan struct{})
}

// since are the transactions after a revision, and a channel that closes when there are more.
func (m *Memory) since(after Revision) ([]batch, <-chan struct{}, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if after < m.compacted {
		return nil, nil, ErrCompacted
	}
	i, _ := slices.BinarySearchFunc(m.log, after+1, func(b batch, r Revision) int { return int(b.revision - r) })
	return m.log[i:len(m.log):len(m.log)], m.grown, nil
}

func (m *Memory) watch(ctx context.Context, after Revision, apply func(batch) error) error {
	for b, err := range m.history(ctx, after) {
		if err != nil {
			return err
		}
		if err := apply(b); err != nil {
			return err
		}
	}
	return nil
}

func (m *Memory) history(ctx context.Context, after Revision) iter.Seq2[batch, error] {
	return func(yield func(batch, error) bool) {
		for {
			batches, grown, err := m.since(after)
			if err != nil {
				yield(batch{}, err)
				return
			}
			for _, b := range batches {
				after = b.revision
				if !yield(b, nil) {
					return
				}
			}
			select {
			case <-grown:
			case <-ctx.Done():
				yield(batch{}, ctx.Err())
				return
			}
		}
	}
}

func (m *Memory) barrier(ctx context.Context) (Revision, int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.revision, m.head, ctx.Err()
}

// alone is not claimed: two stores may have been opened on it.
func (m *Memory) alone() bool { return false }

func (m *Memory) origin(context.Context) (Origin, error) { return Origin{Format: format}, nil }

func (m *Memory) limits() limits { return newLimits(embeddedOps, embeddedBytes) }

func (m *Memory) space() (space, bool) { return space{}, false }

func (m *Memory) shrink(context.Context) error { return nil }

// lead lets one in at a time for each name.
func (m *Memory) lead(ctx context.Context, name string, run func(context.Context) error) error {
	m.mu.Lock()
	seat := m.seats[name]
	if seat == nil {
		seat = make(chan struct{}, 1)
		m.seats[name] = seat
	}
	m.mu.Unlock()
	select {
	case seat <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-seat }()
	return run(ctx)
}

func (m *Memory) broken() <-chan error { return nil }

func (m *Memory) compact(_ context.Context, rev Revision) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if rev > m.revision {
		return fmt.Errorf("compact to revision %d: the newest is %d", rev, m.revision)
	}
	if rev <= m.compacted {
		return nil
	}
	i, _ := slices.BinarySearchFunc(m.log, rev+1, func(b batch, r Revision) int { return int(b.revision - r) })
	m.log = slices.Clone(m.log[i:])
	m.compacted = rev
	return nil
}

func (m *Memory) close() error { return nil }
