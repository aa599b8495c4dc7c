package ecs

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"gantry"
	"gantry/internal/store"
	"gantry/internal/wire/ecsapi"
)

// maxDeploymentsPage is what ListServiceDeployments answers by default, as on AWS.
const maxDeploymentsPage = 20

func (s *Service) listServiceDeployments(ctx context.Context, in *ecsapi.ListServiceDeploymentsInput) (*ecsapi.ListServiceDeploymentsOutput, error) {
	filters := *in
	filters.NextToken, filters.MaxResults = nil, nil
	p, err := newPage("ListServiceDeployments", in.NextToken, in.MaxResults, maxPage, filters)
	if err != nil {
		return nil, err
	}
	if in.MaxResults == nil {
		p.limit = maxDeploymentsPage
	}
	snap, c, err := s.freshCluster(ctx, clusterOfService(in.Cluster, *in.Service))
	if err != nil {
		return nil, err
	}
	sv, err := s.service(snap, c.Name, *in.Service)
	if err != nil {
		return nil, err
	}
	all := slices.DeleteFunc(deploymentsOf(snap, sv), func(d *gantry.Deployment) bool { return !deploymentListed(d, in) })
	all, next := cut(p, all, deploymentPosition, newestFirst)
	out := &ecsapi.ListServiceDeploymentsOutput{ServiceDeployments: []ecsapi.ServiceDeploymentBrief{}, NextToken: next}
	for _, d := range all {
		out.ServiceDeployments = append(out.ServiceDeployments, ecsapi.ServiceDeploymentBrief{
			ServiceDeploymentArn:     new(string(s.cfg.Place.ServiceDeployment(d))),
			ServiceArn:               new(string(s.cfg.Place.Service(d.Cluster, string(d.Service)))),
			ClusterArn:               new(string(s.cfg.Place.Cluster(d.Cluster))),
			TargetServiceRevisionArn: new(s.revisionARN(d, d.Target.Revision)),
			Status:                   d.Status, StatusReason: some(d.StatusReason),
			CreatedAt: at(d.CreatedAt), StartedAt: at(d.StartedAt), FinishedAt: at(d.FinishedAt),
		})
	}
	return out, nil
}

// clusterOfService is the cluster that a request names, else the one in the service's ARN.
func clusterOfService(cluster *string, service string) *string {
	if cluster != nil {
		return cluster
	}
	if arn, err := gantry.ParseARN(service); err == nil {
		if name, _, long := strings.Cut(arn.Path, "/"); long {
			return &name
		}
	}
	return nil
}

// deploymentPosition orders deployments by when they were created.
func deploymentPosition(d *gantry.Deployment) string {
	return fmt.Sprintf("%015d/%s", d.CreatedAt.UnixMilli(), d.ID)
}

func newestFirst(a, b string) int { return strings.Compare(b, a) }

// deploymentListed reports whether a deployment passes the filters. Both ends of a span
// of time belong to it.
func deploymentListed(d *gantry.Deployment, in *ecsapi.ListServiceDeploymentsInput) bool {
	if len(in.Status) > 0 && !slices.Contains(in.Status, d.Status) {
		return false
	}
	if c := in.CreatedAt; c != nil {
		return (c.After == nil || !d.CreatedAt.Before(c.After.Time)) && (c.Before == nil || !d.CreatedAt.After(c.Before.Time))
	}
	return true
}

func (s *Service) describeServiceDeployments(ctx context.Context, in *ecsapi.DescribeServiceDeploymentsInput) (*ecsapi.DescribeServiceDeploymentsOutput, error) {
	snap, err := s.fresh(ctx)
	if err != nil {
		return nil, err
	}
	out := &ecsapi.DescribeServiceDeploymentsOutput{ServiceDeployments: []ecsapi.ServiceDeployment{}, Failures: []ecsapi.Failure{}}
	for _, text := range in.ServiceDeploymentArns {
		arn, err := s.ownARN(text, "service-deployment")
		if err != nil {
			return nil, err
		}
		if d, sv := findDeployment(snap, arn.Path); d != nil {
			out.ServiceDeployments = append(out.ServiceDeployments, s.showDeployment(snap, sv, d))
		} else {
			out.Failures = append(out.Failures, missing(gantry.ARN(text)))
		}
	}
	return out, nil
}

// findDeployment finds a deployment by its key, with its service; nil where there is
// none, or none of the service that has the name now.
func findDeployment(r store.Reader, key string) (*gantry.Deployment, *gantry.Service) {
	d, ok := store.Deployments.Get(r, key)
	if !ok {
		return nil, nil
	}
	sv, ok := store.Services.Get(r, string(d.Cluster)+"/"+string(d.Service))
	if !ok || d.CreatedAt.Before(sv.CreatedAt) {
		return nil, nil
	}
	return d, sv
}

func (s *Service) describeServiceRevisions(ctx context.Context, in *ecsapi.DescribeServiceRevisionsInput) (*ecsapi.DescribeServiceRevisionsOutput, error) {
	snap, err := s.fresh(ctx)
	if err != nil {
		return nil, err
	}
	out := &ecsapi.DescribeServiceRevisionsOutput{ServiceRevisions: []ecsapi.ServiceRevision{}, Failures: []ecsapi.Failure{}}
	for _, text := range in.ServiceRevisionArns {
		arn, err := s.ownARN(text, "service-revision")
		if err != nil {
			return nil, err
		}
		if revision, ok := store.ServiceRevisions.Get(snap, arn.Path); ok {
			out.ServiceRevisions = append(out.ServiceRevisions, s.showRevision(snap, revision))
		} else {
			out.Failures = append(out.Failures, missing(gantry.ARN(text)))
		}
	}
	return out, nil
}

// stopServiceDeployment asks for the end of a deployment under way: the way back, or
// that nothing more happens.
func (s *Service) stopServiceDeployment(ctx context.Context, in *ecsapi.StopServiceDeploymentInput) (*ecsapi.StopServiceDeploymentOutput, error) {
	next := ecsapi.ServiceDeploymentStatusRollbackRequested
	if in.StopType == ecsapi.StopServiceDeploymentStopTypeAbort {
		next = ecsapi.ServiceDeploymentStatusStopRequested
	}
	err := s.changeDeployment(ctx, *in.ServiceDeploymentArn, func(d *gantry.Deployment) error {
		switch d.Status {
		case ecsapi.ServiceDeploymentStatusPending, ecsapi.ServiceDeploymentStatusInProgress:
		case ecsapi.ServiceDeploymentStatusRollbackInProgress:
			if next == ecsapi.ServiceDeploymentStatusRollbackRequested {
				return s.conflict(d, "The service deployment is being rolled back already.")
			}
		case next:
		default:
			return s.conflict(d, "The service deployment cannot be stopped: its status is "+string(d.Status)+".")
		}
		d.Status = next
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &ecsapi.StopServiceDeploymentOutput{ServiceDeploymentArn: in.ServiceDeploymentArn}, nil
}

func (s *Service) conflict(d *gantry.Deployment, message string) error {
	return ecsapi.NewConflictException(message, []string{string(s.cfg.Place.ServiceDeployment(d))})
}

// continueServiceDeployment lets a deployment go on that waits at a PAUSE hook, or has
// it rolled back.
func (s *Service) continueServiceDeployment(ctx context.Context, in *ecsapi.ContinueServiceDeploymentInput) (*ecsapi.ContinueServiceDeploymentOutput, error) {
	next := ecsapi.DeploymentLifecycleHookStatusSucceeded
	if in.Action == ecsapi.DeploymentLifecycleHookActionRollback {
		next = ecsapi.DeploymentLifecycleHookStatusFailed
	}
	err := s.changeDeployment(ctx, *in.ServiceDeploymentArn, func(d *gantry.Deployment) error {
		i := slices.IndexFunc(d.Hooks, func(h gantry.Hook) bool { return h.ID == *in.HookId })
		if i < 0 {
			return invalid("The service deployment has not come to a hook with the hookId %s.", *in.HookId)
		}
		if have := d.Hooks[i].Status; have != ecsapi.DeploymentLifecycleHookStatusAwaitingAction || d.Over() {
			return invalid("The hook %s does not wait for an action: its status is %s, and the deployment's %s.", *in.HookId, have, d.Status)
		}
		d.Hooks[i].Status = next
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &ecsapi.ContinueServiceDeploymentOutput{ServiceDeploymentArn: in.ServiceDeploymentArn}, nil
}

// changeDeployment changes the deployment that an ARN names.
func (s *Service) changeDeployment(ctx context.Context, text string, change func(*gantry.Deployment) error) error {
	arn, err := s.ownARN(text, "service-deployment")
	if err != nil {
		return err
	}
	_, err = s.store.Update(ctx, func(tx *store.Tx) error {
		d, _ := findDeployment(tx, arn.Path)
		if d == nil {
			return ecsapi.NewServiceDeploymentNotFoundException("The service deployment was not found.")
		}
		next := d.Clone()
		if err := change(next); err != nil {
			return err
		}
		next.UpdatedAt = s.now()
		store.Deployments.Put(tx, next)
		return nil
	})
	return err
}
