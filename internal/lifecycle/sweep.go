package lifecycle

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"gantry"
	"gantry/internal/store"
)

// sweep forgets everything that has been over for long enough. Each transaction
// looks again at what it removes, so that a sweep may be late without harm.
func (c *Controller) sweep(ctx context.Context) error {
	snap := c.Store.View()
	now := c.Now()
	for _, part := range []struct {
		of   string
		over iter.Seq[string]
		drop func(tx *store.Tx, key string)
	}{
		{"tasks", keys(store.Tasks.All(snap, ""), (*gantry.Task).Key, func(t *gantry.Task) bool { return TaskOver(t, c.Limits, now) }), c.dropTask},
		{"instances", keys(store.Instances.All(snap, ""), (*gantry.Instance).Key, func(i *gantry.Instance) bool { return c.instanceOver(snap, i) }), c.dropInstance},
		{"clusters", keys(store.Clusters.All(snap, ""), clusterKey, func(k *gantry.Cluster) bool { return ClusterOver(k, c.Limits, now) }), c.dropCluster},
		{"capacity providers", keys(store.CapacityProviders.All(snap, ""), providerKey, func(p *gantry.CapacityProvider) bool { return ProviderOver(p, c.Limits, now) }), c.dropProvider},
		{"task definitions", keys(store.Definitions.All(snap, ""), definitionKey, func(d *gantry.Definition) bool {
			return DefinitionOver(d, definitionUses(snap, d.Name))
		}), c.dropDefinition},
		{"client tokens", keys(store.ClientTokens.All(snap, ""), tokenKey, func(t *gantry.ClientToken) bool { return TokenOver(t, now) }), c.dropToken},
	} {
		for batch := range slices.Chunk(slices.Collect(part.over), maxForgotten) {
			_, err := c.Store.Update(ctx, func(tx *store.Tx) error {
				for _, key := range batch {
					part.drop(tx, key)
				}
				return nil
			})
			if err != nil {
				return fmt.Errorf("forget %s: %w", part.of, err)
			}
		}
	}
	return c.sweepServices(ctx)
}

// keys are those of the rows that are over.
func keys[T any](rows iter.Seq[*T], key func(*T) string, over func(*T) bool) iter.Seq[string] {
	return func(yield func(string) bool) {
		for r := range rows {
			if over(r) && !yield(key(r)) {
				return
			}
		}
	}
}

func clusterKey(c *gantry.Cluster) string           { return string(c.Name) }
func providerKey(p *gantry.CapacityProvider) string { return p.Name }
func definitionKey(d *gantry.Definition) string     { return string(d.Name) }
func tokenKey(t *gantry.ClientToken) string {
	return t.Operation + "/" + string(t.Cluster) + "/" + t.Token
}

func (c *Controller) dropTask(tx *store.Tx, key string) {
	if t, ok := store.Tasks.Get(tx, key); ok && TaskOver(t, c.Limits, c.Now()) {
		store.Tasks.Delete(tx, key)
	}
}

func (c *Controller) dropCluster(tx *store.Tx, key string) {
	if k, ok := store.Clusters.Get(tx, key); ok && ClusterOver(k, c.Limits, c.Now()) {
		store.Clusters.Delete(tx, key)
	}
}

func (c *Controller) dropProvider(tx *store.Tx, key string) {
	if p, ok := store.CapacityProviders.Get(tx, key); ok && ProviderOver(p, c.Limits, c.Now()) {
		store.CapacityProviders.Delete(tx, key)
	}
}

func (c *Controller) dropDefinition(tx *store.Tx, key string) {
	if d, ok := store.Definitions.Get(tx, key); ok && DefinitionOver(d, definitionUses(tx, d.Name)) {
		store.Definitions.Delete(tx, key)
	}
}

// definitionUses counts who still needs a task definition, no further than to the first.
func definitionUses(r store.Reader, name gantry.DefinitionName) int {
	if deployed(r, name) {
		return 1
	}
	return count(store.TasksByDefinition.All(r, string(name)))
}

func (c *Controller) dropToken(tx *store.Tx, key string) {
	if t, ok := store.ClientTokens.Get(tx, key); ok && TokenOver(t, c.Now()) {
		store.ClientTokens.Delete(tx, key)
	}
}

func (c *Controller) instanceOver(r store.Reader, i *gantry.Instance) bool {
	connection, _ := store.Connections.Get(r, i.Key())
	return InstanceOver(i, connection, count(store.TasksByInstance.All(r, i.Key())), c.Limits, c.Now())
}

// dropInstance forgets a deregistered instance with all that belongs to it: its
// reservation, its connection, its registration token, and the key that spoke for it.
func (c *Controller) dropInstance(tx *store.Tx, key string) {
	i, ok := store.Instances.Get(tx, key)
	if !ok || !c.instanceOver(tx, i) {
		return
	}
	store.Instances.Delete(tx, key)
	store.Reservations.Delete(tx, key)
	store.Connections.Delete(tx, key)
	if p, ok := store.Principals.Get(tx, i.Principal); ok && p.Kind == gantry.AgentPrincipal && p.Instance == key {
		store.Principals.Delete(tx, i.Principal)
	}
	for t := range store.ClientTokens.All(tx, registration+"/"+string(i.Cluster)+"/") {
		if slices.Equal(t.Resources, []string{string(i.ID)}) {
			store.ClientTokens.Delete(tx, tokenKey(t))
		}
	}
}

// registration is the operation under which package ecs keeps the tokens of registrations.
const registration = "RegisterContainerInstance"

// count is how many rows there are, but looks no further than the first: what is
// asked is whether there are any.
func count[T any](rows iter.Seq[*T]) int {
	for range rows {
		return 1
	}
	return 0
}
