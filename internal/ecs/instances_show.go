package ecs

import (
	"math"
	"slices"
	"strconv"

	"gantry"
	"gantry/internal/store"
	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"
)

// showInstance is a container instance as ECS answers it, with the parts that were asked for.
func (s *Service) showInstance(snap *store.Snapshot, i *gantry.Instance, include []ecsapi.ContainerInstanceField) *ecsapi.ContainerInstance {
	connection, _ := store.Connections.Get(snap, i.Key())
	reservation, _ := store.Reservations.Get(snap, i.Key())
	out := s.ShowInstance(snap, i, connection, reservation)
	if slices.Contains(include, ecsapi.ContainerInstanceFieldTags) {
		out.Tags = shown(i.Tags)
	}
	if slices.Contains(include, ecsapi.ContainerInstanceFieldContainerInstanceHealth) {
		out.HealthStatus = s.instanceHealth(i, connection)
	}
	return out
}

// providerOf is the capacity provider that a container instance belongs to; "" for none.
func providerOf(r store.Reader, i *gantry.Instance) string {
	if i.Attribute(gantry.AttributeGroup) == "" {
		return ""
	}
	c, ok := store.Clusters.Get(r, string(i.Cluster))
	if !ok {
		return ""
	}
	for _, name := range c.CapacityProviders {
		if p, ok := store.CapacityProviders.Get(r, name); ok && p.Owns(i) {
			return name
		}
	}
	return ""
}

// ShowInstance is a container instance as its events tell it, with the connection and the reservation that it had then,
// nil where it had none.
func (s *Service) ShowInstance(snap *store.Snapshot, i *gantry.Instance, connection *gantry.Connection, reservation *gantry.Reservation) *ecsapi.ContainerInstance {
	// The version counts what ECS tells as an event: what the instance is, every
	// placement, and every time that its agent comes or goes.
	version := i.Version
	var taken gantry.Resources
	if reservation != nil {
		taken = reservation.Taken
		version += reservation.Version
	}
	if connection != nil {
		version += 2 * connection.Epoch
		if connection.Connected {
			version-- // this session has not ended yet
		}
	}
	left := gantry.Resources{
		CPU: i.Registered.CPU - taken.CPU, Memory: i.Registered.Memory - taken.Memory,
		// Of ports those in use are told, of GPUs those that are free.
		Ports: i.Registered.Plus(taken).Ports, UDPPorts: i.Registered.Plus(taken).UDPPorts,
		GPUs: i.Registered.Minus(taken).GPUs,
	}
	running, pending := countTasks(snap, i)
	return &ecsapi.ContainerInstance{
		ContainerInstanceArn: new(string(s.cfg.Place.Instance(i.Cluster, i.ID))),
		Ec2InstanceId:        some(i.EC2InstanceID),
		CapacityProviderName: some(providerOf(snap, i)),
		Status:               new(string(i.Status)),
		AgentConnected:       new(wire.Value(connection).Connected),
		Version:              new(version),
		VersionInfo:          versionInfo(i, connection),
		RegisteredResources:  showResources(i, i.Registered),
		RemainingResources:   showResources(i, left),
		RunningTasksCount:    new(running),
		PendingTasksCount:    new(pending),
		Attributes:           shown(i.Attributes),
		Attachments:          []ecsapi.Attachment{},
		RegisteredAt:         at(i.RegisteredAt),
		Tags:                 []ecsapi.Tag{},
	}
}

func countTasks(snap *store.Snapshot, i *gantry.Instance) (running, pending int32) {
	for t := range store.TasksByInstance.All(snap, i.Key()) {
		switch {
		case t.LastStatus == gantry.Running:
			running++
		case waiting(t.LastStatus):
			pending++
		}
	}
	return running, pending
}

// versionInfo is what the agent said at registration, or when it connected last.
func versionInfo(i *gantry.Instance, c *gantry.Connection) *ecsapi.VersionInfo {
	out := wire.Value(i.VersionInfo)
	if c != nil {
		out.AgentVersion = firstOf(some(c.AgentVersion), out.AgentVersion)
		out.AgentHash = firstOf(some(c.AgentHash), out.AgentHash)
		out.DockerVersion = firstOf(some(c.DockerVersion), out.DockerVersion)
	}
	return &out
}

// showResources lists CPU, memory, ports and GPUs, and what else was registered.
func showResources(i *gantry.Instance, r gantry.Resources) []ecsapi.Resource {
	out := []ecsapi.Resource{
		integer("CPU", r.CPU), integer("MEMORY", r.Memory),
		stringSet("PORTS", portTexts(r.Ports)), stringSet("PORTS_UDP", portTexts(r.UDPPorts)),
	}
	if len(i.Registered.GPUs) > 0 {
		out = append(out, stringSet("GPU", r.GPUs))
	}
	return append(out, i.Other...)
}

// integer is an amount as ECS answers it: all three numbers are there, two of them 0.
func integer(name string, n int64) ecsapi.Resource {
	return ecsapi.Resource{
		Name: new(name), Type: new("INTEGER"),
		IntegerValue: new(int32(min(max(n, math.MinInt32), math.MaxInt32))), LongValue: new(int64(0)), DoubleValue: new(0.0),
	}
}

func stringSet(name string, values []string) ecsapi.Resource {
	return ecsapi.Resource{
		Name: new(name), Type: new("STRINGSET"), StringSetValue: shown(values),
		IntegerValue: new(int32(0)), LongValue: new(int64(0)), DoubleValue: new(0.0),
	}
}

func portTexts(ports []uint16) []string {
	out := make([]string, len(ports))
	for i, p := range ports {
		out[i] = strconv.Itoa(int(p))
	}
	return out
}

// instanceHealth is what is known of an instance's health: whether its agent is
// connected, and what the agent says while it is.
func (s *Service) instanceHealth(i *gantry.Instance, c *gantry.Connection) *ecsapi.ContainerInstanceHealthStatus {
	connectivity := ecsapi.InstanceHealthCheckResult{
		Type: ecsapi.InstanceHealthCheckTypeAgentConnectivity, Status: ecsapi.InstanceHealthCheckStateInitializing,
	}
	if c != nil {
		connectivity.Status = ecsapi.InstanceHealthCheckStateOk
		if !c.Connected {
			connectivity.Status = ecsapi.InstanceHealthCheckStateImpaired
		}
		connectivity.LastStatusChange, connectivity.LastUpdated = at(c.Since), at(c.Since)
	}
	details := []ecsapi.InstanceHealthCheckResult{connectivity}
	if s.cfg.Health != nil {
		details = append(details, s.cfg.Health.InstanceHealth(i.Key())...)
	}
	return &ecsapi.ContainerInstanceHealthStatus{OverallStatus: worst(details), Details: details}
}

// worst is the state that the whole is in: OK only if every part is.
func worst(parts []ecsapi.InstanceHealthCheckResult) ecsapi.InstanceHealthCheckState {
	for _, state := range []ecsapi.InstanceHealthCheckState{
		ecsapi.InstanceHealthCheckStateImpaired, ecsapi.InstanceHealthCheckStateInsufficientData, ecsapi.InstanceHealthCheckStateInitializing,
	} {
		if slices.ContainsFunc(parts, func(p ecsapi.InstanceHealthCheckResult) bool { return p.Status == state }) {
			return state
		}
	}
	return ecsapi.InstanceHealthCheckStateOk
}
