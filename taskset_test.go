package gantry_test

import (
	"testing"

	"gantry"
	"gantry/internal/wire/ecsapi"
)

func TestShareOfATaskSet(t *testing.T) {
	for _, c := range []struct {
		service int
		percent float64
		want    int
	}{
		{0, 100, 0}, {5, 0, 0}, {5, 100, 5}, {5, 50, 3}, {4, 50, 2}, {1, 0.1, 1}, {100, 7, 7}, {1000, 0.7, 7}, {3, 33.4, 2}, {3, 33.3, 1},
	} {
		s := gantry.TaskSet{Scale: ecsapi.Scale{Value: &c.percent}}
		if got := s.Desired(c.service); got != c.want {
			t.Errorf("%v %% of %d is %d, want %d", c.percent, c.service, got, c.want)
		}
		if s.Draining = true; s.Desired(c.service) != 0 {
			t.Errorf("a draining one is to have %d tasks", s.Desired(c.service))
		}
	}
}
