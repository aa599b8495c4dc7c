package pattern

import (
	"slices"
	"strings"
)

// A column is one field of a pattern for space-delimited events: a name, and
// conditions on it that hold together (and) or one by one (or).
type column struct {
	ellipsis bool // "...": any number of fields
	test     func(field string) bool
}

// parseColumns compiles [name, name=value && name!=value, ..., name].
func parseColumns(text string) (*Pattern, error) {
	s := &scanner{text: text}
	s.take("[")
	var columns []column
	for {
		c, err := parseColumn(s)
		if err != nil {
			return nil, err
		}
		columns = append(columns, c)
		s.space()
		if s.take("]") {
			break
		}
		if !s.take(",") {
			return nil, s.fail("want , or ] after a field")
		}
	}
	if s.space(); !s.done() {
		return nil, s.fail("nothing may follow the closing ]")
	}
	gap := slices.IndexFunc(columns, func(c column) bool { return c.ellipsis })
	if gap >= 0 && slices.ContainsFunc(columns[gap+1:], func(c column) bool { return c.ellipsis }) {
		return nil, s.fail("a pattern has at most one ...")
	}
	return &Pattern{match: func(message string) bool {
		fields := split(message)
		if gap < 0 {
			return len(fields) == len(columns) && all(columns, fields)
		}
		head, tail := columns[:gap], columns[gap+1:]
		if len(fields) < len(head)+len(tail) {
			return false
		}
		return all(head, fields[:len(head)]) && all(tail, fields[len(fields)-len(tail):])
	}}, nil
}

func all(columns []column, fields []string) bool {
	for i, c := range columns {
		if !c.test(fields[i]) {
			return false
		}
	}
	return true
}

func parseColumn(s *scanner) (column, error) {
	anything := column{test: func(string) bool { return true }}
	s.space()
	if s.take("...") {
		anything.ellipsis = true
		return anything, nil
	}
	name := columnName(s)
	if name == "" {
		return column{}, s.fail("the name of a field is missing")
	}
	s.space()
	if s.done() || s.text[s.at] == ',' || s.text[s.at] == ']' {
		return anything, nil
	}
	// Conditions: and binds tighter than or.
	var or [][]*comparison
	and := []*comparison{}
	for {
		c, err := s.compare(" \t,]&|)")
		if err != nil {
			return column{}, err
		}
		and = append(and, c)
		s.space()
		joined := s.take("&&")
		if !joined {
			or = append(or, and)
			if !s.take("||") {
				break
			}
			and = []*comparison{}
		}
		s.space()
		if again := columnName(s); again != name {
			return column{}, s.fail("a condition of the field %s names %q", name, again)
		}
	}
	return column{test: func(field string) bool {
		return slices.ContainsFunc(or, func(and []*comparison) bool {
			return !slices.ContainsFunc(and, func(c *comparison) bool { return !c.holds(field) })
		})
	}}, nil
}

func columnName(s *scanner) string {
	end := strings.IndexAny(s.rest(), " \t,]=!<>&|")
	if end < 0 {
		end = len(s.rest())
	}
	name := s.rest()[:end]
	s.at += end
	return name
}

// split cuts a message into fields at white space; text in "…" or […] is one field.
func split(message string) []string {
	var fields []string
	for {
		message = strings.TrimLeft(message, " \t\r\n")
		if message == "" {
			return fields
		}
		closing := byte(0)
		switch message[0] {
		case '"':
			closing = '"'
		case '[':
			closing = ']'
		}
		if closing != 0 {
			if end := strings.IndexByte(message[1:], closing); end >= 0 {
				fields = append(fields, message[1:1+end])
				message = message[end+2:]
				continue
			}
		}
		end := strings.IndexAny(message, " \t\r\n")
		if end < 0 {
			end = len(message)
		}
		fields = append(fields, message[:end])
		message = message[end:]
	}
}
