package agent

import (
	"context"
	"errors"
	"net/http"

	"gantry/internal/agent/metadata"
	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"
)

// Protection asks ECS whether a task is protected from scale-in.
func (m Metadata) Protection(ctx context.Context, taskARN string) metadata.ProtectionAnswer {
	return m.protection(taskARN, func(a *Agent) (protected []ecsapi.ProtectedTask, failures []ecsapi.Failure, err error) {
		var out ecsapi.GetTaskProtectionOutput
		err = a.ecs.call(ctx, "GetTaskProtection", &ecsapi.GetTaskProtectionInput{Cluster: &a.cfg.Cluster, Tasks: []string{taskARN}}, &out)
		return out.ProtectedTasks, out.Failures, err
	})
}

// Protect has ECS protect a task from scale-in, or no longer.
func (m Metadata) Protect(ctx context.Context, taskARN string, enabled bool, minutes *int32) metadata.ProtectionAnswer {
	return m.protection(taskARN, func(a *Agent) (protected []ecsapi.ProtectedTask, failures []ecsapi.Failure, err error) {
		var out ecsapi.UpdateTaskProtectionOutput
		err = a.ecs.call(ctx, "UpdateTaskProtection", &ecsapi.UpdateTaskProtectionInput{
			Cluster: &a.cfg.Cluster, Tasks: []string{taskARN}, ProtectionEnabled: &enabled, ExpiresInMinutes: minutes,
		}, &out)
		return out.ProtectedTasks, out.Failures, err
	})
}

// protection puts what ECS answers the agent that has the task into the endpoint's words.
func (m Metadata) protection(taskARN string, ask func(*Agent) ([]ecsapi.ProtectedTask, []ecsapi.Failure, error)) metadata.ProtectionAnswer {
	for _, a := range m.Agents() {
		if _, ok := a.engine.Task(taskARN); !ok {
			continue
		}
		protected, failures, err := ask(a)
		switch {
		case err != nil:
			return protectionError(taskARN, err)
		case len(failures) == 1:
			f := failures[0]
			return metadata.ProtectionAnswer{Failure: &metadata.ProtectionFailure{ARN: wire.Value(f.Arn), Detail: f.Detail, Reason: wire.Value(f.Reason)}}
		case len(failures) == 0 && len(protected) == 1:
			p := protected[0]
			out := &metadata.Protection{TaskARN: wire.Value(p.TaskArn), ProtectionEnabled: wire.Value(p.ProtectionEnabled)}
			if p.ExpirationDate != nil {
				out.ExpirationDate = new(p.ExpirationDate.UTC())
			}
			return metadata.ProtectionAnswer{Protection: out}
		}
		return protectionError(taskARN, errors.New("Unexpected error occurred"))
	}
	return protectionError(taskARN, errors.New("The task is not known to the agent any more"))
}

// protectionError is why there is no answer: an exception of ECS, no answer in time, or something else.
func protectionError(taskARN string, err error) metadata.ProtectionAnswer {
	out := metadata.ProtectionAnswer{Error: &metadata.ProtectionError{ARN: taskARN, Code: "ServerException", Message: err.Error()}, Status: http.StatusInternalServerError}
	var refused *wire.Error
	switch {
	case errors.As(err, &refused) && refused.Code != "":
		out.RequestID, out.Error.Code, out.Error.Message, out.Status = refused.RequestID, refused.Code, refused.Message, refused.Status
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		out.Error.Code, out.Error.Message, out.Status = "RequestCanceled", "Timed out calling ECS Task Protection API", http.StatusGatewayTimeout
	}
	return out
}
