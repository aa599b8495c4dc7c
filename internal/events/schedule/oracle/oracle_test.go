// Package oracle compares gantry's cron expressions with those of two libraries. It is a module of its own, so that the
// libraries stay out of gantry's.
package oracle

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"gantry/internal/events/schedule"

	"github.com/adhocore/gronx"
	"github.com/reugn/go-quartz/quartz"
)

var start = time.Date(2026, 11, 23, 0, 30, 0, 0, time.UTC)

// fires is how many times of each expression are compared.
const fires = 4

// An oracle says when an expression fires next after a moment.
type oracle struct {
	name string
	next func(fields []string, after time.Time) (time.Time, error)
	errs []*known
}

// A known error is one of an oracle's: expressions that run into it may fire otherwise there.
type known struct {
	what string
	in   func(fields []string) bool
	seen int
}

var oracles = []oracle{
	{"go-quartz", byQuartz, []*known{
		{what: "a day beyond the end of its month is one of the next month", in: func(f []string) bool {
			return strings.Contains(f[2], "29") || strings.Contains(f[2], "30") || strings.Contains(f[2], "31")
		}},
		{what: "the nearest weekday has one time only if it is not the day itself", in: func(f []string) bool { return strings.Contains(f[2], "W") }},
		{what: "L alone is the last Saturday of the month, not of the week", in: func(f []string) bool { return f[4] == "L" }},
		{what: "ranges that go round are refused", in: goesRound},
		{what: "lists of special days, and names before L, are refused", in: func(f []string) bool {
			return strings.Contains(f[2]+f[4], ",") && strings.ContainsAny(f[2]+f[4], "LW#")
		}},
	}},
	{"gronx", byGronx, []*known{
		{what: "LW is not known", in: func(f []string) bool { return f[2] == "LW" }},
		{what: "L alone is not known as a day of the week", in: func(f []string) bool { return f[4] == "L" }},
		{what: "ranges that go round are refused", in: goesRound},
		{what: "years with an increment end", in: func(f []string) bool { return strings.Contains(f[5], "/") }},
	}},
}

func goesRound(f []string) bool { return f[0] == "50-5/5" || f[1] == "22-2/2" || f[4] == "FRI-MON" }

func byQuartz(fields []string, after time.Time) (time.Time, error) {
	trigger, err := quartz.NewCronTrigger("0 " + strings.Join(fields, " "))
	if err != nil {
		return time.Time{}, err
	}
	at, err := trigger.NextFireTime(after.UnixNano())
	return time.Unix(0, at).UTC(), err
}

// byGronx translates first: to gronx Sunday is 0. Where nothing comes any more, gronx answers the moment that it was given.
func byGronx(fields []string, after time.Time) (time.Time, error) {
	f := append([]string{"0"}, fields...)
	days := strings.FieldsFunc(f[5], func(r rune) bool { return r == ',' })
	for i, day := range days {
		parts := strings.Split(day, "-")
		for j, p := range parts {
			if p[0] >= '1' && p[0] <= '7' {
				parts[j] = strconv.Itoa(int(p[0]-'1')) + p[1:]
			}
		}
		days[i] = strings.Join(parts, "-")
	}
	f[5] = strings.Join(days, ",")
	at, err := gronx.NextTickAfter(strings.Join(f, " "), after, false)
	if err == nil && !at.After(after) {
		err = errors.New("never")
	}
	return at, err
}

func check(t *testing.T, expression string, after time.Time) {
	t.Helper()
	s, err := schedule.Parse("cron(" + expression + ")")
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(expression)
	for _, o := range oracles {
		at := after
		for range fires {
			want, wrong := o.next(fields, at)
			got, ok := s.Next(at, at)
			if ok == (wrong == nil) && (!ok || got.Equal(want)) {
				at = got
				continue
			}
			excused := false
			for _, k := range o.errs {
				if k.in(fields) {
					k.seen++
					excused = true
				}
			}
			if !excused {
				t.Errorf("%s after %s fires %s (%t), says gantry; %s says %s (%v)", expression, at.Format(minute), got.Format(minute), ok, o.name, want.Format(minute), wrong)
			}
			break
		}
	}
}

const minute = "Mon 2006-01-02 15:04"

// TestOracles compares the scenarios of gantry's own test, and expressions made at random.
func TestOracles(t *testing.T) {
	scenarios(t)
	random(t)
	for _, o := range oracles {
		for _, k := range o.errs {
			if k.seen == 0 {
				t.Errorf("%s: %s: no expression has run into that", o.name, k.what)
			}
		}
	}
}

func scenarios(t *testing.T) {
	text, err := os.ReadFile("../testdata/next.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		body, ok := strings.CutPrefix(line, "cron(")
		if !ok {
			continue
		}
		expression, _, _ := strings.Cut(body, ")")
		check(t, strings.ToUpper(expression), start)
	}
}

func random(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	one := func(of ...string) string { return of[rng.IntN(len(of))] }
	number := func(least, most int) string { return fmt.Sprint(least + rng.IntN(most-least+1)) }
	for range 400 {
		days := one(
			one("*", "L", "1/7", number(1, 28), number(1, 31)+"W", number(1, 9)+"-"+number(10, 31), number(1, 31)+","+number(1, 31))+" "+one("*", number(1, 12), "1/2")+" ?",
			"? "+one("*", number(1, 12), "DEC", "11,12")+" "+one("*", number(1, 7), number(1, 7)+"L", number(1, 7)+"#"+number(1, 5), "MON-FRI", "TUE,SUN"),
		)
		check(t, fmt.Sprintf("%s %s %s %s", one("0", "*", "0/7", number(0, 59), "10-40/5"), one("*", "0/6", number(0, 23), "8-18"), days, one("*", "2027", "2026-2031")),
			start.Add(time.Duration(rng.IntN(60*24*400))*time.Minute))
	}
}
