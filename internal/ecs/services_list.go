package ecs

import (
	"context"
	"encoding/json"
	"slices"

	"gantry"
	"gantry/internal/store"
	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"
)

// maxServicesPage is what ListServices answers by default, as on AWS.
const maxServicesPage = 10

func (s *Service) describeServices(ctx context.Context, in *ecsapi.DescribeServicesInput) (*ecsapi.DescribeServicesOutput, error) {
	snap, c, err := s.freshCluster(ctx, in.Cluster)
	if err != nil {
		return nil, err
	}
	tags := slices.Contains(in.Include, ecsapi.ServiceFieldTags)
	out := &ecsapi.DescribeServicesOutput{EncodedServices: make([]json.RawMessage, 0, len(in.Services)), Failures: []ecsapi.Failure{}}
	for _, ref := range in.Services {
		name, err := s.serviceName(c.Name, ref)
		if err != nil {
			return nil, err
		}
		if found, ok := store.Services.Get(snap, string(c.Name)+"/"+string(name)); ok {
			raw, err := s.encodedService(snap, found, tags)
			if err != nil {
				return nil, err
			}
			out.EncodedServices = append(out.EncodedServices, raw)
		} else {
			out.Failures = append(out.Failures, missing(s.cfg.Place.Service(c.Name, string(name))))
		}
	}
	return out, nil
}

func (s *Service) listServices(ctx context.Context, in *ecsapi.ListServicesInput) (*ecsapi.ListServicesOutput, error) {
	filters := *in
	filters.NextToken, filters.MaxResults = nil, nil
	p, err := newPage("ListServices", in.NextToken, in.MaxResults, maxPage, filters)
	if err != nil {
		return nil, err
	}
	if in.MaxResults == nil {
		p.limit = maxServicesPage
	}
	snap, c, err := s.freshCluster(ctx, in.Cluster)
	if err != nil {
		return nil, err
	}
	out := &ecsapi.ListServicesOutput{ServiceArns: []string{}}
	last := ""
	for sv := range store.Services.After(snap, string(c.Name)+"/", p.after) {
		if !serviceListed(snap, sv, in) {
			continue
		}
		if len(out.ServiceArns) == p.limit {
			out.NextToken = new(p.token(last))
			break
		}
		out.ServiceArns = append(out.ServiceArns, string(s.cfg.Place.Service(c.Name, string(sv.Name))))
		last = sv.Key()
	}
	return out, nil
}

// listServicesByNamespace knows no namespace: there is nothing yet that makes one.
func (s *Service) listServicesByNamespace(_ context.Context, in *ecsapi.ListServicesByNamespaceInput) (*ecsapi.ListServicesByNamespaceOutput, error) {
	return nil, ecsapi.NewNamespaceNotFoundException("The namespace " + wire.Shorten(*in.Namespace) + " was not found.")
}

// serviceListed reports whether a service passes the filters; only ACTIVE ones do.
func serviceListed(r store.Reader, sv *gantry.Service, in *ecsapi.ListServicesInput) bool {
	return sv.Status == gantry.ServiceActive &&
		(in.SchedulingStrategy == "" || sv.Scheduling == in.SchedulingStrategy) &&
		(in.ResourceManagementType == "" || in.ResourceManagementType == ecsapi.ResourceManagementTypeCustomer) &&
		(in.LaunchType == "" || launchTypeOf(r, sv) == in.LaunchType)
}

// launchTypeOf is the launch type of the revision that a service is to have.
func launchTypeOf(r store.Reader, sv *gantry.Service) ecsapi.LaunchType {
	d := newestDeployment(r, sv)
	if d == nil {
		return ""
	}
	if revision := serviceRevision(r, sv, d.Target.Revision); revision != nil {
		return launchShown(revision)
	}
	return ""
}
