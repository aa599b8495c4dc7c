package query

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"
)

// compareText gives the test of one text value.
func compareText(op operator, values []string) (holds func(string) bool, problem string) {
	switch op {
	case in:
		return func(v string) bool { return slices.Contains(values, v) }, ""
	case notIn:
		return func(v string) bool { return !slices.Contains(values, v) }, ""
	case matches, notMatches:
		re, problem := compilePattern(values[0])
		if problem != "" {
			return nil, problem
		}
		return func(v string) bool { return re.MatchString(v) == (op == matches) }, ""
	}
	want := values[0]
	return func(v string) bool { return op.holds(cmp.Compare(v, want)) }, ""
}

// positive gives the operator that asks what op denies, and whether op denies.
func (op operator) positive() (operator, bool) {
	switch op {
	case notEqual:
		return equal, true
	case notIn:
		return in, true
	case notMatches:
		return matches, true
	}
	return op, false
}

// compareGroup asks whether any task of the instance is in such a group, and for the
// negative operators whether none is.
func compareGroup(op operator, values []string) (matcher, string) {
	ask, denied := op.positive()
	holds, problem := compareText(ask, values)
	if problem != "" {
		return nil, problem
	}
	return func(s *Subject) bool {
		if s.Groups != nil {
			for group := range s.Groups {
				if holds(group) {
					return !denied
				}
			}
		}
		return denied
	}, ""
}

func compareCount(op operator, values []string) (matcher, string) {
	want, err := strconv.Atoi(values[0])
	if err != nil {
		return nil, fmt.Sprintf("runningTasksCount is compared with a whole number, not with %s", values[0])
	}
	return func(s *Subject) bool { return op.holds(cmp.Compare(s.RunningTasksCount, want)) }, ""
}

func compareVersion(op operator, values []string) (matcher, string) {
	want, ok := parseVersion(values[0])
	if !ok {
		return nil, fmt.Sprintf("agentVersion is compared with a version such as 1.14.5, not with %s", values[0])
	}
	return func(s *Subject) bool {
		have, ok := parseVersion(s.AgentVersion)
		return ok && op.holds(compareVersions(have, want))
	}, ""
}

// timeLayouts are the ways to write a time in a query. Without a zone it is UTC.
var timeLayouts = []string{time.RFC3339, "2006-01-02T15:04:05", time.DateOnly}

// compareTime compares to the second, since that is what can be written; a fraction in
// the expression makes it exact.
func compareTime(op operator, values []string) (matcher, string) {
	for _, layout := range timeLayouts {
		want, err := time.Parse(layout, values[0])
		if err != nil {
			continue
		}
		precision := time.Second
		if want.Nanosecond() != 0 {
			precision = time.Nanosecond
		}
		return func(s *Subject) bool {
			if s.RegisteredAt.IsZero() {
				return false
			}
			return op.holds(s.RegisteredAt.Truncate(precision).Compare(want))
		}, ""
	}
	return nil, fmt.Sprintf("registeredAt is compared with a time such as 2018-06-18T22:28:28+00:00 or 2018-06-18, not with %s", values[0])
}
