package main

import (
	"fmt"
	"strings"
)

// A checker writes the checks of the inputs and of what they hold.
type checker struct {
	f       *file
	structs map[string]Struct
	needed  map[string]bool // whether a structure has anything to check, once known
}

// checks writes a check for every input that has something to check. A structure that no input leads to has none.
func checks(svc *Service) *file {
	c := &checker{f: &file{pkg: svc.Source.Package, name: "check.go", imports: []string{"slices", "unicode/utf8", "", "gantry/internal/wire"}}, structs: map[string]Struct{}, needed: map[string]bool{}}
	for _, st := range svc.Structs {
		c.structs[st.Name] = st
	}
	reached := map[string]bool{}
	for _, op := range svc.Operations {
		if !c.needs(op.Input) {
			continue
		}
		c.f.p("// Check returns %s for the first member that is missing or wrong.", article(svc.Source.Invalid))
		c.f.p("func (in *%s) Check() error {\nif v := in.check(); v != nil {\nreturn New%s(v.Message())\n}\nreturn nil\n}\n", op.Input.Name, svc.Source.Invalid)
		c.structure(op.Input)
		c.reach(op.Input, reached)
	}
	for _, st := range svc.Structs {
		if reached[st.Name] && c.needs(st) {
			c.structure(st)
		}
	}
	return c.f
}

// article puts one in front of a name.
func article(name string) string {
	if strings.ContainsRune("AEIOU", rune(name[0])) {
		return "an " + name
	}
	return "a " + name
}

// reach marks the structures below st.
func (c *checker) reach(st Struct, reached map[string]bool) {
	for _, m := range st.Fields {
		t := &m.Type
		for t.Elem != nil {
			t = t.Elem
		}
		if t.Kind == Structure && !reached[t.Name] {
			reached[t.Name] = true
			c.reach(c.structs[t.Name], reached)
		}
	}
}

// needs says whether st or anything below it can be wrong.
func (c *checker) needs(st Struct) bool {
	if need, known := c.needed[st.Name]; known {
		return need
	}
	c.needed[st.Name] = false // ends a recursion
	need := st.Union
	for _, m := range st.Fields {
		need = need || m.Required || m.Limit.Set || c.typeNeeds(m.Type)
	}
	c.needed[st.Name] = need
	return need
}

func (c *checker) typeNeeds(t Type) bool {
	switch t.Kind {
	case Enumerated:
		return true
	case Structure:
		return c.needs(c.structs[t.Name])
	case List, Map:
		return c.typeNeeds(*t.Elem)
	}
	return false
}

// structure writes the check of one structure: first what is missing, then what is wrong.
func (c *checker) structure(st Struct) {
	c.f.p("func (in *%s) check() *wire.Violation {", st.Name)
	if st.Union {
		c.union(st)
	}
	for _, m := range st.Fields {
		if m.Required && !m.Own {
			c.f.p("if in.%s == %s {\nreturn wire.Missing(%q, %s)\n}", m.Go, absent(m.Type), m.Wire, wanted(m.Type))
		}
	}
	for _, m := range st.Fields {
		c.limit(m)
		if c.typeNeeds(m.Type) && !m.Own {
			c.member(m)
		}
	}
	c.f.p("return nil\n}\n")
}

func (c *checker) union(st Struct) {
	names := ""
	c.f.p("set := 0")
	for i, m := range st.Fields {
		if i > 0 {
			names += ", "
		}
		names += m.Wire
		c.f.p("if in.%s != %s {\nset++\n}", m.Go, absent(m.Type))
	}
	c.f.p("if set != 1 {\nreturn wire.NotOneOf(%q)\n}", names)
}

func (c *checker) member(m Field) {
	switch m.Type.Kind {
	case Enumerated:
		c.f.p("if in.%s != \"\" && !slices.Contains(in.%s.Values(), in.%s) {\nreturn wire.NotAValue(%q, in.%s, in.%s.Values())\n}", m.Go, m.Go, m.Go, m.Wire, m.Go, m.Go)
	case Structure:
		c.f.p("if in.%s != nil {\nif v := in.%s.check(); v != nil {\nreturn v.In(%q)\n}\n}", m.Go, m.Go, m.Wire)
	case List:
		c.f.p("for i := range in.%s {", m.Go)
		c.item(*m.Type.Elem, fmt.Sprintf("in.%s[i]", m.Go), fmt.Sprintf("InItem(%q, i)", m.Wire))
		c.f.p("}")
	case Map:
		c.f.p("for k, item := range in.%s {", m.Go)
		c.item(*m.Type.Elem, "item", fmt.Sprintf("InValue(%q, k)", m.Wire))
		c.f.p("}")
	}
}

// item writes the check of a list's item or a map's value.
func (c *checker) item(t Type, value, within string) {
	switch t.Kind {
	case Enumerated:
		c.f.p("if !slices.Contains(%s.Values(), %s) {\nreturn wire.NotAValue(\"\", %s, %s.Values()).%s\n}", value, value, value, value, within)
	case Structure:
		c.f.p("if v := %s.check(); v != nil {\nreturn v.%s\n}", value, within)
	default:
		panic("no check for a list of lists or a map of maps")
	}
}

func (c *checker) limit(m Field) {
	if !m.Limit.Set {
		return
	}
	lo, hi := m.Limit.Least, m.Limit.Most
	switch m.Type.Kind {
	case Int32, Int64, Float64:
		c.f.p("if in.%s != nil && (*in.%s < %d || *in.%s > %d) {\nreturn wire.OutOfRange(%q, *in.%s, %d, %d)\n}", m.Go, m.Go, lo, m.Go, hi, m.Wire, m.Go, lo, hi)
	case String:
		c.f.p("if in.%s != nil {\nif n := utf8.RuneCountInString(*in.%s); n < %d || n > %d {\nreturn wire.BadLength(%q, n, %d, %d)\n}\n}", m.Go, m.Go, lo, hi, m.Wire, lo, hi)
	case List, Map:
		c.f.p("if in.%s != nil && (len(in.%s) < %d || len(in.%s) > %d) {\nreturn wire.BadCount(%q, len(in.%s), %d, %d)\n}", m.Go, m.Go, lo, m.Go, hi, m.Wire, m.Go, lo, hi)
	default:
		panic("no limit for " + m.Wire)
	}
}

// absent is the Go value of a member that was not sent.
func absent(t Type) string {
	if t.Kind == Enumerated {
		return `""`
	}
	return "nil"
}

// wanted says what a required member should be, as a Go expression.
func wanted(t Type) string {
	switch t.Kind {
	case Bool:
		return `"true or false"`
	case Int32, Int64, Float64:
		return `"a number"`
	case Time:
		return `"seconds since 1970 as a number"`
	case Blob:
		return `"base64"`
	case Document:
		return `"any JSON value"`
	case List:
		return `"a list"`
	case Map, Structure:
		return `"an object"`
	case Enumerated:
		return fmt.Sprintf(`"one of " + wire.Join(%s("").Values())`, t.Name)
	}
	return `"a string"`
}
