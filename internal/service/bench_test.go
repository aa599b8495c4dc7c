package service

import (
	"fmt"
	"testing"
	"time"

	"gantry"
	"gantry/internal/wire/ecsapi"
)

// BenchmarkMakePlan is one look at a service of 10,000 tasks: at rest, and in the middle
// of a deployment.
func BenchmarkMakePlan(b *testing.B) {
	for _, state := range []string{"steady", "rolling"} {
		b.Run(state, func(b *testing.B) {
			w := newWorld()
			w.hosts["i1"] = &host{zone: "a", room: 1 << 20}
			w.service = &gantry.Service{Name: "web", Cluster: "prod", Status: gantry.ServiceActive, DesiredCount: 10_000}
			w.history = &gantry.ServiceHistory{Cluster: "prod", Service: "web"}
			w.deploy()
			for i := range w.service.DesiredCount {
				w.tasks = append(w.tasks, &gantry.Task{ID: gantry.TaskID(fmt.Sprint(i)), Instance: "i1", Group: "service:web", StartedBy: "ecs-svc/1",
					LastStatus: gantry.Running, DesiredStatus: gantry.Running, CreatedAt: w.now, StartedAt: w.now})
			}
			w.now = w.now.Add(time.Minute)
			w.apply(MakePlan(w.now, w.look(), w.set))
			if w.deployment().Status != ecsapi.ServiceDeploymentStatusSuccessful {
				b.Fatal(w.deployment().Status)
			}
			if state == "rolling" {
				w.deploy()
			}
			look := w.look()
			for b.Loop() {
				MakePlan(w.now, look, w.set)
			}
		})
	}
}
