package schedule

import (
	"math/bits"
	"time"
)

// The years that a cron expression can name.
const firstYear, lastYear = 1970, 2199

// A cron is what the six fields of an expression allow: a bit for each minute, hour, month; a day is allowed by the
// days of the month or by those of the week, whichever is not "?".
type cron struct {
	minutes, hours, months uint64
	years                  [lastYear - firstYear + 1]bool
	days                   monthDays
	weekdays               weekDays
	byWeek                 bool // weekdays is meant
}

// monthDays are days picked by their number in the month.
type monthDays struct {
	set     uint64 // bit n: the nth
	last    bool   // "L"
	lastW   bool   // "LW"
	nearest uint64 // bit n: "nW"
}

// weekDays are days picked by their name. 1 is Sunday.
type weekDays struct {
	set  uint64    // bit n: each
	last uint64    // bit n: "nL", the last of the month
	nth  [6]uint64 // bit n of nth[k]: "n#k", the kth of the month
}

// next steps over the days after a moment, until one is allowed and has an allowed time left. It ends with the last
// year, so that a day that never comes (30 February) ends it too.
func (c *cron) next(after time.Time) (time.Time, bool) {
	from := after
	if from.Year() < firstYear {
		from = time.Date(firstYear, 1, 1, 0, 0, 0, 0, after.Location())
	}
	year, month, day := from.Date()
	minute := from.Hour()*60 + from.Minute()
	for ; year <= lastYear; year, month, day, minute = year+1, 1, 1, 0 {
		if !c.years[year-firstYear] {
			continue
		}
		for ; month <= 12; month, day, minute = month+1, 1, 0 {
			if c.months&(1<<month) == 0 {
				continue
			}
			allowed := c.daysOf(year, month) >> day << day
			for ; allowed != 0; allowed &= allowed - 1 {
				d := bits.TrailingZeros64(allowed)
				if d != day {
					minute = 0
				}
				if t, ok := c.onDay(year, month, d, minute, after); ok {
					return t, true
				}
			}
		}
	}
	return time.Time{}, false
}

// onDay is the first allowed time of a day from a minute of it on.
func (c *cron) onDay(year int, month time.Month, day, minute int, after time.Time) (time.Time, bool) {
	for hour := minute / 60; hour < 24; hour, minute = hour+1, 0 {
		if c.hours&(1<<hour) == 0 {
			continue
		}
		for left := c.minutes >> (minute % 60) << (minute % 60); left != 0; left &= left - 1 {
			t, ok := onClock(time.Date(year, month, day, hour, bits.TrailingZeros64(left), 0, 0, time.UTC), after.Location())
			if ok && t.After(after) {
				return t, true
			}
		}
	}
	return time.Time{}, false
}

// daysOf has a bit for each day of a month that is allowed.
func (c *cron) daysOf(year int, month time.Month) uint64 {
	first := time.Date(year, month, 1, 0, 0, 0, 0, time.UTC)
	length := first.AddDate(0, 1, -1).Day()
	starts := int(first.Weekday()) // of the 1st, 0 being Sunday
	if c.byWeek {
		return c.weekdays.in(starts, length)
	}
	return c.days.in(starts, length)
}

func (m *monthDays) in(starts, length int) uint64 {
	all := m.set & (1<<(length+1) - 1)
	if m.last {
		all |= 1 << length
	}
	if m.lastW {
		all |= 1 << nearestWeekday(length, starts, length)
	}
	for left := m.nearest; left != 0; left &= left - 1 {
		if day := bits.TrailingZeros64(left); day <= length {
			all |= 1 << nearestWeekday(day, starts, length)
		}
	}
	return all
}

// nearestWeekday is the day from Monday to Friday that is nearest to a day, in the same month.
func nearestWeekday(day, starts, length int) int {
	switch (starts + day - 1) % 7 {
	case 6: // Saturday
		if day == 1 {
			return day + 2
		}
		return day - 1
	case 0: // Sunday
		if day == length {
			return day - 2
		}
		return day + 1
	}
	return day
}

func (w *weekDays) in(starts, length int) (all uint64) {
	for day := 1; day <= length; day++ {
		name := uint64(1) << ((starts+day-1)%7 + 1)
		kth := (day-1)/7 + 1
		if w.set&name != 0 || w.nth[kth]&name != 0 || w.last&name != 0 && day+7 > length {
			all |= 1 << day
		}
	}
	return all
}
