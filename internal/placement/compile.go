package placement

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"gantry/internal/placement/query"
	"gantry/internal/wire/ecsapi"
)

// A Request is a Spec made ready for Place. It remembers what it found, so that placing a
// batch with one Request is cheap: it is for one goroutine at a time. It may be used with
// any Cluster, and profits most from a Cluster and its clones.
type Request struct {
	spec     Spec
	shape    *shape
	chain    []criterion
	lead     int    // how many criteria at the front are spreads over attributes
	packMask uint64 // the part of an entry's key that comes before the instance spread
	levels   bool   // the tasks of the group on the instance count
	distinct bool
	random   bool
	deep     bool // an entry alone cannot tell whether the task fits
	// resort is the same without an aversion, for where nothing else is left; nil where there
	// is none.
	resort *Request

	memo   memo
	tasks  [MaxStrategies][]int32 // of the group, by value, for each attribute spread over
	group  *group
	family *family
}

// A criterion is one thing that the strategies compare instances by: less is better.
type criterion struct {
	kind criterionKind
	at   int // which attribute, or which half of the key
}

type criterionKind int

const (
	tasksByAttribute criterionKind = iota
	tasksByInstance
	left
)

// Compile makes a Request. Its error is an *InvalidError. The slices of spec must not
// change any more.
func Compile(spec Spec) (*Request, error) {
	r := &Request{spec: spec, shape: &shape{requires: spec.Requires}}
	if len(spec.Constraints) > MaxConstraints {
		return nil, &InvalidError{fmt.Sprintf("A task can have at most %d placement constraints, and this one has %d.", MaxConstraints, len(spec.Constraints))}
	}
	if len(spec.Strategies) > MaxStrategies {
		return nil, &InvalidError{fmt.Sprintf("Maximum number of strategies is %d; this task has %d.", MaxStrategies, len(spec.Strategies))}
	}
	for _, c := range spec.Constraints {
		if err := r.constrain(c); err != nil {
			return nil, err
		}
	}
	for _, s := range spec.Strategies {
		if err := r.prefer(s); err != nil {
			return nil, err
		}
	}
	for _, c := range r.chain {
		if c.kind != tasksByAttribute {
			break
		}
		r.lead++
	}
	d := &r.spec.Demand
	if d.CPU > math.MaxUint32 || d.Memory > math.MaxUint32 || d.GPUs > math.MaxUint32 || min(d.CPU, d.Memory, d.GPUs) < 0 {
		return nil, &InvalidError{"The cpu, memory or GPUs of the task are out of range."}
	}
	r.deep = r.distinct || len(d.Ports) > 0 || len(d.Other) > 0 || len(spec.Averse) > 0
	r.shape.random = r.random
	r.shape.setKey()
	if len(spec.Averse) == 0 {
		return r, nil
	}
	spec.Averse = nil
	var err error
	r.resort, err = Compile(spec)
	return r, err
}

func (r *Request) constrain(c ecsapi.PlacementConstraint) error {
	expression := deref(c.Expression)
	switch c.Type {
	case ecsapi.PlacementConstraintTypeDistinctInstance:
		if expression != "" {
			return &InvalidError{"The placement constraint distinctInstance takes no expression."}
		}
		r.distinct = true
	case ecsapi.PlacementConstraintTypeMemberOf:
		q, err := query.Parse(expression)
		if err != nil {
			return &InvalidError{err.Error()}
		}
		r.shape.queries = append(r.shape.queries, q)
		r.shape.asks = r.shape.asks || q.AsksForTasks()
	default:
		return &InvalidError{fmt.Sprintf("Unknown placement constraint type %s: it is distinctInstance or memberOf.", c.Type)}
	}
	return nil
}

// prefer adds a strategy to the chain. One that repeats an earlier one, or stands after
// random, has nothing left to decide; it is checked all the same.
func (r *Request) prefer(s ecsapi.PlacementStrategy) error {
	field := deref(s.Field)
	attribute, isAttribute := strings.CutPrefix(field, "attribute:")
	next := criterion{kind: left}
	switch {
	case s.Type == ecsapi.PlacementStrategyTypeRandom:
		if field != "" {
			return &InvalidError{"The placement strategy random takes no field."}
		}
		r.random = true
		return nil
	case s.Type == ecsapi.PlacementStrategyTypeSpread && (field == fieldInstanceID || field == fieldHost):
		next.kind = tasksByInstance
	case s.Type == ecsapi.PlacementStrategyTypeSpread && isAttribute && attribute != "":
		next.kind = tasksByAttribute
		if next.at = slices.Index(r.shape.spread, attribute); next.at < 0 && !r.random {
			next.at = len(r.shape.spread)
			r.shape.spread = append(r.shape.spread, attribute)
		}
	case s.Type == ecsapi.PlacementStrategyTypeSpread:
		return &InvalidError{fmt.Sprintf("The field of the placement strategy spread is instanceId, host or attribute:<name>, not %q.", field)}
	case s.Type == ecsapi.PlacementStrategyTypeBinpack && (strings.EqualFold(field, string(cpu)) || strings.EqualFold(field, string(memory))):
		pack := resource(strings.ToLower(field))
		if next.at = slices.Index(r.shape.packs, pack); next.at < 0 && !r.random {
			next.at = len(r.shape.packs)
			r.shape.packs = append(r.shape.packs, pack)
		}
	case s.Type == ecsapi.PlacementStrategyTypeBinpack:
		return &InvalidError{fmt.Sprintf("binpack field '%s' is invalid: it is cpu or memory.", field)}
	default:
		return &InvalidError{fmt.Sprintf("Unknown placement strategy type %s: it is random, spread or binpack.", s.Type)}
	}
	if r.random || slices.Contains(r.chain, next) {
		return nil
	}
	r.chain = append(r.chain, next)
	switch {
	case next.kind == tasksByInstance:
		r.levels = true
	case next.kind == left && !r.levels:
		r.packMask |= math.MaxUint32 << (32 - 32*next.at)
	}
	return nil
}
