package pattern

import "strings"

// parseTerms compiles a pattern for events without structure. All plain terms must
// be there and no excluded one may; optional terms (?term) count only where there
// is no other term, as on AWS.
func parseTerms(text string) (*Pattern, error) {
	type test func(string) bool
	var must, mustNot, any []test
	s := &scanner{text: text}
	for s.space(); !s.done(); s.space() {
		into := &must
		switch {
		case s.take("?"):
			into = &any
		case s.take("-"):
			into = &mustNot
		}
		t, err := term(s)
		if err != nil {
			return nil, err
		}
		*into = append(*into, t)
	}
	if len(must)+len(mustNot) > 0 {
		any = nil
	}
	return &Pattern{match: func(message string) bool {
		for _, t := range must {
			if !t(message) {
				return false
			}
		}
		for _, t := range mustNot {
			if t(message) {
				return false
			}
		}
		for _, t := range any {
			if t(message) {
				return true
			}
		}
		return len(any) == 0
	}}, nil
}

func term(s *scanner) (func(string) bool, error) {
	if s.done() {
		return nil, s.fail("a term is missing")
	}
	switch s.text[s.at] {
	case '"':
		phrase, err := s.quoted()
		if err != nil {
			return nil, err
		}
		return func(m string) bool { return strings.Contains(m, phrase) }, nil
	case '%':
		re, err := s.expression()
		if err != nil {
			return nil, err
		}
		return re.MatchString, nil
	}
	end := strings.IndexAny(s.rest(), " \t\r\n\"")
	if end < 0 {
		end = len(s.rest())
	}
	if end == 0 {
		return nil, s.fail("a term is missing")
	}
	word := s.rest()[:end]
	s.at += end
	return func(m string) bool { return strings.Contains(m, word) }, nil
}
