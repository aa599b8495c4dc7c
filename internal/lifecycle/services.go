package lifecycle

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"gantry"
	"gantry/internal/store"
)

const (
	// deploymentsKept is for how long ended service deployments are told, as on AWS;
	// maxDeployments bounds how many of a service are, for those who deploy every minute.
	deploymentsKept = 90 * 24 * time.Hour
	maxDeployments  = 200
)

// ServiceOver is TaskOver for a deleted service.
func ServiceOver(s *gantry.Service, l Limits, now time.Time) bool {
	return s.Status == gantry.ServiceInactive && !now.Before(s.InactiveAt.Add(l.Inactive))
}

// A past is what is left of the deployments under one service's name.
type past struct {
	service     *gantry.Service // nil where it is forgotten
	deployments []*gantry.Deployment
	revisions   []*gantry.ServiceRevision
	// used tells whether a task set, or some task that is still known, is made from a revision.
	used func(*gantry.ServiceRevision) bool
}

// Leftovers are the deployments and revisions that can be forgotten: those of a service
// that is gone or was created anew since, and old ones. A revision stays as long as a
// deployment that stays tells of it, or a task or a task set is made from it.
func (p past) Leftovers(now time.Time) (deployments []*gantry.Deployment, revisions []*gantry.ServiceRevision) {
	told := map[gantry.RevisionID]bool{}
	slices.SortFunc(p.deployments, func(a, b *gantry.Deployment) int { return b.CreatedAt.Compare(a.CreatedAt) })
	for n, d := range p.deployments {
		if p.keeps(d, n, now) {
			for _, id := range revisionsOf(d) {
				told[id] = true
			}
			continue
		}
		deployments = append(deployments, d)
	}
	for _, r := range p.revisions {
		if !told[r.ID] && !p.used(r) {
			revisions = append(revisions, r)
		}
	}
	return deployments, revisions
}

// keeps reports whether a deployment stays; n is how many newer ones there are.
func (p past) keeps(d *gantry.Deployment, n int, now time.Time) bool {
	switch {
	case p.service == nil || d.CreatedAt.Before(p.service.CreatedAt):
		return false
	case d.ID == p.service.Deployment || !d.Over():
		return true
	}
	return n < maxDeployments && now.Before(d.FinishedAt.Add(deploymentsKept))
}

// revisionsOf are the revisions that a deployment names.
func revisionsOf(d *gantry.Deployment) []gantry.RevisionID {
	out := append(slices.Clone(d.Sources), d.Target.Revision, d.Fallback)
	if d.Rollback != nil {
		out = append(out, d.Rollback.Revision)
	}
	return out
}

// pastOf is what is left under a service's key.
func pastOf(r store.Reader, key string) past {
	p := past{used: func(revision *gantry.ServiceRevision) bool {
		if _, ok := store.TaskSets.Get(r, revision.Key()); ok {
			return true // its own, under the same key
		}
		return count(store.TasksByStartedBy.All(r, string(revision.Cluster)+"/"+revision.ID.StartedBy())) > 0
	}}
	p.service, _ = store.Services.Get(r, key)
	p.deployments = slices.Collect(store.Deployments.All(r, key+"/"))
	p.revisions = slices.Collect(store.ServiceRevisions.All(r, key+"/"))
	return p
}

// sweepServices forgets deleted services, and deployments that are over for long.
func (c *Controller) sweepServices(ctx context.Context) error {
	snap, now := c.Store.View(), c.Now()
	names := map[string]bool{}
	for d := range store.Deployments.All(snap, "") {
		names[string(d.Cluster)+"/"+string(d.Service)] = true
	}
	for r := range store.ServiceRevisions.All(snap, "") {
		names[string(r.Cluster)+"/"+string(r.Service)] = true
	}
	for s := range store.Services.All(snap, "") {
		names[s.Key()] = true
	}
	for name := range names {
		s, ok := store.Services.Get(snap, name)
		deployments, revisions := pastOf(snap, name).Leftovers(now)
		if len(deployments)+len(revisions) == 0 && !(ok && ServiceOver(s, c.Limits, now)) {
			continue
		}
		if _, err := c.Store.Update(ctx, func(tx *store.Tx) error { c.dropService(tx, name); return nil }); err != nil {
			return fmt.Errorf("forget service %s: %w", name, err)
		}
	}
	return nil
}

// maxDropped bounds how many rows one look at a service removes; the next look goes on.
const maxDropped = 100

// dropService forgets what can be forgotten of a service.
func (c *Controller) dropService(tx *store.Tx, key string) {
	p := pastOf(tx, key)
	if p.service != nil && ServiceOver(p.service, c.Limits, c.Now()) {
		store.Services.Delete(tx, key)
		store.ServiceHistories.Delete(tx, key)
		p.service = nil
	}
	deployments, revisions := p.Leftovers(c.Now())
	for _, d := range deployments[:min(len(deployments), maxDropped)] {
		store.Deployments.Delete(tx, d.Key())
	}
	for _, r := range revisions[:min(len(revisions), maxDropped)] {
		store.ServiceRevisions.Delete(tx, r.Key())
	}
}

// deployed reports whether a service still has, or may go back to, a revision of a task
// definition, or a task set has it.
func deployed(r store.Reader, definition gantry.DefinitionName) bool {
	for revision := range store.RevisionsByDefinition.All(r, string(definition)) {
		key := strings.TrimSuffix(revision.Key(), "/"+string(revision.ID))
		s, ok := store.Services.Get(r, key)
		if !ok || s.Status == gantry.ServiceInactive {
			continue
		}
		if _, ok := store.TaskSets.Get(r, revision.Key()); ok {
			return true
		}
		if d, ok := store.Deployments.Get(r, key+"/"+string(s.Deployment)); ok && slices.Contains(revisionsOf(d), revision.ID) {
			return true
		}
	}
	return false
}
