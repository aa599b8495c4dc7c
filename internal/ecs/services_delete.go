package ecs

import (
	"context"

	"gantry"
	"gantry/internal/store"
	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"
)

// deleteService has a service's tasks stopped and then the service INACTIVE. Without
// force it has to be scaled to 0 and to be so. Deleting it again is no error until it is INACTIVE.
func (s *Service) deleteService(ctx context.Context, in *ecsapi.DeleteServiceInput) (*ecsapi.DeleteServiceOutput, error) {
	out, err := s.changeOne(ctx, in.Cluster, *in.Service, func(tx *store.Tx, c *gantry.Cluster, sv *gantry.Service) (*gantry.Service, error) {
		switch sv.Status {
		case gantry.ServiceDraining:
			return sv, nil // it is being deleted
		case gantry.ServiceInactive:
			return nil, serviceNotFound()
		}
		if !wire.Value(in.Force) && sv.Scheduling == ecsapi.SchedulingStrategyReplica {
			if sv.DesiredCount > 0 {
				return nil, invalid("The service cannot be stopped while it is scaled above 0.")
			}
			for t := range store.TasksByGroup.All(tx, string(c.Name)+"/"+string(gantry.ServiceGroup(string(sv.Name)))) {
				if t.LastStatus != gantry.Stopped && t.Revision() != "" {
					return nil, invalid("The service cannot be stopped while deployments are active.")
				}
			}
		}
		for range store.TaskSets.All(tx, sv.Key()+"/") {
			if !wire.Value(in.Force) {
				return nil, invalid("The service cannot be stopped while deployments are active.")
			}
		}
		next := *sv
		next.Status, next.DesiredCount = gantry.ServiceDraining, 0
		store.Services.Put(tx, &next)
		return &next, nil
	})
	if err != nil {
		return nil, err
	}
	return &ecsapi.DeleteServiceOutput{Service: out}, nil
}
