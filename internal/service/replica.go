package service

import (
	"maps"
	"slices"

	"gantry"
	"gantry/internal/wire/ecsapi"
)

// roll takes the next step of a REPLICA service: towards as many good tasks as desired,
// and no others.
func (p *planner) roll() {
	p.stopUnstarted()
	need := p.replace()
	p.makeUp()
	p.scaleIn(-need)
	p.rebalance(need)
}

// replace starts the good tasks that are missing, and stops those that have to go. It says
// how many are missing, less than 0 where there are too many.
func (p *planner) replace() (need int) {
	need = p.bounds.Desired - p.number((*member).good)
	free := p.bounds.Ceiling - p.living()
	if need > 0 && free > 0 {
		p.start(Start{Revision: p.revision(), Count: min(need, free)})
	}
	if need <= 0 {
		p.history.Unplaced = nil // nobody asks for a place any more
	}
	p.stopDoomed(need, free)
	if p.stranded(need, p.revision()) {
		p.vacate()
	}
	return need
}

// leave stops everything: the service is being deleted.
func (p *planner) leave() {
	for _, m := range p.where() {
		p.stop(m, scaling(p.rollout().Revision))
	}
	p.history.Unplaced, p.history.Rebalance = nil, nil
	if p.living() == 0 {
		p.plan.Status = gantry.ServiceInactive
	}
}

// hold leaves what runs as it is, since the deployment has failed, whatever revision it
// is of: nothing of the new one is started, and what was started of it and does not run yet is
// stopped unless it is protected. Where tasks are missing, or have to be replaced, others of
// the last deployment that completed are started. Where none has, nothing is, and what is on
// a DRAINING instance leaves at once as far as the floor lets it.
//
// A lower desired count is obeyed: no revision keeps more tasks than it.
func (p *planner) hold() {
	p.history.Rebalance = nil
	for _, m := range p.where(unstarted, func(m *member) bool { return m.draining || m.Revision() != p.revision() }) {
		p.stop(m, scaling(p.rollout().Revision))
	}
	switch {
	case p.revision() == "":
		p.history.Unplaced = nil
		p.vacate()
		if p.alive < p.bounds.Desired {
			p.conditions = append(p.conditions, condition("", textHalted(p.rollout().Revision)))
		}
	case p.look.Service.Scheduling == ecsapi.SchedulingStrategyDaemon:
		p.occupy()
		return
	default:
		p.replace()
	}
	// What is replaced goes when its replacement is there, and does not count with it.
	stays := func(m *member) bool { return m.good() || p.revision() == "" }
	kept := map[gantry.RevisionID]int{}
	for _, m := range p.where(stays) {
		kept[m.Revision()]++
	}
	for _, revision := range slices.Sorted(maps.Keys(kept)) {
		of := func(m *member) bool { return m.Revision() == revision }
		p.choose(kept[revision]-p.bounds.Desired, p.number(in(healthy))-p.bounds.Floor, unprotected, stays, of)
	}
}

// makeUp starts tasks of the revision that completed last where a deployment under way has
// fewer tasks that run than its floor, since some ended by themselves: the new ones may never
// be of use. It gets the room that these leave.
func (p *planner) makeUp() {
	if p.kept() == "" {
		return
	}
	lost := p.lost()
	if lost <= 0 {
		return
	}
	gone := p.deployment.Found - p.number(stale)
	if n := min(lost-p.number(in(pending), p.keeps), gone, p.bounds.Ceiling-p.living()); n > 0 {
		p.start(Start{Revision: p.kept(), Count: n})
	}
}

// lost is how many tasks that run are missing for the floor.
func (p *planner) lost() int { return p.bounds.Floor - p.number(in(healthy, warming)) }

// keeps asks for a task of the revision that is kept, on an instance that is.
func (p *planner) keeps(m *member) bool { return m.Revision() == p.kept() && !m.draining }

// stopUnstarted stops at once what has never run and is not wanted: tasks of earlier
// revisions that are not protected, nor make up for others, and those whose container
// instance is DRAINING.
func (p *planner) stopUnstarted() {
	doomed := p.where(unstarted, (*member).doomed)
	if len(doomed) == 0 {
		return
	}
	lost := p.lost()
	for _, m := range doomed {
		if lost > 0 && p.keeps(m) {
			lost--
			continue
		}
		p.stop(m, scaling(p.rollout().Revision))
	}
}

// start plans new tasks, unless those before them failed too recently, or have to go first.
func (p *planner) start(s Start) bool {
	starts, crashes := p.pauses(s.Revision)
	for _, b := range []gantry.Backoff{starts, crashes} {
		if p.now.Before(b.Until) {
			p.again(b.Until)
			return false
		}
	}
	s.Count = min(s.Count, mostStarts)
	if s.Providers == nil {
		s.Providers = p.deal(s.Revision, s.Count)
	}
	if s = p.first(s); s.Count == 0 {
		return false
	}
	s.Providers = s.Providers[:min(s.Count, len(s.Providers))]
	if s.On == nil {
		s.Averse = p.averse(s.Revision)
	}
	p.plan.Starts = append(p.plan.Starts, s)
	if p.history.Unplaced != nil {
		p.again(p.now.Add(p.set.PlaceAgain))
	}
	return true
}

// stopDoomed stops tasks of earlier revisions, unhealthy ones, and those on DRAINING
// instances. Need is how many good tasks are missing, free how many the ceiling lets in.
//
// As long as replacements can start, one healthy task goes for each that is healthy
// beyond the desired count. Where they can't, and none is on its way nor a task about
// to make way, healthy tasks go down to the floor, and unhealthy ones one at a time. A
// new task that waits for room is not on its way.
func (p *planner) stopDoomed(need, free int) {
	short := p.short()
	coming := p.number((*member).good, in(pending, warming)) - short
	full := p.history.Unplaced != nil && p.history.Unplaced.Full && p.history.Unplaced.Revision == p.revision()
	blocked := coming == 0 && p.stopping == 0 && (need > 0 && (free <= 0 || full) || short > 0)
	keep, most := max(p.bounds.Floor, p.bounds.Desired), p.alive
	if blocked {
		keep = p.bounds.Floor
		if free > 0 || short > 0 {
			most = max(need, 0) + short // room is short: no more than it takes
		}
	}
	sick := 0
	switch {
	case p.number(in(healthy)) >= p.bounds.Desired:
		sick = p.alive // they have been replaced
	case blocked:
		sick = 1
	}
	most -= p.stopUnhealthy(sick)
	if p.number(in(healthy)) >= keep {
		for _, m := range p.where((*member).doomed, unprotected, in(warming)) {
			if most <= 0 {
				return
			}
			p.stop(m, scaling(p.rollout().Revision))
			most--
		}
	}
	p.choose(most, p.number(in(healthy))-keep, unprotected, (*member).doomed, in(healthy))
	if blocked && free <= 0 && p.stopping == 0 && p.number((*member).doomed, unprotected) > 0 && p.number(in(warming)) == 0 {
		p.conditions = append(p.conditions, p.stuck())
	}
}

// stopUnhealthy stops at most so many unhealthy tasks, and says how many it stopped.
func (p *planner) stopUnhealthy(most int) int {
	sick := p.where(in(unhealthy))
	sick = sick[:min(most, len(sick))]
	for _, m := range sick {
		p.stop(m, reasonUnhealthy)
	}
	return len(sick)
}

func unprotected(m *member) bool { return !m.protected }

// unstarted asks for a task that does not run yet and may be stopped at once where it
// is not wanted: a DRAINING instance lets none start, not even a protected one.
func unstarted(m *member) bool { return m.standing == pending && (!m.protected || m.draining) }

// stuck says that neither starting nor stopping is allowed.
func (p *planner) stuck() Event {
	if p.deployment.Over() {
		return condition("", textStuckReplacing)
	}
	return condition("", textStuck)
}
