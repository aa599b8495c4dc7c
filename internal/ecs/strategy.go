package ecs

import (
	"context"
	"slices"

	"gantry"
	"gantry/internal/placement"
	"gantry/internal/store"
	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"
)

// maxClusterProviders is how many capacity providers a cluster can have, ECS's quota.
const maxClusterProviders = 20

// bothLaunchAndStrategy is what ECS says to whoever gives both.
const bothLaunchAndStrategy = "Specifying both a launch type and capacity provider strategy is not supported. Remove one and try again."

// putClusterCapacityProviders replaces what capacity providers a cluster has: those that
// are not named go, unless something uses them.
func (s *Service) putClusterCapacityProviders(ctx context.Context, in *ecsapi.PutClusterCapacityProvidersInput) (*ecsapi.PutClusterCapacityProvidersOutput, error) {
	var out *gantry.Cluster
	_, err := s.store.Update(ctx, func(tx *store.Tx) error {
		c, err := s.cluster(tx, in.Cluster)
		if err != nil {
			return err
		}
		next := *c
		next.CapacityProviders, err = s.clusterProviders(tx, in.CapacityProviders)
		if err != nil {
			return err
		}
		next.DefaultStrategy = completeStrategy(in.DefaultCapacityProviderStrategy)
		if err := checkStrategy(next.DefaultStrategy, next.CapacityProviders); err != nil {
			return err
		}
		for _, p := range c.CapacityProviders {
			if !slices.Contains(next.CapacityProviders, p) && providerInUse(tx, c.Name, p) {
				return ecsapi.NewResourceInUseException("The specified capacity provider is in use and cannot be removed.")
			}
		}
		out = &next
		store.Clusters.Put(tx, out)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &ecsapi.PutClusterCapacityProvidersOutput{Cluster: s.showCluster(s.store.View(), out, everyClusterField)}, nil
}

// clusterProviders are the names of the capacity providers that a cluster is to have,
// which have to be there.
func (s *Service) clusterProviders(r store.Reader, refs []string) ([]string, error) {
	if len(refs) > maxClusterProviders {
		return nil, invalid("A cluster can have at most %d capacity providers; %d are given.", maxClusterProviders, len(refs))
	}
	var out []string
	for _, ref := range refs {
		name, err := s.providerName(ref)
		if err != nil {
			return nil, err
		}
		if p := findProvider(r, name); p == nil || p.Status != ecsapi.CapacityProviderStatusActive {
			return nil, noProvider(name)
		}
		if slices.Contains(out, name) {
			return nil, invalid("The capacity provider '%s' is given twice.", name)
		}
		out = append(out, name)
	}
	return out, nil
}

// providerInUse reports whether a task that is not over is the provider's, or a service
// or one of its task sets starts tasks there, or would if its deployment were rolled back.
func providerInUse(r store.Reader, cluster gantry.ClusterName, provider string) bool {
	for range store.TasksByProvider.All(r, string(cluster)+"/"+provider) {
		return true
	}
	uses := func(strategy []ecsapi.CapacityProviderStrategyItem) bool {
		return slices.ContainsFunc(strategy, func(i ecsapi.CapacityProviderStrategyItem) bool { return *i.CapacityProvider == provider })
	}
	for sv := range store.Services.All(r, string(cluster)+"/") {
		if sv.Status == gantry.ServiceInactive {
			continue
		}
		strategy := sv.Providers
		if d := newestDeployment(r, sv); d != nil && len(strategy) == 0 && d.Rollout().State != ecsapi.DeploymentRolloutStateCompleted {
			if back := serviceRevision(r, sv, d.Fallback); back != nil {
				strategy = back.Providers
			}
		}
		if uses(strategy) {
			return true
		}
	}
	for set := range store.TaskSets.All(r, string(cluster)+"/") {
		if revision, ok := store.ServiceRevisions.Get(r, set.Key()); ok && uses(revision.Providers) {
			return true
		}
	}
	return false
}

// completeStrategy fills in the base and weight that ECS always answers.
func completeStrategy(items []ecsapi.CapacityProviderStrategyItem) []ecsapi.CapacityProviderStrategyItem {
	out := slices.Clone(items)
	for i := range out {
		out[i].Base = firstOf(out[i].Base, new(int32(0)))
		out[i].Weight = firstOf(out[i].Weight, new(int32(0)))
	}
	return out
}

// checkStrategy checks a strategy against the capacity providers of its cluster.
func checkStrategy(items []ecsapi.CapacityProviderStrategyItem, associated []string) error {
	if len(items) > maxClusterProviders {
		return invalid("A capacity provider strategy can have at most %d capacity providers; %d are given.", maxClusterProviders, len(items))
	}
	seen, based, fargate := map[string]bool{}, "", 0
	for _, item := range items {
		p := wire.Value(item.CapacityProvider)
		if !slices.Contains(associated, p) {
			return invalid("The specified capacity provider strategy cannot contain a capacity provider that is not associated with the cluster. Associate the capacity provider with the cluster and try again: '%s'.", wire.Shorten(p))
		}
		if seen[p] {
			return invalid("The specified capacity provider strategy names the capacity provider '%s' twice.", p)
		}
		seen[p] = true
		if wire.Value(item.Base) > 0 {
			if based != "" {
				return invalid("There are multiple capacity providers in the specified capacity provider strategy with a base value defined: '%s' and '%s'. Only one can have a base.", based, p)
			}
			based = p
		}
		if gantry.BuiltInProvider(p) {
			fargate++
		}
	}
	if fargate > 0 && fargate < len(items) {
		return invalid("A capacity provider strategy cannot contain a mix of capacity providers using Auto Scaling groups and Fargate providers. Specify one or the other and try again.")
	}
	return nil
}

// checkPlaceable checks what holds of a strategy only when tasks are to be placed by it.
func checkPlaceable(items []ecsapi.CapacityProviderStrategyItem) error {
	weight := int32(0)
	for _, item := range items {
		weight += wire.Value(item.Weight)
		if p := wire.Value(item.CapacityProvider); gantry.BuiltInProvider(p) {
			return notYet("Tasks of the capacity provider %s are not offered by gantry yet: use one of an Auto Scaling group, or the launchType EC2 or EXTERNAL.", p)
		}
	}
	if weight == 0 && len(items) > 1 {
		return invalid("At least one capacity provider in the capacity provider strategy must have a weight that is greater than zero.")
	}
	return nil
}

// strategyOf is the capacity provider strategy that tasks of a cluster are placed by: the
// one that is given, else the cluster's default; nil where a launch type rules it out, or
// where there is none.
func strategyOf(c *gantry.Cluster, launch ecsapi.LaunchType, given []ecsapi.CapacityProviderStrategyItem) ([]ecsapi.CapacityProviderStrategyItem, error) {
	if launch != "" {
		return nil, nil
	}
	strategy := completeStrategy(given)
	if len(strategy) == 0 {
		strategy = c.DefaultStrategy
	}
	if err := checkStrategy(strategy, c.CapacityProviders); err != nil {
		return nil, err
	}
	return strategy, checkPlaceable(strategy)
}

// deal deals so many new tasks out to the providers of a strategy, in addition to the
// standalone tasks of their group that there are already; nil where there is no strategy.
func deal(r store.Reader, like *gantry.Task, strategy []ecsapi.CapacityProviderStrategyItem, n int) []string {
	if len(strategy) == 0 {
		return nil
	}
	parts := placement.SharesOf(strategy)
	counts := make([]int, len(parts))
	if len(parts) > 1 {
		for t := range store.TasksByGroup.All(r, string(like.Cluster)+"/"+string(like.Group)) {
			i := slices.IndexFunc(parts, func(p placement.ProviderShare) bool { return p.Provider == t.CapacityProvider })
			if i >= 0 && t.DesiredStatus != gantry.Stopped {
				counts[i]++
			}
		}
	}
	out := make([]string, n)
	for i := range out {
		next := placement.NextProvider(parts, counts)
		counts[next]++
		out[i] = parts[next].Provider
	}
	return out
}

// serviceStrategy is the strategy of a new service. A DAEMON service has none: it is on
// every instance of its launch type, whosever that is. As on AWS the default strategy of
// its cluster is refused too, where no launch type rules it out.
func serviceStrategy(c *gantry.Cluster, sv *gantry.Service, launch ecsapi.LaunchType, given []ecsapi.CapacityProviderStrategyItem) ([]ecsapi.CapacityProviderStrategyItem, error) {
	if sv.Scheduling == ecsapi.SchedulingStrategyDaemon {
		const refused = "Specifying a capacity provider strategy is not supported when you create a service using the DAEMON scheduling strategy."
		switch {
		case len(given) > 0:
			return nil, invalid(refused)
		case launch == "" && len(c.DefaultStrategy) > 0:
			return nil, invalid(refused+" Cluster %s has a default capacity provider strategy: specify the launch type EC2 or EXTERNAL and try again.", c.Name)
		}
		return nil, nil
	}
	return strategyOf(c, launch, given)
}

// changeProviders lays the strategy of a request over a service and the revision that it
// may be deployed with; an empty one removes it. Another strategy holds for new tasks
// from now on; moving between a strategy and a launch type takes a deployment.
func changeProviders(c *gantry.Cluster, next *gantry.Service, revision *gantry.ServiceRevision, in *ecsapi.UpdateServiceInput) error {
	strategy := completeStrategy(in.CapacityProviderStrategy)
	if len(strategy) > 0 {
		var err error
		if strategy, err = serviceStrategy(c, next, "", strategy); err != nil {
			return err
		}
	}
	if moves := (len(strategy) > 0) != (len(revision.Providers) > 0); moves && !wire.Value(in.ForceNewDeployment) {
		return invalid("When switching from launch type to capacity provider strategy on an existing service, or from a capacity provider strategy to a launch type, you must force a new deployment.")
	}
	if len(strategy) > 0 {
		revision.LaunchType = ecsapi.LaunchTypeEc2
	} else {
		strategy = nil // as where there never was one
	}
	next.Providers, revision.Providers = strategy, strategy
	return nil
}
