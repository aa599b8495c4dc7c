package service

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"gantry"
	"gantry/internal/store"
	"gantry/internal/wire/ecsapi"
)

// TestProvidersOverTwoZones: tasks of two capacity providers are spread over the zones where their own has instances, by
// what the records of others say of those.
func TestProvidersOverTwoZones(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		join := func(id gantry.InstanceID, group, zone string) {
			b.write(func(tx *store.Tx) {
				store.Instances.Put(tx, &gantry.Instance{ID: id, Cluster: "prod", Status: ecsapi.ContainerInstanceStatusActive, LaunchType: ecsapi.LaunchTypeEc2,
					Registered: gantry.Resources{CPU: 4096, Memory: 1000},
					Attributes: []ecsapi.Attribute{{Name: new(gantry.AttributeZone), Value: &zone}, {Name: new(gantry.AttributeGroup), Value: &group}}})
				store.Connections.Put(tx, &gantry.Connection{Cluster: "prod", Instance: id, Connected: true})
			})
		}
		strategy := []ecsapi.CapacityProviderStrategyItem{
			{CapacityProvider: new("a"), Base: new(int32(0)), Weight: new(int32(1))},
			{CapacityProvider: new("b"), Base: new(int32(0)), Weight: new(int32(1))},
		}
		b.write(func(tx *store.Tx) {
			store.Clusters.Put(tx, &gantry.Cluster{Name: "prod", Status: gantry.Active, CapacityProviders: []string{"a", "b"}})
			for _, name := range []string{"a", "b"} {
				store.CapacityProviders.Put(tx, &gantry.CapacityProvider{Name: name, Status: ecsapi.CapacityProviderStatusActive,
					Group: &ecsapi.AutoScalingGroupProvider{AutoScalingGroupArn: new("arn:aws:autoscaling:r:1:autoScalingGroup:x:autoScalingGroupName/group/" + name)}})
			}
		})
		join("a1", "group/a", "eu-1a")
		join("b1", "group/b", "eu-1a")
		join("c1", "group", "eu-1c") // nobody's
		b.deploy("1", func(s *gantry.Service) {
			s.DesiredCount, s.Rebalancing, s.Providers = 6, ecsapi.AvailabilityZoneRebalancingEnabled, strategy
		})
		b.after(time.Minute)
		running := func() string {
			n := map[string]int{}
			for task := range store.Tasks.All(b.store.View(), "prod/") {
				if task.LastStatus == gantry.Running {
					n[task.CapacityProvider+" in "+task.Zone]++
				}
			}
			return counted(n)
		}
		if got := running(); got != "3 of a in eu-1a, 3 of b in eu-1a" {
			t.Fatalf("with one zone: %s", got)
		}
		join("b2", "group/b", "eu-1b")
		b.after(20 * time.Minute)
		if got := running(); got != "3 of a in eu-1a, 3 of b in eu-1b" {
			t.Errorf("with a second zone of b: %s", got)
		}
		if !b.told("is AZ balanced with 3 tasks in eu-1a, 3 tasks in eu-1b.") || b.told("is unable to place a task in eu-1c") {
			t.Error("the events are others")
		}
		h, _ := store.ServiceHistories.Get(b.store.View(), "prod/web")
		if e := h.Events[0]; e.Name != ProviderSteadyState || e.Message != "" || !slices.Equal(e.Providers, []string{"a", "b"}) {
			t.Errorf("the newest event is %+v", e)
		}
		// Tasks that wait are told of with the provider that has no room for them.
		join("a1", "none any more", "eu-1a")
		b.update(func(s *gantry.Service) { s.DesiredCount = 8 })
		b.after(5 * time.Second)
		h, _ = store.ServiceHistories.Get(b.store.View(), "prod/web")
		if i := slices.IndexFunc(h.Events, func(e gantry.ServiceEvent) bool { return e.Name == PlacementFailure }); i < 0 || !slices.Equal(h.Events[i].Providers, []string{"a"}) {
			t.Errorf("the events of those that wait are %+v", h.Events)
		}
	})
}
