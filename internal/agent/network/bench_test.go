package network

import (
	"fmt"
	"testing"
)

var benchPorts = []PortRequest{{ContainerPort: 80}}

func benchID(i int) SandboxID { return SandboxID(fmt.Sprint("c", i)) }

// What a starting container waits for.
func BenchmarkAttach(b *testing.B) {
	world(b)
	n := open(b, testConfig(b, "bench"))
	i := 0
	for b.Loop() {
		i++
		attach(b, n, Request{ID: benchID(i), Mode: ModeBridge, Ports: benchPorts})
		b.StopTimer()
		must(b, n.Detach(b.Context(), benchID(i)))
		n.background.Wait()
		b.StartTimer()
	}
}

// What a stopping container waits for: the host port, not the teardown.
func BenchmarkDetach(b *testing.B) {
	world(b)
	n := open(b, testConfig(b, "bench"))
	i := 0
	for b.Loop() {
		i++
		b.StopTimer()
		attach(b, n, Request{ID: benchID(i), Mode: ModeBridge, Ports: benchPorts})
		b.StartTimer()
		must(b, n.Detach(b.Context(), benchID(i)))
		b.StopTimer()
		n.background.Wait()
		b.StartTimer()
	}
}

// Containers that come while others go, the teardown included: what the host sustains.
func BenchmarkChurn(b *testing.B) {
	world(b)
	n := open(b, testConfig(b, "bench"))
	i := 0
	for b.Loop() {
		i++
		attach(b, n, Request{ID: benchID(i), Mode: ModeBridge, Ports: benchPorts})
		must(b, n.Detach(b.Context(), benchID(i)))
	}
	n.background.Wait()
}
