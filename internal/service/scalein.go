package service

import (
	"gantry"
	"gantry/internal/placement"
)

// scaleIn stops so many good tasks too many: those not RUNNING yet first, then as the
// placement strategies leave the best spread, never protected ones, and healthy ones
// only down to the floor.
func (p *planner) scaleIn(surplus int) {
	if surplus <= 0 || p.moving() {
		return
	}
	kept := len(p.stopped)
	defer func() {
		for _, m := range p.stopped[kept:] {
			m.moved = p.move() != nil
		}
	}()
	early := p.where((*member).good, unstarted)
	if len(p.look.Shares[p.rollout().Revision]) > 0 {
		early = p.even(surplus, early)
	}
	for _, m := range early[:min(surplus, len(early))] {
		p.stop(m, scaling(p.rollout().Revision))
		surplus--
	}
	budget := p.number(in(healthy)) - p.bounds.Floor
	surplus -= p.choose(surplus, budget, (*member).good, unprotected)
	if surplus > 0 && p.number((*member).good, func(m *member) bool { return m.protected }) > p.bounds.Desired {
		p.conditions = append(p.conditions, condition("", textProtected(p.rollout().Revision)))
	}
}

// choose stops at most n of the members that may be, of them at most so many healthy
// ones, and says how many it stopped.
func (p *planner) choose(n, healthyOnes int, may ...func(*member) bool) int {
	if n <= 0 {
		return 0
	}
	candidates := p.where(may...)
	chosen := p.even(n, candidates)
	if count(chosen, healthy) > healthyOnes {
		// Not that many healthy ones: the others first, whatever the spread.
		var others, well []*member
		for _, m := range candidates {
			if m.standing == healthy {
				well = append(well, m)
			} else {
				others = append(others, m)
			}
		}
		chosen = p.even(n, others)
		chosen = append(chosen, p.even(min(n-len(chosen), healthyOnes), well)...)
	}
	for _, m := range chosen {
		p.stop(m, scaling(p.rollout().Revision))
	}
	return len(chosen)
}

// best are the n of some members that placement would stop first.
func (p *planner) best(n int, of []*member) []*member {
	if n <= 0 || len(of) == 0 {
		return nil
	}
	if n >= len(of) {
		return of
	}
	may := make(map[gantry.TaskID]*member, len(of))
	for _, m := range of {
		may[m.ID] = m
	}
	placed := make([]placement.Placed, 0, p.alive)
	for _, m := range p.where() {
		placed = append(placed, placement.Placed{
			Task: m.ID, Instance: m.Instance, Running: m.standing != pending, Draining: m.draining,
			Protected: may[m.ID] == nil, Demand: placement.DemandOf(m.Reserved),
		})
	}
	var out []*member
	for _, id := range placement.ChooseToStop(p.look.Instances(), p.look.Spread, placed, n) {
		out = append(out, may[id])
	}
	return out
}

func count(members []*member, s standing) int {
	n := 0
	for _, m := range members {
		if m.standing == s {
			n++
		}
	}
	return n
}
