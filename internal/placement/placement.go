// Package placement decides on which container instance a task runs: what fits, which
// constraints bind, which strategies prefer, and, where the answer is no, why.
//
// A Cluster holds the container instances of one cluster and what tasks take on them. A
// Spec says what a task needs and prefers; Compile makes a Request of it, once per batch
// or per service. Place chooses an instance for one task; the caller then tells the
// Cluster with AddTask, so that the next choice sees it:
//
//	work := cluster.Clone()
//	for _, task := range tasks {
//		choice, refusal := placement.Place(work, request, task)
//		if refusal != nil {
//			return refusal
//		}
//		if err := work.AddTask(choice.Instance, spec.Group, spec.Demand); err != nil {
//			return err
//		}
//	}
//
// The steps are ECS's: an instance must be ACTIVE with its agent connected, have room and
// the required attributes, and satisfy every constraint. Of those the first strategy takes
// the best, each further one decides among what is left equal. What is equal after all
// goes to the instance with the fewest tasks, and then by a hash of instance and task,
// so that the choice can be repeated and many callers do not all choose the same.
//
// Place finds its answer in an index (see order.go), not by a scan. The package does no
// I/O, reads no clock, and knows no randomness but the seed in a Spec. It never changes a
// Cluster's tasks by itself, and it never moves or stops a task.
package placement

import (
	"gantry"
	"gantry/internal/wire/ecsapi"
)

// A Spec says what the tasks of one service or one RunTask need and prefer.
type Spec struct {
	// Group is the tasks' group: spread counts its tasks only, and distinctInstance
	// allows one of them per instance.
	Group  gantry.Group
	Demand Demand
	// Requires is the task definition's requiresAttributes: an instance must have each
	// of them, with the same value where one is given.
	Requires []ecsapi.Attribute
	// Constraints are the task definition's (memberOf only) and the request's.
	Constraints []ecsapi.PlacementConstraint
	// Strategies are chained. None leaves everything to the tie rule: see
	// ServiceStrategies and RunTaskStrategies for what ECS does in that case.
	Strategies []ecsapi.PlacementStrategy
	// Averse are instances that are taken only where no other takes the task: the strategies
	// choose among the others.
	Averse []gantry.InstanceID
	// Seed feeds the random strategy. The same seed and task give the same choice.
	Seed uint64
}

// Limits of a Spec, as in the API text of ECS.
const (
	MaxConstraints = 10 // of task definition and request together
	MaxStrategies  = 5
)

// The spread fields that are not attributes.
const (
	fieldInstanceID = "instanceId"
	fieldHost       = "host" // the same as instanceId
)

// ServiceStrategies is how ECS places a service that names no strategy: the availability
// zone with the fewest of its tasks, then the instance with the fewest.
func ServiceStrategies() []ecsapi.PlacementStrategy {
	return []ecsapi.PlacementStrategy{
		{Type: ecsapi.PlacementStrategyTypeSpread, Field: new("attribute:ecs.availability-zone")},
		{Type: ecsapi.PlacementStrategyTypeSpread, Field: new(fieldInstanceID)},
	}
}

// RunTaskStrategies is how ECS places a standalone task that names no strategy: at random.
func RunTaskStrategies() []ecsapi.PlacementStrategy {
	return []ecsapi.PlacementStrategy{{Type: ecsapi.PlacementStrategyTypeRandom}}
}

// A Choice is where a task goes.
type Choice struct {
	Instance gantry.InstanceID
}

// InvalidError says what is wrong with a Spec, in words for the person who wrote it: the
// message of an InvalidParameterException.
type InvalidError struct{ Message string }

func (e *InvalidError) Error() string { return e.Message }
