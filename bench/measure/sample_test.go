package measure_test

import (
	"testing"

	"gantry/bench/measure"
)

func TestQuantile(t *testing.T) {
	s := measure.Sample{40, 10, 30, 20}
	for q, want := range map[float64]float64{0: 10, 0.5: 25, 1: 40, 0.9: 37} {
		if got := s.Quantile(q); got < want-1e-9 || got > want+1e-9 {
			t.Errorf("quantile %v of %v is %v, want %v", q, s, got, want)
		}
	}
	if got := (measure.Sample{}).Median(); got != 0 {
		t.Errorf("median of nothing is %v", got)
	}
	if got, want := s.Text("%.0f"), "25 (10–40)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
