package service

import (
	"gantry"
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

// Entries are the service.deployments: the rollout under way, and after it those that
// have tasks left. Deployments are the service's, the newest first, as many as are
// known; desired is how many tasks the service wants.
func Entries(desired int, deployments []*gantry.Deployment, tasks []*gantry.Task) []Entry {
	var out []Entry
	at := map[gantry.RevisionID]int{}
	add := func(r gantry.Rollout, status string) {
		if _, twice := at[r.Revision]; !twice {
			at[r.Revision] = len(out)
			out = append(out, Entry{Status: status, Rollout: r})
		}
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
	living := map[gantry.RevisionID]bool{}
	for _, t := range tasks {
		i, known := at[t.Revision()]
		if !known || t.LastStatus == gantry.Stopped {
			continue
		}
		living[t.Revision()] = true
		e := &out[i]
		if t.DesiredStatus == gantry.Running {
			e.Desired++
		}
		switch {
		case t.LastStatus == gantry.Running:
			e.Running++
		case gantry.Running.MayBecome(t.LastStatus): // on its way out
		default:
			e.Pending++
		}
	}
	shown := out[:0]
	for _, e := range out {
		if e.Status == entryPrimary {
			e.Desired = desired
		}
		if e.Status == entryPrimary || living[e.Rollout.Revision] {
			shown = append(shown, e)
		}
	}
	return shown
}
