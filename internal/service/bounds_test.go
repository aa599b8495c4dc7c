package service

import (
	"fmt"
	"testing"

	"gantry"
	"gantry/internal/wire/ecsapi"
)

func TestBounds(t *testing.T) {
	for _, c := range []struct{ desired, least, most, floor, ceiling int }{
		{4, 100, 200, 4, 8}, {4, 50, 200, 2, 8}, {4, 50, 100, 2, 4}, {1, 100, 200, 1, 2}, {1, 0, 100, 0, 1},
		{2, 75, 150, 2, 3}, {3, 50, 100, 2, 3}, {5, 100, 120, 5, 6}, {10, 66, 150, 7, 15}, {10, 100, 150, 10, 15},
		{3, 100, 125, 3, 3}, {7, 90, 110, 7, 7}, {1, 100, 100, 1, 1}, {0, 100, 200, 0, 0},
	} {
		s := &gantry.Service{Configuration: &ecsapi.DeploymentConfiguration{
			MinimumHealthyPercent: new(int32(c.least)), MaximumPercent: new(int32(c.most))}}
		if got, want := BoundsOf(s, c.desired), (Bounds{c.desired, c.floor, c.ceiling}); got != want {
			t.Errorf("%d tasks, %d/%d: %+v, want %+v", c.desired, c.least, c.most, got, want)
		}
	}
	if got, want := BoundsOf(&gantry.Service{}, 4), (Bounds{4, 4, 8}); got != want {
		t.Errorf("REPLICA's own: %+v, want %+v", got, want)
	}
	if got, want := BoundsOf(&gantry.Service{Scheduling: ecsapi.SchedulingStrategyDaemon}, 4), (Bounds{4, 0, 4}); got != want {
		t.Errorf("DAEMON's own: %+v, want %+v", got, want)
	}
}

func TestThreshold(t *testing.T) {
	of := func(kind ecsapi.ThresholdType, value *int32) *ecsapi.DeploymentCircuitBreaker {
		return &ecsapi.DeploymentCircuitBreaker{ThresholdConfiguration: &ecsapi.ThresholdConfiguration{Type: kind, Value: value}}
	}
	for _, c := range []struct {
		breaker       *ecsapi.DeploymentCircuitBreaker
		desired, want int
	}{
		{&ecsapi.DeploymentCircuitBreaker{}, 1, 3}, {&ecsapi.DeploymentCircuitBreaker{}, 4, 3}, {&ecsapi.DeploymentCircuitBreaker{}, 6, 3},
		{&ecsapi.DeploymentCircuitBreaker{}, 7, 4}, {&ecsapi.DeploymentCircuitBreaker{}, 25, 13}, {&ecsapi.DeploymentCircuitBreaker{}, 40, 20},
		{&ecsapi.DeploymentCircuitBreaker{}, 400, 200}, {&ecsapi.DeploymentCircuitBreaker{}, 800, 200},
		{of(ecsapi.ThresholdTypeBoundedPercent, new(int32(10))), 100, 10}, {of(ecsapi.ThresholdTypeBoundedPercent, nil), 7, 4},
		{of(ecsapi.ThresholdTypeUnboundedPercent, new(int32(10))), 11, 2}, {of(ecsapi.ThresholdTypeUnboundedPercent, new(int32(100))), 800, 800},
		{of(ecsapi.ThresholdTypeCount, new(int32(7))), 1000, 7},
	} {
		if got := Threshold(c.breaker, c.desired); got != c.want {
			t.Errorf("%s of %d tasks: %d, want %d", fmt.Sprintf("%+v", c.breaker.ThresholdConfiguration), c.desired, got, c.want)
		}
	}
}

// A desired count of billions is not reckoned with at once: a plan names a provider for
// each task that it starts, and would not fit into memory.
func TestStartsAreBounded(t *testing.T) {
	w := newWorld()
	w.service = &gantry.Service{Name: "web", Cluster: "prod", Status: gantry.ServiceActive, Configuration: &ecsapi.DeploymentConfiguration{},
		DesiredCount: 50 * mostStarts, Providers: []ecsapi.CapacityProviderStrategyItem{{CapacityProvider: new("a"), Weight: new(int32(1))}}}
	w.history = &gantry.ServiceHistory{Cluster: "prod", Service: "web"}
	w.deploy()
	plan := MakePlan(w.now, w.look(), w.set)
	if len(plan.Starts) != 1 || plan.Starts[0].Count != mostStarts || len(plan.Starts[0].Providers) != mostStarts {
		t.Errorf("%d starts, of %d tasks", len(plan.Starts), plan.Starts[0].Count)
	}
}
