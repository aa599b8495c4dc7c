package ecs

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"gantry"
	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"
)

// clusterName reads a cluster reference: a short name, an ARN of this account
// and region, or nothing, which means "default".
func (s *Service) clusterName(ref *string) (gantry.ClusterName, error) {
	text := wire.Value(ref)
	if text == "" {
		return gantry.DefaultCluster, nil
	}
	if !gantry.IsARN(text) {
		return gantry.ClusterName(text), nil
	}
	arn, err := s.ownARN(text, "cluster")
	if err != nil {
		return "", err
	}
	return gantry.ClusterName(arn.Path), nil
}

// ownARN takes an ARN of the given type apart and refuses that of another
// service, account or region.
func (s *Service) ownARN(text, typ string) (gantry.ParsedARN, error) {
	arn, err := gantry.ParseARN(text)
	if err != nil || arn.Service != "ecs" {
		return arn, invalid("Invalid identifier: %s is not an ARN of Amazon ECS.", wire.Shorten(text))
	}
	if arn.Type != typ {
		return arn, invalid("Invalid identifier: %s is the ARN of a %s; the ARN of a %s is expected.", wire.Shorten(text), arn.Type, typ)
	}
	if arn.Region != s.cfg.Place.Region {
		return arn, invalid("Identifier is for region %s. Your region is %s", arn.Region, s.cfg.Place.Region)
	}
	if arn.Account != s.cfg.Place.Account {
		return arn, invalid("Identifier is for account %s. Your accountId is %s", arn.Account, s.cfg.Place.Account)
	}
	return arn, nil
}

// inCluster reads a reference to something that lives in a cluster: its id, or
// its ARN with or without the cluster's name.
func (s *Service) inCluster(cluster gantry.ClusterName, ref, typ string) (string, error) {
	if !gantry.IsARN(ref) {
		return ref, nil
	}
	arn, err := s.ownARN(ref, typ)
	if err != nil {
		return "", err
	}
	name, id, long := strings.Cut(arn.Path, "/")
	if !long {
		return name, nil // the old form, without the cluster
	}
	if gantry.ClusterName(name) != cluster {
		return "", invalid("Identifier is for cluster %s. Your cluster is %s", name, cluster)
	}
	return id, nil
}

func (s *Service) taskID(cluster gantry.ClusterName, ref string) (gantry.TaskID, error) {
	id, err := s.inCluster(cluster, ref, "task")
	return gantry.TaskID(id), err
}

func (s *Service) instanceID(cluster gantry.ClusterName, ref string) (gantry.InstanceID, error) {
	id, err := s.inCluster(cluster, ref, "container-instance")
	return gantry.InstanceID(id), err
}

// A definitionRef is a reference to a task definition; revision 0 means the
// latest ACTIVE one.
type definitionRef struct {
	family   gantry.Family
	revision int64
}

func (r definitionRef) name() gantry.DefinitionName { return definitionName(r.family, r.revision) }

func definitionName(family gantry.Family, revision int64) gantry.DefinitionName {
	return gantry.DefinitionName(fmt.Sprintf("%s:%d", family, revision))
}

// revisionOf is the number after the colon; 0 where there is none.
func revisionOf(n gantry.DefinitionName) int64 {
	revision, _ := strconv.ParseInt(n.Revision(), 10, 64)
	return revision
}

// definition reads "family", "family:revision" or an ARN of either.
func (s *Service) definition(ref string) (definitionRef, error) {
	if gantry.IsARN(ref) {
		arn, err := s.ownARN(ref, "task-definition")
		if err != nil {
			return definitionRef{}, err
		}
		ref = arn.Path
	}
	family, revision, has := strings.Cut(ref, ":")
	if !validName(family) {
		return definitionRef{}, ecsapi.NewClientException("Invalid task definition: " + wire.Shorten(ref) + ".")
	}
	if !has {
		return definitionRef{family: gantry.Family(family)}, nil
	}
	n, err := strconv.ParseInt(revision, 10, 32)
	if err != nil || n < 1 {
		return definitionRef{}, ecsapi.NewClientException("Invalid revision number. Number: " + wire.Shorten(revision))
	}
	return definitionRef{family: gantry.Family(family), revision: n}, nil
}

// name255 is what ECS takes as the name of a cluster or family.
var name255 = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,255}$`)

func validName(name string) bool { return name255.MatchString(name) }

// invalid is the exception for a parameter that cannot be what it is.
func invalid(format string, args ...any) error {
	return ecsapi.NewInvalidParameterException(fmt.Sprintf(format, args...))
}

// client is the exception for what the caller should not have asked.
func client(format string, args ...any) error {
	return ecsapi.NewClientException(fmt.Sprintf(format, args...))
}

// notYet is the exception for what gantry does not offer so far.
func notYet(format string, args ...any) error {
	return ecsapi.NewUnsupportedFeatureException(fmt.Sprintf(format, args...))
}

// missing is how a batch describe tells that it knows no such thing.
func missing(arn gantry.ARN) ecsapi.Failure {
	return ecsapi.Failure{Arn: new(string(arn)), Reason: new("MISSING")}
}
