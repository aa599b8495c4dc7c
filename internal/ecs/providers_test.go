package ecs

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gantry"
	"gantry/internal/store"
	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"
)

func asg(name string) string {
	return "arn:aws:autoscaling:us-east-1:123456789012:autoScalingGroup:57ffcb94-11f0-4d6d-bf60-3bac5EXAMPLE:autoScalingGroupName/" + name
}

// provide makes a capacity provider of the Auto Scaling group "<name>-group".
func (w *world) provide(name string, change ...func(*ecsapi.AutoScalingGroupProvider)) *ecsapi.CapacityProvider {
	w.t.Helper()
	group := &ecsapi.AutoScalingGroupProvider{AutoScalingGroupArn: new(asg(name + "-group"))}
	for _, f := range change {
		f(group)
	}
	return must(w, w.ops.CreateCapacityProvider, &ecsapi.CreateCapacityProviderInput{Name: new(name), AutoScalingGroupProvider: group}).CapacityProvider
}

// item is one of a strategy: "A", "A 1" with a weight, "A 1+2" with a base of 2 too.
func item(text string) ecsapi.CapacityProviderStrategyItem {
	var weight, base int32
	name, rest, _ := strings.Cut(text, " ")
	fmt.Sscanf(rest, "%d+%d", &weight, &base)
	return ecsapi.CapacityProviderStrategyItem{CapacityProvider: new(name), Weight: new(weight), Base: new(base)}
}

func items(texts ...string) []ecsapi.CapacityProviderStrategyItem {
	out := []ecsapi.CapacityProviderStrategyItem{}
	for _, text := range texts {
		out = append(out, item(text))
	}
	return out
}

// associate makes a cluster with capacity providers and a default strategy.
func (w *world) associate(cluster string, providers []string, strategy ...string) *ecsapi.Cluster {
	w.t.Helper()
	w.makeCluster(cluster)
	return must(w, w.ops.PutClusterCapacityProviders, &ecsapi.PutClusterCapacityProvidersInput{
		Cluster: new(cluster), CapacityProviders: providers, DefaultCapacityProviderStrategy: items(strategy...),
	}).Cluster
}

func TestProviderIsAnsweredWithDefaults(t *testing.T) {
	w := newWorld(t)
	got := w.provide("plain")
	want := &ecsapi.CapacityProvider{
		CapacityProviderArn: new("arn:aws:ecs:us-east-1:123456789012:capacity-provider/plain"), Name: new("plain"),
		Status: "ACTIVE", UpdateStatus: "CREATE_COMPLETE", Type: "EC2_AUTOSCALING", Tags: []ecsapi.Tag{},
		AutoScalingGroupProvider: &ecsapi.AutoScalingGroupProvider{
			AutoScalingGroupArn: new(asg("plain-group")), ManagedScaling: &ecsapi.ManagedScaling{Status: "DISABLED"},
			ManagedTerminationProtection: "DISABLED", ManagedDraining: "ENABLED",
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("plain (-want +got)\n%s", diff)
	}
	got = w.provide("scaled", func(g *ecsapi.AutoScalingGroupProvider) {
		g.ManagedScaling = &ecsapi.ManagedScaling{Status: "ENABLED", TargetCapacity: new(int32(80))}
		g.ManagedTerminationProtection, g.ManagedDraining = "ENABLED", "DISABLED"
	})
	scaling := &ecsapi.ManagedScaling{Status: "ENABLED", TargetCapacity: new(int32(80)), MinimumScalingStepSize: new(int32(1)), MaximumScalingStepSize: new(int32(10000)), InstanceWarmupPeriod: new(int32(300))}
	if diff := cmp.Diff(scaling, got.AutoScalingGroupProvider.ManagedScaling); diff != "" {
		t.Errorf("scaled (-want +got)\n%s", diff)
	}
	// An update keeps what it does not name.
	updated := must(w, w.ops.UpdateCapacityProvider, &ecsapi.UpdateCapacityProviderInput{Name: new("scaled"), AutoScalingGroupProvider: &ecsapi.AutoScalingGroupProviderUpdate{
		ManagedScaling: &ecsapi.ManagedScaling{TargetCapacity: new(int32(90))}}}).CapacityProvider
	scaling.TargetCapacity = new(int32(90))
	if diff := cmp.Diff(scaling, updated.AutoScalingGroupProvider.ManagedScaling); diff != "" || updated.UpdateStatus != "UPDATE_COMPLETE" ||
		updated.AutoScalingGroupProvider.ManagedTerminationProtection != "ENABLED" {
		t.Errorf("updated: %s, %+v (-want +got)\n%s", updated.UpdateStatus, updated.AutoScalingGroupProvider, diff)
	}
}

func TestDescribeProviders(t *testing.T) {
	w := newWorld(t)
	var want []string
	for i := range 11 {
		name := fmt.Sprintf("p%02d", i)
		w.provide(name)
		want = append(want, name)
	}
	want = append([]string{"FARGATE", "FARGATE_SPOT"}, want...)
	var got []string
	in := &ecsapi.DescribeCapacityProvidersInput{}
	for pages := 1; ; pages++ {
		out := must(w, w.ops.DescribeCapacityProviders, in)
		for _, p := range out.CapacityProviders {
			got = append(got, *p.Name)
		}
		if in.NextToken = out.NextToken; in.NextToken == nil {
			if pages != 2 {
				t.Errorf("%d pages", pages)
			}
			break
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("all (-want +got)\n%s", diff)
	}
	w.associate("prod", []string{"p03", "FARGATE"})
	out := must(w, w.ops.DescribeCapacityProviders, &ecsapi.DescribeCapacityProvidersInput{Cluster: new("prod")})
	if len(out.CapacityProviders) != 2 {
		t.Errorf("of prod: %+v", out.CapacityProviders)
	}
	must(w, w.ops.TagResource, &ecsapi.TagResourceInput{ResourceArn: new("arn:aws:ecs:us-east-1:123456789012:capacity-provider/p03"), Tags: []ecsapi.Tag{{Key: new("a"), Value: new("b")}}})
	out = must(w, w.ops.DescribeCapacityProviders, &ecsapi.DescribeCapacityProvidersInput{
		CapacityProviders: []string{"arn:aws:ecs:us-east-1:123456789012:capacity-provider/p03", "nope"}, Include: []ecsapi.CapacityProviderField{"TAGS"},
	})
	if len(out.CapacityProviders) != 1 || len(out.CapacityProviders[0].Tags) != 1 || len(out.Failures) != 1 || *out.Failures[0].Reason != "MISSING" {
		t.Errorf("named: %+v", out)
	}
}

// A provider that a cluster has stays, and says why; then it goes, and is there to be
// described by name.
func TestDeleteProvider(t *testing.T) {
	w := newWorld(t)
	w.provide("spot")
	w.associate("prod", []string{"spot"})
	out := must(w, w.ops.DeleteCapacityProvider, &ecsapi.DeleteCapacityProviderInput{CapacityProvider: new("spot")}).CapacityProvider
	if out.Status != "ACTIVE" || out.UpdateStatus != "DELETE_FAILED" || *out.UpdateStatusReason !=
		"The capacity provider cannot be deleted because it is associated with cluster: prod. Remove the capacity provider from the cluster and try again." {
		t.Errorf("associated: %+v", out)
	}
	must(w, w.ops.PutClusterCapacityProviders, &ecsapi.PutClusterCapacityProvidersInput{Cluster: new("prod"), CapacityProviders: []string{}, DefaultCapacityProviderStrategy: items()})
	out = must(w, w.ops.DeleteCapacityProvider, &ecsapi.DeleteCapacityProviderInput{CapacityProvider: new("arn:aws:ecs:us-east-1:123456789012:capacity-provider/spot")}).CapacityProvider
	if out.Status != "INACTIVE" || out.UpdateStatus != "DELETE_COMPLETE" || out.UpdateStatusReason != nil {
		t.Errorf("deleted: %+v", out)
	}
	if all := must(w, w.ops.DescribeCapacityProviders, &ecsapi.DescribeCapacityProvidersInput{}); len(all.CapacityProviders) != 2 {
		t.Errorf("%d are listed", len(all.CapacityProviders))
	}
	if one := must(w, w.ops.DescribeCapacityProviders, &ecsapi.DescribeCapacityProvidersInput{CapacityProviders: []string{"spot"}}); one.CapacityProviders[0].Status != "INACTIVE" {
		t.Errorf("by name: %+v", one)
	}
	w.provide("spot") // its name and group are free again
}

func TestClusterProvidersAreReplaced(t *testing.T) {
	w := newWorld(t)
	w.provide("a")
	w.provide("b")
	c := w.associate("prod", []string{"a", "b"}, "a 1", "b 3")
	if diff := cmp.Diff(items("a 1", "b 3"), c.DefaultCapacityProviderStrategy); diff != "" || wire.Value(c.AttachmentsStatus) != "UPDATE_COMPLETE" || c.Attachments == nil {
		t.Errorf("%+v (-want +got)\n%s", c, diff)
	}
	w.update(func(tx *store.Tx) error {
		store.Tasks.Put(tx, &gantry.Task{ID: "t", Cluster: "prod", CapacityProvider: "b", LastStatus: gantry.Running, DesiredStatus: gantry.Running})
		return nil
	})
	replace := func(providers ...string) error {
		_, err := do(w, w.ops.PutClusterCapacityProviders, &ecsapi.PutClusterCapacityProvidersInput{Cluster: new("prod"), CapacityProviders: append([]string{}, providers...), DefaultCapacityProviderStrategy: items()})
		return err
	}
	w.wantRefusal(replace("a"), "ResourceInUseException: The specified capacity provider is in use and cannot be removed.")
	if err := replace("b"); err != nil {
		t.Errorf("one that nothing uses: %v", err)
	}
	w.update(func(tx *store.Tx) error {
		return store.Tasks.Change(tx, "prod/t", func(t *gantry.Task) error { t.LastStatus, t.StoppedAt = gantry.Stopped, time.Now(); return nil })
	})
	if err := replace(); err != nil {
		t.Errorf("after its task ended: %v", err)
	}
	made := must(w, w.ops.CreateCluster, &ecsapi.CreateClusterInput{ClusterName: new("new"), CapacityProviders: []string{"a", "FARGATE"}, DefaultCapacityProviderStrategy: items("a 0+1")})
	if diff := cmp.Diff(items("a 0+1"), made.Cluster.DefaultCapacityProviderStrategy); diff != "" {
		t.Errorf("a new cluster (-want +got)\n%s", diff)
	}
}

// An instance belongs to the provider of its cluster whose group it names.
func TestInstanceNamesItsGroup(t *testing.T) {
	w := newWorld(t)
	w.provide("a")
	w.provide("b")
	w.associate("prod", []string{"a"})
	group := func(name string) ecsapi.Attribute {
		return ecsapi.Attribute{Name: new(gantry.AttributeGroup), Value: new(name)}
	}
	of := func(id gantry.InstanceID) string {
		out := must(w, w.ops.DescribeContainerInstances, &ecsapi.DescribeContainerInstancesInput{Cluster: new("prod"), ContainerInstances: []string{string(id)}})
		return wire.Value(out.ContainerInstances[0].CapacityProviderName)
	}
	mine, other, none := w.join("prod", 1, 1, group("a-group")), w.join("prod", 1, 1, group("b-group")), w.join("prod", 1, 1)
	if a, b, c := of(mine), of(other), of(none); a != "a" || b != "" || c != "" {
		t.Errorf("belong to %q, %q and %q", a, b, c)
	}
	put := group("a-group")
	put.TargetId, put.TargetType = new(string(none)), ecsapi.TargetTypeContainerInstance
	must(w, w.ops.PutAttributes, &ecsapi.PutAttributesInput{Cluster: new("prod"), Attributes: []ecsapi.Attribute{put}})
	if got := of(none); got != "a" {
		t.Errorf("with the attribute put: %q", got)
	}
}

func TestProviderRefusals(t *testing.T) {
	w := newWorld(t)
	w.provide("a")
	w.provide("b")
	w.associate("prod", []string{"a", "b", "FARGATE"})
	create := func(name string, change func(*ecsapi.CreateCapacityProviderInput)) func() error {
		in := &ecsapi.CreateCapacityProviderInput{Name: new(name), AutoScalingGroupProvider: &ecsapi.AutoScalingGroupProvider{AutoScalingGroupArn: new(asg("new"))}}
		if change != nil {
			change(in)
		}
		return call(w, w.ops.CreateCapacityProvider, in)
	}
	put := func(providers []string, strategy ...string) func() error {
		return call(w, w.ops.PutClusterCapacityProviders, &ecsapi.PutClusterCapacityProvidersInput{Cluster: new("prod"), CapacityProviders: providers, DefaultCapacityProviderStrategy: items(strategy...)})
	}
	const badName = `ClientException: The specified capacity provider name is invalid. Up to 255 characters are allowed, including letters (upper and lowercase), numbers, underscores (_), and hyphens (-). The name cannot be prefixed with "aws", "ecs", or "fargate". Specify a valid name and try again.`
	for _, tt := range []struct {
		name string
		call func() error
		want string
	}{
		{"twice", create("a", nil), "ClientException: The specified capacity provider already exists. To change the configuration of an existing capacity provider, update the capacity provider."},
		{"a group twice", create("c", func(in *ecsapi.CreateCapacityProviderInput) {
			in.AutoScalingGroupProvider.AutoScalingGroupArn = new(asg("a-group"))
		}), "ClientException: The specified Auto Scaling group ARN is already being used by another capacity provider. Specify a unique Auto Scaling group ARN and try again."},
		{"name", create("a b", nil), badName}, {"name of AWS", create("Fargate2", nil), badName},
		{"nothing", create("c", func(in *ecsapi.CreateCapacityProviderInput) { in.AutoScalingGroupProvider = nil }), "InvalidParameterException: The autoScalingGroupProvider is required."},
		{"a name for an ARN", create("c", func(in *ecsapi.CreateCapacityProviderInput) {
			in.AutoScalingGroupProvider.AutoScalingGroupArn = new("MyASG")
		}), "InvalidParameterException: The specified Auto Scaling group ARN is invalid: MyASG. It reads arn:aws:autoscaling:<region>:<account>:autoScalingGroup:<id>:autoScalingGroupName/<name>, …"},
		{"protection alone", create("c", func(in *ecsapi.CreateCapacityProviderInput) {
			in.AutoScalingGroupProvider.ManagedTerminationProtection = "ENABLED"
		}), "ClientException: The managed termination protection setting for the capacity provider is invalid. To enable managed termination protection for a capacity provider, managed scaling must be enabled."},
		{"steps", create("c", func(in *ecsapi.CreateCapacityProviderInput) {
			in.AutoScalingGroupProvider.ManagedScaling = &ecsapi.ManagedScaling{MinimumScalingStepSize: new(int32(5)), MaximumScalingStepSize: new(int32(4))}
		}), "InvalidParameterException: managedScaling.minimumScalingStepSize is 5, more than the maximumScalingStepSize of 4."},
		{"managed instances", create("c", func(in *ecsapi.CreateCapacityProviderInput) {
			in.ManagedInstancesProvider = &ecsapi.CreateManagedInstancesProviderConfiguration{InfrastructureRoleArn: new("r"), InstanceLaunchTemplate: &ecsapi.InstanceLaunchTemplate{
				Ec2InstanceProfileArn: new("p"), NetworkConfiguration: &ecsapi.ManagedInstancesNetworkConfiguration{Subnets: []string{"s"}}}}
		}), "UnsupportedFeatureException: A managedInstancesProvider is not offered by gantry: give an autoScalingGroupProvider."},
		{"update nobody", call(w, w.ops.UpdateCapacityProvider, &ecsapi.UpdateCapacityProviderInput{Name: new("c"), AutoScalingGroupProvider: &ecsapi.AutoScalingGroupProviderUpdate{}}),
			"InvalidParameterException: The specified capacity provider 'c' was not found."},
		{"delete Fargate", call(w, w.ops.DeleteCapacityProvider, &ecsapi.DeleteCapacityProviderInput{CapacityProvider: new("FARGATE")}),
			"ClientException: The specified capacity provider is reserved and cannot be changed: FARGATE."},

		{"associate a stranger", put([]string{"c"}), "InvalidParameterException: The specified capacity provider 'c' was not found."},
		{"associate twice", put([]string{"a", "a"}), "InvalidParameterException: The capacity provider 'a' is given twice."},
		{"strategy of others", put([]string{"a"}, "b 1"), "InvalidParameterException: The specified capacity provider strategy cannot contain a capacity provider that is not associated with the cluster. Associate the capacity provider with the cluster and try again: 'b'."},
		{"two bases", put([]string{"a", "b"}, "a 1+1", "b 1+1"), "InvalidParameterException: There are multiple capacity providers in the specified capacity provider strategy with a base value defined: 'a' and 'b'. Only one can have a base."},
		{"one twice", put([]string{"a"}, "a 1", "a 2"), "InvalidParameterException: The specified capacity provider strategy names the capacity provider 'a' twice."},
		{"a mix", put([]string{"a", "FARGATE"}, "a 1", "FARGATE 1"), "InvalidParameterException: A capacity provider strategy cannot contain a mix of capacity providers using Auto Scaling groups and Fargate providers. Specify one or the other and try again."},
		{"weight", put([]string{"a"}, "a 1001"), "InvalidParameterException: defaultCapacityProviderStrategy[0].weight …"},
		{"no such cluster", call(w, w.ops.PutClusterCapacityProviders, &ecsapi.PutClusterCapacityProvidersInput{Cluster: new("nope"), CapacityProviders: []string{}, DefaultCapacityProviderStrategy: items()}),
			"ClusterNotFoundException: Cluster not found."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w.t = t
			w.wantRefusal(tt.call(), tt.want)
		})
	}
}
