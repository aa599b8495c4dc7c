package store

// A Fragment is something made of a row, kept beside it until the row changes:
// its JSON as an API answers it, for instance. Declare it once, as a package variable.
type Fragment[T any] struct{ table *Table[T] }

// fragments are what was made of one revision of a row.
type fragments struct {
	of   any // the *Fragment
	made []byte
	next *fragments
}

// NewFragment declares a fragment of a table's rows.
func NewFragment[T any](t *Table[T]) *Fragment[T] { return &Fragment[T]{t} }

// Get is what make makes of the row under key; it is made once for each revision
// of the row, or a few times if several ask at once. So make looks at nothing but
// the row and what never changes. The bytes are shared: do not change them. ok is
// false where there is no such row.
func (f *Fragment[T]) Get(r Reader, key string, make func(*T) []byte) (made []byte, ok bool) {
	found := r.get(f.table.schema, key)
	if found == nil {
		return nil, false
	}
	first := found.fragments.Load()
	for m := first; m != nil; m = m.next {
		if m.of == f {
			return m.made, true
		}
	}
	made = make(found.value.(*T))
	// Losing the race costs the other's work, nothing else.
	found.fragments.CompareAndSwap(first, &fragments{of: f, made: made, next: first})
	return made, true
}
