package service

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"gantry"
	"gantry/internal/extension"
	"gantry/internal/wire/ecsapi"
)

// TestScenarios plays testdata/*.txt; rolling.txt says how they are written.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("found %v: %v", files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		s, n, checks := &stage{}, 0, 0
		for line := range strings.Lines(string(text)) {
			n++
			line = strings.TrimSpace(line)
			if line == "" || strings.HasPrefix(line, "#") {
				continue
			}
			do, want, checked := strings.Cut(line, "->")
			got, err := s.play(strings.Fields(do))
			if err != nil {
				t.Errorf("%s:%d: %s: %s: %v", file, n, s.title, line, err)
				continue
			}
			if want = strings.TrimSpace(want); checked {
				checks++
				if got != want {
					t.Errorf("%s:%d: %s: %s\n\tgot  %s\n\twant %s", file, n, s.title, strings.TrimSpace(do), got, want)
				}
			}
		}
		if checks < 5 {
			t.Errorf("%s checks %d times", file, checks)
		}
	}
}

// A stage is a scenario being played.
type stage struct {
	title string
	*world
}

// play does one line and says what came of it.
func (s *stage) play(words []string) (string, error) {
	what, args := words[0], words[1:]
	if got, known := s.playSets(words); known {
		return got, nil
	}
	switch what {
	case "scenario":
		s.title, s.world = strings.Join(args, " "), newWorld()
	case "instance":
		return "", s.instance(args)
	case "service":
		return "", s.begin(args)
	case "set":
		return "", s.configure(args)
	case "deploy":
		s.deploy()
	case "seat":
		s.seatAll()
	case "request":
		s.deployments[0] = s.deployments[0].Clone()
		s.deployments[0].Status = ecsapi.ServiceDeploymentStatus(args[0])
	case "delete":
		next := *s.service
		next.Status = gantry.ServiceDraining
		s.service = &next
	case "answer":
		s.answer(ecsapi.DeploymentLifecycleHookStatus(args[0]))
	case "alarm":
		s.alarm = strings.Join(args, "")
	case "wait":
		d, err := time.ParseDuration(args[0])
		s.now = s.now.Add(d)
		return "", err
	case "look":
		return s.described(s.step()), nil
	case "settle":
		for range 100 {
			if plan := s.step(); plan.Empty() {
				return "", nil
			}
		}
		return "", fmt.Errorf("it does not settle")
	case "run", "tell", "pass", "fail", "end", "stopped", "lose", "protect":
		return "", s.happen(what, args)
	default:
		return s.show(what)
	}
	return "", nil
}

// show tells how things are.
func (s *stage) show(what string) (string, error) {
	d := s.deployment()
	switch what {
	case "tasks":
		return s.tally(), nil
	case "hosts":
		n := map[string]int{}
		for _, t := range s.tasks {
			if t.DesiredStatus == gantry.Running {
				n[string(t.Instance)]++
			}
		}
		return counted(n), nil
	case "providers":
		n := map[string]int{}
		for _, t := range s.tasks {
			if t.DesiredStatus == gantry.Running {
				n[t.CapacityProvider+" "+string(t.LastStatus)]++
			}
		}
		return counted(n), nil
	case "zones":
		n := map[string]int{}
		for _, t := range s.tasks {
			if t.DesiredStatus == gantry.Running {
				n[t.Zone]++
			}
		}
		return counted(n), nil
	case "status":
		return string(d.Status), nil
	case "sources":
		return fmt.Sprint(d.Sources), nil
	case "stage":
		return fmt.Sprintf("%s, %g %% of traffic", d.Stage, d.Weight), nil
	case "hook":
		if len(d.Hooks) == 0 {
			return "none", nil
		}
		h := d.Hooks[len(d.Hooks)-1]
		return fmt.Sprintf("%s at %s %s, %d in all", h.ID, h.Stage, h.Status, len(d.Hooks)), nil
	case "service?":
		return string(s.service.Status), nil
	case "rollout":
		return fmt.Sprintf("%s %s", d.Rollout().State, d.Rollout().Reason), nil
	case "target":
		return fmt.Sprintf("%s %s", d.Target.State, d.Target.Reason), nil
	case "failures":
		return fmt.Sprintf("%d, failed tasks %d", d.Rollout().Failures, d.Rollout().FailedTasks), nil
	case "again":
		return MakePlan(s.now, s.look(), s.set).Again.String(), nil
	case "event":
		if len(s.history.Events) == 0 {
			return "none", nil
		}
		return s.history.Events[0].Message, nil
	case "told": // EventBridge, with a reason, the newest first
		var parts []string
		for _, e := range s.history.Events {
			if e.Reason != "" {
				parts = append(parts, strings.TrimSpace(fmt.Sprintf("%s %s", e.Name, e.Deployment))+": "+e.Reason)
			}
		}
		return strings.Join(parts, ", "), nil
	case "events":
		shown := slices.DeleteFunc(slices.Clone(s.history.Events), func(e gantry.ServiceEvent) bool { return e.Message == "" })
		return strconv.Itoa(len(shown)), nil
	case "entries":
		var parts []string
		for _, e := range Entries(s.service.DesiredCount, s.deployments, tallied(s.tasks)) {
			parts = append(parts, fmt.Sprintf("%s %s %s %d/%d/%d", e.Rollout.Revision, e.Status, e.Rollout.State, e.Desired, e.Pending, e.Running))
		}
		return strings.Join(parts, ", "), nil
	}
	return "", fmt.Errorf("what is that?")
}

// described tells what a plan does.
func (s *stage) described(p Plan) string {
	var parts []string
	for _, st := range p.Starts {
		part := fmt.Sprintf("start %d of %s", st.Count, st.Revision)
		if st.Providers != nil {
			n := map[string]int{}
			for _, provider := range st.Providers {
				n[provider]++
			}
			part = "start " + counted(n)
		}
		if st.Zone != "" {
			part += " in " + st.Zone
		}
		parts = append(parts, part)
	}
	if len(p.Stops) > 0 {
		n := map[string]int{}
		for _, st := range p.Stops {
			for _, t := range s.tasks {
				if t.ID == st.Task {
					n[string(t.Revision())]++
				}
			}
		}
		parts = append(parts, "stop "+counted(n))
	}
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, "; ")
}

func (s *stage) instance(args []string) error {
	h := &host{room: 1000}
	if old := s.hosts[gantry.InstanceID(args[0])]; old != nil {
		h = old
	}
	s.hosts[gantry.InstanceID(args[0])] = h
	for _, a := range args[1:] {
		key, value, _ := strings.Cut(a, "=")
		switch key {
		case "zone":
			h.zone = value
		case "room":
			h.room, _ = strconv.Atoi(value)
		case "provider":
			h.provider = value
		case "draining":
			h.draining = value == "" || value == "yes"
		case "away":
			h.away = value == "" || value == "yes"
		case "held":
			h.held = value == "" || value == "yes"
		case "busy":
			h.busy = value == "" || value == "yes"
		case "unfit":
			h.unfit = value == "" || value == "yes"
		case "unsuited":
			h.condemned = true
		default:
			return fmt.Errorf("%q of an instance?", key)
		}
	}
	return nil
}

// begin makes the service, with a big instance if there is none, and its first deployment.
func (s *stage) begin(args []string) error {
	if len(s.hosts) == 0 {
		s.hosts["i1"] = &host{zone: "a", room: 1000}
	}
	s.service = &gantry.Service{
		Name: "web", Cluster: "prod", Status: gantry.ServiceActive, Scheduling: ecsapi.SchedulingStrategyReplica,
		Configuration: &ecsapi.DeploymentConfiguration{}, CreatedAt: s.now,
	}
	s.history = &gantry.ServiceHistory{Cluster: "prod", Service: "web"}
	if err := s.configure(args); err != nil {
		return err
	}
	s.deploy()
	return nil
}

// configure changes the service, as UpdateService does.
func (s *stage) configure(args []string) error {
	next := *s.service
	c := *s.service.Configuration
	next.Configuration = &c
	s.service = &next
	for _, a := range args {
		key, value, _ := strings.Cut(a, "=")
		n, _ := strconv.Atoi(value)
		switch key {
		case "desired":
			next.DesiredCount = n
		case "providers": // a:1+2 has weight 1 and base 2
			next.Providers = nil
			for _, item := range strings.Split(value, ",") {
				var weight, base int32
				name, rest, _ := strings.Cut(item, ":")
				fmt.Sscanf(rest, "%d+%d", &weight, &base)
				next.Providers = append(next.Providers, ecsapi.CapacityProviderStrategyItem{CapacityProvider: &name, Weight: &weight, Base: &base})
			}
		case "min":
			c.MinimumHealthyPercent = new(int32(n))
		case "max":
			c.MaximumPercent = new(int32(n))
		case "daemon":
			next.Scheduling = ecsapi.SchedulingStrategyDaemon
		case "checked":
			s.checked = true
		case "tags":
			s.tags = true
		case "grace":
			next.GracePeriod = time.Duration(n) * time.Second
		case "rebalance":
			next.Rebalancing = ecsapi.AvailabilityZoneRebalancingEnabled
		case "exits":
			next.Tags = []ecsapi.Tag{{Key: new(extension.Breaker), Value: new(extension.CountExits)}}
		case "breaker":
			c.DeploymentCircuitBreaker = &ecsapi.DeploymentCircuitBreaker{Enable: new(true), Rollback: new(value == "rollback")}
		case "cumulative":
			c.DeploymentCircuitBreaker.ResetOnHealthyTask = new(false)
		case "threshold":
			c.DeploymentCircuitBreaker.ThresholdConfiguration = &ecsapi.ThresholdConfiguration{Type: ecsapi.ThresholdTypeCount, Value: new(int32(n))}
		case "alarms":
			c.Alarms = &ecsapi.DeploymentAlarms{Enable: new(true), Rollback: new(value == "rollback"), AlarmNames: []string{"errors"}}
		case "step":
			c.LinearConfiguration = &ecsapi.LinearConfiguration{StepPercent: new(float64(n)), StepBakeTimeInMinutes: new(int32(1))}
		case "strategy":
			c.Strategy = ecsapi.DeploymentStrategy(value)
		case "pause":
			c.LifecycleHooks = append(c.LifecycleHooks, ecsapi.DeploymentLifecycleHook{
				TargetType: ecsapi.DeploymentLifecycleHookTargetTypePause, LifecycleStages: []ecsapi.DeploymentLifecycleHookStage{ecsapi.DeploymentLifecycleHookStage(value)}})
		case "timeout": // of the last pause, in minutes: it goes on then
			c.LifecycleHooks[len(c.LifecycleHooks)-1].TimeoutConfiguration = &ecsapi.DeploymentLifecycleHookTimeoutConfiguration{
				Action: ecsapi.DeploymentLifecycleHookActionContinue, TimeoutInMinutes: new(int32(n))}
		case "bake":
			c.BakeTimeInMinutes = new(int32(n))
		case "early":
			c.EarlySuccessCriteria = &ecsapi.DeploymentEarlySuccessCriteria{Enable: new(true), HealthyPercent: new(int32(n))}
		case "cleanup":
			c.EarlySuccessCriteria.SourceServiceRevisionCleanup = ecsapi.ServiceRevisionCleanup(value)
		default:
			return fmt.Errorf("%q of a service?", key)
		}
	}
	return nil
}

// happen lets something happen to tasks: "run 2 of 1", or "run" for all it may happen to.
func (s *stage) happen(what string, args []string) error {
	n, of := len(s.tasks), ""
	if len(args) > 0 {
		n, _ = strconv.Atoi(args[0])
	}
	if len(args) > 2 && args[1] == "of" {
		of = args[2]
	}
	for _, t := range slices.Clone(s.tasks) {
		wanted := t.DesiredStatus == gantry.Running && (of == "" || string(t.Revision()) == of)
		ran := t.LastStatus == gantry.Running
		switch {
		case n == 0 || t.LastStatus == gantry.Stopped:
			continue
		case what == "run" && wanted && !ran && !t.Waits():
			s.run(t.ID)
		case what == "tell" && wanted && !ran:
			s.tell(t.ID)
		case what == "pass" && wanted && ran && t.Containers[0].Health == "":
			s.health(t.ID, ecsapi.HealthStatusHealthy)
		case what == "fail" && wanted && ran && s.checked && t.Containers[0].Health != ecsapi.HealthStatusUnhealthy:
			s.health(t.ID, ecsapi.HealthStatusUnhealthy)
		case what == "fail" && wanted && !ran, what == "end" && wanted && ran, what == "stopped" && t.DesiredStatus == gantry.Stopped:
			s.end(t.ID)
		case what == "lose" && wanted:
			s.lose(t.ID)
		case what == "protect" && wanted && ran:
			s.change(t.ID, func(t *gantry.Task) { t.ProtectedUntil = s.now.Add(2 * time.Hour) })
		default:
			continue
		}
		n--
	}
	if len(args) > 0 && n > 0 {
		return fmt.Errorf("there are %d too few", n)
	}
	return nil
}

// tallied counts tasks one by one.
func tallied(tasks []*gantry.Task) Tallies {
	out := Tallies{}
	for _, t := range tasks {
		if t.LastStatus != gantry.Stopped {
			out.add(t.Revision(), t.DesiredStatus, t.LastStatus, 1)
		}
	}
	return out
}
