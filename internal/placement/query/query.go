// Package query is the cluster query language of Amazon ECS: the expressions of
// memberOf placement constraints and of the filter of ListContainerInstances,
// such as
//
//	attribute:ecs.instance-type =~ g2.* and not(task:group == database)
//
// Parse turns an expression into a Query once, Match asks it about one container
// instance. A Query is immutable: any number of callers may match with it at once.
//
// AWS publishes prose, no grammar. Where its prose is silent we decided:
//   - "and" binds tighter than "or"; parentheses may stand round anything;
//   - a comparison other than !exists holds only where the subject has a value, so
//     attribute:stack != prod leaves out instances without the attribute, and
//     not(attribute:stack == prod) does not;
//   - attributes are text, and ordered as text;
//   - task:group != web, !in and !~ hold where no task of the instance is in such a
//     group; ordering task groups, and asking whether they exist, is refused;
//   - a pattern must match the whole value.
//
// Patterns are Java regular expressions on AWS and RE2 here. What RE2 lacks, or
// reads differently, is refused by Parse and never silently reinterpreted.
package query

import (
	"fmt"
	"iter"
	"time"
)

// MaxLength is the longest expression accepted, in characters: ECS's own limit for
// the expression of a placement constraint.
const MaxLength = 2000

// Subject is what a query may ask of one container instance.
type Subject struct {
	Attributes        map[string]string // custom and built in; the value of one without value is ""
	AgentConnected    bool
	AgentVersion      string // such as 1.79.0; empty if unknown, and then no comparison holds
	EC2InstanceID     string // the managed instance id (mi-…) of an external instance; empty if it has none
	RegisteredAt      time.Time
	RunningTasksCount int
	Groups            iter.Seq[string] // the groups of its tasks, repeats allowed; nil for none
}

// A Query is a parsed expression.
type Query struct {
	source  string
	matches matcher
	tasks   bool
}

// matcher tells whether one part of an expression holds for an instance.
type matcher func(*Subject) bool

// Parse reads an expression. Its error is an *Error.
func Parse(expression string) (*Query, error) {
	p, err := newParser(expression)
	if err != nil {
		return nil, err
	}
	m, err := p.query()
	if err != nil {
		return nil, err
	}
	return &Query{source: expression, matches: m, tasks: p.tasks}, nil
}

// Match tells whether the query selects the instance. It does not keep s.
func (q *Query) Match(s *Subject) bool { return q.matches(s) }

// AsksForTasks tells whether the answer depends on the tasks of an instance
// (runningTasksCount, task:group), and so may change with every task.
func (q *Query) AsksForTasks() bool { return q.tasks }

// String gives the expression as it was written.
func (q *Query) String() string { return q.source }

// Error says why an expression is not a query. Its text is meant for the person who
// wrote the expression, as the message of an InvalidParameterException.
type Error struct {
	Position int    // in characters, the first being 1
	Problem  string // such as: expected a value after ==
}

func (e *Error) Error() string {
	return fmt.Sprintf("Invalid cluster query expression at character %d: %s.", e.Position, e.Problem)
}
