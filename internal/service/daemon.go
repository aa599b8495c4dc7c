package service

import (
	"maps"
	"slices"

	"gantry"
	"gantry/internal/wire/ecsapi"
)

// A HostState is what a DAEMON service wants on a container instance. An instance that
// has none is no place for the service: what it has there is stopped.
type HostState int

const (
	// HostWants: ACTIVE, connected, and the constraints hold: one task.
	HostWants HostState = iota + 1
	// HostKeeps: as HostWants, but its agent is not connected: what runs there stays,
	// and nothing new can start.
	HostKeeps
	// HostEmpties: DRAINING, with tasks of others: the daemon goes last.
	HostEmpties
)

// DaemonCount is the desired count of a DAEMON service: its matching container instances.
func DaemonCount(hosts map[gantry.InstanceID]HostState) int {
	n := 0
	for _, state := range hosts {
		if state == HostWants || state == HostKeeps {
			n++
		}
	}
	return n
}

// Desired is how many tasks a service wants: the user's count, or, of a DAEMON service,
// what the scheduler counted last.
func Desired(s *gantry.Service, h *gantry.ServiceHistory) int {
	switch {
	case s.Status != gantry.ServiceActive:
		return 0
	case s.Scheduling == ecsapi.SchedulingStrategyDaemon:
		return h.Hosts
	}
	return s.DesiredCount
}

// occupy takes the next step of a DAEMON service: one task of the wanted revision on
// each host, where the old one is stopped before the new one starts.
func (p *planner) occupy() {
	taken := map[gantry.InstanceID]int{}
	for _, t := range p.look.Tasks {
		if t.LastStatus != gantry.Stopped {
			taken[t.Instance]++
		}
	}
	for _, m := range p.where() {
		// A DRAINING instance lets no task start.
		if p.look.Hosts[m.Instance] == 0 || m.draining && m.standing == pending {
			p.stop(m, scaling(p.rollout().Revision))
		}
		if m.gone && !p.look.Draining[m.Instance] { // ACTIVE, and no place for it any more
			p.plan.Events = append(p.plan.Events, Event{Name: DaemonViolation, Reason: reasonViolation(m.ID, m.Instance)})
		}
	}
	p.replaceDaemons()
	s := Start{Revision: p.revision()}
	for _, host := range slices.Sorted(maps.Keys(p.look.Hosts)) {
		if p.look.Hosts[host] == HostWants && taken[host] == 0 && s.Count < p.bounds.Ceiling-p.living() {
			s.On = append(s.On, host)
			s.Count++
		}
	}
	if s.Count > 0 {
		p.start(s)
		return
	}
	p.history.Unplaced = nil
	if p.stopping == 0 && p.number(in(pending, warming)) == 0 && p.number((*member).doomed, p.replaceable) > 0 {
		p.conditions = append(p.conditions, p.stuck())
	}
}

// replaceDaemons stops tasks of earlier revisions and unhealthy ones, healthy ones only
// down to the floor, and one of two that share an instance.
func (p *planner) replaceDaemons() {
	reason := scaling(p.rollout().Revision)
	on := map[gantry.InstanceID]bool{}
	for _, m := range p.where((*member).good) {
		if on[m.Instance] && (m.standing != healthy || p.number(in(healthy)) > p.bounds.Floor) {
			p.stop(m, reason)
		}
		on[m.Instance] = true
	}
	for _, m := range p.where((*member).doomed, p.replaceable) {
		switch {
		case m.standing == unhealthy:
			p.stop(m, reasonUnhealthy)
		case m.standing != healthy || p.number(in(healthy)) > p.bounds.Floor:
			p.stop(m, reason)
		}
	}
}

// replaceable reports whether a task may go for one of the wanted revision.
func (p *planner) replaceable(m *member) bool { return !m.draining && !m.protected }
