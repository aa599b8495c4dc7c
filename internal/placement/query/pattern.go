package query

import (
	"fmt"
	"regexp"
	"strings"
)

// compilePattern reads a regular expression that has to match a whole value. It gives the
// problem with one that Java reads and RE2 does not, or reads in another way.
func compilePattern(text string) (re *regexp.Regexp, problem string) {
	if feature := javaOnly(text); feature != "" {
		return nil, fmt.Sprintf("the pattern %s uses %s, which is not supported here", text, feature)
	}
	// Alone first: "a)|(b" must not become a pattern by what we put round it.
	if _, err := regexp.Compile(text); err != nil {
		return nil, fmt.Sprintf("the pattern %s cannot be read: %s", text, patternError(err))
	}
	re, err := regexp.Compile(`\A(?:` + text + `)\z`)
	if err != nil {
		return nil, fmt.Sprintf("the pattern %s cannot be read: %s", text, patternError(err))
	}
	return re, ""
}

// patternError leaves out what we put round the pattern.
func patternError(err error) string {
	return strings.TrimPrefix(err.Error(), "error parsing regexp: ")
}

// javaGroups are the groups that only Java knows, or knows differently.
var javaGroups = []struct{ opening, name string }{
	{"(?=", "look-ahead"},
	{"(?!", "look-ahead"},
	{"(?<=", "look-behind"},
	{"(?<!", "look-behind"},
	{"(?>", "an atomic group"},
	{"(?U", "the flag U"},
}

// javaOnly names the first construct of a pattern that Java and RE2 do not read alike, or
// gives "".
func javaOnly(text string) string {
	inClass, classStart := false, 0
	for i := 0; i < len(text); i++ {
		switch rest := text[i:]; {
		case strings.HasPrefix(rest, `\Q`):
			end := strings.Index(rest, `\E`)
			if end < 0 {
				return ""
			}
			i += end + 1
		case rest[0] == '\\':
			if len(rest) > 1 && !inClass && ('1' <= rest[1] && rest[1] <= '9' || rest[1] == 'k') {
				return "a back reference"
			}
			i++
		case inClass && rest[0] == '[':
			return "a class inside a class"
		case inClass && strings.HasPrefix(rest, "&&"):
			return "an intersection of classes"
		case inClass:
			// A ] at the very start stands for itself, after ^ too.
			if rest[0] == ']' && i > classStart && text[classStart:i] != "^" {
				inClass = false
			}
		case rest[0] == '[':
			inClass, classStart = true, i+1
		case strings.HasPrefix(rest, "*+"), strings.HasPrefix(rest, "++"), strings.HasPrefix(rest, "?+"), strings.HasPrefix(rest, "}+"):
			return "a possessive quantifier"
		default:
			for _, g := range javaGroups {
				if strings.HasPrefix(rest, g.opening) {
					return g.name
				}
			}
		}
	}
	return ""
}
