// Package plane is a control plane for benchmarks, joined as cmd/gantry joins it,
// without what makes it a program: etcd with fsync, signatures checked, the ECS API,
// the agents' two websockets, and the service scheduler.
package plane

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"gantry"
	"gantry/bench/client"
	"gantry/internal/acs"
	"gantry/internal/agent"
	"gantry/internal/api"
	"gantry/internal/ecs"
	"gantry/internal/heap"
	"gantry/internal/ledger"
	"gantry/internal/service"
	"gantry/internal/store"
	"gantry/internal/tcs"
	"gantry/internal/wire/awsjson"
	"gantry/internal/wire/ecsapi"
)

// Place is where a benchmark's gantry believes itself to be.
var Place = gantry.Place{Region: "us-east-1", Account: "123456789012"}

// Root signs the load's requests.
var Root = &gantry.Principal{AccessKeyID: "AKIABENCHBENCHBENCH0", SecretKey: "a secret for the benchmark", Kind: gantry.RootPrincipal}

// TuneHeap has garbage collected as gantry up does.
func TuneHeap() {
	mib, _ := agent.HostMemory()
	heap.Tune(context.Background(), mib<<20)
}

// A Plane is a control plane.
type Plane struct {
	Store    *store.Store
	Ledger   *ledger.Ledger
	ECS      *ecs.Service
	ACS      *acs.Server
	TCS      *tcs.Server
	Services *service.Controller
	log      *slog.Logger
}

// Open opens a control plane on an empty folder; endpoint is the URL at which it will
// serve. Root's key is in the store when it returns.
func Open(ctx context.Context, dir, endpoint string) (*Plane, error) {
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	st, err := store.OpenEtcd(ctx, store.EtcdConfig{Dir: dir, Log: log})
	if err != nil {
		return nil, err
	}
	l := ledger.New(st)
	operations := ecs.New(ecs.Config{
		Place: Place, Store: st, Ledger: l, Zone: string(Place.Region) + "a",
		Endpoints: func(context.Context) ecs.Endpoints {
			return ecs.Endpoints{ACS: endpoint + "/acs/", TCS: endpoint + "/tcs/"}
		},
	})
	p := &Plane{
		Store: st, Ledger: l, log: log, ECS: operations,
		ACS: acs.New(acs.Config{Place: Place, Store: st, Reports: operations, Now: time.Now, NewID: uuid.NewString, Log: log}),
		TCS: tcs.New(tcs.Config{Place: Place, Health: noHealth{}, Log: log}),
		Services: &service.Controller{
			Store: st, Ledger: l, Settings: service.DefaultSettings, Now: time.Now,
			NewTaskID: newTaskID, NewUUID: uuid.NewString, NewSeed: newSeed, Log: log,
		},
	}
	return p, p.AddKeys(ctx, Root)
}

// AddKeys makes access keys known.
func (p *Plane) AddKeys(ctx context.Context, keys ...*gantry.Principal) error {
	_, err := p.Store.Update(ctx, func(tx *store.Tx) error {
		for _, k := range keys {
			store.Principals.Put(tx, k)
		}
		return nil
	})
	return err
}

// Run serves on the listener until ctx ends.
func (p *Plane) Run(ctx context.Context, ln net.Listener) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return p.ACS.Run(ctx) })
	g.Go(func() error { return p.TCS.Run(ctx) })
	g.Go(func() error { return p.Services.Run(ctx) })
	g.Go(func() error { return api.Serve(ctx, ln, p.door(), p.log) })
	return g.Wait()
}

// API is how to call it as root.
func API(address string) client.API {
	return client.API{
		Address: address, Region: string(Place.Region), AccessKey: Root.AccessKeyID, SecretKey: Root.SecretKey,
	}
}

func (p *Plane) door() http.Handler {
	return api.New(api.Config{
		Place:      Place,
		Principals: principals{p.Store},
		Services: map[string]api.Service{
			"ecs": awsjson.New(awsjson.Config{
				Title: "Amazon ECS", Target: "AmazonEC2ContainerServiceV20141113",
				Table: api.Guard(Place, "ecs", taskPlaces{p.Store}, p.ECS.Operations().Table()),
				Fault: ecsapi.NewServerException, Log: p.log,
			}),
		},
		Sessions: map[string]http.Handler{"/acs/ws": p.ACS, "/tcs/ws": p.TCS},
		Now:      time.Now, Log: p.log,
	})
}

// Connected waits until so many of the container instances for which counts holds have
// an agent.
func (p *Plane) Connected(ctx context.Context, cluster gantry.ClusterName, n int, counts func(gantry.InstanceID) bool) error {
	for {
		snap, found := p.Store.View(), 0
		for c := range store.Connections.All(snap, string(cluster)+"/") {
			if c.Connected && c.Instance != "" && counts(c.Instance) {
				found++
			}
		}
		if found >= n {
			return nil
		}
		if _, err := p.Store.Newer(ctx, snap.Revision()); err != nil {
			return err
		}
	}
}

// principals finds access keys in the store.
type principals struct{ store *store.Store }

func (p principals) Principal(accessKeyID string) *gantry.Principal {
	found, _ := store.Principals.Get(p.store.View(), accessKeyID)
	return found
}

// taskPlaces finds tasks in the store.
type taskPlaces struct{ store *store.Store }

func (p taskPlaces) InstanceOf(cluster gantry.ClusterName, task gantry.TaskID) string {
	t, ok := store.Tasks.Get(p.store.View(), string(cluster)+"/"+string(task))
	if !ok || t.Instance == "" {
		return ""
	}
	return string(t.Cluster) + "/" + string(t.Instance)
}

// noHealth takes no notice of containers' health: the benchmarks' have none.
type noHealth struct{}

func (noHealth) ReportHealth(context.Context, gantry.ClusterName, gantry.InstanceID, gantry.TaskID, map[string]ecsapi.HealthStatus) error {
	return nil
}

func newTaskID() gantry.TaskID {
	var b [16]byte
	rand.Read(b[:])
	return gantry.TaskID(hex.EncodeToString(b[:]))
}

func newSeed() uint64 {
	var b [8]byte
	rand.Read(b[:])
	return binary.LittleEndian.Uint64(b[:])
}
