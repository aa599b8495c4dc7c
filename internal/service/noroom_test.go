package service

import (
	"testing"
	"testing/synctest"
	"time"

	"gantry"
	"gantry/internal/store"
	"gantry/internal/wire/ecsapi"
)

// Where tasks of two revisions find no room, that is said, and nothing is written over and over.
func TestTwoRevisionsWithoutRoom(t *testing.T) {
	for _, strategy := range []ecsapi.DeploymentStrategy{ecsapi.DeploymentStrategyBlueGreen, ecsapi.DeploymentStrategyRolling} {
		t.Run(string(strategy), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, "i1")
				b.deploy("1", func(s *gantry.Service) { s.DesiredCount = 2 })
				b.after(time.Minute)
				b.write(func(tx *store.Tx) { // others take all the room, also that of the tasks that go
					store.Instances.Put(tx, &gantry.Instance{ID: "i1", Cluster: "prod", Status: ecsapi.ContainerInstanceStatusActive,
						LaunchType: ecsapi.LaunchTypeEc2, Registered: gantry.Resources{CPU: 4096, Memory: 5}})
				})
				b.deploy("2", func(s *gantry.Service) { s.Configuration = &ecsapi.DeploymentConfiguration{Strategy: strategy} })
				b.after(time.Second)
				b.write(func(tx *store.Tx) {
					for task := range store.Tasks.All(tx, "prod/") {
						next := *task
						next.DesiredStatus = gantry.Stopped
						store.Tasks.Put(tx, &next)
						break
					}
				})
				b.after(10 * time.Second)
				before := b.history().Version
				b.after(10 * time.Minute)
				if n := b.history().Version - before; n > 20 {
					t.Errorf("in ten minutes the history was written %d times", n)
				}
				b.want("1 of 1 RUNNING")
				if !b.told("was unable to place a task") {
					t.Errorf("it does not say so: %+v", b.history().Events)
				}
			})
		})
	}
}
