package query

// operator is what stands between a subject and its value.
type operator int

const (
	noOperator operator = iota
	equal
	notEqual
	greater
	greaterEqual
	less
	lessEqual
	in
	notIn
	matches
	notMatches
	exists
	notExists
)

// symbols are the operators' signs. A sign that begins another stands after it.
var symbols = []struct {
	spelling string
	op       operator
}{
	{"==", equal},
	{"!=", notEqual},
	{">=", greaterEqual},
	{">", greater},
	{"<=", lessEqual},
	{"<", less},
	{"=~", matches},
	{"!~", notMatches},
}

// keywords are the operators' names. The signs of exists and in are names with a !.
var keywords = map[string]operator{
	"equals":             equal,
	"not_equals":         notEqual,
	"greater_than":       greater,
	"greater_than_equal": greaterEqual,
	"less_than":          less,
	"less_than_equal":    lessEqual,
	"in":                 in,
	"!in":                notIn,
	"not_in":             notIn,
	"matches":            matches,
	"not_matches":        notMatches,
	"exists":             exists,
	"!exists":            notExists,
	"not_exists":         notExists,
}

// operator reads one operator and gives it with its spelling, or noOperator without
// having moved.
func (p *parser) operator() (operator, string) {
	for _, s := range symbols {
		if p.take(s.spelling) {
			return s.op, s.spelling
		}
	}
	start := p.pos
	bang := ""
	if p.take("!") {
		bang = "!"
	}
	name := bang + p.word(isKeywordRune)
	if op, ok := keywords[name]; ok {
		return op, name
	}
	p.pos = start
	return noOperator, ""
}

func isKeywordRune(r rune) bool { return 'a' <= r && r <= 'z' || r == '_' }

// holds tells whether an order comparison accepts the outcome of cmp.Compare(value of
// the instance, value of the expression).
func (op operator) holds(order int) bool {
	switch op {
	case equal:
		return order == 0
	case notEqual:
		return order != 0
	case greater:
		return order > 0
	case greaterEqual:
		return order >= 0
	case less:
		return order < 0
	case lessEqual:
		return order <= 0
	}
	return false
}
