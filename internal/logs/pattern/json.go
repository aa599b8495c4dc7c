package pattern

import (
	"encoding/json"
	"strconv"
	"strings"
)

// parseJSON compiles { condition && ( condition || condition ) }.
func parseJSON(text string) (*Pattern, error) {
	s := &scanner{text: text}
	s.take("{")
	test, err := s.or(0)
	if err != nil {
		return nil, err
	}
	s.space()
	if !s.take("}") {
		return nil, s.fail("want }, && or ||")
	}
	if s.space(); !s.done() {
		return nil, s.fail("nothing may follow the closing }")
	}
	return &Pattern{match: func(message string) bool {
		start := strings.TrimLeft(message, " \t\r\n")
		if !strings.HasPrefix(start, "{") && !strings.HasPrefix(start, "[") {
			return false
		}
		var document any
		d := json.NewDecoder(strings.NewReader(start))
		d.UseNumber()
		if d.Decode(&document) != nil {
			return false
		}
		return test(document)
	}}, nil
}

type jsonTest func(document any) bool

func (s *scanner) or(depth int) (jsonTest, error) {
	return s.chain(depth, "||", (*scanner).and, func(a, b jsonTest) jsonTest {
		return func(d any) bool { return a(d) || b(d) }
	})
}

func (s *scanner) and(depth int) (jsonTest, error) {
	return s.chain(depth, "&&", (*scanner).condition, func(a, b jsonTest) jsonTest {
		return func(d any) bool { return a(d) && b(d) }
	})
}

// chain reads operand { operator operand } and joins the operands from the left.
func (s *scanner) chain(depth int, operator string, operand func(*scanner, int) (jsonTest, error), join func(a, b jsonTest) jsonTest) (jsonTest, error) {
	left, err := operand(s, depth)
	if err != nil {
		return nil, err
	}
	for s.space(); s.take(operator); s.space() {
		right, err := operand(s, depth)
		if err != nil {
			return nil, err
		}
		left = join(left, right)
	}
	return left, nil
}

func (s *scanner) condition(depth int) (jsonTest, error) {
	if depth > maxDepth {
		return nil, errDeep
	}
	s.space()
	if s.take("(") {
		test, err := s.or(depth + 1)
		if err != nil {
			return nil, err
		}
		if s.space(); !s.take(")") {
			return nil, s.fail("want )")
		}
		return test, nil
	}
	path, err := s.selector()
	if err != nil {
		return nil, err
	}
	s.space()
	switch {
	case s.word("NOT EXISTS"):
		return func(d any) bool { return len(find(d, path)) == 0 }, nil
	case s.word("EXISTS"):
		return func(d any) bool { return len(find(d, path)) > 0 }, nil
	case s.word("IS TRUE"):
		return is(path, true), nil
	case s.word("IS FALSE"):
		return is(path, false), nil
	case s.word("IS NULL"):
		return is(path, nil), nil
	}
	c, err := s.compare(" \t)}&|")
	if err != nil {
		return nil, err
	}
	return func(d any) bool {
		for _, v := range find(d, path) {
			if text, ok := scalar(v); ok && c.holds(text) {
				return true
			}
		}
		return false
	}, nil
}

// word takes words that are separated by any white space, in capitals or not.
func (s *scanner) word(words string) bool {
	at := s.at
	for _, w := range strings.Fields(words) {
		s.space()
		if len(s.rest()) < len(w) || !strings.EqualFold(s.rest()[:len(w)], w) {
			s.at = at
			return false
		}
		s.at += len(w)
	}
	return true
}

func is(path []string, want any) jsonTest {
	return func(d any) bool {
		for _, v := range find(d, path) {
			if v == want {
				return true
			}
		}
		return false
	}
}

// selector reads $.name.name[0].name[*] or $["name"]; names become steps, an index
// becomes "[0]" and any index "[*]".
func (s *scanner) selector() ([]string, error) {
	if !s.take("$") {
		return nil, s.fail("a selector begins with $")
	}
	var path []string
	for !s.done() {
		switch {
		case s.take("."):
			end := strings.IndexAny(s.rest(), " \t.[=!<>&|)}(")
			if end < 0 {
				end = len(s.rest())
			}
			if end == 0 {
				return nil, s.fail("the name of a member is missing")
			}
			path = append(path, s.rest()[:end])
			s.at += end
		case strings.HasPrefix(s.rest(), `["`):
			s.at++
			name, err := s.quoted()
			if err != nil {
				return nil, err
			}
			path = append(path, name)
			if !s.take("]") {
				return nil, s.fail("want ]")
			}
		case s.take("["):
			end := strings.IndexByte(s.rest(), ']')
			if end < 0 {
				return nil, s.fail("want ]")
			}
			index := s.rest()[:end]
			if _, err := strconv.ParseUint(index, 10, 31); err != nil && index != "*" {
				return nil, s.fail("%q is not an index: want a number or *", index)
			}
			path = append(path, "["+index+"]")
			s.at += end + 1
		default:
			if len(path) == 0 {
				return nil, s.fail("a selector names a member, as $.status does")
			}
			return path, nil
		}
	}
	return nil, s.fail("the pattern ends within a condition")
}

// find returns the values that a selector means.
func find(v any, path []string) []any {
	if len(path) == 0 {
		return []any{v}
	}
	switch v := v.(type) {
	case map[string]any:
		if member, ok := v[path[0]]; ok {
			return find(member, path[1:])
		}
	case []any:
		index, ok := strings.CutPrefix(path[0], "[")
		if !ok {
			return nil
		}
		if index == "*]" {
			var all []any
			for _, element := range v {
				all = append(all, find(element, path[1:])...)
			}
			return all
		}
		if i, err := strconv.Atoi(strings.TrimSuffix(index, "]")); err == nil && i < len(v) {
			return find(v[i], path[1:])
		}
	}
	return nil
}

// scalar is a value as text, to be compared; objects and lists are not compared.
func scalar(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	case bool:
		return strconv.FormatBool(v), true
	}
	return "", false
}
