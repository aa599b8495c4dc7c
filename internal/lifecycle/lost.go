package lifecycle

import (
	"fmt"
	"iter"
	"time"

	"gantry"
	"gantry/internal/extension"
	"gantry/internal/wire/ecsapi"
)

// A LossRule says when the tasks that services have on a container instance are given
// up because its agent is silent, so that they are replaced elsewhere.
type LossRule struct {
	// After is how long the agent of an EC2 instance has to be away, and ExternalAfter
	// that of an EXTERNAL one; 0 for however long.
	After, ExternalAfter time.Duration
	// Many replaces also where more agents are away at once than AllowedLoss.
	Many bool
}

// DefaultLossRule gives a machine five minutes to come back: a reboot takes one to
// three, and after an outage of the network the genuine agent waits up to two and a half
// before it tries again. The links of EXTERNAL instances fail more often than their
// tasks, so that these are never given up unless somebody asks for it.
var DefaultLossRule = LossRule{After: 5 * time.Minute}

// of is the period for one instance; 0 where it is never given up.
func (r LossRule) of(i *gantry.Instance) time.Duration {
	if i.LaunchType == ecsapi.LaunchTypeExternal {
		return r.ExternalAfter
	}
	return r.After
}

// AllowedLoss is how many of a cluster's agents may be away at once so that their tasks
// are replaced without anybody being asked: a third, one at least, and never the only
// one. More at once look like a broken network, or a broken gantry, rather than broken
// machines: then everything would be started once more on the few that are left.
func AllowedLoss(agents int) int {
	if agents < 2 {
		return 0
	}
	return max(agents/3, 1)
}

// An Agent is a container instance that was connected once, as a plan sees it.
type Agent struct {
	Instance   *gantry.Instance
	Connection *gantry.Connection
	// Silent is for how long this control plane knows the agent to be away.
	Silent time.Duration
	// Settled says that the agent was given up long ago: it counts no more.
	Settled bool
}

// A LossPlan is what becomes of a cluster's silent agents.
type LossPlan struct {
	Changes []LossChange
	// Away of Counted agents are away at once; Many says that these are too many.
	Away, Counted int
	Many          bool
	// Again is when the next period is over; 0 for never.
	Again time.Duration
}

// A LossChange is one instance's new Loss.
type LossChange struct {
	Agent *Agent
	To    gantry.Loss
}

// PlanLosses decides about the agents of one cluster. Whoever sets an instance DRAINING
// wants it empty: it is given up when its period is over, however many others are away.
//
// Where too many were away and no longer are, those that are left have their whole period
// once more: the others come back one after the other, and they are likely to follow.
func PlanLosses(r LossRule, agents []Agent) LossPlan {
	var p LossPlan
	for i := range agents {
		a := &agents[i]
		if r.of(a.Instance) == 0 || a.Settled {
			continue
		}
		p.Counted++
		if !a.Connection.Connected {
			p.Away++
		}
	}
	p.Many = p.Away > AllowedLoss(p.Counted)
	for i := range agents {
		a := &agents[i]
		period := r.of(a.Instance)
		if a.Connection.Connected || a.Connection.Loss == gantry.LossGivenUp {
			continue
		}
		var to gantry.Loss
		switch {
		case period == 0:
		case a.Silent < period:
			if left := period - a.Silent; p.Again == 0 || left < p.Again {
				p.Again = left
			}
		case r.Many || a.Instance.Status == ecsapi.ContainerInstanceStatusDraining:
			to = gantry.LossGivenUp
		case !p.Many && a.Connection.Loss == gantry.LossHeld: // a Vigil takes that for a sign of life
		case !p.Many:
			to = gantry.LossGivenUp
		default:
			to = gantry.LossHeld
		}
		if to != a.Connection.Loss {
			p.Changes = append(p.Changes, LossChange{Agent: a, To: to})
		}
	}
	return p
}

// lost says whether a task is given up with the agent of its instance: one that a
// service will replace, that is to be started again when it fails, or that was asked to
// stop anyway. Nobody would start another standalone task once more, so that it stays
// what it most likely is: running.
func lost(t *gantry.Task, c *gantry.Connection) bool {
	return c != nil && !c.Connected && c.Loss == gantry.LossGivenUp &&
		(t.Revision() != "" || t.DesiredStatus == gantry.Stopped || t.Attempt < extension.RetriesOf(t.Tags))
}

// reasonLost is the stoppedReason of a task whose instance was given up.
func reasonLost(c *gantry.Connection) string {
	return fmt.Sprintf("Container instance %s is lost: its agent has been disconnected since %s", c.Instance, c.Since.UTC().Format(time.RFC3339))
}

const (
	// settledAfter is for how long an agent that was given up counts as lost together
	// with others.
	settledAfter = time.Hour
	// longestGap is how far apart two looks may be so that the control plane counts as
	// having been up between them.
	longestGap = 15 * time.Second
)

// A Vigil is what one control plane has seen of silent agents while it was up and could
// write without a break. It goes by the time since the control plane's start, so that
// neither a restart nor a clock that jumps makes an agent's silence longer.
type Vigil struct {
	last    time.Duration
	silent  map[string]silence       // by instance key
	givenUp map[string]time.Duration // when an instance was first seen given up
}

type silence struct {
	epoch int64 // the connection's: a new one is a sign of life
	held  bool  // it was: that it no longer is counts as one as well
	since time.Duration
}

// Look takes note of who is silent. Proven says that the control plane was just now able
// to write; after a look that is not, or comes late, all silences begin anew.
func (v *Vigil) Look(at time.Duration, proven bool, connections iter.Seq[*gantry.Connection]) {
	before, given := v.silent, v.givenUp
	if at-v.last > longestGap {
		before = nil
	}
	v.last, v.silent, v.givenUp = at, map[string]silence{}, map[string]time.Duration{}
	for c := range connections {
		if c.Connected {
			continue
		}
		s, known := before[c.Key()]
		if !known || s.epoch != c.Epoch || s.held && c.Loss == "" {
			s = silence{epoch: c.Epoch, since: at}
		}
		s.held = c.Loss == gantry.LossHeld
		if proven { // else nobody's silence is known
			v.silent[c.Key()] = s
		}
		if c.Loss != gantry.LossGivenUp {
			continue
		}
		first, known := given[c.Key()]
		if !known {
			first = at
		}
		v.givenUp[c.Key()] = first
	}
}

// Agent is an instance with what the last look saw of its agent.
func (v *Vigil) Agent(i *gantry.Instance, c *gantry.Connection) Agent {
	a := Agent{Instance: i, Connection: c}
	if s, ok := v.silent[c.Key()]; ok && !c.Connected && s.epoch == c.Epoch {
		a.Silent = v.last - s.since
	}
	if first, ok := v.givenUp[c.Key()]; ok && c.Loss == gantry.LossGivenUp {
		a.Settled = v.last-first >= settledAfter
	}
	return a
}
