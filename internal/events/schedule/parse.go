package schedule

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A field is one of the six of a cron expression.
type field struct {
	name          string
	least, most   int
	names         []string // of the values from least on; nil where they are numbers only
	round         bool     // a range may go beyond the end, as in FRI-MON
	mostIncrement int
}

var (
	minuteField  = field{name: "minute", least: 0, most: 59, round: true, mostIncrement: 59}
	hourField    = field{name: "hour", least: 0, most: 23, round: true, mostIncrement: 23}
	dayField     = field{name: "day of month", least: 1, most: 31, mostIncrement: 31}
	monthField   = field{name: "month", least: 1, most: 12, round: true, mostIncrement: 12, names: []string{"JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"}}
	weekdayField = field{name: "day of week", least: 1, most: 7, round: true, mostIncrement: 7, names: []string{"SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"}}
	yearField    = field{name: "year", least: firstYear, most: lastYear, mostIncrement: lastYear - firstYear}
)

func parseCron(body string) (*cron, error) {
	fields := strings.Fields(strings.ToUpper(body))
	if len(fields) != 6 {
		return nil, fmt.Errorf("cron(%s) has %d fields; it needs six: minute, hour, day of month, month, day of week, year", shorten(body), len(fields))
	}
	c := new(cron)
	c.byWeek = fields[4] != "?"
	switch {
	case fields[2] == "?" && !c.byWeek:
		return nil, fmt.Errorf(`cron(%s): only one of day of month and day of week can be "?"`, shorten(body))
	case fields[2] != "?" && c.byWeek:
		return nil, fmt.Errorf(`cron(%s): one of day of month and day of week has to be "?"`, shorten(body))
	}
	for _, p := range []struct {
		text string
		f    field
		item func(string) (bool, error) // takes what is special to the field
		take func(int)
	}{
		{fields[0], minuteField, nil, func(v int) { c.minutes |= 1 << v }},
		{fields[1], hourField, nil, func(v int) { c.hours |= 1 << v }},
		{fields[2], dayField, c.days.special, func(v int) { c.days.set |= 1 << v }},
		{fields[3], monthField, nil, func(v int) { c.months |= 1 << v }},
		{fields[4], weekdayField, c.weekdays.special, func(v int) { c.weekdays.set |= 1 << v }},
		{fields[5], yearField, nil, func(v int) { c.years[v-firstYear] = true }},
	} {
		if p.text == "?" && p.item != nil {
			continue
		}
		for item := range strings.SplitSeq(p.text, ",") {
			if p.item != nil {
				if special, err := p.item(item); err != nil {
					return nil, fmt.Errorf("cron(%s): %s: %w", shorten(body), p.f.name, err)
				} else if special {
					continue
				}
			}
			if err := p.f.values(item, p.take); err != nil {
				return nil, fmt.Errorf("cron(%s): %s: %w", shorten(body), p.f.name, err)
			}
		}
	}
	return c, nil
}

// values takes "*", a value or a range, each with or without an increment behind it.
func (f field) values(item string, take func(int)) error {
	span, by, stepped := strings.Cut(item, "/")
	step := 1
	if stepped {
		n, err := strconv.Atoi(by)
		if err != nil || n < 1 || n > f.mostIncrement || by[0] == '+' {
			return fmt.Errorf("the increment of %s is not a number from 1 to %d", quote(item), f.mostIncrement)
		}
		step = n
	}
	first, last, err := f.bounds(span, stepped)
	if err != nil {
		return err
	}
	for v := first; v <= last; v += step {
		if v > f.most {
			take(v - (f.most - f.least + 1))
		} else {
			take(v)
		}
	}
	return nil
}

// bounds are the first and the last value of a span; the last is beyond the field's end where a range goes round it.
func (f field) bounds(span string, stepped bool) (first, last int, err error) {
	if span == "*" {
		return f.least, f.most, nil
	}
	low, high, isRange := strings.Cut(span, "-")
	if first, err = f.value(low); err != nil {
		return 0, 0, err
	}
	switch {
	case !isRange && stepped:
		return first, f.most, nil
	case !isRange:
		return first, first, nil
	}
	if last, err = f.value(high); err != nil {
		return 0, 0, err
	}
	if last < first {
		if !f.round {
			return 0, 0, fmt.Errorf("the range %s ends before it begins", quote(span))
		}
		last += f.most - f.least + 1
	}
	return first, last, nil
}

// value reads a number or a name.
func (f field) value(text string) (int, error) {
	if i := slices.Index(f.names, text); i >= 0 {
		return f.least + i, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || strings.HasPrefix(text, "+") {
		if f.names != nil {
			return 0, fmt.Errorf("%s is neither a number nor one of %s", quote(text), strings.Join(f.names, ", "))
		}
		return 0, fmt.Errorf("%s is not a number", quote(text))
	}
	if n < f.least || n > f.most {
		return 0, fmt.Errorf("%d is not within %d and %d", n, f.least, f.most)
	}
	return n, nil
}

// special takes "L", "LW" and "3W".
func (m *monthDays) special(item string) (bool, error) {
	day, weekday := strings.CutSuffix(item, "W")
	switch {
	case item == "L":
		m.last = true
	case item == "LW":
		m.lastW = true
	case weekday:
		n, err := dayField.value(day)
		if err != nil {
			return true, fmt.Errorf("%s: %w; W follows one day, as in 15W", quote(item), err)
		}
		m.nearest |= 1 << n
	default:
		return false, nil
	}
	return true, nil
}

// special takes "L", "6L" and "6#3".
func (w *weekDays) special(item string) (bool, error) {
	if day, nth, ok := strings.Cut(item, "#"); ok {
		n, err := weekdayField.value(day)
		if err != nil {
			return true, fmt.Errorf("%s: %w", quote(item), err)
		}
		if len(nth) != 1 || nth < "1" || nth > "5" {
			return true, fmt.Errorf("%s: after # stands which one of the month, 1 to 5", quote(item))
		}
		w.nth[nth[0]-'0'] |= 1 << n
		return true, nil
	}
	day, last := strings.CutSuffix(item, "L")
	switch {
	case !last:
		return false, nil
	case day == "":
		w.set |= 1 << 7 // the last day of the week
	default:
		n, err := weekdayField.value(day)
		if err != nil {
			return true, fmt.Errorf("%s: %w", quote(item), err)
		}
		w.last |= 1 << n
	}
	return true, nil
}
