// Package pattern is the filter patterns of CloudWatch Logs: it says which log
// events FilterLogEvents returns.
//
// There are three kinds. A pattern in braces looks into events that are JSON:
// { $.status = 404 && $.path = "/api/*" }. One in brackets looks at the words of
// events that are separated by spaces: [ip, user, ..., status=4*]. Anything else
// is a list of terms that an event must contain: ERROR "out of memory" -retry,
// with ?one ?or ?other for any of several, and %regular expression%.
//
// Terms are case-sensitive and match anywhere in a message, also inside a word
// (what AWS calls a term is documented only by examples; see docs/differences.md).
// Regular expressions are RE2's, a superset of the characters AWS allows.
package pattern

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// MaxLength is how long a pattern may be, in bytes: FilterLogEvents' own limit.
const MaxLength = 1024

// maxDepth bounds parentheses within parentheses, so that no pattern can exhaust the stack.
const maxDepth = 64

// A Pattern is a compiled filter pattern, safe for use by many goroutines.
type Pattern struct {
	match func(message string) bool
}

// Match reports whether an event with this message passes the filter.
func (p *Pattern) Match(message string) bool { return p.match(message) }

// Parse compiles a pattern. An empty one matches every event.
// The error says what is wrong and at which byte.
func Parse(text string) (*Pattern, error) {
	if len(text) > MaxLength {
		return nil, fmt.Errorf("the pattern has %d characters, the limit is %d", len(text), MaxLength)
	}
	text = strings.TrimSpace(text)
	switch {
	case strings.HasPrefix(text, "{"):
		return parseJSON(text)
	case strings.HasPrefix(text, "["):
		return parseColumns(text)
	}
	return parseTerms(text)
}

// A syntaxError points at the byte where reading stopped.
type syntaxError struct {
	at   int
	what string
}

func (e *syntaxError) Error() string { return fmt.Sprintf("at character %d: %s", e.at+1, e.what) }

// scanner reads a pattern from left to right.
type scanner struct {
	text string
	at   int
}

func (s *scanner) fail(format string, args ...any) error {
	return &syntaxError{at: s.at, what: fmt.Sprintf(format, args...)}
}

func (s *scanner) done() bool { return s.at >= len(s.text) }

func (s *scanner) rest() string { return s.text[s.at:] }

func (s *scanner) space() {
	for !s.done() && strings.IndexByte(" \t\r\n", s.text[s.at]) >= 0 {
		s.at++
	}
}

// take moves over token if it comes next.
func (s *scanner) take(token string) bool {
	if strings.HasPrefix(s.rest(), token) {
		s.at += len(token)
		return true
	}
	return false
}

// quoted reads "…" with \" and \\ inside; the opening quote comes next.
func (s *scanner) quoted() (string, error) {
	var b strings.Builder
	start := s.at
	s.at++
	for !s.done() {
		c := s.text[s.at]
		s.at++
		switch {
		case c == '"':
			return b.String(), nil
		case c == '\\' && !s.done():
			b.WriteByte(s.text[s.at])
			s.at++
		default:
			b.WriteByte(c)
		}
	}
	s.at = start
	return "", s.fail("the quotation mark is never closed")
}

// expression reads %…% and compiles what is between.
func (s *scanner) expression() (*regexp.Regexp, error) {
	start := s.at
	s.at++
	end := strings.IndexByte(s.rest(), '%')
	if end < 0 {
		s.at = start
		return nil, s.fail("the %% of the regular expression is never closed")
	}
	text := s.rest()[:end]
	re, err := regexp.Compile(text)
	if err != nil {
		s.at = start
		return nil, s.fail("%s", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
	}
	s.at += end + 1
	return re, nil
}

// glob reports whether text is pattern, where * in pattern stands for anything.
func glob(pattern, text string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == text
	}
	last := len(parts) - 1
	text, ok := strings.CutPrefix(text, parts[0])
	if !ok || !strings.HasSuffix(text, parts[last]) {
		return false
	}
	text = text[:len(text)-len(parts[last])]
	for _, part := range parts[1:last] {
		i := strings.Index(text, part)
		if i < 0 {
			return false
		}
		text = text[i+len(part):]
	}
	return true
}

var errDeep = errors.New("too many parentheses within one another")
