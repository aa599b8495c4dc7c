package lifecycle

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"gantry"
	"gantry/internal/wire/ecsapi"

	"pgregory.net/rapid"
)

func TestLosses(t *testing.T) {
	text, err := os.ReadFile("testdata/lost.txt")
	if err != nil {
		t.Fatal(err)
	}
	rule, agents, blocks, n := DefaultLossRule, []Agent(nil), 0, 0
	for line := range strings.Lines(string(text)) {
		n++
		line = strings.TrimSpace(line)
		words := strings.Fields(line)
		switch {
		case line == "" || line[0] == '#':
		case words[0] == "rule":
			rule = ruleOf(t, words[1:])
		case words[0] == "->":
			blocks++
			if got, want := planned(PlanLosses(rule, agents)), strings.TrimSpace(line[2:]); got != want {
				t.Errorf("line %d: %s, want %s", n, got, want)
			}
			rule, agents = DefaultLossRule, nil
		default:
			agents = append(agents, agentOf(t, line))
		}
	}
	if blocks == 0 || agents != nil {
		t.Errorf("%d blocks, and agents without a plan: %v", blocks, agents)
	}
}

func ruleOf(t *testing.T, words []string) LossRule {
	rule := DefaultLossRule
	switch words[0] {
	case "many":
		rule.Many = true
	case "never":
		rule.After = 0
	case "external":
		var err error
		if rule.ExternalAfter, err = time.ParseDuration(words[1]); err != nil {
			t.Fatal(err)
		}
	default:
		t.Fatalf("%q: what rule is that?", words)
	}
	return rule
}

func agentOf(t *testing.T, line string) Agent {
	words := strings.Fields(line)
	i := &gantry.Instance{ID: gantry.InstanceID(words[0]), Cluster: "prod", Status: ecsapi.ContainerInstanceStatusActive, LaunchType: ecsapi.LaunchTypeEc2}
	a := Agent{Instance: i, Connection: &gantry.Connection{Cluster: "prod", Instance: i.ID, Connected: words[1] == "here"}}
	if words[1] != "here" {
		var err error
		if a.Silent, err = time.ParseDuration(words[1]); err != nil {
			t.Fatal(err)
		}
	}
	for _, w := range words[2:] {
		switch w {
		case "EXTERNAL":
			i.LaunchType = ecsapi.LaunchTypeExternal
		case "DRAINING":
			i.Status = ecsapi.ContainerInstanceStatusDraining
		case "held":
			a.Connection.Loss = gantry.LossHeld
		case "given":
			a.Connection.Loss = gantry.LossGivenUp
		case "up":
		case "settled":
			a.Settled = true
		default:
			t.Fatalf("%q: what is that?", line)
		}
	}
	return a
}

func planned(p LossPlan) string {
	var parts []string
	for _, c := range p.Changes {
		words := map[gantry.Loss]string{"": "nothing", gantry.LossHeld: "held", gantry.LossGivenUp: "given up"}
		parts = append(parts, string(c.Agent.Instance.ID)+" "+words[c.To])
	}
	if p.Again > 0 {
		parts = append(parts, "again in "+p.Again.String())
	}
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, ", ")
}

func TestAllowedLoss(t *testing.T) {
	for agents, want := range []int{0, 0, 1, 1, 1, 1, 2, 2, 2, 3} {
		if got := AllowedLoss(agents); got != want {
			t.Errorf("of %d: %d, want %d", agents, got, want)
		}
	}
}

// TestVigil lets agents come and go, and the control plane stall, fail and start anew,
// in any order, and wants that
//
//   - no agent is given up that was heard within the period;
//   - nor while the control plane was not up and able to write for the whole period;
//   - nor that was held for others within the period, unless an operator asked for it;
//   - those given up within an hour, with all that are away, are never more than allowed,
//     unless an operator asked for it;
//   - in the end, when the control plane is left alone, agents that are few enough are
//     given up, within a look of their period, and no others.
func TestVigil(t *testing.T) { rapid.Check(t, keepsVigil) }

const period = 5 * time.Minute

// An era is a cluster with one control plane after another.
type era struct {
	now    time.Duration // as an onlooker has it, who never sleeps
	born   time.Duration // when the control plane started
	whole  time.Duration // since when it is up without a break
	vigil  *Vigil
	agents []*fate
}

// A fate is one agent's, as the onlooker knows it.
type fate struct {
	instance   gantry.Instance
	connection gantry.Connection
	heard      time.Duration
	held       time.Duration // when it was last
	givenUp    time.Duration // -1 for not
}

func keepsVigil(t *rapid.T) {
	e := &era{vigil: &Vigil{}}
	for i := range rapid.IntRange(1, 9).Draw(t, "agents") {
		id := gantry.InstanceID(fmt.Sprint("i", i))
		e.agents = append(e.agents, &fate{
			instance:   gantry.Instance{ID: id, Cluster: "prod", Status: ecsapi.ContainerInstanceStatusActive, LaunchType: ecsapi.LaunchTypeEc2},
			connection: gantry.Connection{Cluster: "prod", Instance: id, Connected: true, Epoch: 1}, held: -period, givenUp: -1,
		})
	}
	pick := func(t *rapid.T) *fate { return rapid.SampledFrom(e.agents).Draw(t, "agent") }
	t.Repeat(map[string]func(*rapid.T){
		"pass": func(t *rapid.T) {
			fails := rapid.IntRange(1, 200).Draw(t, "fails at")
			for n := range rapid.IntRange(1, 70).Draw(t, "looks") {
				if n == fails {
					e.fail()
				}
				e.pass(t, 5*time.Second)
			}
		},
		"pass 2": func(t *rapid.T) {
			e.pass(t, rapid.SampledFrom([]time.Duration{time.Millisecond, time.Second}).Draw(t, "time"))
		},
		"stall": func(t *rapid.T) { e.now += time.Hour; e.look(t, true) },
		"fail":  func(t *rapid.T) { e.fail() },
		"restart": func(t *rapid.T) {
			e.now += time.Second
			e.born, e.whole, e.vigil = e.now, e.now, &Vigil{}
			for _, a := range e.agents {
				a.leave(e.now)
			}
		},
		"leave": func(t *rapid.T) { pick(t).leave(e.now) },
		"come":  func(t *rapid.T) { pick(t).come(e.now) },
		"come 2": func(t *rapid.T) {
			for _, a := range e.agents {
				a.come(e.now)
			}
		},
		"blip": func(t *rapid.T) {
			a := pick(t)
			a.come(e.now)
			a.leave(e.now)
		},
		"drain": func(t *rapid.T) { pick(t).instance.Status = ecsapi.ContainerInstanceStatusDraining },
		"undo":  func(t *rapid.T) { pick(t).instance.Status = ecsapi.ContainerInstanceStatusActive },
	})
	e.end(t)
}

// leave ends a connection; the onlooker knows that the agent was heard until then.
func (f *fate) leave(now time.Duration) {
	if f.connection.Connected {
		f.connection.Connected, f.heard = false, now
	}
}

func (f *fate) come(now time.Duration) {
	f.connection = gantry.Connection{Cluster: "prod", Instance: f.instance.ID, Connected: true, Epoch: f.connection.Epoch + 1}
	f.heard, f.givenUp = now, -1
}

func (e *era) connections(yield func(*gantry.Connection) bool) {
	for _, a := range e.agents {
		if !yield(new(a.connection)) {
			return
		}
	}
}

func (e *era) pass(t *rapid.T, d time.Duration) {
	e.now += d
	e.look(t, true)
}

// fail is a look at which the control plane cannot write.
func (e *era) fail() {
	e.now += 5 * time.Second
	e.whole = e.now
	e.vigil.Look(e.now-e.born, false, e.connections)
}

// look is one of the control plane's, with all that it decides carried out.
func (e *era) look(t *rapid.T, proven bool) {
	if e.now-e.born-e.vigil.last > longestGap {
		e.whole = e.now
	}
	e.vigil.Look(e.now-e.born, proven, e.connections)
	var agents []Agent
	for _, a := range e.agents {
		if a.connection.Loss == gantry.LossHeld {
			a.held = e.now
		}
		agents = append(agents, e.vigil.Agent(&a.instance, new(a.connection)))
	}
	for _, c := range PlanLosses(DefaultLossRule, agents).Changes {
		i := slices.IndexFunc(e.agents, func(f *fate) bool { return f.instance.ID == c.Agent.Instance.ID })
		f := e.agents[i]
		if f.connection.Loss = c.To; c.To == gantry.LossGivenUp {
			f.givenUp = e.now
			e.judge(t, f)
		}
	}
}

// judge fails where an agent must not have been given up.
func (e *era) judge(t *rapid.T, f *fate) {
	switch {
	case f.connection.Connected:
		t.Fatalf("%s is given up and connected", f.instance.ID)
	case e.now-f.heard < period:
		t.Fatalf("%s is given up %s after it was heard", f.instance.ID, e.now-f.heard)
	case e.now-e.whole < period:
		t.Fatalf("%s is given up %s after a break of the control plane's", f.instance.ID, e.now-e.whole)
	case f.instance.Status == ecsapi.ContainerInstanceStatusDraining:
		return
	case e.now-f.held < period:
		t.Fatalf("%s is given up %s after it was held", f.instance.ID, e.now-f.held)
	}
	away, counted := e.away()
	if away > AllowedLoss(counted) {
		t.Fatalf("%s is given up while %d of %d are away", f.instance.ID, away, counted)
	}
}

// away is how many agents are away, less those that were given up over an hour ago, and
// of how many.
func (e *era) away() (away, counted int) {
	for _, a := range e.agents {
		if a.givenUp >= 0 && e.now-a.givenUp >= settledAfter {
			continue
		}
		counted++
		if !a.connection.Connected {
			away++
		}
	}
	return away, counted
}

// end leaves the control plane alone for long.
func (e *era) end(t *rapid.T) {
	for range 1000 {
		e.pass(t, 5*time.Second)
	}
	away, counted := 0, 0
	for _, a := range e.agents {
		if a.connection.Loss != gantry.LossGivenUp {
			counted++
			if !a.connection.Connected {
				away++
			}
		}
	}
	for _, a := range e.agents {
		switch {
		case a.connection.Connected && a.connection.Loss != "":
			t.Fatalf("%s is connected, and %s", a.instance.ID, a.connection.Loss)
		case !a.connection.Connected && a.connection.Loss != gantry.LossGivenUp && away <= AllowedLoss(counted):
			t.Fatalf("%s is away for ever, %d of %d, and not given up", a.instance.ID, away, counted)
		case !a.connection.Connected && a.connection.Loss == "":
			t.Fatalf("%s is away for ever, and nothing is made of it", a.instance.ID)
		}
	}
}
