// Package pattern reads EventBridge's event patterns and says which events they match.
//
// A pattern is a JSON object in the shape of the events that it looks for. Its leaves are lists: the field has to be there
// and to be one of what the list says, a value as it is or a filter such as {"prefix": "ERR"}. A field that is a list
// matches if any of its items does; the fields of an object in a list have to match in one and the same object. "$or"
// holds patterns of which one has to match.
//
//	p, err := pattern.Parse(`{"source": ["aws.ecs"], "detail": {"lastStatus": ["STOPPED"], "stopCode": [{"anything-but": "UserInitiated"}]}}`)
//	ok := p.Match(event) // of Decode
//
// The package is pure.
package pattern

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// A Pattern matches events. It never changes.
type Pattern struct{ root *object }

// An object is the pattern of one JSON object: each field has to match, and one of each list of alternatives.
type object struct {
	fields []field
	ors    [][]*object
}

// A field is a leaf, or an object within.
type field struct {
	name   string
	leaf   []matcher // one has to match
	within *object
}

// most bounds the alternatives that a pattern's $or may have, one within another.
const mostAlternatives = 1000

// Parse reads a pattern, or says what is wrong with it.
func Parse(text string) (*Pattern, error) {
	v, err := Decode([]byte(text))
	if err != nil {
		return nil, errors.New("it is not JSON")
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, errors.New("it is not an object")
	}
	left := mostAlternatives
	root, err := parseObject("", m, &left)
	if err != nil {
		return nil, err
	}
	return &Pattern{root}, nil
}

// Decode reads one JSON value as patterns look at it: numbers stay as they are written.
func Decode(text []byte) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("there is more behind the value")
	}
	return v, nil
}

func parseObject(path string, m map[string]any, left *int) (*object, error) {
	if len(m) == 0 {
		if path == "" {
			return nil, errors.New("it is empty")
		}
		return nil, fmt.Errorf("%s is an empty object", path)
	}
	out := new(object)
	for _, name := range sorted(m) {
		v := m[name]
		at := strings.TrimPrefix(path+"."+name, ".")
		if alternatives, ok := alternatives(name, v); ok {
			or, err := parseOr(path, alternatives, left)
			if err != nil {
				return nil, err
			}
			out.ors = append(out.ors, or)
			continue
		}
		f := field{name: name}
		var err error
		switch v := v.(type) {
		case map[string]any:
			f.within, err = parseObject(at, v, left)
		case []any:
			f.leaf, err = parseLeaf(at, v)
		default:
			err = fmt.Errorf("%q must be an object or an array", at)
		}
		if err != nil {
			return nil, err
		}
		out.fields = append(out.fields, f)
	}
	return out, nil
}

// alternatives says whether a field is the operator $or and not a field of that name.
func alternatives(name string, v any) ([]any, bool) {
	list, ok := v.([]any)
	if name != "$or" || !ok || len(list) < 2 {
		return nil, false
	}
	for _, a := range list {
		if _, ok := a.(map[string]any); !ok {
			return nil, false
		}
	}
	return list, true
}

func parseOr(path string, list []any, left *int) ([]*object, error) {
	var out []*object
	if *left -= len(list); *left < 0 {
		return nil, fmt.Errorf("it has more than %d alternatives", mostAlternatives)
	}
	for _, a := range list {
		o, err := parseObject(path, a.(map[string]any), left)
		if err != nil {
			return nil, err
		}
		out = append(out, o)
	}
	return out, nil
}

func sorted(m map[string]any) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Match says whether an event, as Decode gives it, is what the pattern looks for.
func (p *Pattern) Match(event any) bool {
	m, ok := event.(map[string]any)
	return ok && p.root.match(m)
}

// Wants says whether an event with such fields at its top could match, whatever its other fields are.
func (p *Pattern) Wants(top map[string]string) bool { return p.root.wants(top) }

func (o *object) wants(top map[string]string) bool {
	for _, f := range o.fields {
		if v, known := top[f.name]; known && (f.within != nil || !f.matchLeaf(v, true)) {
			return false
		}
	}
	for _, or := range o.ors {
		if !slices.ContainsFunc(or, func(a *object) bool { return a.wants(top) }) {
			return false
		}
	}
	return true
}

func (o *object) match(m map[string]any) bool {
	for _, f := range o.fields {
		v, there := m[f.name]
		switch {
		case f.within == nil:
			if !f.matchLeaf(v, there) {
				return false
			}
		case !f.matchWithin(v):
			return false
		}
	}
	for _, or := range o.ors {
		if !slices.ContainsFunc(or, func(a *object) bool { return a.match(m) }) {
			return false
		}
	}
	return true
}

// matchWithin matches an object, or any object of a list. A pattern that asks for nothing but absence also holds where
// the object itself is absent.
func (f *field) matchWithin(v any) bool {
	switch v := v.(type) {
	case map[string]any:
		return f.within.match(v)
	case []any:
		return slices.ContainsFunc(v, f.matchWithin)
	}
	return f.within.match(nil)
}

func (f *field) matchLeaf(v any, there bool) bool {
	list, isList := v.([]any)
	for _, m := range f.leaf {
		if want, isExists := m.(exists); isExists {
			_, isObject := v.(map[string]any)
			if bool(want) == (there && !isObject) {
				return true
			}
			continue
		}
		switch {
		case !there:
		case !isList:
			if m.match(v) {
				return true
			}
		case slices.ContainsFunc(list, m.match):
			return true
		}
	}
	return false
}
