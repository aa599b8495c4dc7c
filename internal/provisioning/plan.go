// Package provisioning looks after tasks that wait for room, and after those that are to
// be started again.
//
// A task of a capacity provider that no container instance has room for is PROVISIONING:
// it waits. So does a task by launch type whose RunTask has the tag gantry:queue, and a
// standalone task that is started again because it failed and has the tag gantry:retries.
// Whenever an instance joins, gets its agent back or loses a task, those who wait are
// tried, the oldest first. One that fits nowhere holds nobody up but those that are alike:
// an unlike one that is younger may go before.
//
// A task waits until it has a place, until somebody stops it, for as long as its tag
// gantry:queue says, or, where its capacity provider has no container instance at all,
// for Settings.Empty. Nothing is kept but the tasks themselves, so that a restart
// forgets nobody.
//
// This file decides, and controller.go carries it out. What is asked to stop here is
// ended by package lifecycle, since no agent has it.
package provisioning

import (
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"gantry"
	"gantry/internal/extension"
	"gantry/internal/wire/ecsapi"
)

// Settings are an operator's.
type Settings struct {
	// Empty is how long a task waits for a capacity provider without a container instance.
	Empty time.Duration
	// RetryDelay is the pause before a task is started again for the second time; the
	// first time there is none. It doubles, up to MaxRetryDelay.
	RetryDelay, MaxRetryDelay time.Duration
}

// DefaultSettings: AWS tells of none of them. Half an hour is time enough to start a machine.
var DefaultSettings = Settings{Empty: 30 * time.Minute, RetryDelay: time.Second, MaxRetryDelay: time.Minute}

// A Look is what one look at the waiting tasks of a cluster sees.
type Look struct {
	Waiting []*gantry.Task // in any order
	// Empty are the capacity providers without a container instance.
	Empty map[string]bool
}

// A Plan is what to do about the tasks that wait.
type Plan struct {
	// Tries are to be carried out in order: each is tasks that are alike, the oldest
	// first. Once a task of a kind has found no place, later tries of the kind are left out.
	Tries []Try
	// Over are the tasks that have waited long enough: those that have found no place by
	// now are stopped.
	Over []Over
	// Again is when to look again, unless something changes before; 0 for never.
	Again time.Duration
}

// A Try is tasks that are alike and follow each other in age.
type Try struct {
	Kind  string
	Tasks []*gantry.Task
}

// An Over is a task that waits no longer, and why.
type Over struct {
	Task   gantry.TaskID
	Kind   string
	Reason string
	// Explain says that the reason goes on with what the container instances lack.
	Explain bool
}

// What ECS writes into stoppedReason where a capacity provider has no container instance,
// and what gantry does where a task has waited for as long as it was to.
const (
	reasonEmpty = "EMPTY CAPACITY PROVIDER"
	reasonQueue = "Task failed to start: no container instance had room within "
)

// MakePlan decides what to do about the tasks of one cluster that wait.
func MakePlan(now time.Time, look Look, set Settings) Plan {
	var p Plan
	line := slices.Clone(look.Waiting)
	slices.SortFunc(line, byAge)
	for _, t := range line {
		if t.NotBefore.After(now) {
			p.again(t.NotBefore.Sub(now))
			continue
		}
		kind := kindOf(t)
		if n := len(p.Tries); n > 0 && p.Tries[n-1].Kind == kind {
			p.Tries[n-1].Tasks = append(p.Tries[n-1].Tasks, t)
		} else {
			p.Tries = append(p.Tries, Try{kind, []*gantry.Task{t}})
		}
		since := t.CreatedAt
		if t.NotBefore.After(since) {
			since = t.NotBefore
		}
		if limit := extension.QueueOf(t.Tags); limit > 0 {
			p.give(now, since.Add(limit), Over{t.ID, kind, reasonQueue + short(limit) + " (" + extension.Queue + ").", true})
		} else if t.CapacityProvider != "" && look.Empty[t.CapacityProvider] {
			p.give(now, since.Add(set.Empty), Over{Task: t.ID, Kind: kind, Reason: reasonEmpty})
		}
	}
	return p
}

// give gives a task up if its time has come, and else asks for a look then.
func (p *Plan) give(now, until time.Time, over Over) {
	if left := until.Sub(now); left > 0 {
		p.again(left)
		return
	}
	p.Over = append(p.Over, over)
}

func (p *Plan) again(d time.Duration) {
	if p.Again == 0 || d < p.Again {
		p.Again = d
	}
}

func byAge(a, b *gantry.Task) int {
	return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
}

// kindOf is the same for tasks that need the same and may go to the same places.
func kindOf(t *gantry.Task) string {
	text, err := json.Marshal([]any{t.Definition, t.Group, t.LaunchType, t.CapacityProvider, t.Overrides, t.Asked})
	if err != nil {
		panic("tell tasks apart: " + err.Error()) // what was decoded from JSON encodes
	}
	return string(text)
}

// short is a duration without its zeros: 30m rather than 30m0s.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// MayRetry reports whether a task is to be started again: it is standalone, has failed,
// and has a retry left that nobody has taken.
func MayRetry(t *gantry.Task) bool {
	return t.LastStatus == gantry.Stopped && t.Failed && t.RetriedBy == "" && t.Group.Service() == "" &&
		t.Attempt < extension.RetriesOf(t.Tags)
}

// Retry fills in what a task that is started in place of a failed one has besides what
// both are: its number, when it may start, and the tags that tell of it.
func Retry(again, failed *gantry.Task, now time.Time, set Settings) {
	again.CreatedAt = now
	again.Attempt = failed.Attempt + 1
	if n := again.Attempt - 2; n >= 0 {
		const enough = 30 // doublings beyond which any maximum is reached
		again.NotBefore = now.Add(min(set.RetryDelay<<min(n, enough), set.MaxRetryDelay))
	}
	again.Tags = slices.DeleteFunc(slices.Clone(failed.Tags), func(t ecsapi.Tag) bool {
		return *t.Key == extension.Attempt || *t.Key == extension.RetryOf
	})
	again.Tags = append(again.Tags,
		ecsapi.Tag{Key: new(extension.Attempt), Value: new(strconv.Itoa(again.Attempt + 1))},
		ecsapi.Tag{Key: new(extension.RetryOf), Value: new(string(failed.ID))})
}
