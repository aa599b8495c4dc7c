package service

import (
	"slices"

	"gantry"
)

// vacate stops tasks on DRAINING instances although nothing replaces them: healthy ones
// down to the floor, of all tasks for which the questions hold. It is for where no
// replacement is on its way, nor will soon be, since a DRAINING instance is to be empty.
func (p *planner) vacate(of ...func(*member) bool) {
	spare := p.number(append(slices.Clip(of), in(healthy))...) - p.bounds.Floor
	if spare < 0 {
		return // what is warming may be needed yet
	}
	leaves := func(m *member) bool { return m.draining && !m.protected }
	p.choose(p.alive, spare, append(slices.Clip(of), leaves)...)
}

// stranded reports whether those tasks of a revision that have to be replaced get no
// replacements: none is on its way, and the ceiling lets none start, no container instance
// takes one, or those that were started ended before they were of use, again and again.
// Need is how many are to be started.
func (p *planner) stranded(need int, revision gantry.RevisionID) bool {
	coming, homeless := 0, 0
	for _, m := range p.where(in(pending, warming)) {
		if m.Revision() != revision || m.draining {
			continue
		}
		coming++
		if _, refused := p.look.NoRoom[m.CapacityProvider]; refused && m.Waits() {
			homeless++
		}
	}
	if p.stopping > 0 || coming > homeless {
		return false
	}
	starts, crashes := p.pauses(revision)
	u := p.history.Unplaced
	return homeless > 0 || need > 0 && (p.alive >= p.bounds.Ceiling || u != nil && u.Revision == revision ||
		starts.Step >= impairedAfter || crashes.Step >= impairedAfter)
}
