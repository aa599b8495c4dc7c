package runtime

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"
	"pgregory.net/rapid"
)

func TestPlanCollection(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	roomy, tight := Disk{Total: 100, Free: 50}, Disk{Total: 100, Free: 15}
	containers := []idleContainer{{"old", ago(3 * time.Hour)}, {"new", ago(time.Minute)}}
	var images []idleImage
	for i := range 7 {
		images = append(images, idleImage{ref: fmt.Sprint("i", i), used: ago(time.Duration(10-i) * time.Hour)})
	}
	images = append(images, idleImage{ref: "fresh", used: ago(time.Minute)}, idleImage{ref: "mine", used: ago(99 * time.Hour), loaded: true})

	got := planCollection(now, roomy, containers, images)
	want := collection{[]ContainerID{"old"}, []string{"i0", "i1", "i2", "i3", "i4"}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(collection{})); diff != "" {
		t.Error("by age:", diff)
	}
	got = planCollection(now, tight, containers, images)
	want = collection{[]ContainerID{"old", "new"}, []string{"i0", "i1", "i2", "i3", "i4", "i5", "i6", "fresh"}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(collection{})); diff != "" {
		t.Error("under pressure:", diff)
	}
}

// Whatever the disk, nothing is removed twice or invented, a loaded image never,
// and a fuller disk never keeps what a roomier one would have removed.
func TestPlanCollectionAlways(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	rapid.Check(t, func(t *rapid.T) {
		var images []idleImage
		byRef := map[string]idleImage{}
		for i := range rapid.IntRange(0, 12).Draw(t, "images") {
			image := idleImage{fmt.Sprint("i", i), now.Add(-time.Duration(rapid.IntRange(0, 300).Draw(t, "minutes")) * time.Minute), rapid.Bool().Draw(t, "loaded")}
			images, byRef[image.ref] = append(images, image), image
		}
		removed := func(free uint64) map[string]bool {
			set := map[string]bool{}
			for _, ref := range planCollection(now, Disk{Total: 100, Free: free}, nil, images).images {
				if image, ok := byRef[ref]; !ok || image.loaded || set[ref] {
					t.Fatalf("removes %s: %+v", ref, image)
				}
				set[ref] = true
			}
			return set
		}
		roomy, tight := removed(90), removed(1)
		for ref := range roomy {
			if !tight[ref] {
				t.Fatalf("%s goes only while there is room", ref)
			}
		}
	})
}

func TestCollect(t *testing.T) {
	r, ctx := open(t)
	host := startRegistry(t, nil)
	ref := host + "/old:1"
	push(t, ref, probeImage(t, func(c *v1.Config) { c.Env = []string{"OTHER=1"} }))
	_, err := r.Pull(ctx, ref, RegistryAuth{}, PullDefault, nil)
	must(t, err)
	kept, gone := spec(t), spec(t)
	for _, s := range []Spec{kept, gone} {
		_, err := r.Create(ctx, s)
		must(t, err)
		_, err = r.Start(ctx, s.ID)
		must(t, err)
		_, err = r.Wait(ctx, s.ID)
		must(t, err)
	}
	use := InUse{Needs: func(c Container) bool { return c.ID == kept.ID }}
	later := time.Now().Add(24 * time.Hour)
	got, err := r.Collect(ctx, later, InUse{Needs: use.Needs, Images: []string{ref}})
	must(t, err)
	if diff := cmp.Diff(Collected{Containers: []ContainerID{gone.ID}}, got); diff != "" {
		t.Error(diff)
	}
	got, err = r.Collect(ctx, later, use)
	must(t, err)
	if diff := cmp.Diff(Collected{Images: []string{ref}}, got); diff != "" {
		t.Error(diff)
	}
	if _, err := r.Image(ctx, ref); !errors.Is(err, ErrNotFound) {
		t.Errorf("collected, and yet: %v", err)
	}
	must(t, r.CheckRoom())
	// The loaded image still works.
	_, err = r.Load(ctx, bytes.NewReader(saveTar(t, "again:1", probeImage(t, nil))))
	must(t, err)
	run(t, r, ctx, spec(t))
}

// A collection on a disk that fills up leaves a container alone that is being made meanwhile, which looks as if it were lost.
func TestCollectLeavesWhatIsBeingMade(t *testing.T) {
	r, ctx := open(t)
	collecting, stop := context.WithCancel(ctx)
	var collector errgroup.Group
	collector.Go(func() error {
		needed := InUse{Needs: func(c Container) bool { return c.Task == testTask }}
		for collecting.Err() == nil {
			got, err := r.Collect(collecting, time.Now().Add(24*time.Hour), needed)
			if err != nil && collecting.Err() == nil {
				return err
			}
			if len(got.Containers) > 0 {
				return fmt.Errorf("it removed %v", got.Containers)
			}
		}
		return nil
	})
	for range 5 {
		s := spec(t, "exit", "0")
		_, err := r.Create(ctx, s)
		must(t, err)
		must(t, r.Delete(ctx, s.ID))
	}
	stop()
	must(t, collector.Wait())
}

// The control files of both versions, from a tree that looks like the kernel's.
func TestCgroupFiles(t *testing.T) {
	write := func(root string, files map[string]string) {
		for name, text := range files {
			path := filepath.Join(root, name)
			must(t, os.MkdirAll(filepath.Dir(path), 0o755))
			must(t, os.WriteFile(path, []byte(text), 0o644))
		}
	}
	t.Run("version 2", func(t *testing.T) {
		root := t.TempDir()
		write(root, map[string]string{
			"proc/self/mountinfo":                      "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n",
			"sys/fs/cgroup/cgroup.controllers":         "cpuset cpu io memory hugetlb pids rdma\n",
			"sys/fs/cgroup/cgroup.subtree_control":     "",
			"sys/fs/cgroup/g/cgroup.subtree_control":   "",
			"sys/fs/cgroup/g/t/cgroup.subtree_control": "",
			"sys/fs/cgroup/g/t/cpu.max":                "max 100000\n",
			"sys/fs/cgroup/g/t/cpu.weight":             "100\n",
			"sys/fs/cgroup/g/t/memory.max":             "max\n",
			"sys/fs/cgroup/g/t/c/cpu.stat":             "usage_usec 1500\nuser_usec 1000\nsystem_usec 500\nnr_periods 10\nnr_throttled 3\nthrottled_usec 70\n",
			"sys/fs/cgroup/g/t/c/memory.current":       "5000000\n",
			"sys/fs/cgroup/g/t/c/memory.peak":          "6000000\n",
			"sys/fs/cgroup/g/t/c/memory.max":           "max\n",
			"sys/fs/cgroup/g/t/c/memory.stat":          "anon 3000000\nfile 1500000\n",
			"sys/fs/cgroup/g/t/c/memory.events":        "low 0\nhigh 0\nmax 4\noom 1\noom_kill 2\n",
			"sys/fs/cgroup/g/t/c/pids.current":         "7\n",
			"sys/fs/cgroup/g/t/c/pids.max":             "20\n",
			"sys/fs/cgroup/g/t/c/io.stat":              "8:16 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n8:0 rbytes=5 wbytes=6 rios=7 wios=8\n",
		})
		c, err := detectCgroups(root)
		must(t, err)
		got, err := c.stats("/g/t/c")
		must(t, err)
		want := Stats{
			CPU:     CPUStats{TotalNanos: 1500000, UserNanos: 1000000, SystemNanos: 500000, Periods: 10, ThrottledPeriods: 3, ThrottledNanos: 70000},
			Memory:  MemoryStats{Usage: 5000000, Cache: 1500000, MaxUsage: 6000000, OOMKills: 2, Details: map[string]uint64{"anon": 3000000, "file": 1500000}},
			Pids:    PidsStats{7, 20},
			BlockIO: []BlockStats{{8, 0, 5, 6, 7, 8}, {8, 16, 1, 2, 3, 4}},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		if got.Memory.WithoutCache() != 3500000 {
			t.Errorf("without cache %d", got.Memory.WithoutCache())
		}
		kills, err := c.oomKills("/g/t/c")
		if err != nil || kills != 2 {
			t.Errorf("%d kills, %v", kills, err)
		}
		must(t, c.create("/g/t", TaskLimits{CPUs: 0.25, CPUShares: 1024, MemoryMiB: 128}))
		for file, want := range map[string]string{
			"cgroup.subtree_control": "+cpu +cpuset +io +memory +pids", "g/cgroup.subtree_control": "+cpu +cpuset +io +memory +pids",
			"g/t/cpu.max": "25000 100000", "g/t/cpu.weight": "100\n", "g/t/memory.max": "134217728",
		} {
			text := read(t, filepath.Join(root, "sys/fs/cgroup", file))
			if len(text) < len(want) || text[:len(want)] != want {
				t.Errorf("%s holds %q, not %q", file, text, want)
			}
		}
	})
	t.Run("version 1 beside an empty version 2", func(t *testing.T) {
		root := t.TempDir()
		write(root, map[string]string{
			"proc/self/mountinfo": "1 0 0:1 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n" +
				"2 1 0:2 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n" +
				"3 1 0:3 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n" +
				"4 1 0:4 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
			"sys/fs/cgroup/cpu,cpuacct/c/cpuacct.usage":    "123\n",
			"sys/fs/cgroup/cpu,cpuacct/c/cpu.stat":         "nr_periods 1\nnr_throttled 2\nthrottled_time 3\n",
			"sys/fs/cgroup/memory/c/memory.usage_in_bytes": "100\n",
			"sys/fs/cgroup/memory/c/memory.limit_in_bytes": "9223372036854771712\n",
			"sys/fs/cgroup/memory/c/memory.stat":           "cache 9\ntotal_cache 40\n",
			"sys/fs/cgroup/memory/c/memory.oom_control":    "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n",
		})
		c, err := detectCgroups(root)
		must(t, err)
		got, err := c.stats("/c")
		must(t, err)
		want := Stats{CPU: CPUStats{TotalNanos: 123, Periods: 1, ThrottledPeriods: 2, ThrottledNanos: 3}, Memory: MemoryStats{Usage: 100, Cache: 40, OOMKills: 1, Details: map[string]uint64{"cache": 9, "total_cache": 40}}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		if _, err := c.stats("/none"); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("a group that is not there: %v", err)
		}
	})
	t.Run("none", func(t *testing.T) {
		root := t.TempDir()
		write(root, map[string]string{"proc/self/mountinfo": ""})
		if _, err := detectCgroups(root); err == nil {
			t.Error("found some")
		}
	})
}
