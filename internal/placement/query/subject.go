package query

import (
	"fmt"
	"strconv"
	"strings"
)

// A subjectKind is one subject of the language: which operators it takes, and how it is
// compared. compare gives the problem, in words, of a value that it cannot be compared
// with.
type subjectKind struct {
	operators operatorSet
	tasks     bool // depends on the tasks of the instance
	compare   func(op operator, values []string) (m matcher, problem string)
}

// operatorSet has bit op set for each operator in it.
type operatorSet uint

func setOf(ops ...operator) operatorSet {
	var s operatorSet
	for _, op := range ops {
		s |= 1 << op
	}
	return s
}

func (k subjectKind) allows(op operator) bool { return k.operators&(1<<op) != 0 }

// The rows of ECS's table of which operator goes with which subject.
var (
	equality  = setOf(equal, notEqual)
	order     = setOf(greater, greaterEqual, less, lessEqual)
	list      = setOf(in, notIn)
	pattern   = setOf(matches, notMatches)
	existence = setOf(exists, notExists)
)

// attributePrefix comes before the name of an attribute.
const attributePrefix = "attribute:"

// subjectNamed gives the kind of a subject, or the problem with its name.
func subjectNamed(name string) (k subjectKind, problem string) {
	switch name {
	case "agentConnected":
		return textSubject(equality|list|pattern, func(s *Subject) (string, bool) {
			return strconv.FormatBool(s.AgentConnected), true
		}), ""
	case "ec2InstanceId":
		return textSubject(equality|list|pattern, func(s *Subject) (string, bool) {
			return s.EC2InstanceID, s.EC2InstanceID != ""
		}), ""
	case "agentVersion":
		return subjectKind{operators: equality | order, compare: compareVersion}, ""
	case "registeredAt":
		return subjectKind{operators: equality | order, compare: compareTime}, ""
	case "runningTasksCount":
		return subjectKind{operators: equality | order, tasks: true, compare: compareCount}, ""
	case "task:group":
		return subjectKind{operators: equality | list | pattern, tasks: true, compare: compareGroup}, ""
	}
	attribute, ok := strings.CutPrefix(name, attributePrefix)
	switch {
	case !ok:
		return k, fmt.Sprintf("unknown subject %s", name)
	case attribute == "":
		return k, "expected the name of an attribute after attribute:"
	case strings.Contains(attribute, ":"):
		return k, fmt.Sprintf("an attribute cannot be named %s", attribute)
	}
	return textSubject(equality|order|list|pattern|existence, func(s *Subject) (string, bool) {
		v, ok := s.Attributes[attribute]
		return v, ok
	}), ""
}

// textSubject is a subject that is compared as text. get tells also whether the instance
// has it at all: where it has not, no comparison holds.
func textSubject(ops operatorSet, get func(*Subject) (string, bool)) subjectKind {
	return subjectKind{operators: ops, compare: func(op operator, values []string) (matcher, string) {
		switch op {
		case exists:
			return func(s *Subject) bool { _, ok := get(s); return ok }, ""
		case notExists:
			return func(s *Subject) bool { _, ok := get(s); return !ok }, ""
		}
		holds, problem := compareText(op, values)
		if problem != "" {
			return nil, problem
		}
		return func(s *Subject) bool { v, ok := get(s); return ok && holds(v) }, ""
	}}
}
