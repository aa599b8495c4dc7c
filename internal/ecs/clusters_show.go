package ecs

import (
	"slices"
	"strconv"

	"gantry"
	"gantry/internal/store"
	"gantry/internal/wire/ecsapi"
)

// everyClusterField is what the operations that change a cluster answer.
var everyClusterField = []ecsapi.ClusterField{ecsapi.ClusterFieldAttachments, ecsapi.ClusterFieldConfigurations, ecsapi.ClusterFieldSettings, ecsapi.ClusterFieldTags}

// showCluster is a cluster as ECS answers it, with the parts that were asked for.
func (s *Service) showCluster(snap *store.Snapshot, c *gantry.Cluster, include []ecsapi.ClusterField) *ecsapi.Cluster {
	n := countCluster(snap, c.Name)
	out := &ecsapi.Cluster{
		ClusterArn:                        new(string(s.cfg.Place.Cluster(c.Name))),
		ClusterName:                       new(string(c.Name)),
		Status:                            new(string(c.Status)),
		RegisteredContainerInstancesCount: new(n.instances),
		RunningTasksCount:                 new(n.runningEC2),
		PendingTasksCount:                 new(n.pendingEC2),
		ActiveServicesCount:               new(n.activeServices),
		CapacityProviders:                 shown(c.CapacityProviders),
		DefaultCapacityProviderStrategy:   shown(c.DefaultStrategy),
		Statistics:                        []ecsapi.KeyValuePair{},
		Tags:                              []ecsapi.Tag{},
		Settings:                          []ecsapi.ClusterSetting{},
		ServiceConnectDefaults:            c.ServiceConnectDefaults,
	}
	if slices.Contains(include, ecsapi.ClusterFieldSettings) {
		out.Settings = shown(c.Settings)
	}
	if slices.Contains(include, ecsapi.ClusterFieldTags) {
		out.Tags = shown(c.Tags)
	}
	if slices.Contains(include, ecsapi.ClusterFieldConfigurations) {
		out.Configuration = c.Configuration
	}
	if slices.Contains(include, ecsapi.ClusterFieldStatistics) {
		out.Statistics = n.statistics()
	}
	if slices.Contains(include, ecsapi.ClusterFieldAttachments) {
		// Scaling policies and draining hooks of Auto Scaling groups would be here. There
		// are no groups, so that nothing is attached and nothing is pending.
		out.Attachments, out.AttachmentsStatus = []ecsapi.Attachment{}, new("UPDATE_COMPLETE")
	}
	return out
}

// A clusterCount is what DescribeClusters counts. EXTERNAL tasks and services count as
// EC2 ones; Fargate, whose tasks count apart, comes with its own issue.
type clusterCount struct {
	instances, runningEC2, pendingEC2 int32
	activeServices, drainingServices  int32
}

// countCluster counts by index, without looking at the rows. A task that is on
// its way out is neither running nor pending.
func countCluster(snap *store.Snapshot, name gantry.ClusterName) clusterCount {
	instances := func(status ecsapi.ContainerInstanceStatus) int32 {
		return int32(store.InstancesByStatus.Count(snap, string(name)+"/"+string(status)))
	}
	tasks := func(status gantry.TaskStatus) int32 {
		return int32(store.TasksByStatus.Count(snap, string(name)+"/"+string(status)))
	}
	services := func(status gantry.ServiceStatus) int32 {
		return int32(store.ServicesByStatus.Count(snap, string(name)+"/"+string(status)))
	}
	return clusterCount{
		activeServices: services(gantry.ServiceActive), drainingServices: services(gantry.ServiceDraining),
		instances:  instances(ecsapi.ContainerInstanceStatusActive) + instances(ecsapi.ContainerInstanceStatusDraining),
		runningEC2: tasks(gantry.Running),
		pendingEC2: tasks(gantry.Provisioning) + tasks(gantry.Pending) + tasks(gantry.Activating),
	}
}

// statistics are the counts by name, in the spelling of ECS.
func (n clusterCount) statistics() []ecsapi.KeyValuePair {
	var out []ecsapi.KeyValuePair
	for _, c := range []struct {
		name string
		n    int32
	}{
		{"runningEC2TasksCount", n.runningEC2}, {"RunningFargateTasksCount", 0},
		{"pendingEC2TasksCount", n.pendingEC2}, {"pendingFargateTasksCount", 0},
		{"activeEC2ServiceCount", n.activeServices}, {"activeFargateServiceCount", 0},
		{"drainingEC2ServiceCount", n.drainingServices}, {"drainingFargateServiceCount", 0},
	} {
		out = append(out, ecsapi.KeyValuePair{Name: new(c.name), Value: new(strconv.Itoa(int(c.n)))})
	}
	return out
}
