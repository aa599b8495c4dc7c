package store_test

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"gantry"
	"gantry/internal/store"
	"gantry/internal/wire/ecsapi"
)

// task is one as it is found in the wild: two containers, one with a port.
func task(i int) *gantry.Task {
	now := time.Date(2026, 11, 23, 12, 0, 0, 123456789, time.UTC)
	return &gantry.Task{
		ID: gantry.TaskID(fmt.Sprintf("%032x", i*2654435761)), Cluster: "prod",
		Definition: gantry.DefinitionName(fmt.Sprintf("web%d:3", i%50)),
		Instance:   gantry.InstanceID(fmt.Sprintf("%032x", i%1000)), Zone: "us-east-1a", LaunchType: "EC2",
		LastStatus: gantry.Running, DesiredStatus: gantry.Running, Version: 4,
		Group: gantry.Group(fmt.Sprintf("service:web%d", i%50)), StartedBy: "ecs-svc/1234567890123456789",
		CPU: "256", Memory: "512",
		Containers: []gantry.Container{
			{Name: "web", ID: "9f1d2c34-0000-4000-8000-0123456789ab", LastStatus: gantry.Running, RuntimeID: fmt.Sprintf("%064x", i), ImageDigest: "sha256:" + fmt.Sprintf("%064x", 7), Health: "HEALTHY",
				NetworkBindings: []ecsapi.NetworkBinding{{BindIP: new("0.0.0.0"), ContainerPort: new(int32(80)), HostPort: new(int32(32768)), Protocol: "tcp"}}},
			{Name: "log", ID: "9f1d2c34-0000-4000-8000-0123456789ac", LastStatus: gantry.Running, RuntimeID: fmt.Sprintf("%064x", i+1), ImageDigest: "sha256:" + fmt.Sprintf("%064x", 8), Health: "UNKNOWN"},
		},
		Reserved:  gantry.Resources{CPU: 256, Memory: 512, Ports: []uint16{32768}},
		CreatedAt: now, ConnectivityAt: now, PullStartedAt: now, PullStoppedAt: now, StartedAt: now,
	}
}

// fill puts n tasks into a store, and their thousand reservations.
func fill(b testing.TB, s *store.Store, n int) {
	b.Helper()
	for from := 0; from < n; from += 500 {
		_, err := s.Update(b.Context(), func(tx *store.Tx) error {
			for i := from; i < min(from+500, n); i++ {
				store.Tasks.Put(tx, task(i))
			}
			if from == 0 {
				for i := range 1000 {
					store.Reservations.Put(tx, &gantry.Reservation{Cluster: "prod", Instance: gantry.InstanceID(fmt.Sprintf("%032x", i))})
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

// sizes runs a benchmark at 100 and at 100,000 tasks.
func sizes(b *testing.B, backend string, run func(b *testing.B, s *store.Store, n int)) {
	for _, n := range []int{100, 100_000} {
		b.Run(fmt.Sprintf("%s/%d", backend, n), func(b *testing.B) {
			var s *store.Store
			var err error
			if backend == "memory" {
				s, err = store.NewMemory().Open(b.Context())
			} else {
				s, err = store.OpenEtcd(b.Context(), store.EtcdConfig{Dir: b.TempDir() + "/etcd"})
			}
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			fill(b, s, n)
			b.ResetTimer()
			used := cpu()
			run(b, s, n)
			b.ReportMetric(float64((cpu()-used).Microseconds())/float64(b.N), "cpu-µs/op")
		})
	}
}

// place is what placing a task writes: the task, and its instance's reservation.
func place(s *store.Store, b *testing.B, i int, instance string) {
	_, err := s.Update(b.Context(), func(tx *store.Tx) error {
		store.Tasks.Put(tx, task(1_000_000+i))
		return store.Reservations.Change(tx, instance, func(r *gantry.Reservation) error {
			r.Tasks++
			r.Taken.CPU += 256
			return nil
		})
	})
	if err != nil {
		b.Error(err)
	}
}

// BenchmarkBareEtcd is what a client of etcd gets out of it, for comparison: 1 KiB
// puts by one caller and by 128.
func BenchmarkBareEtcd(b *testing.B) {
	cfg := embed.NewConfig()
	cfg.Dir = b.TempDir() + "/etcd"
	cfg.ListenPeerUrls, cfg.ListenClientUrls, cfg.AdvertiseClientUrls = nil, nil, nil
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	e, err := embed.StartEtcd(cfg)
	if err != nil {
		b.Fatal(err)
	}
	defer e.Close()
	<-e.Server.ReadyNotify()
	c := v3client.New(e.Server)
	value := strings.Repeat("x", 1024)
	for _, callers := range []int{1, 128} {
		b.Run(fmt.Sprint(callers), func(b *testing.B) {
			used := cpu()
			var next atomic.Int64
			var all sync.WaitGroup
			for range callers {
				all.Go(func() {
					for {
						i := next.Add(1)
						if i > int64(b.N) {
							return
						}
						if _, err := c.Put(b.Context(), fmt.Sprint("k", i), value); err != nil {
							b.Error(err)
						}
					}
				})
			}
			all.Wait()
			b.ReportMetric(float64((cpu()-used).Microseconds())/float64(b.N), "cpu-µs/op")
		})
	}
}

func BenchmarkUpdate(b *testing.B) {
	for _, backend := range []string{"memory", "etcd"} {
		b.Run("one", func(b *testing.B) {
			sizes(b, backend, func(b *testing.B, s *store.Store, n int) {
				for i := range b.N {
					place(s, b, i, fmt.Sprintf("prod/%032x", i%1000))
				}
			})
		})
		// All at once on a thousand instances, and all on one.
		for _, instances := range []int{1000, 1} {
			b.Run(fmt.Sprintf("128on%d", instances), func(b *testing.B) {
				sizes(b, backend, func(b *testing.B, s *store.Store, n int) {
					b.SetParallelism(64)
					var next atomic.Int64
					b.RunParallel(func(pb *testing.PB) {
						for pb.Next() {
							i := int(next.Add(1))
							place(s, b, i, fmt.Sprintf("prod/%032x", i%instances))
						}
					})
				})
			})
		}
	}
}

// BenchmarkPlaceBatch places a hundred tasks in each update, as a service does.
func BenchmarkPlaceBatch(b *testing.B) {
	sizes(b, "etcd", func(b *testing.B, s *store.Store, n int) {
		b.SetParallelism(2)
		var next atomic.Int64
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				from := int(next.Add(100))
				_, err := s.Update(b.Context(), func(tx *store.Tx) error {
					for i := from; i < from+100; i++ {
						store.Tasks.Put(tx, task(1_000_000+i))
						key := fmt.Sprintf("prod/%032x", i%1000)
						if err := store.Reservations.Change(tx, key, func(r *gantry.Reservation) error { r.Tasks++; return nil }); err != nil {
							return err
						}
					}
					return nil
				})
				if err != nil {
					b.Error(err)
				}
			}
		})
		b.ReportMetric(float64(b.N*100)/b.Elapsed().Seconds(), "tasks/s")
	})
}

func BenchmarkGet(b *testing.B) {
	sizes(b, "memory", func(b *testing.B, s *store.Store, n int) {
		keys := make([]string, 100)
		for i := range keys {
			keys[i] = task(i * (n / 100)).Key()
		}
		for i := range b.N {
			if _, ok := store.Tasks.Get(s.View(), keys[i%100]); !ok {
				b.Fatal("not there")
			}
		}
	})
}

var bare = store.NewFragment(store.Tasks)

// BenchmarkDescribe collects the fragments of a hundred tasks.
func BenchmarkDescribe(b *testing.B) {
	sizes(b, "memory", func(b *testing.B, s *store.Store, n int) {
		keys := make([]string, 100)
		for i := range keys {
			keys[i] = task(i * (n / 100)).Key()
		}
		var out []byte
		for b.Loop() {
			out = out[:0]
			snap := s.View()
			for _, k := range keys {
				f, ok := bare.Get(snap, k, func(t *gantry.Task) []byte { return make([]byte, 2900) })
				if !ok {
					b.Fatal("not there")
				}
				out = append(out, f...)
			}
		}
	})
}

// BenchmarkList takes a page of a hundred from an index.
func BenchmarkList(b *testing.B) {
	sizes(b, "memory", func(b *testing.B, s *store.Store, n int) {
		for b.Loop() {
			k := 0
			for range store.TasksByDesired.After(s.View(), "prod/RUNNING", "prod/00000000000000000000001") {
				if k++; k == 100 {
					break
				}
			}
			if k == 0 {
				b.Fatal("an empty page")
			}
		}
	})
}

// TestMemoryPerTask: a hundred thousand tasks with their indexes may take 15 KB each,
// what answers them included; the rows alone stay far below.
func TestMemoryPerTask(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	const n = 20_000
	const most = 6 << 10
	s, err := store.NewMemory().Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	before := heap()
	fill(t, s, n)
	per := (heap() - before) / n
	t.Logf("%d bytes per task, with the twin's own copy and history", per)
	if per > most {
		t.Errorf("%d bytes per task, at most %d", per, most)
	}
}

func heap() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// cpu is what this process has used: unlike the clock, it does not count what
// others do on a shared machine.
func cpu() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
