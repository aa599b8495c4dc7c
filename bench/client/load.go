package client

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A Load is one request sent many times.
type Load struct {
	Address string
	Request []byte
	// Check looks at each answer; nil takes every 200 for good.
	Check func(body []byte) error
	// Connections are used at once.
	Connections int
}

// A Result is what became of a load.
type Result struct {
	Wall      time.Duration
	Latencies []time.Duration // of each request, sorted
}

// PerSecond is the rate of answers.
func (r Result) PerSecond() float64 { return float64(len(r.Latencies)) / r.Wall.Seconds() }

// Quantile is the latency that the share q of requests did not exceed.
func (r Result) Quantile(q float64) time.Duration {
	if len(r.Latencies) == 0 {
		return 0
	}
	return r.Latencies[min(len(r.Latencies)-1, int(q*float64(len(r.Latencies))))]
}

// Saturate sends for a time, on each connection the next request as soon as the one
// before is answered.
func (l Load) Saturate(d time.Duration) (Result, error) {
	end := time.Now().Add(d)
	return l.run(func() (time.Time, bool) {
		now := time.Now()
		return now, now.Before(end)
	})
}

// Pace sends at a rate per second whatever the server does: a request's latency
// counts from when it was due, also if all connections were still busy then.
func (l Load) Pace(d time.Duration, rate float64) (Result, error) {
	began, total := time.Now(), int64(d.Seconds()*rate)
	var next atomic.Int64
	return l.run(func() (time.Time, bool) {
		i := next.Add(1) - 1
		due := began.Add(time.Duration(float64(i) / rate * float64(time.Second)))
		if i < total {
			time.Sleep(time.Until(due))
		}
		return due, i < total
	})
}

// run sends as long as next says; next also says from when on a request's time counts.
func (l Load) run(next func() (time.Time, bool)) (Result, error) {
	conns := make([]*Conn, l.Connections)
	for i := range conns {
		c, err := Dial(l.Address)
		if err != nil {
			return Result{}, err
		}
		defer c.Close()
		conns[i] = c
	}
	latencies := make([][]time.Duration, l.Connections)
	errs := make([]error, l.Connections)
	var all sync.WaitGroup
	began := time.Now()
	for i, c := range conns {
		all.Go(func() {
			for from, ok := next(); ok && errs[i] == nil; from, ok = next() {
				body, err := c.Do(l.Request)
				latencies[i] = append(latencies[i], time.Since(from))
				if err == nil && l.Check != nil {
					err = l.Check(body)
				}
				errs[i] = err
			}
		})
	}
	all.Wait()
	r := Result{Wall: time.Since(began), Latencies: slices.Concat(latencies...)}
	slices.Sort(r.Latencies)
	for _, err := range errs {
		if err != nil {
			return r, fmt.Errorf("after %d requests: %w", len(r.Latencies), err)
		}
	}
	return r, nil
}
