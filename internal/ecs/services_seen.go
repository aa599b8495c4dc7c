package ecs

import (
	"encoding/json"
	"maps"
	"slices"
	"sync"

	"gantry"
	"gantry/internal/service"
	"gantry/internal/store"
)

// A serviceSeen is what is told of a service with the ECS controller. Beside it only its revisions are, of which what is
// told never changes.
type serviceSeen struct {
	service     *gantry.Service
	history     *gantry.ServiceHistory // empty where nothing has happened yet
	newest      *gantry.Deployment     // nil where there is none
	deployments []*gantry.Deployment   // the newest first
	tallies     service.Tallies
}

// noHistory is that of every service to which nothing has happened yet.
var noHistory = &gantry.ServiceHistory{}

func lookAt(snap *store.Snapshot, sv *gantry.Service) serviceSeen {
	seen := serviceSeen{
		service: sv, history: noHistory, newest: newestDeployment(snap, sv),
		deployments: deploymentsOf(snap, sv), tallies: service.TallyOf(snap, sv),
	}
	if history, ok := store.ServiceHistories.Get(snap, sv.Key()); ok {
		seen.history = history
	}
	return seen
}

// same reports whether two looks saw the same. A record that was written is another one.
func (a serviceSeen) same(b serviceSeen) bool {
	return a.service == b.service && a.history == b.history && a.newest == b.newest &&
		slices.Equal(a.deployments, b.deployments) && maps.Equal(a.tallies, b.tallies)
}

// answers are what DescribeServices last answered of each service: writing it takes ten times as long as seeing that
// nothing has changed. Services with task sets, of which more is told, are not among them.
type answers struct {
	mu sync.Mutex
	of map[answerKey]answer // guarded by mu
}

type answerKey struct {
	service string
	tags    bool
}

type answer struct {
	seen serviceSeen
	raw  json.RawMessage
}

// mostAnswers bounds what is kept: twice as many services as a cluster may have.
const mostAnswers = 10_000

// find is the answer to what is seen, if it was given before.
func (a *answers) find(seen serviceSeen, tags bool) (json.RawMessage, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	last, ok := a.of[answerKey{seen.service.Key(), tags}]
	return last.raw, ok && last.seen.same(seen)
}

// keep keeps an answer for the next time.
func (a *answers) keep(seen serviceSeen, tags bool, raw json.RawMessage) {
	if seen.service.HasTaskSets() {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.of == nil || len(a.of) >= mostAnswers {
		a.of = map[answerKey]answer{}
	}
	a.of[answerKey{seen.service.Key(), tags}] = answer{seen, raw}
}
