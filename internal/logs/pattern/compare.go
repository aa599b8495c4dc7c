package pattern

import (
	"math"
	"regexp"
	"strconv"
	"strings"
)

// A comparison is the right-hand side of a condition: an operator and a value.
// Comparing numbers needs a number on both sides; * stands for anything in text.
type comparison struct {
	op     string // one of operators
	text   string
	number float64
	isNum  bool
	re     *regexp.Regexp
}

// operators, longest first, so that <= is not read as <.
var operators = []string{"!=", "<=", ">=", "=", "<", ">"}

// compare reads an operator and its value.
func (s *scanner) compare(stop string) (*comparison, error) {
	s.space()
	c := new(comparison)
	for _, op := range operators {
		if s.take(op) {
			c.op = op
			break
		}
	}
	if c.op == "" {
		return nil, s.fail("want one of =, !=, <, <=, > and >=")
	}
	s.space()
	if s.done() {
		return nil, s.fail("a value is missing")
	}
	var err error
	switch s.text[s.at] {
	case '"':
		c.text, err = s.quoted()
	case '%':
		c.re, err = s.expression()
	default:
		end := strings.IndexAny(s.rest(), stop)
		if end < 0 {
			end = len(s.rest())
		}
		if end == 0 {
			return nil, s.fail("a value is missing")
		}
		c.text = s.rest()[:end]
		c.number, c.isNum = number(c.text)
		s.at += end
	}
	if err != nil {
		return nil, err
	}
	ordered := c.op != "=" && c.op != "!="
	if ordered && !c.isNum {
		return nil, s.fail("%s compares numbers, and %q is none", c.op, c.text)
	}
	return c, nil
}

// number reads a number as patterns write them; infinities and NaN are words.
func number(text string) (float64, bool) {
	f, err := strconv.ParseFloat(text, 64)
	return f, err == nil && !math.IsInf(f, 0) && !math.IsNaN(f)
}

// holds reports whether the condition holds for a value given as text.
func (c *comparison) holds(value string) bool {
	switch c.op {
	case "=":
		return c.equal(value)
	case "!=":
		return !c.equal(value)
	}
	n, ok := number(value)
	if !ok {
		return false
	}
	switch c.op {
	case "<":
		return n < c.number
	case "<=":
		return n <= c.number
	case ">":
		return n > c.number
	default:
		return n >= c.number
	}
}

func (c *comparison) equal(value string) bool {
	if c.re != nil {
		return c.re.MatchString(value)
	}
	if c.isNum {
		if n, ok := number(value); ok {
			return n == c.number
		}
	}
	return glob(c.text, value)
}
