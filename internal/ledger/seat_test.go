package ledger

import (
	"errors"
	"testing"

	"gantry"
	"gantry/internal/store"
	"gantry/internal/wire/ecsapi"
)

// provide makes a capacity provider of the group "<name>-group", with one instance.
func (w *world) provide(name string, cpu int64) {
	w.t.Helper()
	w.join(gantry.InstanceID("of-"+name), ecsapi.LaunchTypeEc2, cpu)
	w.update(func(tx *store.Tx) error {
		store.CapacityProviders.Put(tx, &gantry.CapacityProvider{Name: name, Status: ecsapi.CapacityProviderStatusActive,
			Group: &ecsapi.AutoScalingGroupProvider{AutoScalingGroupArn: new("arn:aws:autoscaling:r:1:autoScalingGroup:x:autoScalingGroupName/" + name + "-group")}})
		if err := store.Clusters.Change(tx, "prod", func(c *gantry.Cluster) error { c.CapacityProviders = append(c.CapacityProviders, name); return nil }); err != nil {
			return err
		}
		return store.Instances.Change(tx, "prod/of-"+name, func(i *gantry.Instance) error {
			i.Attributes = append(i.Attributes, ecsapi.Attribute{Name: new(gantry.AttributeGroup), Value: new(name + "-group")})
			return nil
		})
	})
}

// Tasks go to the instances of their providers; those without room are written, and wait.
func TestTasksOfProvidersWaitForRoom(t *testing.T) {
	w := newWorld(t)
	w.provide("a", 300)
	w.provide("b", 300)
	w.join("nobodys", ecsapi.LaunchTypeEc2, 3000)
	b := w.batch(4)
	b.Providers, b.Waits = []string{"a", "b", "a", "b"}, true
	var got []string
	for _, task := range w.launch(b).Tasks {
		got = append(got, task.CapacityProvider+" "+string(task.Instance)+" "+string(task.LastStatus))
	}
	want := []string{"a of-a PENDING", "b of-b PENDING", "a  PROVISIONING", "b  PROVISIONING"}
	for i := range want {
		if len(got) != len(want) || got[i] != want[i] {
			t.Fatalf("launched %q, want %q", got, want)
		}
	}
	if taken := 300 - w.free("of-a"); taken != 256 {
		t.Errorf("of-a has given %d", taken)
	}
}

// Who may wait gets in line behind those who do; who may not takes what is there.
func TestGettingInLine(t *testing.T) {
	w := newWorld(t)
	b := w.batch(1)
	b.Waits = true
	first := w.launch(b).Tasks[0]
	w.join("i1", ecsapi.LaunchTypeEc2, 1024)
	b = w.batch(1)
	b.Waits = true
	if late := w.launch(b).Tasks[0]; late.LastStatus != gantry.Provisioning {
		t.Errorf("went before who waits: %+v", late)
	}
	if other := w.launch(w.batch(1)).Tasks[0]; other.Instance != "i1" {
		t.Errorf("one that may not wait: %+v", other)
	}
	w.update(func(tx *store.Tx) error {
		store.Definitions.Put(tx, b.Definition)
		return nil
	})
	gone := *first
	gone.ID = "gone"
	n, refusal, err := w.l.Seat(t.Context(), []*gantry.Task{&gone, first}, 1)
	if err != nil || n != 1 || refusal != nil {
		t.Fatalf("seated %d, %v, %v", n, refusal, err)
	}
	got, _ := store.Tasks.Get(w.db.View(), first.Key())
	if got.LastStatus != gantry.Pending || got.Instance != "i1" || got.Version != first.Version+1 {
		t.Errorf("seated %+v", got)
	}
	if n, _, err := w.l.Seat(t.Context(), []*gantry.Task{first}, 1); n != 0 || err != nil {
		t.Errorf("seated twice: %d, %v", n, err)
	}
	if taken := 1024 - w.free("i1"); taken != 512 {
		t.Errorf("%d CPU units are taken, of two tasks of 256", taken)
	}
}

func TestProviderThatWentMeanwhile(t *testing.T) {
	w := newWorld(t)
	b := w.batch(1)
	b.Providers, b.Waits = []string{"a"}, true
	if _, err := w.l.Launch(t.Context(), b); !errors.Is(err, ErrNotAssociated) {
		t.Errorf("launched with %v", err)
	}
}

// Asking whether a batch fits launches nothing and keeps no place.
func TestFits(t *testing.T) {
	w := newWorld(t)
	w.provide("a", 300)
	for range 5 {
		if fits, err := w.l.Fits(w.batch(1)); !fits || err != nil {
			t.Fatalf("one task fits: %v, %v", fits, err)
		}
	}
	b := w.batch(1)
	b.Providers = []string{"a"}
	if fits, err := w.l.Fits(b); !fits || err != nil {
		t.Errorf("one task of a fits: %v, %v", fits, err)
	}
	w.launch(w.batch(1))
	if fits, err := w.l.Fits(b); fits || err != nil {
		t.Errorf("where 256 of 300 are taken it fits: %v, %v", fits, err)
	}
}
