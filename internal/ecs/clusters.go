package ecs

import (
	"context"
	"slices"

	"gantry"
	"gantry/internal/extension"
	"gantry/internal/store"
	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"
)

func (s *Service) createCluster(ctx context.Context, in *ecsapi.CreateClusterInput) (*ecsapi.CreateClusterOutput, error) {
	made, err := s.newCluster(in)
	if err != nil {
		return nil, err
	}
	var out *gantry.Cluster
	_, err = s.store.Update(ctx, func(tx *store.Tx) error {
		// Creating a cluster that is there answers it, unchanged.
		if have, ok := store.Clusters.Get(tx, string(made.Name)); ok && have.Status == gantry.Active {
			out = have
			return nil
		}
		next := *made
		if next.CapacityProviders, err = s.clusterProviders(tx, in.CapacityProviders); err != nil {
			return err
		}
		if err := checkStrategy(next.DefaultStrategy, next.CapacityProviders); err != nil {
			return err
		}
		if next.Settings == nil {
			insights := effective(tx, ecsapi.SettingNameContainerInsights, string(s.caller(ctx)))
			next.Settings = []ecsapi.ClusterSetting{{Name: ecsapi.ClusterSettingNameContainerInsights, Value: new(insights)}}
		}
		out = &next
		store.Clusters.Put(tx, out)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &ecsapi.CreateClusterOutput{Cluster: s.showCluster(s.store.View(), out, everyClusterField)}, nil
}

func (s *Service) newCluster(in *ecsapi.CreateClusterInput) (*gantry.Cluster, error) {
	name := wire.Value(in.ClusterName)
	if name == "" {
		name = string(gantry.DefaultCluster)
	}
	if !validName(name) {
		return nil, invalid("Cluster name %s is invalid: up to 255 letters, digits, hyphens and underscores are allowed.", wire.Shorten(name))
	}
	for _, err := range []error{checkTags(extension.Cluster, in.Tags), checkClusterSettings(in.Settings)} {
		if err != nil {
			return nil, err
		}
	}
	if in.ServiceConnectDefaults != nil {
		return nil, notYet("serviceConnectDefaults of cluster %s is not offered by gantry yet.", name)
	}
	if in.Configuration != nil && in.Configuration.ManagedStorageConfiguration != nil {
		return nil, notYet("managedStorageConfiguration of cluster %s is not offered by gantry yet.", name)
	}
	return &gantry.Cluster{
		Name: gantry.ClusterName(name), Status: gantry.Active, CreatedAt: s.now(),
		Settings: in.Settings, Configuration: in.Configuration, Tags: mergeTags(nil, in.Tags),
		DefaultStrategy: completeStrategy(in.DefaultCapacityProviderStrategy),
	}, nil
}

// checkClusterSettings: containerInsights is the only setting there is.
func checkClusterSettings(settings []ecsapi.ClusterSetting) error {
	for _, s := range settings {
		if s.Name != ecsapi.ClusterSettingNameContainerInsights {
			return invalid("Invalid cluster setting name. Valid values are: containerInsights.")
		}
		if !slices.Contains([]string{"enabled", "disabled", "enhanced"}, wire.Value(s.Value)) {
			return invalid("Invalid value for cluster setting containerInsights: %s. Valid values are: enabled, disabled, enhanced.", wire.Shorten(wire.Value(s.Value)))
		}
	}
	return nil
}

func (s *Service) deleteCluster(ctx context.Context, in *ecsapi.DeleteClusterInput) (*ecsapi.DeleteClusterOutput, error) {
	name, err := s.clusterName(in.Cluster)
	if err != nil {
		return nil, err
	}
	var out *gantry.Cluster
	_, err = s.store.Update(ctx, func(tx *store.Tx) error {
		c, err := activeCluster(tx, name)
		if err != nil {
			return err
		}
		if err := emptyCluster(tx, name); err != nil {
			return err
		}
		gone := *c
		gone.Status, gone.DeletedAt = gantry.Inactive, s.now()
		out = &gone
		store.Clusters.Put(tx, out)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &ecsapi.DeleteClusterOutput{Cluster: s.showCluster(s.store.View(), out, everyClusterField)}, nil
}

// emptyCluster says what still keeps a cluster from being deleted.
func emptyCluster(r store.Reader, name gantry.ClusterName) error {
	for sv := range store.Services.All(r, string(name)+"/") {
		if sv.Status != gantry.ServiceInactive {
			return ecsapi.NewClusterContainsServicesException("The Cluster cannot be deleted while Services are active.")
		}
	}
	for i := range store.Instances.All(r, string(name)+"/") {
		if i.Status != gantry.InstanceInactive {
			return ecsapi.NewClusterContainsContainerInstancesException("The Cluster cannot be deleted while Container Instances are active or draining.")
		}
	}
	for range livingTasks(r, name) {
		return ecsapi.NewClusterContainsTasksException("The Cluster cannot be deleted while Tasks are active.")
	}
	return nil
}

func (s *Service) describeClusters(ctx context.Context, in *ecsapi.DescribeClustersInput) (*ecsapi.DescribeClustersOutput, error) {
	refs := in.Clusters
	if len(refs) == 0 {
		refs = []string{string(gantry.DefaultCluster)}
	}
	snap, err := s.fresh(ctx)
	if err != nil {
		return nil, err
	}
	out := &ecsapi.DescribeClustersOutput{Clusters: []ecsapi.Cluster{}, Failures: []ecsapi.Failure{}}
	for _, ref := range refs {
		name, err := s.clusterName(&ref)
		if err != nil {
			return nil, err
		}
		if c, ok := store.Clusters.Get(snap, string(name)); ok {
			out.Clusters = append(out.Clusters, *s.showCluster(snap, c, in.Include))
		} else {
			out.Failures = append(out.Failures, missing(s.cfg.Place.Cluster(name)))
		}
	}
	return out, nil
}

func (s *Service) listClusters(ctx context.Context, in *ecsapi.ListClustersInput) (*ecsapi.ListClustersOutput, error) {
	p, err := newPage("ListClusters", in.NextToken, in.MaxResults, maxPage, nil)
	if err != nil {
		return nil, err
	}
	snap, err := s.fresh(ctx)
	if err != nil {
		return nil, err
	}
	arns := []string{}
	for c := range store.Clusters.All(snap, "") {
		if c.Status == gantry.Active {
			arns = append(arns, string(s.cfg.Place.Cluster(c.Name)))
		}
	}
	slices.Sort(arns)
	arns, next := cut(p, arns, itself, nil)
	return &ecsapi.ListClustersOutput{ClusterArns: arns, NextToken: next}, nil
}

func (s *Service) updateCluster(ctx context.Context, in *ecsapi.UpdateClusterInput) (*ecsapi.UpdateClusterOutput, error) {
	if in.ServiceConnectDefaults != nil {
		return nil, notYet("serviceConnectDefaults of a cluster is not offered by gantry yet.")
	}
	if in.Configuration != nil && in.Configuration.ManagedStorageConfiguration != nil {
		return nil, notYet("managedStorageConfiguration of a cluster is not offered by gantry yet.")
	}
	c, err := s.changeCluster(ctx, in.Cluster, in.Settings, in.Configuration)
	if err != nil {
		return nil, err
	}
	return &ecsapi.UpdateClusterOutput{Cluster: c}, nil
}

func (s *Service) updateClusterSettings(ctx context.Context, in *ecsapi.UpdateClusterSettingsInput) (*ecsapi.UpdateClusterSettingsOutput, error) {
	if len(in.Settings) == 0 {
		return nil, invalid("Settings cannot be empty.")
	}
	c, err := s.changeCluster(ctx, in.Cluster, in.Settings, nil)
	if err != nil {
		return nil, err
	}
	return &ecsapi.UpdateClusterSettingsOutput{Cluster: c}, nil
}

// changeCluster lays settings over those of a cluster and replaces its
// configuration; what is nil stays.
func (s *Service) changeCluster(ctx context.Context, ref *string, settings []ecsapi.ClusterSetting, configuration *ecsapi.ClusterConfiguration) (*ecsapi.Cluster, error) {
	if err := checkClusterSettings(settings); err != nil {
		return nil, err
	}
	var out *gantry.Cluster
	_, err := s.store.Update(ctx, func(tx *store.Tx) error {
		c, err := s.cluster(tx, ref)
		if err != nil {
			return err
		}
		next := *c
		if settings != nil {
			next.Settings = settings
		}
		if configuration != nil {
			next.Configuration = configuration
		}
		out = &next
		store.Clusters.Put(tx, out)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return s.showCluster(s.store.View(), out, everyClusterField), nil
}
