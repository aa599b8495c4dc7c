package service

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"gantry"
	"gantry/internal/wire/ecsapi"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestPromises lets anything happen to a service, in any order, with looks in between,
// and wants of every plan:
//
//   - it starts nothing beyond the ceiling: running + pending + stopping;
//   - it takes the healthy tasks not below the floor, and does not lower them where they
//     are below it already;
//   - it keeps no more good tasks on their way than desired, but for rebalancing;
//   - it stops no protected task, unless it is unhealthy, or pending on a DRAINING instance;
//   - as long as it is not known which images a revision's tags mean, it has one task start;
//   - a failed deployment starts nothing of its own, and one that succeeds has what it wanted;
//   - nothing that it looked at has been changed.
//
// In the end the world goes quiet: what starts runs, what runs is healthy, what is to
// stop stops. Then the plans come to an end, the deployment is over, and, where it did
// not fail, all tasks are of its revision, as many as desired, evenly over the zones where
// they are to be rebalanced. Where it failed there are as many as desired of those that
// ran then and of the last revision that completed, or it is said that there are not. At last every instance is drained, and since none of the tasks
// has to stay, none does.
func TestPromises(t *testing.T) {
	for range promised {
		rapid.Check(t, keepsPromises)
	}
}

// promised is how many hundreds of histories are drawn: they take some seconds.
const promised = 20

func keepsPromises(t *rapid.T) {
	w := drawWorld(t)
	h := &history{world: w}
	t.Repeat(map[string]func(*rapid.T){
		"look":    h.lookOnce,
		"look 2":  h.lookOnce,
		"look 3":  h.lookOnce,
		"look 4":  h.lookOnce,
		"run":     h.some("run", func(t *gantry.Task) bool { return wanted(t) && t.LastStatus == gantry.Pending }, w.run),
		"run 2":   h.some("run", func(t *gantry.Task) bool { return wanted(t) && t.LastStatus == gantry.Pending }, w.run),
		"tell":    h.some("tell", func(t *gantry.Task) bool { return wanted(t) && t.LastStatus == gantry.Pending }, w.tell),
		"pass":    h.some("pass", running, func(id gantry.TaskID) { w.health(id, ecsapi.HealthStatusHealthy) }),
		"sicken":  h.some("sicken", running, func(id gantry.TaskID) { w.health(id, ecsapi.HealthStatusUnhealthy) }),
		"end":     h.some("end", wanted, w.end),
		"stop":    h.some("stop", func(t *gantry.Task) bool { return t.DesiredStatus == gantry.Stopped }, w.end),
		"lose":    h.some("lose", func(*gantry.Task) bool { return true }, w.lose),
		"protect": h.some("protect", wanted, func(id gantry.TaskID) { h.protect(id) }),
		"thrive":  h.thrive,
		"wait":    h.wait,
		"scale":   h.scale,
		"bounds":  h.bounds,
		"deploy":  h.begin,
		"request": h.request,
		"answer": func(t *rapid.T) {
			h.answer(rapid.SampledFrom([]ecsapi.DeploymentLifecycleHookStatus{
				ecsapi.DeploymentLifecycleHookStatusSucceeded, ecsapi.DeploymentLifecycleHookStatusFailed}).Draw(t, "with"))
		},
		"alarm":  h.ring,
		"drain":  h.drain,
		"room":   h.room,
		"seat":   func(*rapid.T) { h.seatAll() },
		"delete": h.leave,
	})
	h.quiet(t)
	h.empty(t)
}

// history is what happens to a world.
type history struct{ *world }

func drawWorld(t *rapid.T) *world {
	w := newWorld()
	w.set.Warmup = rapid.SampledFrom([]time.Duration{0, 40 * time.Second}).Draw(t, "warm-up")
	w.checked = rapid.Bool().Draw(t, "checked")
	w.tags = rapid.Bool().Draw(t, "tags")
	for i := range rapid.IntRange(1, 4).Draw(t, "instances") {
		w.hosts[gantry.InstanceID(fmt.Sprint("i", i))] = &host{
			zone: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "zone"),
			room: rapid.SampledFrom([]int{2, 5, 100}).Draw(t, "room"),
		}
	}
	c := &ecsapi.DeploymentConfiguration{}
	w.service = &gantry.Service{
		Name: "web", Cluster: "prod", Status: gantry.ServiceActive, Scheduling: ecsapi.SchedulingStrategyReplica,
		DesiredCount: rapid.IntRange(0, 10).Draw(t, "desired"), Configuration: c, CreatedAt: w.now,
	}
	if rapid.IntRange(0, 4).Draw(t, "daemon") == 0 {
		w.service.Scheduling = ecsapi.SchedulingStrategyDaemon
	}
	if w.service.Scheduling == ecsapi.SchedulingStrategyReplica && rapid.Bool().Draw(t, "providers") {
		w.service.Providers = []ecsapi.CapacityProviderStrategyItem{
			{CapacityProvider: new("a"), Base: new(rapid.Int32Range(0, 3).Draw(t, "base")), Weight: new(rapid.Int32Range(0, 2).Draw(t, "weight"))},
			{CapacityProvider: new("b"), Base: new(int32(0)), Weight: new(int32(1))},
		}
		for _, h := range w.hosts {
			h.provider = rapid.SampledFrom([]string{"a", "b", ""}).Draw(t, "provider")
		}
	}
	if rapid.Bool().Draw(t, "rebalancing") {
		w.service.Rebalancing = ecsapi.AvailabilityZoneRebalancingEnabled
	}
	if rapid.Bool().Draw(t, "breaker") {
		c.DeploymentCircuitBreaker = &ecsapi.DeploymentCircuitBreaker{Enable: new(true), Rollback: new(rapid.Bool().Draw(t, "rollback"))}
	}
	if rapid.IntRange(0, 3).Draw(t, "early") == 0 {
		c.EarlySuccessCriteria = &ecsapi.DeploymentEarlySuccessCriteria{Enable: new(true), HealthyPercent: new(int32(50))}
	}
	if w.service.Scheduling == ecsapi.SchedulingStrategyReplica && rapid.Bool().Draw(t, "staged") {
		c.Strategy = rapid.SampledFrom([]ecsapi.DeploymentStrategy{
			ecsapi.DeploymentStrategyBlueGreen, ecsapi.DeploymentStrategyLinear, ecsapi.DeploymentStrategyCanary}).Draw(t, "strategy")
		stage := rapid.SampledFrom(ecsapi.DeploymentLifecycleHookStage("").Values()).Draw(t, "pause")
		c.LifecycleHooks = []ecsapi.DeploymentLifecycleHook{{
			TargetType:      ecsapi.DeploymentLifecycleHookTargetTypePause,
			LifecycleStages: []ecsapi.DeploymentLifecycleHookStage{stage},
		}}
		if rapid.Bool().Draw(t, "expires") { // within what is waited for
			c.LifecycleHooks[0].TimeoutConfiguration = &ecsapi.DeploymentLifecycleHookTimeoutConfiguration{
				TimeoutInMinutes: new(rapid.SampledFrom([]int32{1, 50}).Draw(t, "minutes")),
				Action: rapid.SampledFrom([]ecsapi.DeploymentLifecycleHookAction{
					ecsapi.DeploymentLifecycleHookActionContinue, ecsapi.DeploymentLifecycleHookActionRollback}).Draw(t, "then"),
			}
		}
	}
	if rapid.IntRange(0, 3).Draw(t, "alarms") == 0 {
		c.Alarms = &ecsapi.DeploymentAlarms{
			AlarmNames: []string{"slow"}, Enable: new(true), Rollback: new(rapid.Bool().Draw(t, "then roll back")),
		}
	}
	if rapid.IntRange(0, 3).Draw(t, "bake") == 0 {
		c.BakeTimeInMinutes = new(int32(3))
	}
	w.history = &gantry.ServiceHistory{Cluster: "prod", Service: "web"}
	w.deploy()
	return w
}

func wanted(t *gantry.Task) bool  { return t.DesiredStatus == gantry.Running }
func running(t *gantry.Task) bool { return wanted(t) && t.LastStatus == gantry.Running }

// some lets something happen to one to all of the tasks to which it may.
func (h *history) some(what string, may func(*gantry.Task) bool, do func(gantry.TaskID)) func(*rapid.T) {
	return func(t *rapid.T) {
		var ids []gantry.TaskID
		for _, task := range h.tasks {
			if task.LastStatus != gantry.Stopped && may(task) {
				ids = append(ids, task.ID)
			}
		}
		if len(ids) == 0 {
			t.Skip("none may")
		}
		first := rapid.IntRange(0, len(ids)-1).Draw(t, what)
		n := rapid.SampledFrom([]int{1, 2, 100}).Draw(t, "how many")
		for _, id := range ids[first:min(first+n, len(ids))] {
			do(id)
		}
	}
}

func (h *history) protect(id gantry.TaskID) {
	h.change(id, func(t *gantry.Task) { t.ProtectedUntil = h.now.Add(time.Hour) })
}

func (h *history) wait(t *rapid.T) {
	h.now = h.now.Add(rapid.SampledFrom([]time.Duration{time.Millisecond, time.Second, 10 * time.Second, time.Minute, time.Hour}).Draw(t, "for"))
}

func (h *history) update(f func(*gantry.Service)) {
	next := *h.service
	next.Configuration = new(*h.service.Configuration)
	f(&next)
	h.service = &next
}

func (h *history) scale(t *rapid.T) {
	n := rapid.IntRange(0, 10).Draw(t, "desired")
	h.update(func(s *gantry.Service) { s.DesiredCount = n })
}

func (h *history) bounds(t *rapid.T) {
	least := rapid.SampledFrom([]int32{0, 50, 66, 75, 100}).Draw(t, "min")
	most := rapid.SampledFrom([]int32{100, 120, 150, 200}).Draw(t, "max")
	h.update(func(s *gantry.Service) {
		if s.Scheduling == ecsapi.SchedulingStrategyDaemon {
			most = 100
		}
		s.Configuration.MinimumHealthyPercent, s.Configuration.MaximumPercent = &least, &most
	})
}

func (h *history) begin(t *rapid.T) {
	if h.service.Status != gantry.ServiceActive {
		t.Skip("it is deleted")
	}
	h.deploy()
}

func (h *history) request(t *rapid.T) {
	if h.deployment().Status != ecsapi.ServiceDeploymentStatusInProgress {
		t.Skip("not in progress")
	}
	h.deployments[0] = h.deployment().Clone()
	h.deployments[0].Status = rapid.SampledFrom([]ecsapi.ServiceDeploymentStatus{
		ecsapi.ServiceDeploymentStatusStopRequested, ecsapi.ServiceDeploymentStatusRollbackRequested,
	}).Draw(t, "stop")
}

// ring lets an alarm that a deployment may watch go off, or end.
func (h *history) ring(t *rapid.T) {
	h.alarm = ""
	if c := h.deployment().Configuration; c != nil && c.Alarms != nil && rapid.Bool().Draw(t, "in ALARM") {
		h.alarm = "slow"
	}
}

func (h *history) host(t *rapid.T) *host {
	return h.hosts[gantry.InstanceID(fmt.Sprint("i", rapid.IntRange(0, len(h.hosts)-1).Draw(t, "instance")))]
}

func (h *history) drain(t *rapid.T) {
	i := h.host(t)
	i.draining = !i.draining
}

func (h *history) room(t *rapid.T) {
	h.host(t).room = rapid.SampledFrom([]int{0, 2, 5, 100}).Draw(t, "room")
}

func (h *history) leave(t *rapid.T) {
	if rapid.IntRange(0, 20).Draw(t, "really") == 0 {
		h.update(func(s *gantry.Service) { s.Status = gantry.ServiceDraining })
	}
}

// lookOnce looks, holds the plan against the promises, and carries it out.
func (h *history) lookOnce(t *rapid.T) {
	look := h.look()
	before := fmt.Sprintf("%+v %+v %+v", *look.Service, *look.Deployment, *look.History)
	plan := MakePlan(h.now, look, h.set)
	if after := fmt.Sprintf("%+v %+v %+v", *look.Service, *look.Deployment, *look.History); before != after {
		t.Fatalf("the look was changed (-before +after):\n%s", cmp.Diff(before, after))
	}
	h.hold(t, look, &plan)
	h.apply(plan)
}

// hold holds a plan against the promises.
func (h *history) hold(t *rapid.T, look Look, plan *Plan) {
	deployment := look.Deployment
	if plan.Deployment != nil {
		deployment = plan.Deployment
	}
	p := &planner{now: h.now, look: look, set: h.set, deployment: deployment, history: look.History}
	p.count()
	leaving := h.service.Status == gantry.ServiceDraining
	for _, s := range plan.Starts {
		others := p.number(func(m *member) bool { // that may be about to tell
			return m.Revision() == s.Revision && (!m.Waits() || slices.Contains(s.Providers, m.CapacityProvider))
		})
		if p.resolving(s.Revision) && (s.Count > 1 || others > len(plan.Stops)) {
			t.Fatalf("%d of %s are started beside %d, and none has told which images they are made from", s.Count, s.Revision, others)
		}
	}
	starts, well, good := 0, p.number(in(healthy)), p.number((*member).good)
	for _, s := range plan.Starts {
		starts += s.Count
		if s.Count <= 0 {
			t.Fatalf("it starts %d tasks", s.Count)
		}
		if p.staged() && s.Revision == p.blue() {
			good -= s.Count // blue, which is kept until the end
		} else if s.Revision == p.kept() && !deployment.Halted() {
			good -= s.Count // which make up for others
			if run := p.number(in(healthy, warming)) + p.number(in(pending), p.keeps); run+s.Count > p.bounds.Floor {
				t.Fatalf("beside %d tasks it starts %d of %s, the floor is %d", run, s.Count, s.Revision, p.bounds.Floor)
			}
		} else if s.Revision != p.revision() {
			t.Fatalf("it starts tasks of revision %s, wanted is %s", s.Revision, p.revision())
		}
	}
	if living := p.living(); starts > 0 && living+starts > p.bounds.Ceiling {
		t.Fatalf("%d tasks are there, it starts %d, the ceiling is %d; %s at %s, was %s at %s", living, starts, p.bounds.Ceiling, deployment.Status, deployment.Stage, look.Deployment.Status, look.Deployment.Stage)
	}
	lowered, twice := 0, map[gantry.TaskID]bool{}
	for _, s := range plan.Stops {
		i := slices.IndexFunc(p.members, func(m *member) bool { return m.ID == s.Task })
		if i < 0 || twice[s.Task] {
			t.Fatalf("it stops %s, which is not there to be stopped", s.Task)
		}
		twice[s.Task] = true
		m := p.members[i]
		if m.standing == healthy {
			lowered++
		}
		mayGo := m.standing == unhealthy || m.standing == pending && m.draining
		if m.protected && !mayGo && !leaving && h.service.Scheduling == ecsapi.SchedulingStrategyReplica {
			t.Fatalf("it stops %s, which is protected", s.Task)
		}
		if m.good() {
			good--
		}
		if s.Reason == "" || s.Code == "" {
			t.Fatalf("it stops %s and does not say why", s.Task)
		}
	}
	forced := leaving || h.service.Scheduling == ecsapi.SchedulingStrategyDaemon // where the place is lost, the bound does not hold
	if lowered > 0 && well-lowered < p.bounds.Floor && !forced {
		t.Fatalf("%d tasks are healthy, it stops %d of them, the floor is %d", well, lowered, p.bounds.Floor)
	}
	moving := plan.History != nil && plan.History.Rebalance != nil || plan.History == nil && look.History.Rebalance != nil
	if starts > 0 && good+starts > p.bounds.Desired && !moving {
		t.Fatalf("%d good tasks and %d to start, for %d desired", good, starts, p.bounds.Desired)
	}
	if !look.Deployment.Over() && deployment.Over() && !deployment.Halted() && !leaving && deployment.Configuration.EarlySuccessCriteria == nil {
		if n := p.number((*member).good, in(healthy)); n < p.bounds.Desired || p.number(stale)+p.staleStopping > 0 {
			t.Fatalf("it calls %d of %d healthy tasks a success, with %d others", n, p.bounds.Desired, p.number(stale)+p.staleStopping)
		}
	}
	if starts > 0 && (leaving || deployment.Halted() && plan.Starts[0].Revision == deployment.Rollout().Revision) {
		t.Fatalf("it starts tasks of a deployment that has failed: %s", deployment.Status)
	}
}

// quiet lets the world come to rest, and looks at what is left.
func (h *history) quiet(t *rapid.T) {
	for _, i := range h.hosts {
		*i = host{zone: i.zone, provider: i.provider, room: 100}
	}
	if len(h.service.Providers) > 0 { // which all have room
		h.hosts["of-a"], h.hosts["of-b"] = &host{zone: "a", provider: "a", room: 100}, &host{zone: "a", provider: "b", room: 100}
	}
	h.update(func(s *gantry.Service) { // nothing that could get stuck
		s.Configuration.MinimumHealthyPercent, s.Configuration.MaximumPercent = new(int32(50)), new(int32(200))
		if s.Scheduling == ecsapi.SchedulingStrategyDaemon {
			s.Configuration = &ecsapi.DeploymentConfiguration{}
		}
	})
	h.alarm = ""
	// So many looks in a row at which nothing happens: each may only have waited for the
	// next task to be warm.
	const quiet = 12
	rest := 0
	for round := 0; rest < quiet; round++ {
		h.answer(ecsapi.DeploymentLifecycleHookStatusSucceeded)
		if round > 300 {
			t.Fatalf("it does not come to rest: %s, %+v, %+v", h.tally(), *h.deployment(), *h.history)
		}
		plan := MakePlan(h.now, h.look(), h.set)
		h.hold(t, h.look(), &plan)
		h.apply(plan)
		if plan.Again > 0 && plan.Again < 2*time.Hour { // not for telling again that it is steady
			h.now = h.now.Add(plan.Again)
			if alarms(h.deployment()) != nil { // which are looked at many times while it bakes, or a task is protected
				h.now = h.now.Add(10 * time.Minute)
			}
		} else {
			h.now = h.now.Add(time.Second)
		}
		rest++
		if !plan.Empty() {
			rest = 0
		}
		if h.proceed() {
			rest = 0
		}
	}
	h.atRest(t)
}

// empty drains every instance, with nothing that has to stay healthy.
func (h *history) empty(t *rapid.T) {
	h.update(func(s *gantry.Service) { s.Configuration.MinimumHealthyPercent = new(int32(0)) })
	for _, i := range h.hosts {
		i.draining = true
	}
	onOne := func(t *gantry.Task) bool { return t.LastStatus != gantry.Stopped && t.Instance != "" }
	for round := 0; slices.ContainsFunc(h.tasks, onOne); round++ {
		if round > 30 { // by then no protection is left
			t.Fatalf("DRAINING instances keep %s; %s, %+v", h.tally(), h.deployment().Status, *h.history)
		}
		h.lookOnce(t)
		h.proceed()
		h.now = h.now.Add(3 * time.Minute)
	}
}

// proceed lets every task do what it should do next, and says whether any did.
func (h *history) proceed() bool {
	any := false
	for _, task := range h.tasks {
		switch {
		case task.LastStatus == gantry.Stopped:
			continue
		case task.Waits():
			if !h.seatAll() {
				continue
			}
		case !wanted(task):
			h.end(task.ID)
		case task.LastStatus == gantry.Pending:
			h.run(task.ID)
		case task.Containers[0].Health != ecsapi.HealthStatusHealthy:
			h.health(task.ID, ecsapi.HealthStatusHealthy)
		default:
			continue
		}
		any = true
	}
	return any
}

// thrive is some minutes in which all goes well: it brings the histories to where more
// can go wrong.
func (h *history) thrive(t *rapid.T) {
	for range rapid.SampledFrom([]int{2, 6, 12}).Draw(t, "rounds") {
		h.lookOnce(t)
		h.proceed()
		h.now = h.now.Add(41 * time.Second)
	}
}

// halted looks at what a deployment that failed leaves.
func (h *history) halted(t *rapid.T) {
	look := h.look()
	p := &planner{now: h.now, look: look, set: h.set, deployment: look.Deployment, history: h.history}
	p.count()
	missing := p.number((*member).good, in(healthy)) < p.bounds.Desired
	said := slices.ContainsFunc(h.history.Told, func(told gantry.Told) bool { return told.Cause == textHalted(p.rollout().Revision) })
	if missing != said || missing && p.revision() != "" {
		t.Fatalf("at rest there are %s for %d desired, that there is nothing to be started was said: %v; %s, %+v", h.tally(), p.bounds.Desired, said, look.Deployment.Status, *h.history)
	}
}

func (h *history) atRest(t *rapid.T) {
	d := h.deployment()
	for _, d := range h.deployments {
		if !d.Over() {
			t.Fatalf("deployment %s is %s when all is quiet: %s", d.ID, d.Status, h.tally())
		}
		if d.FinishedAt.IsZero() {
			t.Fatalf("deployment %s is %s, and has no end", d.ID, d.Status)
		}
		if slices.ContainsFunc(d.Hooks, func(hook gantry.Hook) bool { return hook.Status == ecsapi.DeploymentLifecycleHookStatusAwaitingAction }) {
			t.Fatalf("deployment %s is %s, and waits at a hook: %+v", d.ID, d.Status, d.Hooks)
		}
	}
	if h.service.Status != gantry.ServiceActive {
		if h.service.Status != gantry.ServiceInactive || h.tally() != "none" {
			t.Fatalf("deleted, it is %s with %s", h.service.Status, h.tally())
		}
		return
	}
	if d.Halted() {
		h.halted(t)
		return
	}
	want, desired := "none", h.service.DesiredCount
	if h.service.Scheduling == ecsapi.SchedulingStrategyDaemon {
		desired = len(h.hosts)
	}
	if desired > 0 {
		want = fmt.Sprintf("%d of %s healthy", desired, d.Rollout().Revision)
	}
	if got := h.tally(); got != want {
		t.Fatalf("at rest there are %s, want %s; %s, %+v", got, want, d.Status, *h.history)
	}
	if !slices.ContainsFunc(h.history.Told, func(t gantry.Told) bool { return t.Cause == textSteady }) {
		t.Fatalf("it is steady and does not say so: %+v", h.history.Told)
	}
	if d.Rollout().State != ecsapi.DeploymentRolloutStateCompleted {
		t.Fatalf("the rollout is %s: %s", d.Rollout().State, d.Rollout().Reason)
	}
	look := h.look()
	p := &planner{now: h.now, look: look, set: h.set, deployment: d, history: h.history}
	p.count()
	replica := h.service.Scheduling == ecsapi.SchedulingStrategyReplica
	if replica && p.mayMove() && len(h.service.Providers) == 0 && p.number(func(m *member) bool { return m.protected }) == 0 && !even(p.zones()) {
		t.Fatalf("at rest there are %s; %+v", listed(p.zones()), h.history.Rebalance)
	}
}
