package setting

import "time"

// Burn keeps one CPU busy for the given share of the time, and never returns.
func Burn(share float64) {
	const slice = 10 * time.Millisecond
	share = min(share, 1)
	for {
		start := time.Now()
		for time.Since(start) < time.Duration(share*float64(slice)) {
		}
		time.Sleep(slice - time.Since(start))
	}
}
