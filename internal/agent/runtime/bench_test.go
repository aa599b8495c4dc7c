package runtime

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/containerd/containerd/api/types/runc/options"
	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"
)

// TestLaunchSpeed measures create and start, by turns ours and the bare
// containerd client's with its default specification (no seccomp, no control
// group mounts), in one run.
func TestLaunchSpeed(t *testing.T) {
	if os.Getenv("GANTRY_BENCH") == "" {
		t.Skip("a measurement: set GANTRY_BENCH=1")
	}
	r, ctx := open(t)
	image, err := r.client.GetImage(r.in(ctx), "docker.io/gantry/probe:latest")
	must(t, err)
	const rounds = 15
	ours, bare := make([]time.Duration, 0, rounds), make([]time.Duration, 0, rounds)
	for range rounds {
		s := spec(t, "exit", "0")
		s.Network.Host = true
		begin := time.Now()
		_, err := r.Create(ctx, s)
		must(t, err)
		_, err = r.Start(ctx, s.ID)
		must(t, err)
		ours = append(ours, time.Since(begin))
		finish(t, r, ctx, s)

		id := "b-" + newToken()
		begin = time.Now()
		c, err := r.client.NewContainer(r.in(ctx), id, containerd.WithImage(image), containerd.WithNewSnapshot(id, image),
			containerd.WithRuntime(r.programs.shim, &options.Options{BinaryName: r.programs.runc}), containerd.WithNewSpec(oci.WithImageConfig(image), oci.WithProcessArgs("/probe", "exit", "0"), oci.WithHostNamespace("network")))
		must(t, err)
		task, err := c.NewTask(r.in(ctx), cio.LogFile(filepath.Join(t.TempDir(), "log")))
		must(t, err)
		must(t, task.Start(r.in(ctx)))
		bare = append(bare, time.Since(begin))
		done, err := task.Wait(r.in(ctx))
		must(t, err)
		<-done
		_, err = task.Delete(r.in(ctx))
		must(t, err)
		must(t, c.Delete(r.in(ctx), containerd.WithSnapshotCleanup))
	}
	slices.Sort(ours)
	slices.Sort(bare)
	t.Logf("ours %v, bare %v: ratio %.2f", ours[rounds/2], bare[rounds/2], float64(ours[rounds/2])/float64(bare[rounds/2]))
}
