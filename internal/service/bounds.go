package service

import (
	"gantry"
	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"
)

// Bounds are what a deployment keeps to.
type Bounds struct {
	Desired int
	Floor   int // healthy tasks that must stay
	Ceiling int // tasks that are not STOPPED that may exist
}

// BoundsOf are the bounds of a service that wants so many tasks: percentages of them,
// the minimum rounded up and the maximum rounded down.
func BoundsOf(s *gantry.Service, desired int) Bounds {
	least, most := 100, 200
	if s.Scheduling == ecsapi.SchedulingStrategyDaemon {
		least, most = 0, 100
	}
	if c := s.Configuration; c != nil {
		least, most = percent(c.MinimumHealthyPercent, least), percent(c.MaximumPercent, most)
	}
	return Bounds{Desired: desired, Floor: shareUp(desired, least), Ceiling: desired * most / 100}
}

func percent(given *int32, otherwise int) int {
	if given == nil {
		return otherwise
	}
	return int(wire.Value(given))
}

// shareUp is so many percent of n, rounded up.
func shareUp(n, percent int) int { return (n*percent + 99) / 100 }
