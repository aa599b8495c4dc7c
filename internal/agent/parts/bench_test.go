package parts

import (
	"fmt"
	"testing"
	"time"

	"gantry/internal/agent/runtime"
	"gantry/internal/wire/acsapi"
)

// BenchmarkLaunch is from a payload being sent to the control plane being told RUNNING, over loopback, of one container
// with a dynamic host port; beside it, the runtime alone creating and starting the same container without a network.
func BenchmarkLaunch(b *testing.B) {
	h := newHost(b)
	b.Run("runtime", func(b *testing.B) {
		must(b, h.machine.Runtime.CreateTaskCgroup(b.Context(), "bench", runtime.TaskLimits{}))
		n := 0
		for b.Loop() {
			n++
			id := runtime.ContainerID(fmt.Sprint("bench-", n))
			_, err := h.machine.Runtime.Create(b.Context(), runtime.Spec{ID: id, Task: "bench", Image: testImage, Command: []string{"wait"}})
			must(b, err)
			_, err = h.machine.Runtime.Start(b.Context(), id)
			must(b, err)
			b.StopTimer()
			must(b, h.machine.Runtime.Delete(b.Context(), id))
			b.StartTimer()
		}
		must(b, h.machine.Runtime.RemoveTaskCgroup(b.Context(), "bench"))
	})
	n := 1000
	b.Run("task", func(b *testing.B) {
		for b.Loop() {
			n++
			h.plane.Payload(fmt.Sprint("p", n), int64(n), one(n, acsapi.Container{
				Command: []string{"wait"}, StopTimeout: new(int64(0)), PortMappings: []acsapi.PortMapping{{ContainerPort: 80}},
			}))
			h.plane.Change(arn(n), "RUNNING")
			b.StopTimer()
			h.plane.Payload(fmt.Sprint("s", n), int64(n), stop(arn(n)))
			h.plane.Change(arn(n), "STOPPED")
			b.StartTimer()
		}
	})
	b.Run("20 tasks at once", func(b *testing.B) {
		for b.Loop() {
			var tasks, stops []acsapi.Task
			begin := time.Now()
			for range 20 {
				n++
				tasks = append(tasks, one(n, acsapi.Container{Command: []string{"wait"}, StopTimeout: new(int64(0)), PortMappings: []acsapi.PortMapping{{ContainerPort: 80}}}))
				stops = append(stops, stop(arn(n)))
			}
			h.plane.Payload(fmt.Sprint("p", n), int64(n), tasks...)
			for _, t := range tasks {
				h.plane.Change(t.Arn, "RUNNING")
			}
			b.ReportMetric(float64(time.Since(begin).Milliseconds())/20, "ms/task")
			b.StopTimer()
			h.plane.Payload(fmt.Sprint("s", n), int64(n), stops...)
			for _, t := range tasks {
				h.plane.Change(t.Arn, "STOPPED")
			}
			b.StartTimer()
		}
	})
}
