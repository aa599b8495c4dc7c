// Package measure is how gantry's benchmarks count: medians with their spread, what
// a process used of the CPU, and how busy the machine was with other things.
//
// Benchmarks run on machines that do other work too. A median over rounds that
// take turns with those of a peer says more than a mean, CPU time more than the
// clock, and a ratio more than either.
package measure

import (
	"fmt"
	"slices"
	"time"
)

// A Sample is what several rounds of one measurement gave, in one unit.
type Sample []float64

// Quantile is the value below which the share q of the sample lies, q from 0 to 1;
// 0 of an empty sample.
func (s Sample) Quantile(q float64) float64 {
	if len(s) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(s))
	at := q * float64(len(sorted)-1)
	low := int(at)
	if low == len(sorted)-1 {
		return sorted[low]
	}
	return sorted[low] + (at-float64(low))*(sorted[low+1]-sorted[low])
}

// Median is the middle one.
func (s Sample) Median() float64 { return s.Quantile(0.5) }

// Text is the median, with the smallest and the largest beside it, in the unit's
// own number format: Text("%.0f") gives "3120 (2890–3300)".
func (s Sample) Text(format string) string {
	return fmt.Sprintf(format+" ("+format+"–"+format+")", s.Median(), s.Quantile(0), s.Quantile(1))
}

// Milliseconds makes a sample of durations.
func Milliseconds(durations []time.Duration) Sample {
	s := make(Sample, len(durations))
	for i, d := range durations {
		s[i] = float64(d) / float64(time.Millisecond)
	}
	return s
}
