package main

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	"gantry"
	"gantry/internal/acs"
	"gantry/internal/api"
	"gantry/internal/ecs"
	"gantry/internal/events"
	"gantry/internal/images"
	"gantry/internal/join"
	"gantry/internal/ledger"
	"gantry/internal/lifecycle"
	"gantry/internal/logs"
	"gantry/internal/provisioning"
	"gantry/internal/service"
	"gantry/internal/store"
	"gantry/internal/tcs"
	"gantry/internal/wholefile"
	"gantry/internal/wire"
	"gantry/internal/wire/awsjson"
	"gantry/internal/wire/ecsapi"
	"gantry/internal/wire/eventsapi"
	"gantry/internal/wire/logsapi"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"
)

// The paths of the agents' websockets, and what DiscoverPollEndpoint says of
// them: agents add "ws".
const (
	acsPath = "/acs/"
	tcsPath = "/tcs/"
)

// openTimeout bounds how long the store may take to open: a million rows take seconds.
const openTimeout = time.Minute

// maxLogsBody bounds a request to CloudWatch Logs, in bytes: a batch has at most
// a mebibyte of messages, and JSON's escapes make that more.
const maxLogsBody = 7 << 20

// logsFault is what CloudWatch Logs answers where the fault is ours.
func logsFault(message string) *wire.Error {
	return &wire.Error{Code: logsapi.CodeServiceUnavailableException, Message: message, Status: http.StatusInternalServerError}
}

// advice is what clients are told of a store that takes no updates until somebody
// makes room.
func advice(err error) string {
	for _, known := range []error{store.ErrDiskFull, store.ErrNoSpace, syscall.ENOSPC} {
		if errors.Is(err, known) {
			return "gantry could not carry this out: " + known.Error() + "."
		}
	}
	return ""
}

type controlConfig struct {
	dir            dataDir
	identity       *identity
	endpoint       string
	gate           *gate // where the API is served; nil where it is no server's
	anyCredentials bool
	scheduling     service.Settings
	loss           lifecycle.LossRule // when the tasks of silent agents are replaced
	history        time.Duration      // how long stopped tasks stay readable
	stoppedFor     time.Duration      // how long DescribeTasks shows stopped tasks; an hour where 0
	// leaving says that this machine is being emptied: nothing new is started.
	leaving bool
	log     *slog.Logger
}

// A control is the control plane: the state, the engines, and the doors.
type control struct {
	controlConfig
	store *store.Store
	// restored says that the state comes from a backup, which may not know
	// everything that runs.
	restored bool
	root     *gantry.Principal
	ledger   *ledger.Ledger
	ecs      *ecs.Service
	acs      *acs.Server
	tcs      *tcs.Server
	logs     *logs.Engine
	logOps   *logsapi.Operations
	events   *events.Engine
	// desk lets machines join, and shelf holds the images that were loaded for them.
	desk  *join.Desk
	shelf *images.Shelf
	// services keeps the tasks of services running.
	services *service.Controller
	// provisioning places tasks that wait for room, and starts failed ones again.
	provisioning *provisioning.Controller
	// lifecycle ends and forgets tasks, clusters and container instances.
	lifecycle *lifecycle.Controller
}

// openControl opens the state and makes everything that works on it. Nothing runs yet.
func openControl(ctx context.Context, cfg controlConfig) (*control, error) {
	opening, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	st, err := store.OpenEtcd(opening, store.EtcdConfig{Dir: cfg.dir.file(storeFolder), Log: cfg.log})
	if err != nil {
		return nil, err
	}
	c := &control{controlConfig: cfg, store: st}
	if err := c.make(opening); err != nil {
		return nil, errors.Join(err, st.Close())
	}
	return c, nil
}

func (c *control) make(ctx context.Context) (err error) {
	if c.root, err = rootKey(ctx, c.store, time.Now()); err != nil {
		return err
	}
	if err := acs.DisconnectAll(ctx, c.store, time.Now()); err != nil {
		return err
	}
	origin, err := c.store.Origin(ctx)
	if err != nil {
		return err
	}
	c.restored = origin.Epoch > 0
	place := c.identity.place()
	c.ledger = ledger.New(c.store)
	c.tcs = tcs.New(tcs.Config{Place: place, Health: healthDoor{c}, Log: c.log})
	c.ecs = ecs.New(ecs.Config{
		Place: place, Store: c.store, Ledger: c.ledger, Health: c.tcs, Zone: string(place.Region) + "a",
		Endpoints: c.endpointsFor,
	})
	c.acs = acs.New(acs.Config{
		Place: place, Store: c.store, Now: time.Now, NewID: uuid.NewString, Log: c.log,
		Settings: c.ecs, Reports: c.ecs, KeepUnknown: c.restored,
	})
	c.provisioning = &provisioning.Controller{
		Store: c.store, Ledger: c.ledger, Settings: provisioning.DefaultSettings, Now: time.Now,
		NewTaskID: newTaskID, NewUUID: uuid.NewString, NewSeed: rand.Uint64, Log: c.log,
	}
	c.services = &service.Controller{
		Store: c.store, Ledger: c.ledger, Settings: c.scheduling, Now: time.Now,
		NewTaskID: newTaskID, NewUUID: uuid.NewString, NewSeed: rand.Uint64, Log: c.log,
	}
	limits := lifecycle.DefaultLimits
	if c.stoppedFor > 0 {
		limits.Stopped = c.stoppedFor
	}
	c.lifecycle = &lifecycle.Controller{Store: c.store, Limits: limits, Loss: c.loss, Now: time.Now, Log: c.log}
	c.desk = join.New(join.Config{Place: place, Store: c.store, Fingerprint: c.fingerprint(), Now: time.Now})
	if c.shelf, err = images.Open(c.dir.file(imagesFolder), images.DefaultLimit); err != nil {
		return fmt.Errorf("open the loaded images: %w", err)
	}
	if c.logs, err = logs.Open(c.dir.file(logsFolder), c.log); err != nil {
		return fmt.Errorf("open the logs: %w", err)
	}
	c.logOps = logs.NewOperations(logs.Config{Engine: c.logs, Place: place})
	if c.events, err = c.openEvents(); err != nil {
		c.logs.Close()
		return err
	}
	return nil
}

// openEvents opens the engine of events. What its targets do is done as the account's root.
func (c *control) openEvents() (*events.Engine, error) {
	ops := c.ecs.Operations()
	return events.Open(events.Config{
		Store: c.store, Place: c.identity.place(), Dir: c.dir.file(eventsFolder), Seed: c.identity.ID, Show: c.ecs,
		History: c.history, RecordOnly: c.leaving, Log: c.log,
		CreateLogStream: c.logOps.CreateLogStream, PutLogEvents: c.logOps.PutLogEvents,
		RunTask: func(ctx context.Context, in *ecsapi.RunTaskInput) (*ecsapi.RunTaskOutput, error) {
			return ops.RunTask(api.WithPrincipal(ctx, c.root), in)
		},
		StopTask: func(ctx context.Context, in *ecsapi.StopTaskInput) (*ecsapi.StopTaskOutput, error) {
			return ops.StopTask(api.WithPrincipal(ctx, c.root), in)
		},
	})
}

// fingerprint is by which machines know this server; "" where it speaks plain HTTP.
func (c *control) fingerprint() string {
	if c.gate == nil {
		return ""
	}
	return c.gate.fingerprint()
}

// endpointsFor are where an agent finds its websockets: by the name under which it
// has found the API, since that is the one it can reach.
func (c *control) endpointsFor(ctx context.Context) ecs.Endpoints {
	at := c.endpoint
	if host := api.Host(ctx); host != "" {
		scheme, _, _ := strings.Cut(at, "://")
		at = scheme + "://" + host
	}
	return ecs.Endpoints{ACS: at + acsPath, TCS: at + tcsPath}
}

// run serves until ctx ends or something breaks.
func (c *control) run(ctx context.Context, ln net.Listener, m machine) error {
	g, ctx := errgroup.WithContext(ctx)
	var lost error
	g.Go(func() error { lost = c.watchStore(ctx); return lost })
	if !c.leaving {
		g.Go(func() error { return c.services.Run(ctx) })
		g.Go(func() error { return c.provisioning.Run(ctx) })
	}
	g.Go(func() error { return c.lifecycle.Run(ctx) })
	g.Go(func() error { return c.logs.Run(ctx) })
	g.Go(func() error { return c.events.Run(ctx) })
	g.Go(func() error { return c.acs.Run(ctx) })
	g.Go(func() error { return c.tcs.Run(ctx) })
	door := c.door(ctx, m)
	g.Go(func() error { return c.endRevoked(ctx, door) })
	g.Go(func() error { return api.Serve(ctx, ln, door, c.log) })
	err := g.Wait()
	return cmp.Or(lost, err) // without its store whatever else broke is a consequence
}

// watchStore ends with an error when the store cannot go on: nothing can then. It ends
// without one if ctx does.
func (c *control) watchStore(ctx context.Context) error {
	err := c.store.Wait(ctx)
	if err == ctx.Err() {
		return nil
	}
	return fmt.Errorf("the state in %s is lost to this process, tasks go on running: %w; start gantry again", c.dir.file(storeFolder), err)
}

// door hangs the services on the listener. Life is how long it serves.
func (c *control) door(life context.Context, m machine) *api.Door {
	place := c.identity.place()
	ops := c.operations(m)
	return api.New(api.Config{
		Place:      place,
		Principals: principals{c.store},
		Services: map[string]api.Service{
			"ecs": awsjson.New(awsjson.Config{
				Title: "Amazon ECS", Target: "AmazonEC2ContainerServiceV20141113",
				Table: api.Guard(place, "ecs", taskPlaces{c.store}, ops.Table()),
				Fault: ecsapi.NewServerException, Advice: advice, Log: c.log,
			}),
			"logs": awsjson.New(awsjson.Config{
				Title: "CloudWatch Logs", Target: "Logs_20140328",
				Table: api.Guard(place, "logs", taskPlaces{c.store}, c.logOps.Table()),
				Fault: logsFault, Advice: advice, Log: c.log, MaxBody: maxLogsBody,
			}),
			"events": awsjson.New(awsjson.Config{
				Title: "Amazon EventBridge", Target: "AWSEvents",
				Table: api.Guard(place, "events", taskPlaces{c.store}, events.NewOperations(events.APIConfig{Place: place, Store: c.store}).Table()),
				Fault: eventsapi.NewInternalException, Advice: advice, Log: c.log,
			}),
		},
		Sessions:               map[string]http.Handler{acsPath + "ws": c.acs, tcsPath + "ws": c.tcs},
		Commands:               c.commands(life, m),
		AgentCommands:          c.agentCommands(life),
		InsecureAnyCredentials: c.anyCredentials,
		Now:                    time.Now,
		Log:                    c.log,
	})
}

// writeFiles puts down how to reach this gantry, for gantry env and for everyone
// who reads AWS's shared files.
func (c *control) writeFiles() error {
	err := errors.Join(
		writeCredentials(c.dir.file(credentialsFile), c.root),
		writeConfig(c.dir.file(configFile), c.identity.Region, c.endpoint, bundleOf(c.dir, c.endpoint)),
		wholefile.Write(c.dir.file(endpointFile), []byte(c.endpoint+"\n"), 0o644),
	)
	if err != nil {
		return fmt.Errorf("write down how to reach gantry: %w", err)
	}
	return nil
}

func (c *control) close() {
	if err := c.events.Close(); err != nil {
		c.log.Error("close the record of events", "error", err)
	}
	c.logs.Close()
	if err := c.store.Close(); err != nil {
		c.log.Error("close the state", "error", err)
	}
}

// endRevoked breaks off the sessions of keys that are gone.
func (c *control) endRevoked(ctx context.Context, door *api.Door) error {
	gone := func(change store.Change) []string {
		if before, after, ok := store.Principals.Of(change); ok && before != nil && after == nil {
			return []string{change.Key}
		}
		return nil
	}
	for key := range c.store.Wakes(ctx, gone) {
		door.End(key)
	}
	return ctx.Err()
}

// newTaskID makes a task's id: 32 hexadecimal digits.
func newTaskID() gantry.TaskID {
	id := uuid.New()
	return gantry.TaskID(hex.EncodeToString(id[:]))
}

// principals finds access keys in the store.
type principals struct{ store *store.Store }

func (p principals) Principal(accessKeyID string) *gantry.Principal {
	snap := p.store.View()
	if found, ok := store.Principals.Get(snap, accessKeyID); ok {
		return found
	}
	return join.Holder(snap, accessKeyID)
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
