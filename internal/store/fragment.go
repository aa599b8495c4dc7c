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
	found, ok := f.table.Look(r, key)
	if !ok {
		return nil, false
	}
	return f.Of(found, make), true
}

// A Found is a row that was looked up, for [Fragment.Of]: so that who has to see the
// row before it chooses a fragment need not look it up twice.
type Found[T any] struct{ row *row }

// Look finds a row.
func (t *Table[T]) Look(r Reader, key string) (Found[T], bool) {
	found := r.get(t.schema, key)
	return Found[T]{found}, found != nil
}

// Value is the row itself. It is shared: do not change it.
func (f Found[T]) Value() *T { return f.row.value.(*T) }

// Of is what Get would return for the row.
func (f *Fragment[T]) Of(found Found[T], make func(*T) []byte) []byte {
	first := found.row.fragments.Load()
	for m := first; m != nil; m = m.next {
		if m.of == f {
			return m.made
		}
	}
	made := make(found.Value())
	// Losing the race costs the other's work, nothing else.
	found.row.fragments.CompareAndSwap(first, &fragments{of: f, made: made, next: first})
	return made
}
