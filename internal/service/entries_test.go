package service

import (
	"context"
	"fmt"
	"testing"

	"gantry"
	"gantry/internal/store"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestTallyIsACount: what the index tells is what counting the tasks one by one gives,
// whatever else there is: other services, tasks without one, groups named alike.
func TestTallyIsACount(t *testing.T) {
	statuses := []gantry.TaskStatus{
		gantry.Provisioning, gantry.Pending, gantry.Activating, gantry.Running,
		gantry.Deactivating, gantry.Stopping, gantry.Deprovisioning, gantry.Stopped,
	}
	web := &gantry.Service{Name: "web", Cluster: "prod"}
	rapid.Check(t, func(t *rapid.T) {
		st, err := store.NewMemory().Open(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		var own []*gantry.Task
		if _, err := st.Update(context.Background(), func(tx *store.Tx) error {
			own = nil
			for i := range rapid.IntRange(0, 60).Draw(t, "tasks") {
				task := &gantry.Task{
					ID: gantry.TaskID(fmt.Sprint(i)), Cluster: "prod",
					Group:         rapid.SampledFrom([]gantry.Group{"service:web", "service:web", "service:web-2", "service:we", "web"}).Draw(t, "group"),
					StartedBy:     rapid.SampledFrom([]string{"ecs-svc/1", "ecs-svc/2", "me", ""}).Draw(t, "startedBy"),
					DesiredStatus: rapid.SampledFrom([]gantry.TaskStatus{gantry.Running, gantry.Stopped}).Draw(t, "desired"),
					LastStatus:    rapid.SampledFrom(statuses).Draw(t, "last"),
				}
				store.Tasks.Put(tx, task)
				if task.Group == "service:web" && task.Revision() != "" {
					own = append(own, task)
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tallied(own), TallyOf(st.View(), web)); diff != "" {
			t.Fatalf("counted one by one and by index (-want +got):\n%s", diff)
		}
	})
}
