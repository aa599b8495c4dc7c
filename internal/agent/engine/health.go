package engine

import (
	"fmt"
	"time"
)

// A HealthCheck is a container's health check with Docker's defaults filled in.
type HealthCheck struct {
	Command     []string // what is run inside the container
	Interval    time.Duration
	Timeout     time.Duration
	StartPeriod time.Duration // failures in it do not count; a success ends it
	Retries     int           // failures in a row that make a container unhealthy
}

// The defaults of a task definition's healthCheck.
const (
	defaultHealthInterval = 30 * time.Second
	defaultHealthTimeout  = 5 * time.Second
	defaultHealthRetries  = 3
)

// newHealthCheck reads Docker's Healthcheck, whose test begins with CMD or CMD-SHELL.
func newHealthCheck(test []string, interval, timeout, startPeriod time.Duration, retries int) (*HealthCheck, error) {
	h := &HealthCheck{Interval: interval, Timeout: timeout, StartPeriod: startPeriod, Retries: retries}
	switch {
	case test[0] == "CMD" && len(test) > 1:
		h.Command = test[1:]
	case test[0] == "CMD-SHELL" && len(test) == 2:
		h.Command = []string{"/bin/sh", "-c", test[1]}
	default:
		return nil, fmt.Errorf("the health check %q is neither CMD with a program nor CMD-SHELL with one command line", test)
	}
	if h.Interval <= 0 {
		h.Interval = defaultHealthInterval
	}
	if h.Timeout <= 0 {
		h.Timeout = defaultHealthTimeout
	}
	if h.Retries <= 0 {
		h.Retries = defaultHealthRetries
	}
	return h, nil
}

// A HealthStatus is a container's health in ECS's words.
type HealthStatus string

// The values of a HealthStatus. A container is UNKNOWN until its health check first decides.
const (
	HealthUnknown HealthStatus = "UNKNOWN"
	Healthy       HealthStatus = "HEALTHY"
	Unhealthy     HealthStatus = "UNHEALTHY"
)

// Health is what the probes of one container's run came to.
type Health struct {
	Status   HealthStatus `json:"status"`
	Since    time.Time    `json:"since"`
	Failures int          `json:"failures,omitzero"` // in a row
	Next     time.Time    `json:"next,omitzero"`     // when the next probe is due
	ExitCode int          `json:"exitCode,omitzero"` // of the last probe
	Output   string       `json:"output,omitzero"`   // of the last probe, at most 4 KiB
}

// firstHealth is the health of a container that was just started: the first probe comes one interval later.
func firstHealth(check *HealthCheck, startedAt time.Time) Health {
	if check == nil {
		return Health{}
	}
	return Health{Status: HealthUnknown, Since: startedAt, Next: startedAt.Add(check.Interval)}
}

// A ProbeResult is the end of one run of a health check's command.
type ProbeResult struct {
	At       time.Time
	ExitCode int // -1 where the command could not be run, or not to its end
	Output   string
}

// after is the health after one more probe of a container started at startedAt.
func (h Health) after(r ProbeResult, check *HealthCheck, startedAt time.Time) Health {
	h.Next, h.ExitCode, h.Output = r.At.Add(check.Interval), r.ExitCode, r.Output
	next := h.Status
	switch {
	case r.ExitCode == 0:
		h.Failures, next = 0, Healthy
	case h.Status == HealthUnknown && r.At.Before(startedAt.Add(check.StartPeriod)):
		// Still starting: this failure does not count.
	default:
		if h.Failures++; h.Failures >= check.Retries {
			next = Unhealthy
		}
	}
	if next != h.Status {
		h.Status, h.Since = next, r.At
	}
	return h
}
