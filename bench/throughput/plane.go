package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"time"

	"gantry"
	"gantry/bench/child"
	"gantry/bench/client"
	"gantry/bench/measure"
	"gantry/bench/plane"
	"gantry/bench/sim"
	"gantry/internal/api"
	"gantry/internal/placement"
	"gantry/internal/store"
	"gantry/internal/wire/ecsapi"
)

const (
	cluster = "bench"
)

// What the parent asks of a control plane.
type (
	openIn struct {
		Agents int
		Warmup time.Duration // of services' tasks; 0: gantry's own
	}
	profile struct{ File string }
	// memory is what the process takes, in bytes.
	memory struct{ PSS, Live int64 }
	decide struct{ Tasks, Batch int }
)

// A server is the control plane's process.
type server struct {
	plane *plane.Plane
	dir   string
	stop  context.CancelFunc
	ended chan error
	watch *watch
	cpu   *os.File // the profile under way
}

func playPlane() error {
	var s server
	err := child.Serve(func(ask string, in json.RawMessage) (any, error) {
		switch ask {
		case "open":
			return answer(in, s.open)
		case "begin":
			return s.begin()
		case "settle":
			return answer(in, s.watch.settle)
		case "connected":
			return answer(in, s.connected)
		case "memory":
			return memoryNow()
		case "decide":
			return answer(in, s.decide)
		case "profile":
			return answer(in, s.profile)
		}
		return nil, errors.New("that is not known here")
	})
	return errors.Join(err, s.close())
}

// answer decodes what a question comes with.
func answer[In, Out any](raw json.RawMessage, f func(In) (Out, error)) (any, error) {
	var in In
	if err := json.Unmarshal(raw, &in); err != nil {
		return nil, err
	}
	return f(in)
}

// open starts the control plane with the keys of so many agents, and says how to call it.
func (s *server) open(in openIn) (client.API, error) {
	var err error
	if s.dir, err = os.MkdirTemp("", "gantry-bench"); err != nil {
		return client.API{}, err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return client.API{}, err
	}
	var ctx context.Context
	ctx, s.stop = context.WithCancel(context.Background())
	if s.plane, err = plane.Open(ctx, filepath.Join(s.dir, "state"), "http://"+ln.Addr().String()); err != nil {
		return client.API{}, err
	}
	if in.Warmup > 0 {
		s.plane.Services.Settings.Warmup = in.Warmup
	}
	keys := make([]*gantry.Principal, in.Agents)
	for i := range keys {
		id, secret := sim.Key(i)
		keys[i] = &gantry.Principal{AccessKeyID: id, SecretKey: secret, Kind: gantry.AgentPrincipal}
	}
	if err := s.plane.AddKeys(ctx, keys...); err != nil {
		return client.API{}, err
	}
	ops, root := s.plane.ECS.Operations(), api.WithPrincipal(ctx, plane.Root)
	if _, err := ops.CreateCluster(root, &ecsapi.CreateClusterInput{ClusterName: new(cluster)}); err != nil {
		return client.API{}, err
	}
	if _, err := ops.RegisterTaskDefinition(root, plane.Definition); err != nil {
		return client.API{}, err
	}
	s.ended = make(chan error, 1)
	go func() { s.ended <- s.plane.Run(ctx, ln) }()
	return plane.API(ln.Addr().String()), nil
}

func (s *server) close() error {
	if s.plane == nil {
		return os.RemoveAll(s.dir)
	}
	s.stop()
	err := <-s.ended
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	return errors.Join(err, s.plane.Store.Close(), os.RemoveAll(s.dir))
}

// connected waits until so many agents are.
func (s *server) connected(n int) (any, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return nil, s.plane.Connected(ctx, cluster, n, func(gantry.InstanceID) bool { return true })
}

// begin watches the tasks from now on.
func (s *server) begin() (any, error) {
	debug.FreeOSMemory()
	s.watch = startWatch(s.plane.Store)
	return nil, nil
}

// memoryNow is measured after a collection that gives free memory back, so that it does
// not depend on when the last one was.
func memoryNow() (memory, error) {
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	pss, err := measure.PSS(os.Getpid())
	return memory{PSS: pss, Live: int64(m.HeapAlloc)}, err
}

// decide times decisions of the ledger, tasks of them in batches, as the service
// scheduler asks for them; it gives the places back. The result is µs a task.
func (s *server) decide(in decide) (float64, error) {
	snap := s.plane.Store.View()
	d, ok := store.Definitions.Get(snap, plane.Family+":1")
	if !ok {
		return 0, fmt.Errorf("the definition is gone")
	}
	spec := placement.Spec{
		Group: "service:decide", Demand: placement.Demand{CPU: plane.TaskCPU, Memory: plane.TaskMiB},
		Requires: d.Wire.RequiresAttributes, Strategies: placement.ServiceStrategies(),
	}
	var took time.Duration
	for at := -in.Batch; at < in.Tasks; at += in.Batch {
		ids := make([]gantry.TaskID, in.Batch)
		for i := range ids {
			ids[i] = gantry.TaskID(fmt.Sprintf("%032x", in.Batch+at+i))
		}
		began := time.Now()
		claim, err := s.plane.Ledger.Place(cluster, ecsapi.LaunchTypeEc2, spec, ids)
		if at >= 0 { // before, the ledger has to learn what there is
			took += time.Since(began)
		}
		if err != nil {
			return 0, err
		}
		if claim.Refusal != nil {
			return 0, fmt.Errorf("no place: %s", claim.Refusal.Event())
		}
		claim.Done()
	}
	return float64(took.Microseconds()) / float64(in.Tasks), nil
}

// profile begins a CPU profile in a file, or ends it where none is named, and puts the
// heap beside it.
func (s *server) profile(p profile) (any, error) {
	if p.File == "" {
		pprof.StopCPUProfile()
		return nil, s.cpu.Close()
	}
	if filepath.Ext(p.File) == ".heap" {
		f, err := os.Create(p.File)
		if err != nil {
			return nil, err
		}
		runtime.GC() // a profile tells what the last collection left
		return nil, errors.Join(pprof.WriteHeapProfile(f), f.Close())
	}
	var err error
	if s.cpu, err = os.Create(p.File); err != nil {
		return nil, err
	}
	return nil, pprof.StartCPUProfile(s.cpu)
}
