package ecs

import (
	"context"
	"time"

	"gantry"
	"gantry/internal/store"
	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"
)

// For how long a task can be protected, in minutes; two hours unless the caller says otherwise.
const (
	minProtection     = 1
	maxProtection     = 2880
	defaultProtection = 120
)

// The reasons for which a task's protection is refused.
const (
	notValid          = "TASK_NOT_VALID"
	deploymentBlocked = "DEPLOYMENT_BLOCKED"
)

// updateTaskProtection protects tasks of services from scale-in and from deployments,
// or ends that. Protecting a task again starts its time anew. What cannot be protected
// is a failure, and the others are protected all the same.
func (s *Service) updateTaskProtection(ctx context.Context, in *ecsapi.UpdateTaskProtectionInput) (*ecsapi.UpdateTaskProtectionOutput, error) {
	minutes := int32(defaultProtection)
	if in.ExpiresInMinutes != nil {
		minutes = *in.ExpiresInMinutes
	}
	if minutes < minProtection || minutes > maxProtection {
		return nil, invalid("expiresInMinutes is %d; it has to be between %d and %d.", minutes, minProtection, maxProtection)
	}
	now, until := s.now(), time.Time{}
	if *in.ProtectionEnabled {
		until = now.Add(time.Duration(minutes) * time.Minute)
	}
	var out ecsapi.UpdateTaskProtectionOutput
	_, err := s.store.Update(ctx, func(tx *store.Tx) error {
		out = ecsapi.UpdateTaskProtectionOutput{ProtectedTasks: []ecsapi.ProtectedTask{}, Failures: []ecsapi.Failure{}}
		return s.eachProtectable(tx, in.Cluster, in.Tasks, &out.Failures, func(t *gantry.Task) {
			if !until.IsZero() && !now.Before(t.ProtectedUntil) && tooManyProtected(tx, t, now) {
				out.Failures = append(out.Failures, s.unprotectable(t, deploymentBlocked,
					"A deployment of service "+t.Group.Service()+" is under way, and as many of its tasks as are desired are protected already."))
				return
			}
			next := *t
			next.ProtectedUntil = until
			store.Tasks.Put(tx, &next)
			out.ProtectedTasks = append(out.ProtectedTasks, s.showProtection(&next, now))
		})
	})
	if err != nil {
		return nil, err
	}
	return &out, nil
}

func (s *Service) getTaskProtection(ctx context.Context, in *ecsapi.GetTaskProtectionInput) (*ecsapi.GetTaskProtectionOutput, error) {
	if len(in.Tasks) == 0 {
		return nil, invalid("Tasks cannot be empty.")
	}
	snap, err := s.fresh(ctx)
	if err != nil {
		return nil, err
	}
	out := &ecsapi.GetTaskProtectionOutput{ProtectedTasks: []ecsapi.ProtectedTask{}, Failures: []ecsapi.Failure{}}
	err = s.eachProtectable(snap, in.Cluster, in.Tasks, &out.Failures, func(t *gantry.Task) {
		out.ProtectedTasks = append(out.ProtectedTasks, s.showProtection(t, s.now()))
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// eachProtectable calls f with each of the tasks that a service started and that is to
// run on; the others are failures.
func (s *Service) eachProtectable(r store.Reader, cluster *string, refs []string, failures *[]ecsapi.Failure, f func(*gantry.Task)) error {
	c, err := s.cluster(r, cluster)
	if err != nil {
		return err
	}
	for _, ref := range refs {
		id, err := s.taskID(c.Name, ref)
		if err != nil {
			return err
		}
		t, ok := store.Tasks.Get(r, string(c.Name)+"/"+string(id))
		switch {
		case !ok:
			*failures = append(*failures, missing(s.cfg.Place.Task(c.Name, id)))
		case t.Revision() == "":
			*failures = append(*failures, s.unprotectable(t, notValid, "The task does not belong to a service."))
		case t.DesiredStatus == gantry.Stopped:
			*failures = append(*failures, s.unprotectable(t, notValid, "The task is stopped or stopping."))
		default:
			f(t)
		}
	}
	return nil
}

func (s *Service) unprotectable(t *gantry.Task, reason, detail string) ecsapi.Failure {
	return ecsapi.Failure{Arn: new(string(s.cfg.Place.Task(t.Cluster, t.ID))), Reason: new(reason), Detail: new(detail)}
}

// showProtection is a task's protection as ECS answers it: one that is over is none.
func (s *Service) showProtection(t *gantry.Task, now time.Time) ecsapi.ProtectedTask {
	out := ecsapi.ProtectedTask{TaskArn: new(string(s.cfg.Place.Task(t.Cluster, t.ID))), ProtectionEnabled: new(now.Before(t.ProtectedUntil))}
	if *out.ProtectionEnabled {
		out.ExpirationDate = wire.At(t.ProtectedUntil)
	}
	return out
}

// tooManyProtected reports whether one more protected task of t's service would keep
// the deployment under way from ever reaching the desired count.
func tooManyProtected(r store.Reader, t *gantry.Task, now time.Time) bool {
	service, ok := store.Services.Get(r, string(t.Cluster)+"/"+t.Group.Service())
	if !ok || service.Scheduling == ecsapi.SchedulingStrategyDaemon {
		return false
	}
	d, ok := store.Deployments.Get(r, service.Key()+"/"+string(service.Deployment))
	if !ok || d.Over() {
		return false
	}
	protected := 0
	for other := range store.TasksByGroup.All(r, string(t.Cluster)+"/"+string(t.Group)) {
		if other.Revision() != "" && other.DesiredStatus == gantry.Running && now.Before(other.ProtectedUntil) {
			protected++
		}
	}
	return protected >= service.DesiredCount
}
