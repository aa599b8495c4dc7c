package lifecycle

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"gantry"
	"gantry/internal/store"
	"gantry/internal/wire/ecsapi"
)

// A deleted service is there for an hour, and then gone with its deployments, its
// revisions and its history; the definition that it had goes with the service's end.
func TestDeletedServiceIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := start(t)
		began := time.Now()
		write(t, st, func(tx *store.Tx) {
			for _, s := range []*gantry.Service{
				{Cluster: "prod", Name: "gone", Status: gantry.ServiceInactive, InactiveAt: began, Deployment: "d1"},
				{Cluster: "prod", Name: "web", Status: gantry.ServiceActive, Deployment: "d1"},
			} {
				store.Services.Put(tx, s)
				store.ServiceHistories.Put(tx, &gantry.ServiceHistory{Cluster: "prod", Service: s.Name})
				definition := gantry.DefinitionName(s.Name) + ":1"
				store.Definitions.Put(tx, &gantry.Definition{Name: definition, Status: gantry.DeleteInProgress})
				store.ServiceRevisions.Put(tx, &gantry.ServiceRevision{Cluster: "prod", Service: s.Name, ID: "1", Definition: definition})
				store.Deployments.Put(tx, &gantry.Deployment{Cluster: "prod", Service: s.Name, ID: "d1", CreatedAt: began,
					Status: ecsapi.ServiceDeploymentStatusSuccessful, FinishedAt: began, Target: gantry.Rollout{Revision: "1"}})
			}
		})
		time.Sleep(time.Hour - time.Second)
		synctest.Wait()
		if snap := st.View(); store.Services.Len(snap) != 2 || store.Deployments.Len(snap) != 2 {
			t.Error("something was forgotten within the hour")
		}
		time.Sleep(2 * sweepEvery)
		synctest.Wait()
		snap := st.View()
		for what, n := range map[string]int{
			"services": store.Services.Len(snap), "histories": store.ServiceHistories.Len(snap), "deployments": store.Deployments.Len(snap),
			"revisions": store.ServiceRevisions.Len(snap), "definitions": store.Definitions.Len(snap),
		} {
			if n != 1 {
				t.Errorf("%d %s are left, want that of web", n, what)
			}
		}
		if _, ok := store.Definitions.Get(snap, "web:1"); !ok {
			t.Error("the definition of a service that is ACTIVE was forgotten")
		}
	})
}

// What stays of a service's past: what it has, what goes on, what is young, and the
// revisions that these name or that a task has.
func TestLeftovers(t *testing.T) {
	old := now.Add(-91 * 24 * time.Hour)
	deployment := func(id string, revision gantry.RevisionID, status ecsapi.ServiceDeploymentStatus, at time.Time) *gantry.Deployment {
		return &gantry.Deployment{ID: gantry.DeploymentID(id), Status: status, CreatedAt: at, FinishedAt: at, Target: gantry.Rollout{Revision: revision}}
	}
	const over, on = ecsapi.ServiceDeploymentStatusSuccessful, ecsapi.ServiceDeploymentStatusInProgress
	revision := func(id gantry.RevisionID) *gantry.ServiceRevision { return &gantry.ServiceRevision{ID: id} }
	p := past{
		service: &gantry.Service{Deployment: "newest", CreatedAt: old.Add(-24 * time.Hour)},
		deployments: []*gantry.Deployment{
			deployment("former", "1", over, old.Add(-48*time.Hour)), deployment("old", "2", over, old), deployment("going", "3", on, old),
			deployment("young", "4", over, now.Add(-time.Hour)), deployment("newest", "5", over, old),
		},
		revisions: []*gantry.ServiceRevision{revision("1"), revision("2"), revision("3"), revision("4"), revision("5"), revision("6"), revision("7")},
		used:      func(r *gantry.ServiceRevision) bool { return r.ID == "6" },
	}
	p.deployments[4].Fallback = "2"
	if got := names(p.Leftovers(now)); got != "[former old] [1 7]" {
		t.Errorf("forgotten: %s", got)
	}
	p.service = nil
	if got := names(p.Leftovers(now)); got != "[former going newest old young] [1 2 3 4 5 7]" {
		t.Errorf("forgotten where the service is: %s", got)
	}
	many := past{service: &gantry.Service{Deployment: "d0"}, used: p.used}
	for n := range maxDeployments + 2 {
		many.deployments = append(many.deployments, deployment(fmt.Sprintf("d%d", n), "1", over, now.Add(-time.Duration(n)*time.Minute)))
	}
	if got := names(many.Leftovers(now)); got != fmt.Sprintf("[d%d d%d] []", maxDeployments, maxDeployments+1) {
		t.Errorf("forgotten of many: %s", got)
	}
}

func names(deployments []*gantry.Deployment, revisions []*gantry.ServiceRevision) string {
	ds, rs := []string{}, []string{}
	for _, d := range deployments {
		ds = append(ds, string(d.ID))
	}
	for _, r := range revisions {
		rs = append(rs, string(r.ID))
	}
	slices.Sort(ds)
	slices.Sort(rs)
	return fmt.Sprintf("%v %v", ds, rs)
}

// A task set without tasks keeps its revision and its definition; without it they go.
func TestTaskSetKeepsWhatItIsMadeFrom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := start(t)
		write(t, st, func(tx *store.Tx) {
			store.Services.Put(tx, &gantry.Service{Cluster: "prod", Name: "web", Status: gantry.ServiceActive, Controller: ecsapi.DeploymentControllerTypeExternal})
			for _, id := range []gantry.RevisionID{"1", "2"} {
				definition := "web:" + gantry.DefinitionName(id)
				store.Definitions.Put(tx, &gantry.Definition{Name: definition, Status: gantry.DeleteInProgress})
				store.ServiceRevisions.Put(tx, &gantry.ServiceRevision{Cluster: "prod", Service: "web", ID: id, Definition: definition})
			}
			store.TaskSets.Put(tx, &gantry.TaskSet{Cluster: "prod", Service: "web", ID: "1"})
		})
		time.Sleep(3 * sweepEvery)
		synctest.Wait()
		snap := st.View()
		for id, want := range map[string]bool{"1": true, "2": false} {
			_, revision := store.ServiceRevisions.Get(snap, "prod/web/"+id)
			_, definition := store.Definitions.Get(snap, "web:"+id)
			if revision != want || definition != want {
				t.Errorf("revision %s is there: %t, its definition: %t; want both %t", id, revision, definition, want)
			}
		}
	})
}
