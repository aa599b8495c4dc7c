package main

import (
	"context"
	"fmt"
	"time"

	"gantry"
	"gantry/internal/service"
	"gantry/internal/store"
	"gantry/internal/wire/ecsapi"
)

// deploy makes services that want so many tasks each.
func (s *server) deploy(d deploy) (any, error) {
	now := time.Now().UTC().Truncate(time.Millisecond)
	for i := range d.Services {
		name := gantry.ServiceName(fmt.Sprintf("web-%03d", i))
		revision := gantry.RevisionID(fmt.Sprintf("%019d", i+1))
		svc := &gantry.Service{
			Name: name, Cluster: cluster, Status: gantry.ServiceActive, Scheduling: ecsapi.SchedulingStrategyReplica,
			DesiredCount: d.Tasks, Deployment: gantry.DeploymentID(fmt.Sprintf("%021d", i+1)), CreatedAt: now,
		}
		deployment, _ := service.Begin(now, svc.Deployment, svc, revision, nil)
		if _, err := s.plane.Store.Update(context.Background(), func(tx *store.Tx) error {
			store.Services.Put(tx, svc)
			store.ServiceRevisions.Put(tx, &gantry.ServiceRevision{
				ID: revision, Cluster: cluster, Service: name, Definition: family + ":1", LaunchType: ecsapi.LaunchTypeEc2, CreatedAt: now,
			})
			store.Deployments.Put(tx, deployment)
			return nil
		}); err != nil {
			return nil, err
		}
	}
	return nil, nil
}
