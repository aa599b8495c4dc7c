// Package gantry is the words of Amazon ECS: clusters, task definitions, tasks,
// container instances, their names and ARNs, their states, and which state may
// follow which.
//
// What a user gives (a task definition, tags, overrides) is kept in the wire's
// own form, so that it comes back as it came; what gantry itself decides is
// kept in the small structs here.
//
// The package is pure: it does no I/O and never reads the clock.
package gantry

import "strings"

// A ClusterName is a cluster's short name, unique in an account and region.
type ClusterName string

// DefaultCluster is the cluster meant when a request names none.
const DefaultCluster ClusterName = "default"

// A TaskID is the last part of a task's ARN: 32 hexadecimal digits.
type TaskID string

// An InstanceID is the last part of a container instance's ARN: 32 hexadecimal digits.
type InstanceID string

// A Family is the name that the revisions of one task definition share.
type Family string

// A DefinitionName names one revision of a task definition: "family:revision".
type DefinitionName string

// Family is the part before the last colon.
func (n DefinitionName) Family() Family {
	if i := strings.LastIndexByte(string(n), ':'); i >= 0 {
		return Family(n[:i])
	}
	return Family(n)
}

// Revision is the part after the last colon, as text; empty where there is none.
func (n DefinitionName) Revision() string {
	if i := strings.LastIndexByte(string(n), ':'); i >= 0 {
		return string(n[i+1:])
	}
	return ""
}

// A Group is what placement counts tasks by: "service:<name>" for the tasks of a
// service, "family:<family>" for standalone ones unless the caller says otherwise.
type Group string

// ServiceGroup is the group of the tasks of the named service.
func ServiceGroup(service string) Group { return Group("service:" + service) }

// FamilyGroup is the group of standalone tasks whose caller named none.
func FamilyGroup(f Family) Group { return Group("family:" + f) }

// Service is the service's name where the group is a service's, else "".
func (g Group) Service() string {
	name, ok := strings.CutPrefix(string(g), "service:")
	if !ok {
		return ""
	}
	return name
}
