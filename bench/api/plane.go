package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime/pprof"
	"strconv"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"gantry"
	"gantry/bench/client"
	"gantry/internal/acs"
	"gantry/internal/api"
	"gantry/internal/ecs"
	"gantry/internal/ledger"
	"gantry/internal/store"
	"gantry/internal/tcs"
	"gantry/internal/wire/awsjson"
	"gantry/internal/wire/ecsapi"
)

// place is where the benchmark's gantry believes itself to be.
var place = gantry.Place{Region: "us-east-1", Account: "123456789012"}

// root signs the load's requests.
var root = &gantry.Principal{AccessKeyID: "AKIABENCHBENCHBENCH0", SecretKey: "a secret for the benchmark", Kind: gantry.RootPrincipal}

// A plane is a control plane joined as cmd/gantry joins it, without what makes it a program.
type plane struct {
	store *store.Store
	ecs   *ecs.Service
	acs   *acs.Server
	tcs   *tcs.Server
	log   *slog.Logger
}

// servePlane serves a control plane with so many tasks until the parent is done.
func servePlane(tasks int, profile string) (err error) {
	dir, err := os.MkdirTemp("", "gantry-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer ln.Close()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	p, err := openPlane(ctx, filepath.Join(dir, "state"), "http://"+ln.Addr().String())
	if err != nil {
		return err
	}
	defer p.store.Close()
	described, err := p.seed(ctx, tasks)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return p.acs.Run(ctx) })
	g.Go(func() error { return p.tcs.Run(ctx) })
	g.Go(func() error { return api.Serve(ctx, ln, p.door(), p.log) })
	g.Go(func() error { return p.runAgent(ctx, filepath.Join(dir, "agent"), ln.Addr().String()) })
	if err := p.agentConnected(ctx); err != nil {
		return err
	}
	if profile != "" {
		f, err := os.Create(filepath.Join(profile, "api-"+strconv.Itoa(tasks)+".pprof"))
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	err = announce(ready{
		API: client.API{
			Address: ln.Addr().String(), Region: string(place.Region),
			AccessKey: root.AccessKeyID, SecretKey: root.SecretKey,
		},
		Describe: described,
	})
	stop()
	if ended := g.Wait(); !errors.Is(ended, context.Canceled) {
		err = errors.Join(err, ended)
	}
	return err
}

func openPlane(ctx context.Context, dir, endpoint string) (*plane, error) {
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	st, err := store.OpenEtcd(ctx, store.EtcdConfig{Dir: dir, Log: log})
	if err != nil {
		return nil, err
	}
	operations := ecs.New(ecs.Config{
		Place: place, Store: st, Ledger: ledger.New(st), Zone: string(place.Region) + "a",
		Endpoints: ecs.Endpoints{ACS: endpoint + "/acs/", TCS: endpoint + "/tcs/"},
	})
	return &plane{
		store: st, log: log, ecs: operations,
		acs: acs.New(acs.Config{Place: place, Store: st, Reports: operations, Now: time.Now, NewID: uuid.NewString, Log: log}),
		tcs: tcs.New(tcs.Config{Place: place, Health: noHealth{}, Log: log}),
	}, nil
}

func (p *plane) door() http.Handler {
	return api.New(api.Config{
		Place:      place,
		Principals: principals{p.store},
		Services: map[string]api.Service{
			"ecs": awsjson.New(awsjson.Config{
				Title: "Amazon ECS", Target: "AmazonEC2ContainerServiceV20141113",
				Table: api.Guard(place, "ecs", taskPlaces{p.store}, p.ecs.Operations().Table()),
				Fault: ecsapi.NewServerException, Log: p.log,
			}),
		},
		Sessions: map[string]http.Handler{"/acs/ws": p.acs, "/tcs/ws": p.tcs},
		Now:      time.Now, Log: p.log,
	})
}

// agentConnected returns when tasks can be placed.
func (p *plane) agentConnected(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		snap := p.store.View()
		for c := range store.Connections.All(snap, cluster+"/") {
			if c.Connected && c.Instance != "" && !isFull(c.Instance) {
				return nil
			}
		}
		if _, err := p.store.Newer(ctx, snap.Revision()); err != nil {
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
