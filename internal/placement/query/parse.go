package query

import (
	"fmt"
	"strings"
	"unicode"
)

// parser is a recursive descent over
//
//	query   = and { ( "||" | "or" ) and }
//	and     = not { ( "&&" | "and" ) not }
//	not     = ( "!" | "not" ) not | "(" query ")" | term
//	term    = subject operator [ value | "[" value { "," value } "]" ]
//
// There is no separate lexer, since what a bare value is depends on where it stands.
// The length of the expression bounds the depth of the recursion.
type parser struct {
	text  []rune
	pos   int  // index of the next character
	tasks bool // a subject that depends on tasks was seen
}

func newParser(expression string) (*parser, error) {
	p := &parser{text: []rune(expression)}
	if len(p.text) > MaxLength {
		return nil, &Error{MaxLength + 1, fmt.Sprintf("it has %d characters and may have %d", len(p.text), MaxLength)}
	}
	return p, nil
}

// query reads the whole text.
func (p *parser) query() (matcher, error) {
	m, err := p.or()
	if err != nil {
		return nil, err
	}
	p.space()
	if p.pos < len(p.text) {
		return nil, p.errorf(p.pos, "expected and, or, or the end, found %s", p.found())
	}
	return m, nil
}

func (p *parser) or() (matcher, error) {
	left, err := p.and()
	for err == nil && (p.symbol("||") || p.keyword("or")) {
		var right matcher
		if right, err = p.and(); err == nil {
			left = either(left, right)
		}
	}
	return left, err
}

func (p *parser) and() (matcher, error) {
	left, err := p.not()
	for err == nil && (p.symbol("&&") || p.keyword("and")) {
		var right matcher
		if right, err = p.not(); err == nil {
			left = both(left, right)
		}
	}
	return left, err
}

func (p *parser) not() (matcher, error) {
	if p.symbol("!") || p.keyword("not") {
		m, err := p.not()
		if err != nil {
			return nil, err
		}
		return negate(m), nil
	}
	if !p.symbol("(") {
		return p.term()
	}
	m, err := p.or()
	if err != nil {
		return nil, err
	}
	if !p.symbol(")") {
		return nil, p.errorf(p.pos, "expected ), found %s", p.found())
	}
	return m, nil
}

// term reads one comparison.
func (p *parser) term() (matcher, error) {
	p.space()
	start := p.pos
	name := p.word(isSubjectRune)
	if name == "" {
		return nil, p.errorf(start, "expected a subject such as attribute:name, found %s", p.found())
	}
	subject, problem := subjectNamed(name)
	if problem != "" {
		return nil, p.errorf(start, "%s", problem)
	}
	p.tasks = p.tasks || subject.tasks

	p.space()
	opStart := p.pos
	op, spelling := p.operator()
	if op == noOperator {
		return nil, p.errorf(opStart, "expected an operator after %s, found %s", name, p.found())
	}
	if !subject.allows(op) {
		return nil, p.errorf(opStart, "%s cannot be used with %s", spelling, name)
	}

	p.space()
	valueStart := p.pos
	values, err := p.operands(op, spelling)
	if err != nil {
		return nil, err
	}
	m, problem := subject.compare(op, values)
	if problem != "" {
		return nil, p.errorf(valueStart, "%s", problem)
	}
	return m, nil
}

// operands reads what the operator compares with: nothing, one value, or a list.
func (p *parser) operands(op operator, spelling string) ([]string, error) {
	switch op {
	case exists, notExists:
		return nil, nil
	case in, notIn:
		return p.list(spelling)
	}
	v, err := p.value(spelling, isBareRune)
	return []string{v}, err
}

func (p *parser) list(spelling string) ([]string, error) {
	if !p.symbol("[") {
		return nil, p.errorf(p.pos, "expected [ after %s, found %s", spelling, p.found())
	}
	var values []string
	for after := "["; ; after = "," {
		v, err := p.value(after, isListRune)
		if err != nil {
			return nil, err
		}
		values = append(values, v)
		if p.symbol("]") {
			return values, nil
		}
		if !p.symbol(",") {
			return nil, p.errorf(p.pos, "expected , or ], found %s", p.found())
		}
	}
}

// value reads quoted text, where everything up to the same quote stands for itself, or
// the characters of bare text.
func (p *parser) value(after string, bare func(rune) bool) (string, error) {
	p.space()
	start := p.pos
	if quote := p.peek(); quote == '\'' || quote == '"' {
		p.pos++
		text := p.word(func(r rune) bool { return r != quote })
		if p.peek() != quote {
			return "", p.errorf(start, "the quote %c is not closed", quote)
		}
		p.pos++
		return text, nil
	}
	// A second operator (=== or == !x) is a slip of the pen; a value that begins
	// like one is written in quotes.
	if strings.ContainsRune("=!<>&|", p.peek()) {
		return "", p.errorf(start, "expected a value after %s, found %s", after, p.found())
	}
	text := p.word(bare)
	if text == "" {
		return "", p.errorf(start, "expected a value after %s, found %s", after, p.found())
	}
	return text, nil
}

// symbol consumes s, white space before it included, if it comes next.
func (p *parser) symbol(s string) bool {
	p.space()
	return p.take(s)
}

// keyword consumes word if it comes next and ends there.
func (p *parser) keyword(word string) bool {
	p.space()
	start := p.pos
	if p.take(word) && !isSubjectRune(p.peek()) {
		return true
	}
	p.pos = start
	return false
}

func (p *parser) take(s string) bool {
	end := p.pos + len(s) // symbols and keywords are ASCII
	if end > len(p.text) || string(p.text[p.pos:end]) != s {
		return false
	}
	p.pos = end
	return true
}

func (p *parser) space() {
	for p.pos < len(p.text) && unicode.IsSpace(p.text[p.pos]) {
		p.pos++
	}
}

// word consumes the longest run of characters that belong.
func (p *parser) word(belongs func(rune) bool) string {
	start := p.pos
	for p.pos < len(p.text) && belongs(p.text[p.pos]) {
		p.pos++
	}
	return string(p.text[start:p.pos])
}

// peek gives the next character, 0 at the end.
func (p *parser) peek() rune {
	if p.pos < len(p.text) {
		return p.text[p.pos]
	}
	return 0
}

// found describes the next character for an error.
func (p *parser) found() string {
	if p.pos >= len(p.text) {
		return "the end"
	}
	return fmt.Sprintf("%q", p.text[p.pos])
}

func (p *parser) errorf(pos int, format string, args ...any) *Error {
	return &Error{pos + 1, fmt.Sprintf(format, args...)}
}

// isSubjectRune holds for what a subject may be made of: the characters of attribute
// names, and the colon of attribute: and task:.
func isSubjectRune(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
		return true
	}
	return r != 0 && strings.ContainsRune(`:._-/\`, r)
}

// isBareRune holds for what a value without quotes may be made of. Patterns have
// brackets: attribute:rack =~ r[0-9]{1,2}
func isBareRune(r rune) bool { return !unicode.IsSpace(r) && r != ')' }

// isListRune holds for what a value without quotes may be made of inside [ ].
func isListRune(r rune) bool { return isBareRune(r) && r != ']' && r != ',' }

func either(a, b matcher) matcher { return func(s *Subject) bool { return a(s) || b(s) } }
func both(a, b matcher) matcher   { return func(s *Subject) bool { return a(s) && b(s) } }
func negate(m matcher) matcher    { return func(s *Subject) bool { return !m(s) } }
