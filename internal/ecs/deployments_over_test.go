package ecs

import (
	"testing"
	"time"

	"gantry"
	"gantry/internal/store"
	"gantry/internal/wire/ecsapi"
)

// TestStopWhileItIsRolledBack: to go back is asked for already; to end where it stands can be asked for.
func TestStopWhileItIsRolledBack(t *testing.T) {
	w := serving(t)
	w.tick(time.Second)
	w.change(func(in *ecsapi.UpdateServiceInput) { in.ForceNewDeployment = new(true) })
	arn := w.newest()
	if _, err := w.store.Update(w.ctx, func(tx *store.Tx) error {
		sv, _ := store.Services.Get(tx, "prod/web")
		return store.Deployments.Change(tx, sv.Key()+"/"+string(sv.Deployment), func(d *gantry.Deployment) error {
			d.Status = ecsapi.ServiceDeploymentStatusRollbackInProgress
			return nil
		})
	}); err != nil {
		t.Fatal(err)
	}
	stop := func(how ecsapi.StopServiceDeploymentStopType) error {
		return call(w, w.ops.StopServiceDeployment, &ecsapi.StopServiceDeploymentInput{ServiceDeploymentArn: &arn, StopType: how})()
	}
	w.wantRefusal(stop(ecsapi.StopServiceDeploymentStopTypeRollback), "ConflictException: The service deployment is being rolled back already.")
	if err := stop(ecsapi.StopServiceDeploymentStopTypeAbort); err != nil {
		t.Error(err)
	}
	if d := w.deployment(arn); d.Status != ecsapi.ServiceDeploymentStatusStopRequested {
		t.Errorf("asked for: %s", d.Status)
	}
}

// TestContinueWhatIsOver: a hook at which its deployment waited has failed once that is over, and has nothing to let go on.
func TestContinueWhatIsOver(t *testing.T) {
	w := serving(t)
	w.tick(time.Second)
	w.change(func(in *ecsapi.UpdateServiceInput) {
		in.ForceNewDeployment = new(true)
		in.DeploymentConfiguration = &ecsapi.DeploymentConfiguration{Strategy: ecsapi.DeploymentStrategyBlueGreen, LifecycleHooks: []ecsapi.DeploymentLifecycleHook{{
			TargetType: ecsapi.DeploymentLifecycleHookTargetTypePause, LifecycleStages: []ecsapi.DeploymentLifecycleHookStage{ecsapi.DeploymentLifecycleHookStagePostScaleUp}}}}
	})
	arn := w.newest()
	w.settle("prod/web")
	hook := *w.deployment(arn).LifecycleHookDetails[0].HookId
	must(w, w.ops.StopServiceDeployment, &ecsapi.StopServiceDeploymentInput{ServiceDeploymentArn: &arn})
	w.settle("prod/web")
	w.wantRefusal(call(w, w.ops.ContinueServiceDeployment, &ecsapi.ContinueServiceDeploymentInput{ServiceDeploymentArn: &arn, HookId: &hook})(),
		"InvalidParameterException: The hook "+hook+" does not wait for an action: its status is FAILED, and the deployment's ROLLBACK_SUCCESSFUL.")
}

// TestManyDeployments: twenty on a page unless more are asked for.
func TestManyDeployments(t *testing.T) {
	w := serving(t)
	for range 21 {
		w.change(func(in *ecsapi.UpdateServiceInput) { in.ForceNewDeployment = new(true) })
	}
	in := &ecsapi.ListServiceDeploymentsInput{Cluster: new("prod"), Service: new("web")}
	out := must(w, w.ops.ListServiceDeployments, in)
	in.NextToken = out.NextToken
	if rest := must(w, w.ops.ListServiceDeployments, in); len(out.ServiceDeployments) != 20 || len(rest.ServiceDeployments) != 2 || rest.NextToken != nil {
		t.Errorf("pages of %d and %d", len(out.ServiceDeployments), len(rest.ServiceDeployments))
	}
	in.NextToken, in.MaxResults = nil, new(int32(100))
	if all := must(w, w.ops.ListServiceDeployments, in); len(all.ServiceDeployments) != 22 {
		t.Errorf("%d in all", len(all.ServiceDeployments))
	}
}
