package service

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"gantry"
	"gantry/internal/placement"
	"gantry/internal/wire/ecsapi"
)

// A world is one service with its tasks and container instances, without a store and
// without agents: things happen to it, and plans are carried out in it.
type world struct {
	now         time.Time
	set         Settings
	service     *gantry.Service
	deployments []*gantry.Deployment // the newest first
	history     *gantry.ServiceHistory
	tasks       []*gantry.Task
	checked     bool                       // tasks have a health check
	tags        bool                       // what the images' tags mean has to be found out
	told        map[gantry.RevisionID]bool // of which it has been
	hosts       map[gantry.InstanceID]*host
	alarm       string
	taskSets    []*gantry.TaskSet
	revisions   int
	made        int
}

// A host is a container instance.
type host struct {
	zone      string
	provider  string // the capacity provider that it belongs to
	draining  bool
	away      bool // its agent is not connected
	held      bool // nor are too many others
	unfit     bool // the constraints do not hold
	busy      bool // has tasks of others
	room      int  // how many tasks it takes
	condemned bool // nothing can be placed here for another reason than room
}

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func newWorld() *world {
	return &world{now: noon, set: DefaultSettings, hosts: map[gantry.InstanceID]*host{}, told: map[gantry.RevisionID]bool{}}
}

func (w *world) deploy() {
	w.revisions++
	var previous *gantry.Deployment
	if len(w.deployments) > 0 {
		previous = w.deployments[0]
	}
	next, superseded := Begin(w.now, gantry.DeploymentID(fmt.Sprint("d", w.revisions)), w.service, gantry.RevisionID(fmt.Sprint(w.revisions)), previous)
	if superseded != nil {
		w.deployments[0] = superseded
	}
	w.deployments = slices.Insert(w.deployments, 0, next)
	w.service.Deployment = next.ID
}

func (w *world) deployment() *gantry.Deployment { return w.deployments[0] }

func (w *world) look() Look {
	l := Look{
		Service: w.service, Deployment: w.deployment(), History: w.history, Tasks: w.tasks, Alarm: w.alarm, Changes: 50,
		Checked: map[gantry.RevisionID][]string{}, Draining: map[gantry.InstanceID]bool{}, Held: map[gantry.InstanceID]bool{},
	}
	instances := placement.NewCluster()
	l.Instances = func() *placement.Cluster { return instances }
	l.Fits = func(s Start) bool { where, _ := w.place(s, 0); return where != "" }
	if w.checked {
		for i := range w.revisions {
			l.Checked[gantry.RevisionID(fmt.Sprint(i+1))] = []string{"app"}
		}
	}
	w.lookAtProviders(&l)
	l.Unresolved, l.Silent = map[gantry.RevisionID]bool{}, map[gantry.InstanceID]bool{}
	for i := range w.revisions {
		id := gantry.RevisionID(fmt.Sprint(i + 1))
		l.Unresolved[id] = w.tags && !w.told[id]
	}
	zones, of := map[string]bool{}, map[string]map[string]bool{}
	for id, h := range w.hosts {
		l.Draining[id] = h.draining
		l.Silent[id] = h.away
		if h.held {
			l.Held[id] = true
		}
		status := ecsapi.ContainerInstanceStatusActive
		if h.draining {
			status = ecsapi.ContainerInstanceStatusDraining
		} else if !h.away {
			zones[h.zone] = true
			if of[h.provider] == nil {
				of[h.provider] = map[string]bool{}
			}
			of[h.provider][h.zone] = true
		}
		instances.Set(placement.Instance{ID: id, Status: status, Connected: !h.away,
			Attributes: map[string]string{gantry.AttributeZone: h.zone}})
	}
	l.Zones, l.ZonesOf = slices.Sorted(maps.Keys(zones)), map[string][]string{}
	for provider, zones := range of {
		l.ZonesOf[provider] = slices.Sorted(maps.Keys(zones))
	}
	request, err := placement.Compile(placement.Spec{Group: "service:web", Strategies: placement.ServiceStrategies()})
	if err != nil {
		panic(err)
	}
	l.Spread = request
	if w.service.Scheduling == ecsapi.SchedulingStrategyDaemon {
		l.Hosts = map[gantry.InstanceID]HostState{}
		for id, h := range w.hosts {
			switch {
			case h.unfit:
			case h.draining && h.busy:
				l.Hosts[id] = HostEmpties
			case h.draining:
			case h.away:
				l.Hosts[id] = HostKeeps
			default:
				l.Hosts[id] = HostWants
			}
		}
	}
	return l
}

// step looks once and carries out what was decided.
func (w *world) step() Plan {
	if w.service.HasTaskSets() {
		return w.stepSets(func(*gantry.TaskSet, Look, *Plan) {})
	}
	plan := MakePlan(w.now, w.look(), w.set)
	w.apply(plan)
	return plan
}

func (w *world) apply(plan Plan) {
	for _, s := range plan.Stops {
		w.change(s.Task, func(t *gantry.Task) {
			t.DesiredStatus, t.StopCode, t.StoppedReason = gantry.Stopped, s.Code, s.Reason
		})
	}
	for _, id := range plan.Reckon {
		w.change(id, func(t *gantry.Task) { t.Reckoned = true })
	}
	if plan.Deployment != nil {
		w.deployments[0] = plan.Deployment
	}
	if plan.History != nil {
		w.history = plan.History
	}
	if plan.Status != "" {
		next := *w.service
		next.Status = plan.Status
		w.service = &next
	}
	Record(w.history, plan.Events, w.now, func() string { return "e" })
	for _, s := range plan.Starts {
		w.start(s, plan.asks)
	}
}

func (w *world) start(s Start, asked func(gantry.RevisionID) bool) {
	var ids []gantry.TaskID
	for i := range s.Count {
		where, full := w.place(s, i)
		waits := where == "" && s.Providers != nil && s.Zone == ""
		if where == "" && !waits {
			next := cloneHistory(w.history)
			if u := next.Unplaced; s.Zone != "" {
				next.Rebalance.GivenUp = true
			} else if u == nil || u.Revision == s.Revision || !asked(u.Revision) {
				next.Unplaced = &gantry.Unplaced{Revision: s.Revision, At: w.now, Message: "was unable to place a task.", Full: full}
			}
			w.history = next
			break
		}
		w.made++
		t := &gantry.Task{
			ID: gantry.TaskID(fmt.Sprintf("t%d", w.made)), Cluster: "prod", Group: "service:web",
			StartedBy: s.Revision.StartedBy(), LastStatus: gantry.Provisioning, DesiredStatus: gantry.Running, CreatedAt: w.now,
			Containers: []gantry.Container{{Name: "app"}},
		}
		if s.Providers != nil {
			t.CapacityProvider = s.Providers[i]
		}
		if !waits {
			w.seat(t, where)
		}
		w.tasks = append(w.tasks, t)
		ids = append(ids, t.ID)
	}
	if u := w.history.Unplaced; len(ids) == s.Count && u != nil && s.Zone == "" && (u.Revision == s.Revision || !asked(u.Revision)) {
		w.history = cloneHistory(w.history)
		w.history.Unplaced = nil
	}
	if len(ids) > 0 {
		Record(w.history, []Event{Started(s, ids)}, w.now, func() string { return "e" })
	}
}

// place finds the host with the fewest tasks in the zone with the fewest, or says
// whether some lack nothing but room.
func (w *world) place(s Start, i int) (best gantry.InstanceID, full bool) {
	if best, full = w.placeBut(s, i, s.Averse); best == "" {
		best, full = w.placeBut(s, i, nil)
	}
	return best, full
}

// placeBut is place but for some hosts.
func (w *world) placeBut(s Start, i int, averse []gantry.InstanceID) (best gantry.InstanceID, full bool) {
	on, in := map[gantry.InstanceID]int{}, map[string]int{}
	for _, t := range w.tasks {
		if t.LastStatus != gantry.Stopped {
			on[t.Instance]++
			in[t.Zone]++
		}
	}
	for _, id := range slices.Sorted(maps.Keys(w.hosts)) {
		h := w.hosts[id]
		switch {
		case slices.Contains(averse, id):
		case s.Providers != nil && s.Providers[i] != h.provider, s.On != nil && s.On[i] != id, s.Zone != "" && s.Zone != h.zone, h.draining, h.away, h.unfit, h.condemned:
		case on[id] >= h.room:
			full = true
		case best == "" || in[h.zone] < in[w.hosts[best].zone] || h.zone == w.hosts[best].zone && on[id] < on[best]:
			best = id
		}
	}
	return best, full
}

func (w *world) seat(t *gantry.Task, where gantry.InstanceID) {
	t.Instance, t.Zone, t.LastStatus = where, w.hosts[where].zone, gantry.Pending
}

// seatAll places those who wait, as package provisioning does, and says whether any has a place.
func (w *world) seatAll() (any bool) {
	for _, t := range w.tasks {
		if !t.Waits() {
			continue
		}
		if where, _ := w.place(Start{Providers: []string{t.CapacityProvider}}, 0); where != "" {
			w.change(t.ID, func(t *gantry.Task) { w.seat(t, where) })
			any = true
		}
	}
	return any
}

// lookAtProviders sees the service's strategy, and why tasks wait.
func (w *world) lookAtProviders(l *Look) {
	l.Shares, l.NoRoom = map[gantry.RevisionID][]placement.ProviderShare{}, map[string]gantry.Unplaced{}
	for i := range w.revisions {
		l.Shares[gantry.RevisionID(fmt.Sprint(i+1))] = placement.SharesOf(w.service.Providers)
	}
	for _, t := range w.tasks {
		if !t.Waits() {
			continue
		}
		if where, full := w.place(Start{Providers: []string{t.CapacityProvider}}, 0); where == "" {
			l.NoRoom[t.CapacityProvider] = gantry.Unplaced{Message: "was unable to place a task on " + t.CapacityProvider + ".", Full: full}
		}
	}
}

// change replaces a task with a changed copy.
func (w *world) change(id gantry.TaskID, f func(*gantry.Task)) {
	i := slices.IndexFunc(w.tasks, func(t *gantry.Task) bool { return t.ID == id })
	next := *w.tasks[i]
	next.Containers = slices.Clone(next.Containers)
	f(&next)
	w.tasks[i] = &next
}

// answer answers every hook that awaits it, as ContinueServiceDeployment does.
func (w *world) answer(with ecsapi.DeploymentLifecycleHookStatus) {
	w.deployments[0] = w.deployments[0].Clone()
	for i := range w.deployments[0].Hooks {
		if h := &w.deployments[0].Hooks[i]; h.Status == ecsapi.DeploymentLifecycleHookStatusAwaitingAction {
			h.Status = with
		}
	}
}

// What may happen to a task.

func (w *world) run(id gantry.TaskID) {
	w.change(id, func(t *gantry.Task) { t.LastStatus, t.StartedAt = gantry.Running, w.now })
}

func (w *world) health(id gantry.TaskID, h ecsapi.HealthStatus) {
	w.change(id, func(t *gantry.Task) { t.Containers[0].Health = h })
}

// tell lets an agent tell which images a task is made from.
func (w *world) tell(id gantry.TaskID) {
	for _, t := range w.tasks {
		if t.ID == id {
			w.told[t.Revision()] = true
		}
	}
}

// end makes a task STOPPED: as it was asked to, or by itself.
func (w *world) end(id gantry.TaskID) {
	w.change(id, func(t *gantry.Task) {
		if t.DesiredStatus != gantry.Stopped {
			t.StopCode = ecsapi.TaskStopCodeEssentialContainerExited
			if t.StartedAt.IsZero() {
				t.StopCode = ecsapi.TaskStopCodeTaskFailedToStart
			}
		}
		t.DesiredStatus, t.LastStatus, t.StoppedAt = gantry.Stopped, gantry.Stopped, w.now
	})
}

// lose makes a task STOPPED because its instance is gone.
func (w *world) lose(id gantry.TaskID) {
	w.change(id, func(t *gantry.Task) {
		t.DesiredStatus, t.LastStatus, t.StoppedAt, t.StoppedReason = gantry.Stopped, gantry.Stopped, w.now, "Host instance stopped/terminated"
	})
}

// tally says what tasks there are, by revision.
func (w *world) tally() string {
	look := w.look()
	p := &planner{now: w.now, look: look, set: w.set, deployment: look.Deployment, history: look.History}
	n := map[string]int{}
	for _, t := range w.tasks {
		switch {
		case t.LastStatus == gantry.Stopped:
		case t.DesiredStatus == gantry.Stopped:
			n[string(t.Revision())+" stopping"]++
		default:
			n[string(t.Revision())+" "+[]string{"pending", "warming", "healthy", "unhealthy"}[p.standing(t)]]++
		}
	}
	return counted(n)
}

// counted lists numbers of things: "2 of 1 pending".
func counted(n map[string]int) string {
	out := ""
	for _, what := range slices.Sorted(maps.Keys(n)) {
		if out != "" {
			out += ", "
		}
		revision, state, _ := cut(what)
		out += strconv.Itoa(n[what]) + " of " + revision
		if state != "" {
			out += " " + state
		}
	}
	if out == "" {
		return "none"
	}
	return out
}

func cut(s string) (before, after string, ok bool) {
	for i := range s {
		if s[i] == ' ' {
			return s[:i], s[i+1:], true
		}
	}
	return s, "", false
}
