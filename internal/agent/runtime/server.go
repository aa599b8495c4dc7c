package runtime

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"time"

	containersapi "github.com/containerd/containerd/api/services/containers/v1"
	diffapi "github.com/containerd/containerd/api/services/diff/v1"
	imagesapi "github.com/containerd/containerd/api/services/images/v1"
	namespacesapi "github.com/containerd/containerd/api/services/namespaces/v1"
	tasksapi "github.com/containerd/containerd/api/services/tasks/v1"
	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/introspection"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/containerd/v2/core/mount"
	taskservice "github.com/containerd/containerd/v2/core/runtime/v2"
	"github.com/containerd/containerd/v2/core/sandbox"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/pkg/timeout"
	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/containerd/v2/plugins/services"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/containerd/plugin"
	"github.com/containerd/plugin/registry"
	"golang.org/x/sys/unix"
)

// snapshotter is the one way layers are stacked into a root file system.
const snapshotter = "overlayfs"

// A serverConfig says where containerd keeps its things; paths are absolute.
type serverConfig struct {
	root  string // survives a reboot
	state string // does not need to
	// socket is the name by which shims know this containerd; they call back
	// on socket + ".ttrpc".
	socket    string
	shimsDir  string // where shims make their sockets
	namespace string
	logger    *slog.Logger
}

// A server is containerd's plugins, started in this process. There is no gRPC:
// our client calls the services directly, shims call back over ttrpc.
type server struct {
	set    *plugin.Set
	client *containerd.Client
	quit   context.CancelFunc // ends the plugins' background work
}

// shimAnswer is how long a shim may take to answer containerd, and to be cleaned up
// after. By default that is two to five seconds, which a busy machine or a slow disk
// can hold one up for; and one that is late passes for dead: at a start containerd ends
// its container, later what runs is told to be lost.
const shimAnswer = time.Minute

func bePatient() {
	for _, call := range []string{"task.state", "shim.load", "shim.cleanup", "shim.shutdown"} {
		timeout.Set("io.containerd.timeout."+call, shimAnswer)
	}
}

// startServer initialises every plugin of plugins.go in the order of their
// needs, as containerd's own main does, and starts the shims' callback socket.
func startServer(ctx context.Context, config serverConfig) (*server, error) {
	// Shims are started by a short-lived process: be the one who inherits them.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("become child subreaper: %w", err)
	}
	for dir, mode := range map[string]os.FileMode{config.root: 0o700, config.state: 0o711, config.shimsDir: 0o700} {
		if err := os.MkdirAll(dir, mode); err != nil {
			return nil, err
		}
	}
	// A gantry that was killed while it unpacked an image left what it had mounted.
	if err := mount.SetTempMountLocation(filepath.Join(config.state, "mounts")); err != nil {
		return nil, err
	}
	if problems, err := mount.CleanupTempMounts(0); err != nil || len(problems) > 0 {
		config.logger.Warn("what an earlier start has mounted stays", "error", errors.Join(append(problems, err)...))
	}
	bePatient()
	// Plugins keep this context for their background work, so it must not end
	// when the caller's does.
	ctx, quit := context.WithCancel(log.WithLogger(context.WithoutCancel(ctx), bridge(config.logger)))

	s := &server{set: plugin.NewPluginSet(), quit: quit}
	var listeners []interface{ Start(context.Context) error }
	for _, registration := range registry.Graph(unwanted) {
		instance, err := s.load(ctx, config, registration)
		if plugin.IsSkipPlugin(err) {
			continue
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("start containerd's %s: %w", registration.URI(), err), s.close())
		}
		if l, ok := instance.(interface{ Start(context.Context) error }); ok && registration.Type == plugins.ServerPlugin {
			listeners = append(listeners, l)
		}
	}
	var err error
	if s.client, err = s.connect(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("connect to containerd: %w", err), s.close())
	}
	if err := s.sweepLayers(ctx, config.root); err != nil {
		return nil, errors.Join(fmt.Errorf("remove half-made layers: %w", err), s.close())
	}
	if err := s.client.NamespaceService().Create(ctx, config.namespace, nil); err != nil && !errdefs.IsAlreadyExists(err) {
		return nil, errors.Join(fmt.Errorf("create containerd namespace: %w", err), s.close())
	}
	if err := s.recordSandbox(namespaces.WithNamespace(ctx, config.namespace)); err != nil {
		return nil, errors.Join(fmt.Errorf("record the sandbox: %w", err), s.close())
	}
	for _, l := range listeners {
		if err := l.Start(ctx); err != nil {
			return nil, errors.Join(fmt.Errorf("listen for shims: %w", err), s.close())
		}
	}
	return s, sweepSockets(config.shimsDir)
}

// sweepLayers removes the folders of layers of which there is no record: a killed
// gantry may have made one and not written it down, and the next layer would get
// its number and find its place taken.
func (s *server) sweepLayers(ctx context.Context, root string) error {
	p := s.set.Get(plugins.SnapshotPlugin, snapshotter)
	if p == nil {
		return fmt.Errorf("there is no snapshotter %s", snapshotter)
	}
	instance, err := p.Instance()
	if err != nil {
		return err
	}
	if err := instance.(snapshots.Cleaner).Cleanup(ctx); !errdefs.IsNotFound(err) {
		return err
	}
	// Nothing was ever written down.
	all, err := filepath.Glob(filepath.Join(root, p.Registration.URI(), "snapshots", "*"))
	for _, layer := range all {
		err = errors.Join(err, os.RemoveAll(layer))
	}
	return err
}

// sweepSockets removes the sockets of shims that were killed. It must run before
// new ones are started.
func sweepSockets(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		path := filepath.Join(dir, entry.Name())
		conn, err := net.Dial("unix", path)
		if errors.Is(err, unix.ECONNREFUSED) {
			err = os.Remove(path)
		} else if err == nil {
			err = conn.Close()
		}
		if err != nil {
			return fmt.Errorf("look for dead shims: %w", err)
		}
	}
	return nil
}

// unwanted leaves out the gRPC side of every service but events, which also
// carries the ttrpc service that shims report to.
func unwanted(r *plugin.Registration) bool {
	return r.Type == plugins.GRPCPlugin && r.ID != "events"
}

func (s *server) load(ctx context.Context, config serverConfig, registration plugin.Registration) (any, error) {
	id := registration.URI()
	in := plugin.NewContext(namespaces.WithNamespace(ctx, config.namespace), s.set, map[string]string{
		plugins.PropertyRootDir:      filepath.Join(config.root, id),
		plugins.PropertyStateDir:     filepath.Join(config.state, id),
		plugins.PropertyGRPCAddress:  config.socket,
		plugins.PropertyTTRPCAddress: config.socket + ".ttrpc",
	})
	in.RegisterReadiness = func() func() { return func() {} }
	in.Config = settings(config, registration)
	loaded := registration.Init(in)
	if err := s.set.Add(loaded); err != nil {
		return nil, err
	}
	return loaded.Instance()
}

// settings returns a plugin's configuration: a copy of its defaults, changed
// where gantry differs.
func settings(config serverConfig, registration plugin.Registration) any {
	if registration.Config == nil {
		return nil
	}
	if registration.Type == plugins.ShimPlugin {
		return &taskservice.ShimConfig{SocketDir: config.shimsDir}
	}
	defaults := reflect.ValueOf(registration.Config).Elem()
	own := reflect.New(defaults.Type())
	own.Elem().Set(defaults)
	if c, ok := own.Interface().(interface{ SetAddress(string) }); ok {
		c.SetAddress(config.socket + ".ttrpc")
	}
	return own.Interface()
}

// connect makes a client that calls the plugins directly.
func (s *server) connect(ctx context.Context) (*containerd.Client, error) {
	in := plugin.NewContext(ctx, s.set, nil)
	service := func(id string) any {
		if p := s.set.Get(plugins.ServicePlugin, id); p != nil {
			if instance, err := p.Instance(); err == nil {
				return instance
			}
		}
		return nil
	}
	manager, err := in.GetSingle(plugins.LeasePlugin)
	if err != nil {
		return nil, err
	}
	events, err := in.GetSingle(plugins.EventPlugin)
	if err != nil {
		return nil, err
	}
	contents, ok1 := service(services.ContentService).(content.Store)
	images, ok2 := service(services.ImagesService).(imagesapi.ImagesClient)
	layers, ok3 := service(services.SnapshotsService).(map[string]snapshots.Snapshotter)
	containers, ok4 := service(services.ContainersService).(containersapi.ContainersClient)
	tasks, ok5 := service(services.TasksService).(tasksapi.TasksClient)
	diffs, ok6 := service(services.DiffService).(diffapi.DiffClient)
	spaces, ok7 := service(services.NamespacesService).(namespacesapi.NamespacesClient)
	inside, ok8 := service(services.IntrospectionService).(introspection.Service)
	if slices.Contains([]bool{ok1, ok2, ok3, ok4, ok5, ok6, ok7, ok8}, false) {
		return nil, errors.New("a containerd service is missing from this build")
	}
	return containerd.New("", containerd.WithServices(
		containerd.WithContentStore(contents),
		containerd.WithImageClient(images),
		containerd.WithSnapshotters(layers),
		containerd.WithContainerClient(containers),
		containerd.WithTaskClient(tasks),
		containerd.WithDiffClient(diffs),
		containerd.WithNamespaceClient(spaces),
		containerd.WithLeasesService(manager.(leases.Manager)),
		containerd.WithEventService(events.(containerd.EventService)),
		containerd.WithIntrospectionService(inside),
	), containerd.WithDefaultNamespace(namespace))
}

// recordSandbox makes the record that lets containers name a shim we started.
func (s *server) recordSandbox(ctx context.Context) error {
	db, err := plugin.NewContext(ctx, s.set, nil).GetSingle(plugins.MetadataPlugin)
	if err != nil {
		return err
	}
	_, err = metadata.NewSandboxStore(db.(*metadata.DB)).Create(ctx, sandbox.Sandbox{
		ID: sandboxName, Sandboxer: "gantry", Runtime: sandbox.RuntimeOpts{Name: "gantry"}})
	if errdefs.IsAlreadyExists(err) {
		return nil
	}
	return err
}

// close closes the plugins, last one first. Shims run on.
func (s *server) close() error {
	s.quit()
	var failed []error
	for _, p := range slices.Backward(s.set.GetAll()) {
		instance, err := p.Instance()
		if err != nil {
			continue // it never started
		}
		if c, ok := instance.(io.Closer); ok {
			if err := c.Close(); err != nil {
				failed = append(failed, fmt.Errorf("close containerd's %s: %w", p.Registration.URI(), err))
			}
		}
	}
	return errors.Join(failed...)
}
