// Package schedule reads the schedule expressions of EventBridge, of its Scheduler and of Application Auto Scaling, and
// says when they fire:
//
//	rate(5 minutes)              every five minutes, counted from an anchor
//	cron(0 10 ? * MON-FRI *)     minute, hour, day of month, month, day of week, year
//	at(2026-12-01T08:00:00)      once
//
// The dialect of cron is Quartz's, without seconds: 1 is Sunday, exactly one of the two day fields is "?", and "L", "W"
// and "#" pick days as in "L" (the last day), "LW" (the last weekday), "3W" (the weekday nearest the 3rd, within its
// month), "6L" (the last Friday) and "6#3" (the third Friday).
//
// The package is pure: what time it is, it is told.
package schedule

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A Schedule says when something is due. It is a value, and never changes.
type Schedule struct {
	every time.Duration // of rate()
	once  time.Time     // of at(): the wall clock's reading, in UTC
	cron  *cron
}

// Parse reads an expression, or says what is wrong with it.
func Parse(expression string) (Schedule, error) {
	kind, body, ok := strings.Cut(expression, "(")
	if body, ok = cutEnd(body, ok); !ok {
		return Schedule{}, fmt.Errorf("a schedule reads rate(…), cron(…) or at(…), and %s does not", quote(expression))
	}
	var s Schedule
	var err error
	switch kind {
	case "rate":
		s.every, err = parseRate(body)
	case "cron":
		s.cron, err = parseCron(body)
	case "at":
		s.once, err = parseAt(body)
	default:
		err = fmt.Errorf("a schedule reads rate(…), cron(…) or at(…); %s is none of them", quote(kind))
	}
	return s, err
}

func cutEnd(body string, ok bool) (string, bool) {
	rest, ended := strings.CutSuffix(body, ")")
	return rest, ok && ended
}

// Next is when the schedule fires first after a moment; ok is false if it never does again. A rate counts from anchor.
// A cron or at expression reads the wall clock of the location that after is in: a time that the clock leaves out when
// it is put forward is passed over, one that it shows twice counts once.
func (s Schedule) Next(anchor, after time.Time) (next time.Time, ok bool) {
	switch {
	case s.every > 0:
		n := max(after.Sub(anchor)/s.every, 0)
		return anchor.Add((n + 1) * s.every), true
	case s.cron != nil:
		return s.cron.next(after)
	}
	at, exists := onClock(s.once, after.Location())
	return at, exists && at.After(after)
}

// Once reports whether the schedule fires one time only.
func (s Schedule) Once() bool { return !s.once.IsZero() }

// onClock is the first moment at which clocks in a location read what clock reads in UTC; ok is false if they never do.
func onClock(clock time.Time, in *time.Location) (moment time.Time, ok bool) {
	moment = time.Date(clock.Year(), clock.Month(), clock.Day(), clock.Hour(), clock.Minute(), clock.Second(), 0, in)
	if in == time.UTC {
		return moment, true
	}
	// Where two moments read the same, Date picks either. No clock is changed by more than three hours.
	_, offset := moment.Zone()
	_, before := moment.Add(-3 * time.Hour).Zone()
	if earlier := moment.Add(-time.Duration(before-offset) * time.Second); before > offset && reads(earlier, clock) {
		return earlier, true
	}
	return moment, reads(moment, clock)
}

func reads(moment, clock time.Time) bool {
	return moment.Hour() == clock.Hour() && moment.Minute() == clock.Minute()
}

// longestRate bounds a rate: a hundred years, which time.Duration can still hold.
const longestRate = 100 * 365 * 24 * time.Hour

var units = []struct {
	one string
	is  time.Duration
}{{"minute", time.Minute}, {"hour", time.Hour}, {"day", 24 * time.Hour}}

func parseRate(body string) (time.Duration, error) {
	fields := strings.Fields(body)
	if len(fields) != 2 {
		return 0, fmt.Errorf("rate(%s): a rate is a number and a unit, as in rate(5 minutes)", shorten(body))
	}
	n, err := strconv.ParseUint(fields[0], 10, 32)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("rate(%s): %s is not a whole number above 0", shorten(body), quote(fields[0]))
	}
	for _, u := range units {
		if fields[1] != u.one && fields[1] != u.one+"s" {
			continue
		}
		switch plural := fields[1] != u.one; {
		case n == 1 && plural:
			return 0, fmt.Errorf("rate(%s): 1 takes the unit %q", shorten(body), u.one)
		case n > 1 && !plural:
			return 0, fmt.Errorf("rate(%s): %d takes the unit %q", shorten(body), n, u.one+"s")
		case time.Duration(n) > longestRate/u.is:
			return 0, fmt.Errorf("rate(%s) is longer than a hundred years", shorten(body))
		}
		return time.Duration(n) * u.is, nil
	}
	return 0, fmt.Errorf("rate(%s): the unit %s is none of minute, minutes, hour, hours, day, days", shorten(body), quote(fields[1]))
}

// clockReading is how at() writes a time.
const clockReading = "2006-01-02T15:04:05"

func parseAt(body string) (time.Time, error) {
	t, err := time.Parse(clockReading, body)
	if err != nil || len(body) != len(clockReading) { // Parse would take a fraction of a second too
		return time.Time{}, fmt.Errorf("at(%s): the time is written yyyy-mm-ddThh:mm:ss, as in at(2026-12-01T08:00:00)", shorten(body))
	}
	if t.Year() < firstYear || t.Year() > lastYear {
		return time.Time{}, fmt.Errorf("at(%s): the year is not within %d and %d", shorten(body), firstYear, lastYear)
	}
	return t, nil
}

// quote bounds what a user sent before it is quoted back.
func quote(s string) string { return strconv.Quote(shorten(s)) }

func shorten(s string) string {
	const most = 64
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
