package service

import (
	"maps"
	"slices"

	"gantry"
	"gantry/internal/wire/ecsapi"
)

// blue is the revision that green replaces: the last that completed if it still has
// tasks, else the one with the most; "" where there is nothing to replace.
func (p *planner) blue() gantry.RevisionID {
	n := map[gantry.RevisionID]int{}
	for _, m := range p.where(stale) {
		n[m.Revision()]++
	}
	if n[p.deployment.Fallback] > 0 {
		return p.deployment.Fallback
	}
	var most gantry.RevisionID
	for _, revision := range slices.Sorted(maps.Keys(n)) {
		if n[revision] > n[most] {
			most = revision
		}
	}
	return most
}

// neither asks for the tasks that are neither green nor blue.
func (p *planner) neither() func(*member) bool {
	blue := p.blue()
	return func(m *member) bool { return !m.fresh && m.Revision() != blue }
}

func (p *planner) others() int { return p.number(p.neither()) }

// stand keeps blue, brings green up, and lets the others go.
func (p *planner) stand() {
	green, d := p.rollout().Revision, p.deployment
	reason := scaling(green)
	neither := p.neither()
	for _, m := range p.where(neither, unstarted) {
		p.stop(m, reason)
	}
	p.choose(p.alive, p.number(in(healthy))-max(p.bounds.Floor, p.bounds.Desired), neither, unprotected)
	if blue := p.blue(); blue != "" {
		p.keep(blue)
	}
	if d.Stage == ecsapi.ServiceDeploymentLifecycleStageReconcileService || d.Stage == ecsapi.ServiceDeploymentLifecycleStagePreScaleUp {
		return
	}
	p.keep(green)
	if p.number((*member).good) >= p.bounds.Desired && len(p.plan.Starts) == 0 {
		p.history.Unplaced = nil // nobody asks for a place any more, not for blue either
	}
}

// keep keeps as many tasks of a revision as desired: it replaces unhealthy ones and
// those on DRAINING instances, and stops those too many.
func (p *planner) keep(revision gantry.RevisionID) {
	of := func(m *member) bool { return m.Revision() == revision }
	fit := func(m *member) bool { return !m.draining && m.standing != unhealthy }
	leaving := func(m *member) bool { return m.draining }
	reason := scaling(p.rollout().Revision)
	for _, m := range p.where(of, leaving, in(pending)) {
		p.stop(m, reason)
	}
	need := p.bounds.Desired - p.number(of, fit)
	free := p.bounds.Ceiling - p.living()
	if s := (Start{Revision: revision, Count: min(need, free)}); s.Count > 0 {
		p.start(s)
	}
	sick := p.where(of, in(unhealthy))
	if p.number(of, in(healthy)) < p.bounds.Desired && (need <= 0 || free > 0 || p.stopping > 0) {
		sick = nil // the replacement first
	} else if p.number(of, in(healthy)) < p.bounds.Desired {
		sick = sick[:min(1, len(sick))]
	}
	for _, m := range sick {
		p.stop(m, reasonUnhealthy)
	}
	spare := p.number(of, in(healthy)) - p.bounds.Desired
	p.choose(spare, spare, of, leaving, unprotected)
	if p.stranded(need, revision) {
		p.vacate(of)
	}
	early := p.where(of, fit, unstarted)
	for _, m := range early[:max(0, min(-need, len(early)))] {
		p.stop(m, reason)
		need++
	}
	p.choose(-need, p.number(of, in(healthy))-p.bounds.Floor, of, fit, unprotected)
}
