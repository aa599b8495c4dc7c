package ecs

import (
	"testing"

	"gantry"
	"gantry/internal/store"
	"gantry/internal/wire/ecsapi"
)

// serve creates a service of two tasks.
func (w *world) serve(cluster, name, definition string, change ...func(*ecsapi.CreateServiceInput)) *ecsapi.Service {
	w.t.Helper()
	in := &ecsapi.CreateServiceInput{Cluster: new(cluster), ServiceName: new(name), TaskDefinition: new(definition), DesiredCount: new(int32(2))}
	for _, f := range change {
		f(in)
	}
	return must(w, w.ops.CreateService, in).Service
}

// serviceRow is a service as the store has it.
func (w *world) serviceRow(key string) *gantry.Service {
	w.t.Helper()
	sv, ok := store.Services.Get(w.store.View(), key)
	if !ok {
		w.t.Fatalf("there is no service %s", key)
	}
	return sv
}

// describeOne is a service as DescribeServices answers it.
func (w *world) describeOne(cluster, name string) ecsapi.Service {
	w.t.Helper()
	out := must(w, w.ops.DescribeServices, &ecsapi.DescribeServicesInput{Cluster: new(cluster), Services: []string{name}, Include: []ecsapi.ServiceField{ecsapi.ServiceFieldTags}})
	if len(out.Services) != 1 {
		w.t.Fatalf("describe %s: %d services, %d failures", name, len(out.Services), len(out.Failures))
	}
	return out.Services[0]
}

// TestCreateService: what is created is answered whole.
func TestCreateService(t *testing.T) {
	w := newWorld(t)
	w.makeCluster("prod")
	definition := w.define("web", 128, 64)
	got := w.serve("prod", "web", "web")
	if *got.ServiceArn != "arn:aws:ecs:us-east-1:123456789012:service/prod/web" || *got.TaskDefinition != definition ||
		*got.Status != "ACTIVE" || *got.DesiredCount != 2 || got.LaunchType != ecsapi.LaunchTypeEc2 {
		t.Errorf("created %+v", got)
	}
	if len(got.Deployments) != 1 || *got.Deployments[0].Status != "PRIMARY" || got.Deployments[0].RolloutState != ecsapi.DeploymentRolloutStateInProgress {
		t.Errorf("its deployments: %+v", got.Deployments)
	}
	if c := got.DeploymentConfiguration; *c.MinimumHealthyPercent != 100 || *c.MaximumPercent != 200 || c.Alarms == nil || c.DeploymentCircuitBreaker == nil {
		t.Errorf("its configuration: %+v", c)
	}
}
