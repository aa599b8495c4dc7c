package store

import (
	"strings"

	"gantry"
	"gantry/internal/wire/ecsapi"
)

// GroupEnd ends the name of an Auto Scaling group, which may hold a slash and no such thing.
const GroupEnd = "\n"

// The tables of gantry, by the key of their rows.
var (
	// Clusters: "<cluster>".
	Clusters = NewTable("cluster", func(c *gantry.Cluster) string { return string(c.Name) })

	// Definitions: "<family>:<revision>".
	Definitions         = NewTable("definition", func(d *gantry.Definition) string { return string(d.Name) })
	DefinitionsByFamily = NewIndex(Definitions, "family", func(d *gantry.Definition) string { return string(d.Name.Family()) })

	// FamilyCounters: "<family>".
	FamilyCounters = NewTable("family", func(f *gantry.FamilyCounter) string { return string(f.Family) }, Merged)

	// Tasks: "<cluster>/<task id>".
	Tasks = NewTable("task", (*gantry.Task).Key)
	// TasksByInstance: "<cluster>/<instance id>". Tasks that are not placed are not in it.
	TasksByInstance = NewIndex(Tasks, "instance", func(t *gantry.Task) string {
		if t.Instance == "" {
			return ""
		}
		return string(t.Cluster) + "/" + string(t.Instance)
	})
	// TasksByGroup: "<cluster>/<group>", such as "prod/service:web".
	TasksByGroup = NewIndex(Tasks, "group", func(t *gantry.Task) string { return string(t.Cluster) + "/" + string(t.Group) })
	// TasksByStartedBy: "<cluster>/<startedBy>". Tasks without one are not in it.
	TasksByStartedBy = NewIndex(Tasks, "startedBy", func(t *gantry.Task) string {
		if t.StartedBy == "" {
			return ""
		}
		return string(t.Cluster) + "/" + t.StartedBy
	})
	// TasksByFamily: "<cluster>/<family>".
	TasksByFamily = NewIndex(Tasks, "family", func(t *gantry.Task) string {
		return string(t.Cluster) + "/" + string(t.Definition.Family())
	})
	// TasksByProvider: "<cluster>/<capacity provider>". Tasks by launch type, and STOPPED
	// ones, are not in it.
	TasksByProvider = NewIndex(Tasks, "provider", func(t *gantry.Task) string {
		if t.CapacityProvider == "" || t.LastStatus == gantry.Stopped {
			return ""
		}
		return string(t.Cluster) + "/" + t.CapacityProvider
	})
	// TasksByDesired: "<cluster>/RUNNING" or "<cluster>/STOPPED".
	TasksByDesired = NewIndex(Tasks, "desired", func(t *gantry.Task) string { return string(t.Cluster) + "/" + string(t.DesiredStatus) })
	// TasksByStatus: "<cluster>/<last status>".
	TasksByStatus = NewIndex(Tasks, "status", func(t *gantry.Task) string { return string(t.Cluster) + "/" + string(t.LastStatus) })
	// TasksByProgress: "<cluster>/<group>/<desired status>/<last status>/<startedBy>", of
	// those that a service started and that are not STOPPED: how far its revisions are.
	TasksByProgress = NewIndex(Tasks, "progress", func(t *gantry.Task) string {
		if t.LastStatus == gantry.Stopped || t.Revision() == "" {
			return ""
		}
		return Progress(t.Cluster, t.Group) + string(t.DesiredStatus) + "/" + string(t.LastStatus) + "/" + t.StartedBy
	})
	// TasksByDefinition: "<family>:<revision>", in all clusters.
	TasksByDefinition = NewIndex(Tasks, "definition", func(t *gantry.Task) string { return string(t.Definition) })

	// Instances, Reservations and Connections: "<cluster>/<instance id>", all three.
	Instances    = NewTable("instance", (*gantry.Instance).Key)
	Reservations = NewTable("reservation", (*gantry.Reservation).Key, Merged)
	Connections  = NewTable("connection", (*gantry.Connection).Key)
	// InstancesByStatus: "<cluster>/<status>".
	InstancesByStatus = NewIndex(Instances, "status", func(i *gantry.Instance) string { return string(i.Cluster) + "/" + string(i.Status) })

	// InstancesByZone: "<cluster>/<status>/<availability zone>".
	InstancesByZone = NewIndex(Instances, "zone", func(i *gantry.Instance) string {
		return string(i.Cluster) + "/" + string(i.Status) + "/" + i.Attribute(gantry.AttributeZone)
	})

	// InstancesByGroup: "<cluster>/<status>/<Auto Scaling group>" and, after GroupEnd, the
	// availability zone: those of launch type EC2 that name a group.
	InstancesByGroup = NewIndex(Instances, "group", func(i *gantry.Instance) string {
		group := i.Attribute(gantry.AttributeGroup)
		if group == "" || i.LaunchType != ecsapi.LaunchTypeEc2 {
			return ""
		}
		return string(i.Cluster) + "/" + string(i.Status) + "/" + group + GroupEnd + i.Attribute(gantry.AttributeZone)
	})

	// Services: "<cluster>/<service>".
	Services = NewTable("service", (*gantry.Service).Key)
	// ServicesByStatus: "<cluster>/<status>".
	ServicesByStatus = NewIndex(Services, "status", func(s *gantry.Service) string { return string(s.Cluster) + "/" + string(s.Status) })
	// ServiceHistories lie under the same keys.
	ServiceHistories = NewTable("serviceHistory", (*gantry.ServiceHistory).Key)
	// ServiceRevisions: "<cluster>/<service>/<digits>".
	ServiceRevisions = NewTable("serviceRevision", (*gantry.ServiceRevision).Key)
	// RevisionsByDefinition: "<family>:<revision>", in all clusters.
	RevisionsByDefinition = NewIndex(ServiceRevisions, "definition", func(r *gantry.ServiceRevision) string { return string(r.Definition) })
	// Deployments, of services: "<cluster>/<service>/<21 letters and digits>".
	Deployments = NewTable("deployment", (*gantry.Deployment).Key)
	// TaskSets, of services: "<cluster>/<service>/<digits>".
	TaskSets = NewTable("taskSet", (*gantry.TaskSet).Key)

	// CapacityProviders: "<name>"; those that are built in are not in it.
	CapacityProviders = NewTable("capacityProvider", func(p *gantry.CapacityProvider) string { return p.Name })

	// AccountSettings: "<name>/<principal>", the principal empty for the account's own.
	AccountSettings = NewTable("setting", func(a *gantry.AccountSetting) string { return string(a.Name) + "/" + a.Principal })

	// ClientTokens: "<operation>/<cluster>/<token>".
	ClientTokens = NewTable("token", func(t *gantry.ClientToken) string {
		return t.Operation + "/" + string(t.Cluster) + "/" + t.Token
	})

	// EventRules and EventFirings: "<rule>".
	EventRules   = NewTable("eventRule", func(r *gantry.EventRule) string { return r.Name })
	EventFirings = NewTable("eventFiring", func(f *gantry.EventFiring) string { return f.Rule })
	// PostedEvents: "<event id>".
	PostedEvents = NewTable("postedEvent", func(e *gantry.PostedEvent) string { return e.ID })
	// EventCursors: "<rule>/<target id>".
	EventCursors = NewTable("eventCursor", (*gantry.EventCursor).Key, Merged)
	// EventConnections and EventDestinations: "<name>".
	EventConnections  = NewTable("eventConnection", func(c *gantry.EventConnection) string { return c.Name })
	EventDestinations = NewTable("eventDestination", func(d *gantry.EventDestination) string { return d.Name })

	// Principals: "<access key id>".
	Principals = NewTable("principal", func(p *gantry.Principal) string { return p.AccessKeyID })

	// Pulses: "<name>", of the part of gantry that wants to know.
	Pulses = NewTable("pulse", func(p *gantry.Pulse) string { return p.Name }, Merged)

	// JoinTokens: "<token id>".
	JoinTokens = NewTable("joinToken", func(t *gantry.JoinToken) string { return t.ID })
)

// Tables are all of them: what a gantry's store is opened with.
func Tables() []AnyTable {
	return []AnyTable{
		Clusters, Definitions, FamilyCounters, Tasks, Instances, Reservations, Connections,
		Services, ServiceHistories, ServiceRevisions, Deployments, TaskSets,
		CapacityProviders, AccountSettings, ClientTokens, Principals, Pulses, Followers,
		EventRules, EventFirings, PostedEvents, EventCursors, EventConnections, EventDestinations,
		JoinTokens,
	}
}

// Progress is how the values of TasksByProgress begin for the tasks of a group.
func Progress(cluster gantry.ClusterName, group gantry.Group) string {
	return string(cluster) + "/" + string(group) + "/"
}

// ProgressOf reads what follows on Progress.
func ProgressOf(rest string) (desired, last gantry.TaskStatus, startedBy string) {
	first, rest, _ := strings.Cut(rest, "/")
	second, startedBy, _ := strings.Cut(rest, "/")
	return gantry.TaskStatus(first), gantry.TaskStatus(second), startedBy
}
