package service

import (
	"cmp"
	"fmt"
	"strings"

	"gantry"
	"gantry/internal/ledger"
	"gantry/internal/placement"
	"gantry/internal/store"
	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"
)

// look sees what there is to see of a service, or of one of its task sets; ok is false
// if it is not there. The service and its tasks are read in tx, so that the decision holds
// for what is written with it. The container instances come from the newest snapshot:
// whatever changes there wakes the service again.
func (c *Controller) look(tx *store.Tx, key string, set *gantry.TaskSet) (look Look, ok bool, err error) {
	s, ok := store.Services.Get(tx, key)
	if !ok || s.Status == gantry.ServiceInactive {
		return Look{}, false, nil
	}
	look = Look{Service: s, Checked: map[gantry.RevisionID][]string{}, Changes: changes(c.Store.MostRows())}
	if look.Deployment, ok = store.Deployments.Get(tx, key+"/"+string(s.Deployment)); !ok && set == nil {
		return Look{}, false, fmt.Errorf("its deployment %s is not there", s.Deployment)
	}
	if look.History, ok = store.ServiceHistories.Get(tx, key); !ok {
		look.History = &gantry.ServiceHistory{Cluster: s.Cluster, Service: s.Name}
	}
	for t := range store.TasksByGroup.All(tx, string(s.Cluster)+"/"+string(gantry.ServiceGroup(string(s.Name)))) {
		if revision := t.Revision(); revision != "" {
			look.Tasks = append(look.Tasks, t)
			if _, known := look.Checked[revision]; !known {
				look.Checked[revision] = checked(definition(tx, key, revision))
			}
		}
	}
	c.lookAtRevisions(tx, &look, set)
	look.Spread, err = placement.Compile(placement.Spec{
		Group: gantry.ServiceGroup(string(s.Name)), Strategies: strategies(s), Seed: c.NewSeed(),
	})
	if err != nil {
		return Look{}, false, fmt.Errorf("its placement strategies: %w", err)
	}
	c.lookAround(tx, &look)
	if set != nil {
		return LookAtTaskSet(look, set), true, nil
	}
	if a := alarms(look.Deployment); a != nil && c.Alarms != nil {
		look.Alarm = c.Alarms.InAlarm(a)
	}
	if s.Scheduling == ecsapi.SchedulingStrategyDaemon {
		look.Hosts, err = c.hosts(tx, &look)
	}
	return look, err == nil, err
}

// mostChanges is how many tasks are changed at once where the store takes it: many share
// the reservations of their instances then, and go to their agents in few messages. More
// would make others wait.
const mostChanges = 250

// mostStarts is how many tasks of one kind a plan starts. Where more are missing the next
// look, for which the first of these ask, goes on: a desired count of billions is no
// reason to reckon with billions of tasks.
const mostStarts = 10_000

// changes is how many tasks can be started, or stopped and reckoned, in an update of so
// many rows: a task that starts takes two, and what is remembered of the service three.
func changes(rows int) int { return min(mostChanges, (rows-3)/2) }

// alarms are those that the deployment watches.
func alarms(d *gantry.Deployment) []string {
	if d.Configuration == nil || d.Configuration.Alarms == nil || !wire.Value(d.Configuration.Alarms.Enable) {
		return nil
	}
	return d.Configuration.Alarms.AlarmNames
}

// strategies are the service's, or how ECS places a service that has none.
func strategies(s *gantry.Service) []ecsapi.PlacementStrategy {
	if len(s.Strategies) > 0 {
		return s.Strategies
	}
	return placement.ServiceStrategies()
}

// definition is the task definition of a service revision; nil where it is not known any more.
func definition(r store.Reader, service string, revision gantry.RevisionID) *gantry.Definition {
	from, ok := store.ServiceRevisions.Get(r, service+"/"+string(revision))
	if !ok {
		return nil
	}
	d, _ := store.Definitions.Get(r, string(from.Definition))
	return d
}

// checked are the essential containers of a definition that have a health check.
func checked(d *gantry.Definition) []string {
	var names []string
	if d == nil {
		return nil
	}
	for _, c := range d.Wire.ContainerDefinitions {
		if c.HealthCheck != nil && (c.Essential == nil || *c.Essential) {
			names = append(names, wire.Value(c.Name))
		}
	}
	return names
}

// lookAround sees the container instances: the states of those with tasks, and the
// availability zones where tasks can go.
func (c *Controller) lookAround(r store.Reader, look *Look) {
	snap := c.Store.View()
	look.Draining, look.Held, look.Silent = map[gantry.InstanceID]bool{}, map[gantry.InstanceID]bool{}, map[gantry.InstanceID]bool{}
	for _, t := range look.Tasks {
		if _, seen := look.Draining[t.Instance]; seen || t.Instance == "" || t.LastStatus == gantry.Stopped {
			continue
		}
		i, ok := store.Instances.Get(snap, string(t.Cluster)+"/"+string(t.Instance))
		look.Draining[t.Instance] = !ok || i.Status != ecsapi.ContainerInstanceStatusActive
		conn, ok := store.Connections.Get(snap, string(t.Cluster)+"/"+string(t.Instance))
		look.Silent[t.Instance] = !ok || !conn.Connected
		if ok && conn.Loss == gantry.LossHeld {
			look.Held[t.Instance] = true
		}
	}
	look.Instances = func() *placement.Cluster { return c.room(snap, look.Service.Cluster, look.Draining) }
	look.Fits = func(s Start) bool { return c.fits(look, s) }
	if look.Service.Rebalancing == ecsapi.AvailabilityZoneRebalancingEnabled {
		active := string(look.Service.Cluster) + "/" + string(ecsapi.ContainerInstanceStatusActive) + "/"
		look.Zones, look.ZonesOf = zones(snap, store.InstancesByZone, active), map[string][]string{}
		for _, shares := range look.Shares {
			for _, s := range shares {
				if p, ok := store.CapacityProviders.Get(r, s.Provider); ok {
					look.ZonesOf[s.Provider] = zones(snap, store.InstancesByGroup, active+p.GroupName()+store.GroupEnd)
				}
			}
		}
	}
}

// zones are the availability zones with a container instance whose agent is connected, of
// those that an index has under prefix and their zone.
func zones(snap *store.Snapshot, index *store.Index[gantry.Instance], prefix string) []string {
	var out []string
	for within := range index.Values(snap, prefix) {
		for i := range index.All(snap, within) {
			if zone := strings.TrimPrefix(within, prefix); zone != "" && connected(snap, i) {
				out = append(out, zone)
				break
			}
		}
	}
	return out
}

func connected(r store.Reader, i *gantry.Instance) bool {
	connection, ok := store.Connections.Get(r, i.Key())
	return ok && connection.Connected
}

// room is the given container instances with what they have left.
func (c *Controller) room(snap *store.Snapshot, cluster gantry.ClusterName, of map[gantry.InstanceID]bool) *placement.Cluster {
	out := placement.NewCluster()
	for id := range of {
		i, ok := store.Instances.Get(snap, string(cluster)+"/"+string(id))
		if !ok {
			continue
		}
		described := ledger.Describe(i, nil)
		if taken, ok := store.Reservations.Get(snap, i.Key()); ok {
			described.Total.CPU -= taken.Taken.CPU
			described.Total.Memory -= taken.Taken.Memory
		}
		out.Set(described)
	}
	return out
}

// hosts are the container instances where a DAEMON service has a place: those of its
// launch type that satisfy the constraints, its own and those of the task definition that is
// wanted, whether they have room or not.
func (c *Controller) hosts(tx *store.Tx, look *Look) (map[gantry.InstanceID]HostState, error) {
	s := look.Service
	b, err := c.batch(tx, look, cmp.Or(look.Deployment.Wanted(), look.Deployment.Rollout().Revision))
	if err != nil {
		return nil, err
	}
	spec := ledger.Spec(b)
	request, err := placement.Compile(spec)
	if err != nil {
		return nil, fmt.Errorf("its placement constraints: %w", err)
	}
	snap, all := c.Store.View(), placement.NewCluster()
	for i := range store.Instances.All(snap, string(s.Cluster)+"/") {
		if i.LaunchType == b.Task.LaunchType && i.Status != gantry.InstanceInactive {
			described := ledger.Describe(i, nil)
			described.Connected, described.Status = true, ecsapi.ContainerInstanceStatusActive
			all.Set(described)
		}
	}
	out := map[gantry.InstanceID]HostState{}
	for id := range placement.Eligible(all, request) {
		i, _ := store.Instances.Get(snap, string(s.Cluster)+"/"+string(id))
		switch {
		case i.Status == ecsapi.ContainerInstanceStatusActive && connected(snap, i):
			out[id] = HostWants
		case i.Status == ecsapi.ContainerInstanceStatusActive:
			out[id] = HostKeeps
		case hasOthers(snap, i):
			out[id] = HostEmpties
		}
	}
	return out, nil
}

// hasOthers reports whether an instance has tasks that are no daemon's.
func hasOthers(snap *store.Snapshot, i *gantry.Instance) bool {
	for t := range store.TasksByInstance.All(snap, i.Key()) {
		if t.LastStatus == gantry.Stopped {
			continue
		}
		s, ok := store.Services.Get(snap, string(t.Cluster)+"/"+t.Group.Service())
		if t.Revision() == "" || !ok || s.Scheduling != ecsapi.SchedulingStrategyDaemon {
			return true
		}
	}
	return false
}

// lookAtRevisions sees what is known of the images of the revisions that may have tasks,
// and their capacity provider strategies, and why tasks that wait have no place.
func (c *Controller) lookAtRevisions(r store.Reader, look *Look, set *gantry.TaskSet) {
	s, d := look.Service, look.Deployment
	look.Shares, look.NoRoom = map[gantry.RevisionID][]placement.ProviderShare{}, map[string]gantry.Unplaced{}
	look.Unresolved = map[gantry.RevisionID]bool{}
	see := func(id gantry.RevisionID) {
		if _, seen := look.Shares[id]; seen || id == "" {
			return
		}
		look.Shares[id] = nil
		from, ok := store.ServiceRevisions.Get(r, s.Key()+"/"+string(id))
		if !ok {
			return
		}
		if definition, ok := store.Definitions.Get(r, string(from.Definition)); ok {
			look.Unresolved[id] = len(from.Unresolved(definition.Wire)) > 0
		}
		if len(from.Providers) > 0 {
			strategy := from.Providers
			if len(s.Providers) > 0 {
				strategy = s.Providers
			}
			look.Shares[id] = placement.SharesOf(strategy)
		}
	}
	if d != nil { // a service with task sets has none
		see(d.Rollout().Revision)
		see(d.Fallback)
	}
	if set != nil {
		see(set.ID)
	}
	asked := map[string]bool{}
	for _, t := range look.Tasks {
		see(t.Revision())
		if !t.Waits() || asked[t.CapacityProvider] {
			continue
		}
		asked[t.CapacityProvider] = true
		switch refusal, err := c.Ledger.Explain(t); {
		case err != nil && c.Log != nil:
			c.Log.Warn("a task waits, and it is not known why", "task", t.Key(), "error", err)
		case refusal != nil:
			look.NoRoom[t.CapacityProvider] = gantry.Unplaced{Message: refusal.Event(), Full: lacksRoom(refusal)}
		}
	}
}
