package wire

import (
	"fmt"
	"strconv"
	"strings"
)

// A Violation is a member of an input that is missing or wrong. The checks that the generator writes return it while
// they are inside a structure; each structure around it adds its name in front, so that a path costs nothing until
// something is wrong.
type Violation struct {
	path          string // "containerDefinitions[0].name", as seen from the structure that is being checked; "" is that structure
	before, after string // the sentence around the path
}

// In returns the violation as seen from a structure that holds the violated one as the named member.
func (v *Violation) In(member string) *Violation {
	if v.path != "" {
		member += "." + v.path
	}
	return &Violation{path: member, before: v.before, after: v.after}
}

// InItem returns the violation as seen from a structure that holds the violated one as an item of a list.
func (v *Violation) InItem(list string, index int) *Violation {
	return v.In(list + "[" + strconv.Itoa(index) + "]")
}

// InValue returns the violation as seen from a structure that holds the violated one as a value of a map.
func (v *Violation) InValue(m, key string) *Violation {
	return v.In(m + "[" + strconv.Quote(key) + "]")
}

// Message returns the sentence for the person who asked.
func (v *Violation) Message() string { return v.before + v.path + v.after }

// Missing reports a required member that is absent. What says what would be right: "a string", "one of START, HEALTHY".
func Missing(member, what string) *Violation {
	return &Violation{path: member, after: " is required: " + what + "."}
}

// NotAValue reports a member whose value is none of the enumerated ones.
func NotAValue[E ~string](member string, got E, valid []E) *Violation {
	return &Violation{path: member, before: "Invalid value for ", after: ": " + Shorten(string(got)) + ". Valid values are: " + Join(valid) + "."}
}

// NotOneOf reports a structure of which exactly one member has to be set, and none or several were.
func NotOneOf(members string) *Violation {
	return &Violation{after: " needs exactly one of: " + members + "."}
}

// OutOfRange reports a number outside its limits.
func OutOfRange[N int32 | int64 | float64](member string, got, least, most N) *Violation {
	return &Violation{path: member, after: fmt.Sprintf(" is %v; it must be between %v and %v.", got, least, most)}
}

// BadLength reports a string whose number of characters is outside its limits.
func BadLength(member string, got, least, most int) *Violation {
	return &Violation{path: member, after: fmt.Sprintf(" has %d characters; %s allowed.", got, bounds(least, most))}
}

// BadCount reports a list or map whose number of items is outside its limits. An empty one is reported in
// ECS's own words: "Tasks cannot be empty."
func BadCount(member string, got, least, most int) *Violation {
	if got == 0 {
		return &Violation{path: strings.ToUpper(member[:1]) + member[1:], after: " cannot be empty."}
	}
	return &Violation{path: member, after: fmt.Sprintf(" has %d items; %s allowed.", got, bounds(least, most))}
}

func bounds(least, most int) string {
	if least == 0 {
		return fmt.Sprintf("at most %d are", most)
	}
	return fmt.Sprintf("%d to %d are", least, most)
}

// Join lists enumerated values with commas.
func Join[E ~string](values []E) string {
	var b strings.Builder
	for i, v := range values {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(string(v))
	}
	return b.String()
}

// Shorten bounds what a client sent before it is quoted back: a longer value would hide the sentence around it.
func Shorten(s string) string {
	const most = 100
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
