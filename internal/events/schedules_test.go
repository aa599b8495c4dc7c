package events

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gantry"
	"gantry/internal/events/schedule"
	"gantry/internal/wire/eventsapi"
)

// fired are the times of the scheduled events so far, on a clock that begins at midnight.
func (w *world) fired() string {
	var out []string
	for _, e := range w.all() {
		at, err := time.Parse(time.RFC3339, e["time"].(string))
		if err != nil {
			w.t.Error(err)
		}
		out = append(out, at.Format("02 15:04"))
	}
	return strings.Join(out, ", ")
}

func every(expression string, tags ...eventsapi.Tag) *eventsapi.PutRuleInput {
	return &eventsapi.PutRuleInput{Name: new("all"), ScheduleExpression: &expression, Tags: tags}
}

func TestScheduleFires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // begins on Saturday 2000-01-01 at midnight
		w := newWorld(t)
		w.rule(every("rate(5 minutes)"), eventsapi.Target{Arn: groupARN("all")})
		pass(16 * time.Minute)
		if got, want := w.fired(), "01 00:05, 01 00:10, 01 00:15"; got != want {
			t.Errorf("fired %s, want %s", got, want)
		}
		e := w.all()[0]
		if e["source"] != "aws.events" || e["detail-type"] != "Scheduled Event" || len(detail(e)) != 0 ||
			e["resources"].([]any)[0] != "arn:aws:events:us-east-1:123456789012:rule/all" {
			t.Errorf("event %v", e)
		}
		// A rate counts from when the rule is enabled.
		if _, err := w.ops.DisableRule(t.Context(), &eventsapi.DisableRuleInput{Name: new("all")}); err != nil {
			t.Fatal(err)
		}
		pass(6 * time.Minute)
		if _, err := w.ops.EnableRule(t.Context(), &eventsapi.EnableRuleInput{Name: new("all")}); err != nil {
			t.Fatal(err)
		}
		pass(6 * time.Minute)
		if got, want := w.fired(), "01 00:05, 01 00:10, 01 00:15, 01 00:27"; got != want {
			t.Errorf("fired %s, want %s", got, want)
		}
		w.rule(every("at(2000-01-01T03:00:00)"), eventsapi.Target{Arn: groupARN("all")})
		pass(30 * 24 * time.Hour)
		if got, want := w.fired(), "01 00:05, 01 00:10, 01 00:15, 01 00:27, 01 03:00"; got != want {
			t.Errorf("fired %s, want %s", got, want)
		}
	})
}

// Of the runs that were missed the latest is made up for; none where the rule says so.
func TestMissedRuns(t *testing.T) {
	for _, c := range []struct{ name, missed, want string }{
		{"made up", "", "01 04:00, 05 04:00, 06 04:00"},
		{"skipped", "skip", "01 04:00, 06 04:00"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				var tags []eventsapi.Tag
				if c.missed != "" {
					tags = append(tags, eventsapi.Tag{Key: new("gantry:missed"), Value: &c.missed})
				}
				w.rule(every("cron(0 4 * * ? *)", tags...), eventsapi.Target{Arn: groupARN("all")})
				pass(10 * time.Hour)
				w.stop()
				pass(4 * 24 * time.Hour)
				w.start()
				pass(24 * time.Hour)
				if got := w.fired(); got != c.want {
					t.Errorf("fired %s, want %s", got, c.want)
				}
			})
		})
	}
}

// A restart in the middle of a minute fires nothing twice.
func TestRestartFiresNothingTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.rule(every("rate(1 minute)"), eventsapi.Target{Arn: groupARN("all")})
		for range 10 {
			pass(61 * time.Second)
			w.stop()
			w.start()
		}
		if got := strings.Count(w.fired(), "01"); got < 10 {
			t.Errorf("fired %s", w.fired())
		}
		seen := map[string]bool{}
		for at := range strings.SplitSeq(w.fired(), ", ") {
			if seen[at] {
				t.Errorf("%s twice", at)
			}
			seen[at] = true
		}
		if len(seen) != 10 {
			t.Errorf("fired %s", w.fired())
		}
	})
}

// A run that is noted hours ahead is one of a clock that was wrong: it holds up none.
func TestClockThatWasFarAhead(t *testing.T) {
	s, err := schedule.Parse("rate(1 hour)")
	if err != nil {
		t.Fatal(err)
	}
	anchor := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	now := anchor.Add(90 * time.Minute)
	for _, last := range []time.Time{{}, now.Add(48 * time.Hour)} {
		due, next := Due(s, &gantry.EventRule{Anchor: anchor}, last, now)
		if !due.Equal(anchor.Add(time.Hour)) || !next.Equal(anchor.Add(2*time.Hour)) {
			t.Errorf("the last run %v: %v is due, and then %v", last, due, next)
		}
	}
	if due, next := Due(s, &gantry.EventRule{Anchor: anchor}, anchor.Add(time.Hour), now); !due.IsZero() || !next.Equal(anchor.Add(2*time.Hour)) {
		t.Errorf("after the run of this hour: %v is due, and then %v", due, next)
	}
}
