package service

import (
	"strings"

	"gantry"
	"gantry/internal/store"
)

// An Entry is one of service.deployments.
type Entry struct {
	Status  string // PRIMARY for the newest, ACTIVE for one that is being replaced
	Rollout gantry.Rollout
	Desired int // tasks that are to run
	Running int
	Pending int
}

// The statuses of an Entry.
const (
	entryPrimary = "PRIMARY"
	entryActive  = "ACTIVE"
)

// A Tally is how many tasks a revision has that are not STOPPED.
type Tally struct {
	Living  int
	Desired int // that are to run
	Running int
	Pending int
}

// Tallies are those of a service's revisions.
type Tallies map[gantry.RevisionID]Tally

func (n Tallies) add(revision gantry.RevisionID, desired, last gantry.TaskStatus, tasks int) {
	t := n[revision]
	t.Living += tasks
	if desired == gantry.Running {
		t.Desired += tasks
	}
	switch {
	case last == gantry.Running:
		t.Running += tasks
	case gantry.Running.MayBecome(last): // on its way out
	default:
		t.Pending += tasks
	}
	n[revision] = t
}

// TallyOf counts a service's tasks. It looks at none of them, so that it costs the same
// for ten and for ten thousand.
func TallyOf(snap *store.Snapshot, s *gantry.Service) Tallies {
	out := Tallies{}
	within := store.Progress(s.Cluster, gantry.ServiceGroup(string(s.Name)))
	for value := range store.TasksByProgress.Values(snap, within) {
		desired, last, startedBy := store.ProgressOf(strings.TrimPrefix(value, within))
		if revision := gantry.RevisionOf(startedBy); revision != "" {
			out.add(revision, desired, last, store.TasksByProgress.Count(snap, value))
		}
	}
	return out
}

// Entries are the service.deployments: the rollout under way, and after it those that
// have tasks left. Deployments are the service's, the newest first, as many as are
// known; desired is how many tasks the service wants.
//
// What a deployment replaces stays as an entry until the scheduler has seen that it is
// replaced, so that whoever waits for a single entry finds a deployment that is done.
func Entries(desired int, deployments []*gantry.Deployment, tasks Tallies) []Entry {
	var out []Entry
	known, replaced := map[gantry.RevisionID]bool{}, map[gantry.RevisionID]bool{}
	if len(deployments) > 0 {
		if d := deployments[0]; !d.Over() && d.Rollout().SteadyAt.IsZero() {
			for _, source := range d.Sources {
				replaced[source] = true
			}
			replaced[d.Target.Revision] = true // by a rollback
		}
	}
	add := func(r gantry.Rollout, status string) {
		n := tasks[r.Revision]
		if known[r.Revision] || status != entryPrimary && n.Living == 0 && !replaced[r.Revision] {
			return
		}
		known[r.Revision] = true
		e := Entry{Status: status, Rollout: r, Desired: n.Desired, Running: n.Running, Pending: n.Pending}
		if status == entryPrimary {
			e.Desired = desired
		}
		out = append(out, e)
	}
	for i, d := range deployments {
		if i == 0 {
			add(*d.Rollout(), entryPrimary)
		}
		if d.Rollback != nil {
			add(*d.Rollback, entryActive)
		}
		add(d.Target, entryActive)
	}
	return out
}
