package gantry

import (
	"fmt"
	"strings"
)

// An ARN is an Amazon Resource Name: arn:aws:<service>:<region>:<account>:<resource>.
type ARN string

// A Region and an Account say where a gantry believes itself to be.
// They appear in every ARN it hands out.
type (
	Region  string
	Account string
)

// A Place makes and reads the ARNs of one account in one region.
type Place struct {
	Region  Region
	Account Account
}

func (p Place) ecs(resource string) ARN {
	return ARN("arn:aws:ecs:" + string(p.Region) + ":" + string(p.Account) + ":" + resource)
}

func (p Place) Cluster(c ClusterName) ARN { return p.ecs("cluster/" + string(c)) }

func (p Place) Task(c ClusterName, id TaskID) ARN {
	return p.ecs("task/" + string(c) + "/" + string(id))
}

func (p Place) Container(c ClusterName, task TaskID, container string) ARN {
	return p.ecs("container/" + string(c) + "/" + string(task) + "/" + container)
}

func (p Place) Instance(c ClusterName, id InstanceID) ARN {
	return p.ecs("container-instance/" + string(c) + "/" + string(id))
}

func (p Place) Definition(n DefinitionName) ARN { return p.ecs("task-definition/" + string(n)) }

func (p Place) Service(c ClusterName, name string) ARN {
	return p.ecs("service/" + string(c) + "/" + name)
}

// ServiceRevision ends in the digits of the revision's deployment id, which clients rely on.
func (p Place) ServiceRevision(r *ServiceRevision) ARN { return p.ecs("service-revision/" + r.Key()) }

func (p Place) ServiceDeployment(d *Deployment) ARN { return p.ecs("service-deployment/" + d.Key()) }

func (p Place) TaskSet(s *TaskSet) ARN {
	return p.ecs("task-set/" + string(s.Cluster) + "/" + string(s.Service) + "/" + s.ID.StartedBy())
}

func (p Place) CapacityProvider(name string) ARN { return p.ecs("capacity-provider/" + name) }

// Root is the account's root principal, as STS tells it.
func (p Place) Root() ARN { return ARN("arn:aws:iam::" + string(p.Account) + ":root") }

// A ParsedARN is an ARN taken apart. Resource is split at its first slash:
// "task/prod/abc" has Type "task" and Path "prod/abc".
type ParsedARN struct {
	Partition, Service string
	Region             Region
	Account            Account
	Type, Path         string
}

// ParseARN takes an ARN apart, or says what is wrong with it.
func ParseARN(s string) (ParsedARN, error) {
	parts := strings.SplitN(s, ":", 6)
	if len(parts) != 6 || parts[0] != "arn" {
		return ParsedARN{}, fmt.Errorf("%q is not an ARN: an ARN has six parts, arn:partition:service:region:account:resource", s)
	}
	typ, path, _ := strings.Cut(parts[5], "/")
	if typ == "" || path == "" {
		return ParsedARN{}, fmt.Errorf("%q is not an ARN of ECS: its resource reads <type>/<name>", s)
	}
	return ParsedARN{
		Partition: parts[1], Service: parts[2],
		Region: Region(parts[3]), Account: Account(parts[4]),
		Type: typ, Path: path,
	}, nil
}

// IsARN reports whether a reference is meant as an ARN rather than a short name.
func IsARN(s string) bool { return strings.HasPrefix(s, "arn:") }
