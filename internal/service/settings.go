package service

import "time"

// Settings are an operator's. AWS's own values are DefaultSettings as far as they are known.
type Settings struct {
	// Warmup is how long a task without a health check has to have been RUNNING until it
	// counts as healthy.
	Warmup time.Duration
	// StartDelay is the pause after tasks failed before RUNNING; each further time in a
	// row doubles it, up to MaxStartDelay.
	StartDelay, MaxStartDelay time.Duration
	// CrashDelay is the pause after the second time in a row that tasks ended by themselves
	// before they counted as healthy; the first time there is none. It doubles as well.
	CrashDelay, MaxCrashDelay time.Duration
	// PlaceAgain is how long to wait before a task without a place is tried again, if no
	// instance has changed before.
	PlaceAgain time.Duration
	// RebalanceAgain is how long an availability zone that had no room is left alone, and
	// how often it is then looked whether it has.
	RebalanceAgain time.Duration
	// AlarmsAgain is how often the alarms of a deployment under way are looked at.
	AlarmsAgain time.Duration
	// TellAgain is how long an event is not repeated while its cause holds.
	TellAgain time.Duration
}

// DefaultSettings: 40 s, 27 min and six hours are AWS's; AWS does not publish the others.
var DefaultSettings = Settings{
	Warmup:         40 * time.Second,
	StartDelay:     2 * time.Second,
	MaxStartDelay:  27 * time.Minute,
	CrashDelay:     time.Second,
	MaxCrashDelay:  15 * time.Second,
	PlaceAgain:     10 * time.Second,
	RebalanceAgain: 10 * time.Second,
	AlarmsAgain:    10 * time.Second,
	TellAgain:      6 * time.Hour,
}

// impairedAfter is how many rounds of tasks in a row have to fail before RUNNING until
// the service "is unable to consistently start tasks successfully".
const impairedAfter = 3

// delay is the pause after the given failed round in a row, the first being 1.
func delay(step int, first, most time.Duration) time.Duration {
	const enough = 30 // doublings beyond which any maximum is reached
	return min(first<<min(step-1, enough), most)
}
