package ecs

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"gantry"
	"gantry/internal/store"
	"gantry/internal/wire/ecsapi"
)

// populated is a cluster "prod" of 1,000 instances with so many tasks running.
func populated(b *testing.B, tasks int) (*world, []string) {
	w := newWorld(b)
	w.cfg.NewID, w.Service.cfg.NewID = randomID, randomID
	w.makeCluster("prod")
	w.define("web", 1, 4, func(in *ecsapi.RegisterTaskDefinitionInput) {
		in.ContainerDefinitions[0].PortMappings = []ecsapi.PortMapping{{ContainerPort: new(int32(80))}}
	})
	const instances, batch = 1000, 100
	var ids []gantry.InstanceID
	for range instances {
		ids = append(ids, w.join("prod", 1<<20, 1<<20))
	}
	var arns []string
	for done := 0; done < tasks; done += batch {
		w.update(func(tx *store.Tx) error {
			for i := range batch {
				t := &gantry.Task{
					ID: gantry.TaskID(fmt.Sprintf("%032x", 1<<40+done+i)), Cluster: "prod", Definition: "web:1", Instance: ids[(done+i)%instances],
					LaunchType: ecsapi.LaunchTypeEc2, LastStatus: gantry.Running, DesiredStatus: gantry.Running, Version: 2, Group: "family:web",
					Containers: []gantry.Container{{Name: "web", ID: "00000000-0000-4000-8000-000000000000", LastStatus: gantry.Running, RuntimeID: strings.Repeat("a", 64)}},
					Reserved:   gantry.Resources{CPU: 1, Memory: 4}, CreatedAt: w.now(), StartedAt: w.now(),
				}
				store.Tasks.Put(tx, t)
				if done == 0 {
					arns = append(arns, string(testPlace.Task("prod", t.ID)))
				}
			}
			return nil
		})
	}
	return w, arns
}

func BenchmarkDescribeTasks100(b *testing.B) {
	for _, n := range []int{100, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			w, arns := populated(b, n)
			in := &ecsapi.DescribeTasksInput{Cluster: new("prod"), Tasks: arns}
			var buf []byte
			b.ReportAllocs()
			for b.Loop() {
				out, err := w.ops.DescribeTasks(w.ctx, in)
				if err != nil {
					b.Fatal(err)
				}
				if buf, err = out.AppendJSON(buf[:0]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkRunTask(b *testing.B) {
	for _, n := range []int{100, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			w, _ := populated(b, n)
			in := &ecsapi.RunTaskInput{Cluster: new("prod"), TaskDefinition: new("web")}
			started := time.Now()
			must(w, w.ops.RunTask, in) // the ledger reads the store once
			first := float64(time.Since(started).Microseconds()) / 1000
			b.ReportAllocs()
			b.SetParallelism(16)
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if out, err := w.ops.RunTask(w.ctx, in); err != nil || len(out.Tasks) != 1 {
						b.Error(out, err)
						return
					}
				}
			})
			b.ReportMetric(first, "ms-first")
		})
	}
}
