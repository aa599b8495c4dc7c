package ecs

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"gantry"
	"gantry/internal/store"
	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"
)

// TestDocumentedExceptions: testdata/documented.txt has every exception that AWS documents
// for the operations that are offered; each comes as it says. That it leaves none out is
// for the tests with the genuine CLI, which brings AWS's own list.
func TestDocumentedExceptions(t *testing.T) {
	w := newDocumentedWorld(t)
	table := map[string]wire.Operation{}
	for _, o := range w.ops.Table() {
		table[o.Name] = o
	}
	text, err := os.ReadFile("testdata/documented.txt")
	if err != nil {
		t.Fatal(err)
	}
	said := strings.NewReplacer("DEPLOYMENT", w.deployment, "INSTANCE", w.instance, "TAGS", manyTags(maxTags))
	var call, asked string
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		want, answer := strings.CutPrefix(line, "=> ")
		switch operation, rest, _ := strings.Cut(line, " "); {
		case line == "", strings.HasPrefix(line, "#"):
		case answer:
			t.Run(call+" "+strings.SplitN(want, ":", 2)[0], func(t *testing.T) {
				o, ok := table[call]
				if !ok || !o.Offered() {
					t.Fatal("it is not offered")
				}
				in := o.NewInput()
				if err := json.Unmarshal([]byte(said.Replace(asked)), in); err != nil {
					t.Fatal(err)
				}
				_, err := o.Call(w.ctx, in)
				w.t = t
				w.wantRefusal(err, want)
			})
		case strings.Contains(rest, "Exception never: "):
		default:
			call, asked = operation, rest
		}
	}
}

// A documentedWorld is what documented.txt says that there is.
type documentedWorld struct {
	*world
	deployment, instance string
}

func newDocumentedWorld(t *testing.T) *documentedWorld {
	w := &documentedWorld{world: newWorld(t)}
	for _, cluster := range []string{"prod", "old", "machines", "waiting"} {
		w.makeCluster(cluster)
	}
	must(w.world, w.ops.DeleteCluster, &ecsapi.DeleteClusterInput{Cluster: new("old")})
	must(w.world, w.ops.TagResource, &ecsapi.TagResourceInput{ResourceArn: new("arn:aws:ecs:us-east-1:123456789012:cluster/prod"), Tags: []ecsapi.Tag{{Key: new("first"), Value: new("")}}})
	w.define("web", 16, 16)
	w.define("awsvpc", 16, 16, func(in *ecsapi.RegisterTaskDefinitionInput) { in.NetworkMode = ecsapi.NetworkModeAwsvpc })
	const group = "asg"
	made := must(w.world, w.ops.CreateCapacityProvider, &ecsapi.CreateCapacityProviderInput{Name: new(group), AutoScalingGroupProvider: &ecsapi.AutoScalingGroupProvider{
		AutoScalingGroupArn: new("arn:aws:autoscaling:us-east-1:123456789012:autoScalingGroup:1:autoScalingGroupName/" + group)}})
	for at := 1; at < maxProviders; {
		w.update(func(tx *store.Tx) error {
			for range 37 { // 27 times
				store.CapacityProviders.Put(tx, &gantry.CapacityProvider{
					Name: fmt.Sprintf("other-%d", at), Status: ecsapi.CapacityProviderStatusActive,
					Group: &ecsapi.AutoScalingGroupProvider{AutoScalingGroupArn: new(fmt.Sprintf("%s-%d", *made.CapacityProvider.AutoScalingGroupProvider.AutoScalingGroupArn, at))},
				})
				at++
			}
			return nil
		})
	}
	must(w.world, w.ops.PutClusterCapacityProviders, &ecsapi.PutClusterCapacityProvidersInput{
		Cluster: new("prod"), CapacityProviders: []string{group}, DefaultCapacityProviderStrategy: []ecsapi.CapacityProviderStrategyItem{}})
	must(w.world, w.ops.PutClusterCapacityProviders, &ecsapi.PutClusterCapacityProvidersInput{
		Cluster: new("waiting"), CapacityProviders: []string{group}, DefaultCapacityProviderStrategy: items(group + " 1")})
	must(w.world, w.ops.RunTask, &ecsapi.RunTaskInput{Cluster: new("waiting"), TaskDefinition: new("web")})
	w.join("prod", 1024, 1024, ecsapi.Attribute{Name: new(gantry.AttributeGroup), Value: new(group)})
	w.instance = string(w.join("machines", 1024, 1024))
	for i := range 10 {
		must(w.world, w.ops.PutAttributes, &ecsapi.PutAttributesInput{Cluster: new("machines"), Attributes: []ecsapi.Attribute{
			{Name: new(fmt.Sprint("a", i)), TargetId: new(w.instance), TargetType: ecsapi.TargetTypeContainerInstance}}})
	}
	w.serve("prod", "web", "web", func(in *ecsapi.CreateServiceInput) { in.CapacityProviderStrategy = items(group + " 1") })
	w.settle("prod/web")
	w.deployment = w.newest()
	w.serve("prod", "gone", "web")
	w.settle("prod/gone")
	must(w.world, w.ops.DeleteService, &ecsapi.DeleteServiceInput{Cluster: new("prod"), Service: new("gone"), Force: new(true)})
	must(w.world, w.ops.CreateService, &ecsapi.CreateServiceInput{Cluster: new("prod"), ServiceName: new("sets"), DesiredCount: new(int32(1)),
		DeploymentController: &ecsapi.DeploymentController{Type: ecsapi.DeploymentControllerTypeExternal}})
	must(w.world, w.ops.RunTask, &ecsapi.RunTaskInput{Cluster: new("prod"), TaskDefinition: new("web"), ClientToken: new("used")})
	return w
}

// manyTags are so many tags as JSON, without the brackets.
func manyTags(n int) string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf(`{"key":"k%d","value":""}`, i))
	}
	return strings.Join(all, ",")
}
