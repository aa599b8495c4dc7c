package store

import (
	"encoding/json"
	"fmt"
	"iter"
	"reflect"
	"strings"
)

// A Table holds rows of one kind, each under a key of its own. Keys are made of
// names joined with "/", so that a prefix such as "prod/" is a cluster's rows.
// Declare a table once, as a package variable, together with its indexes.
type Table[T any] struct{ schema *schema }

// An AnyTable is a [Table] of whatever rows.
type AnyTable interface{ table() *schema }

func (t *Table[T]) table() *schema { return t.schema }

// A Reader is where rows are read: a [Snapshot], or a [Tx] that also sees its own writes.
type Reader interface {
	get(s *schema, key string) *row
	scan(s *schema, sp span, yield func(*row) bool)
}

// schema is what the untyped parts need to know of a table.
type schema struct {
	name    string
	merged  bool
	key     func(any) string
	decode  func([]byte) (any, error)
	clone   func(any) any
	indexes []*index
}

type index struct {
	name  string
	value func(any) string
}

// An Option of a table.
type Option func(*schema)

// Merged lets several updates of one row share a transaction, so that only the
// last of them is told to followers. It is for rows that many updates touch and
// whose steps mean nothing by themselves, such as counters. Rows of other tables
// get a revision of their own for each update.
func Merged(s *schema) { s.merged = true }

// NewTable declares a table. The name is part of every key on disk: never change it.
func NewTable[T any](name string, key func(*T) string, options ...Option) *Table[T] {
	clone := cloner(reflect.TypeFor[T]())
	s := &schema{
		name: name,
		key:  func(v any) string { return key(v.(*T)) },
		decode: func(b []byte) (any, error) {
			v := new(T)
			return v, json.Unmarshal(b, v)
		},
		clone: func(v any) any {
			c := new(T)
			clone(reflect.ValueOf(c).Elem(), reflect.ValueOf(v.(*T)).Elem())
			return c
		},
	}
	for _, o := range options {
		o(s)
	}
	return &Table[T]{s}
}

// Get finds a row. It is shared: do not change it.
func (t *Table[T]) Get(r Reader, key string) (*T, bool) {
	if found := r.get(t.schema, key); found != nil {
		return found.value.(*T), true
	}
	return nil, false
}

// All are the rows whose keys start with prefix, in key order.
func (t *Table[T]) All(r Reader, prefix string) iter.Seq[*T] { return t.After(r, prefix, "") }

// After are the rows whose keys start with prefix and are greater than key, in
// key order: the next page.
func (t *Table[T]) After(r Reader, prefix, key string) iter.Seq[*T] {
	return rows[T](r, t.schema, span{index: primary, within: prefix, after: key})
}

// Revision is the revision at which a row was last written; 0 where there is no such row.
func (t *Table[T]) Revision(s *Snapshot, key string) Revision {
	if found := s.get(t.schema, key); found != nil {
		return found.revision
	}
	return 0
}

// Len is how many rows the table has.
func (t *Table[T]) Len(s *Snapshot) int { return s.data(t.schema).rows.len() }

// Put writes a row, new or not. The store keeps a copy of its own, with times in
// UTC. Putting what is already there writes nothing.
func (t *Table[T]) Put(tx *Tx, v *T) { tx.put(t.schema, t.schema.clone(v)) }

// Delete removes a row, if it is there.
func (t *Table[T]) Delete(tx *Tx, key string) { tx.delete(t.schema, key) }

// Change hands f a copy of a row to change, and puts it. It fails with
// [ErrAbsent] where there is no such row, and with f's error as it is.
func (t *Table[T]) Change(tx *Tx, key string, f func(*T) error) error {
	found := tx.get(t.schema, key)
	if found == nil {
		return fmt.Errorf("change %s %s: %w", t.schema.name, key, ErrAbsent)
	}
	v := t.schema.clone(found.value).(*T)
	if err := f(v); err != nil {
		return err
	}
	if k := t.schema.key(v); k != key {
		return fmt.Errorf("change %s %s: its key became %s", t.schema.name, key, k)
	}
	t.Put(tx, v)
	return nil
}

// Clone is a copy of a row that the caller may change.
func (t *Table[T]) Clone(v *T) *T { return t.schema.clone(v).(*T) }

// Of tells a change's row before and after, nil where it was absent;
// ok is false if the change is another table's.
func (t *Table[T]) Of(c Change) (before, after *T, ok bool) {
	if c.Table != t.schema.name {
		return nil, nil, false
	}
	before, _ = c.Old.(*T)
	after, _ = c.New.(*T)
	return before, after, true
}

// An Index finds a table's rows by something other than their key.
type Index[T any] struct {
	schema *schema
	number int
}

// NewIndex declares an index: value says under what a row is found; a row whose
// value is empty is not in the index.
func NewIndex[T any](t *Table[T], name string, value func(*T) string) *Index[T] {
	t.schema.indexes = append(t.schema.indexes, &index{
		name:  name,
		value: func(v any) string { return value(v.(*T)) },
	})
	return &Index[T]{t.schema, len(t.schema.indexes) - 1}
}

// All are the rows found under value, in key order.
func (x *Index[T]) All(r Reader, value string) iter.Seq[*T] { return x.After(r, value, "") }

// After are the rows found under value whose keys are greater than key, in key
// order: the next page.
func (x *Index[T]) After(r Reader, value, key string) iter.Seq[*T] {
	return rows[T](r, x.schema, span{index: x.number, within: value, after: key})
}

// Count is how many rows are found under value. It looks at none of them.
func (x *Index[T]) Count(s *Snapshot, value string) int {
	return s.data(x.schema).indexes[x.number].count(value)
}

// Values are those, of the ones that begin with prefix, under which there are rows.
func (x *Index[T]) Values(s *Snapshot, prefix string) iter.Seq[string] {
	return func(yield func(string) bool) { s.data(x.schema).indexes[x.number].values(prefix, yield) }
}

func rows[T any](r Reader, s *schema, sp span) iter.Seq[*T] {
	return func(yield func(*T) bool) {
		r.scan(s, sp, func(found *row) bool { return yield(found.value.(*T)) })
	}
}

// A layout says which tables a store has, and where each lies in a snapshot.
type layout struct {
	schemas []*schema
	place   map[*schema]int
	named   map[string]int
}

func newLayout(tables []AnyTable) (*layout, error) {
	l := &layout{place: map[*schema]int{}, named: map[string]int{}}
	for _, t := range tables {
		s := t.table()
		if strings.ContainsAny(s.name, "/") || s.name == "" {
			return nil, fmt.Errorf("open the store: %q cannot be a table's name", s.name)
		}
		if _, twice := l.named[s.name]; twice {
			return nil, fmt.Errorf("open the store: two tables are named %q", s.name)
		}
		l.place[s], l.named[s.name] = len(l.schemas), len(l.schemas)
		l.schemas = append(l.schemas, s)
	}
	return l, nil
}

func (l *layout) of(s *schema) int {
	i, ok := l.place[s]
	if !ok {
		panic("store: table " + s.name + " is not one of this store's")
	}
	return i
}

// find is a table's place by name. Names that are not known are a newer gantry's.
func (l *layout) find(table string) (int, error) {
	i, ok := l.named[table]
	if !ok {
		return 0, fmt.Errorf("no table is named %q: %w", table, ErrNewer)
	}
	return i, nil
}
