package schedule

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// start is where the scenarios begin.
var start = time.Date(2026, 11, 23, 0, 30, 0, 0, time.UTC)

// lines yields the two sides of each line.
func lines(t *testing.T, file string, check func(given, want string)) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(text)) {
		given, want, ok := strings.Cut(line, "->")
		if !ok || strings.HasPrefix(line, "#") {
			continue
		}
		n++
		check(strings.TrimSpace(given), strings.TrimSpace(want))
	}
	if n == 0 {
		t.Fatalf("%s holds no scenario", file)
	}
}

func TestNext(t *testing.T) {
	lines(t, "testdata/next.txt", func(given, want string) {
		expression, from, _ := strings.Cut(given, " from ")
		after := start
		if from != "" {
			var err error
			if after, err = time.Parse("2006-01-02 15:04", from); err != nil {
				t.Fatal(err)
			}
		}
		s, err := Parse(expression)
		if err != nil {
			t.Errorf("%s: %v", expression, err)
			return
		}
		anchor := after
		var got []string
		for range strings.Split(want, ", ") {
			next, ok := s.Next(anchor, after)
			if !ok {
				got = append(got, "never")
				break
			}
			got = append(got, next.Format("Mon 2006-01-02 15:04"))
			after = next
		}
		if strings.Join(got, ", ") != want {
			t.Errorf("%s: fires %s, want %s", given, strings.Join(got, ", "), want)
		}
	})
}

func TestRefusals(t *testing.T) {
	lines(t, "testdata/refused.txt", func(given, want string) {
		if _, err := Parse(given); err == nil {
			t.Errorf("%s: taken", given)
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %q does not tell %q", given, err, want)
		}
	})
}

// A rate counts from its anchor, however late one looks.
func TestRateKeepsItsAnchor(t *testing.T) {
	s, err := Parse("rate(7 minutes)")
	if err != nil {
		t.Fatal(err)
	}
	for late := range 30 {
		next, _ := s.Next(start, start.Add(time.Duration(late)*time.Minute))
		if want := start.Add(time.Duration(late/7+1) * 7 * time.Minute); !next.Equal(want) {
			t.Errorf("after %d minutes: %s, want %s", late, next, want)
		}
	}
	if next, _ := s.Next(start, start.Add(-time.Hour)); !next.Equal(start.Add(7 * time.Minute)) {
		t.Errorf("before its anchor: %s", next)
	}
}

// A time that the clock leaves out is passed over; one that it shows twice counts once.
func TestClockChanges(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Skip(err)
	}
	for _, c := range []struct {
		expression string
		after      time.Time
		want       []string
	}{
		{"cron(30 2 * * ? *)", time.Date(2027, 3, 27, 12, 0, 0, 0, berlin), []string{"2027-03-29 02:30 +0200", "2027-03-30 02:30 +0200"}},
		{"cron(30 2 * * ? *)", time.Date(2026, 10, 24, 12, 0, 0, 0, berlin), []string{"2026-10-25 02:30 +0200", "2026-10-26 02:30 +0100"}},
		{"cron(0/30 1-3 * * ? *)", time.Date(2026, 10, 25, 1, 30, 0, 0, berlin),
			[]string{"2026-10-25 02:00 +0200", "2026-10-25 02:30 +0200", "2026-10-25 03:00 +0100"}},
		{"cron(0/30 1-3 * * ? *)", time.Date(2027, 3, 28, 1, 0, 0, 0, berlin), []string{"2027-03-28 01:30 +0100", "2027-03-28 03:00 +0200"}},
		// Begun while the hour is shown for the second time.
		{"cron(0/30 1-3 * * ? *)", time.Unix(time.Date(2026, 10, 25, 1, 10, 0, 0, time.UTC).Unix(), 0).In(berlin), []string{"2026-10-25 03:00 +0100"}},
		{"at(2027-03-28T02:30:00)", time.Date(2027, 3, 1, 0, 0, 0, 0, berlin), []string{"never"}},
		{"at(2027-03-28T03:30:00)", time.Date(2027, 3, 1, 0, 0, 0, 0, berlin), []string{"2027-03-28 03:30 +0200"}},
	} {
		s, err := Parse(c.expression)
		if err != nil {
			t.Fatal(err)
		}
		after := c.after
		var got []string
		for range c.want {
			next, ok := s.Next(after, after)
			if !ok {
				got = append(got, "never")
				break
			}
			got = append(got, next.Format("2006-01-02 15:04 -0700"))
			after = next
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s after %s: fires %v, want %v", c.expression, c.after, got, c.want)
		}
	}
}

// TestAgainstEveryMinute compares with looking at every minute, by a reading of the fields that is as plain as can be.
func TestAgainstEveryMinute(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	one := func(of ...string) string { return of[rng.IntN(len(of))] }
	number := func(least, most int) string { return fmt.Sprint(least + rng.IntN(most-least+1)) }
	for range 300 {
		days := one(
			one("*", "L", "LW", "1/7", number(1, 28), number(1, 31)+"W", number(1, 9)+"-"+number(10, 31), number(1, 31)+","+number(1, 31))+" "+one("*", number(1, 12), "1/2", "NOV-JAN")+" ?",
			"? "+one("*", number(1, 12), "DEC", "11,12")+" "+one("*", "L", number(1, 7), number(1, 7)+"L", number(1, 7)+"#"+number(1, 5), "MON-FRI", "SAT-TUE", "TUE,SUN"),
		)
		text := fmt.Sprintf("%s %s %s %s", one("0", "*", "0/7", number(0, 59), "10-40/5"), one("*", "0/6", number(0, 23), "8-18", "22-3"), days, one("*", "2026", "2026-2027"))
		s, err := Parse("cron(" + text + ")")
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		fields := strings.Fields(text)
		after := start.Add(time.Duration(rng.IntN(60*24*400)) * time.Minute)
		got, ok := s.Next(after, after)
		const window = 60 * 24 * 45
		for m := 1; m <= window; m++ {
			at := after.Add(time.Duration(m) * time.Minute)
			if at.Hour() == 0 && at.Minute() == 0 && !plainDay(fields, at) {
				m += 60*24 - 1
				continue
			}
			if !plain(fields, at) {
				continue
			}
			if !ok || !got.Equal(at) {
				t.Errorf("cron(%s) after %s: fires %s %t, every minute says %s", text, after, got, ok, at)
			}
			break
		}
		if ok && !plain(fields, got) {
			t.Errorf("cron(%s) after %s: fires %s, which is not allowed", text, after, got)
		}
	}
}

// plain says whether the fields allow a minute, one after the other.
func plain(f []string, at time.Time) bool {
	return anyOf(f[0], func(i string) bool { return plainItem(i, at.Minute(), 0, 59, nil) }) &&
		anyOf(f[1], func(i string) bool { return plainItem(i, at.Hour(), 0, 23, nil) }) && plainDay(f, at)
}

func anyOf(field string, is func(string) bool) bool {
	return slices.ContainsFunc(strings.Split(field, ","), is)
}

func plainDay(f []string, at time.Time) bool {
	months := []string{"", "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"}
	names := []string{"", "SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"}
	last := time.Date(at.Year(), at.Month()+1, 0, 0, 0, 0, 0, time.UTC).Day()
	weekday := int(at.Weekday()) + 1
	day := func(item string) bool {
		weekdayNear := func(n int) bool {
			if n > last {
				return false
			}
			best, distance := 0, 99
			for d := 1; d <= last; d++ {
				w := time.Date(at.Year(), at.Month(), d, 0, 0, 0, 0, time.UTC).Weekday()
				if away := max(d-n, n-d); w != time.Saturday && w != time.Sunday && away < distance {
					best, distance = d, away
				}
			}
			return at.Day() == best
		}
		switch {
		case item == "L":
			return at.Day() == last
		case item == "LW":
			return weekdayNear(last)
		case strings.HasSuffix(item, "W"):
			return weekdayNear(plainNumber(strings.TrimSuffix(item, "W"), nil))
		}
		return plainItem(item, at.Day(), 1, 31, nil)
	}
	ofWeek := func(item string) bool {
		if n, k, ok := strings.Cut(item, "#"); ok {
			return plainNumber(n, names) == weekday && (at.Day()+6)/7 == plainNumber(k, nil)
		}
		if n, ok := strings.CutSuffix(item, "L"); ok && n != "" {
			return plainNumber(n, names) == weekday && at.Day() > last-7
		}
		if item == "L" {
			return weekday == 7
		}
		return plainItem(item, weekday, 1, 7, names)
	}
	return (f[2] == "?" || anyOf(f[2], day)) &&
		anyOf(f[3], func(i string) bool { return plainItem(i, int(at.Month()), 1, 12, months) }) &&
		(f[4] == "?" || anyOf(f[4], ofWeek)) &&
		anyOf(f[5], func(i string) bool { return plainItem(i, at.Year(), 1970, 2199, nil) })
}

func plainNumber(text string, names []string) int {
	if i := slices.Index(names, text); i > 0 {
		return i
	}
	n := 0
	fmt.Sscan(text, &n)
	return n
}

func plainItem(item string, v, least, most int, names []string) bool {
	span, by, stepped := strings.Cut(item, "/")
	step := 1
	if stepped {
		step = plainNumber(by, nil)
	}
	low, high, isRange := strings.Cut(span, "-")
	first, last := plainNumber(low, names), plainNumber(high, names)
	switch {
	case span == "*":
		first, last = least, most
	case !isRange && stepped:
		last = most
	case !isRange:
		last = first
	}
	for n := range most - least + 1 {
		at := first + n
		if last < first && at > last+most-least+1 || last >= first && at > last {
			return false
		}
		if n%step == 0 && (at == v || at-(most-least+1) == v) {
			return true
		}
	}
	return false
}

func FuzzParse(f *testing.F) {
	for _, file := range []string{"testdata/next.txt", "testdata/refused.txt"} {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			given, _, _ := strings.Cut(line, "->")
			f.Add(strings.TrimSpace(given))
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse(text)
		if err != nil {
			if len(err.Error()) > 500 {
				t.Errorf("%d characters of refusal", len(err.Error()))
			}
			return
		}
		after := start
		for range 3 {
			next, ok := s.Next(start, after)
			if !ok {
				return
			}
			if !next.After(after) {
				t.Fatalf("%q fires at %s, which is not after %s", text, next, after)
			}
			after = next
		}
	})
}

func BenchmarkNeverComes(b *testing.B) {
	s, err := Parse("cron(0 0 30 2 ? *)")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		s.Next(start, start)
	}
}
