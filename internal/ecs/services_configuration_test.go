package ecs

import (
	"strings"
	"testing"

	"gantry/internal/store"
	"gantry/internal/wire/ecsapi"
)

// TestConfigure: what is absent in a request stays, and an empty list of hooks removes them.
func TestConfigure(t *testing.T) {
	have := configure(nil, &ecsapi.DeploymentConfiguration{
		Strategy: ecsapi.DeploymentStrategyBlueGreen, MinimumHealthyPercent: new(int32(50)), BakeTimeInMinutes: new(int32(3)),
		LifecycleHooks: make([]ecsapi.DeploymentLifecycleHook, 1),
	}, ecsapi.SchedulingStrategyReplica)
	for _, tt := range []struct {
		what  string
		given *ecsapi.DeploymentConfiguration
		hooks int
	}{
		{"nothing", nil, 1},
		{"no hooks are mentioned", &ecsapi.DeploymentConfiguration{MaximumPercent: new(int32(150))}, 1},
		{"two", &ecsapi.DeploymentConfiguration{LifecycleHooks: make([]ecsapi.DeploymentLifecycleHook, 2)}, 2},
		{"none", &ecsapi.DeploymentConfiguration{LifecycleHooks: []ecsapi.DeploymentLifecycleHook{}}, 0},
	} {
		got := configure(have, tt.given, ecsapi.SchedulingStrategyReplica)
		if len(got.LifecycleHooks) != tt.hooks || got.Strategy != ecsapi.DeploymentStrategyBlueGreen || *got.MinimumHealthyPercent != 50 || *got.BakeTimeInMinutes != 3 {
			t.Errorf("%s: %+v", tt.what, got)
		}
	}
}

// TestUpdatesAtOneMoment: deployments that begin within a millisecond are told apart, and in their order.
func TestUpdatesAtOneMoment(t *testing.T) {
	w := serving(t)
	for n := range 5 {
		w.change(func(in *ecsapi.UpdateServiceInput) { in.ForceNewDeployment = new(true) })
		row, _ := store.Services.Get(w.store.View(), "prod/web")
		id := newestDeployment(w.store.View(), row).Target.Revision.StartedBy()
		if now := *w.showOne("prod", "web").Deployments[0].Id; now != id {
			t.Errorf("update %d: the newest deployment is %s, and the PRIMARY one %s", n, id, now)
		}
		list := must(w, w.ops.ListServiceDeployments, &ecsapi.ListServiceDeploymentsInput{Cluster: new("prod"), Service: new("web")}).ServiceDeployments
		if newest := *list[0].TargetServiceRevisionArn; !strings.HasSuffix(newest, "/"+strings.TrimPrefix(id, "ecs-svc/")) {
			t.Errorf("update %d: the newest deployment is %s, and the first of the list %s", n, id, newest)
		}
	}
}
