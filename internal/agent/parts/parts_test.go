package parts

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"gantry/internal/agent"
	"gantry/internal/agent/agenttest"
	"gantry/internal/agent/logdriver"
	"gantry/internal/agent/network"
	"gantry/internal/agent/runtime"
	"gantry/internal/wire/acsapi"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"golang.org/x/sys/unix"
)

// inside marks the process that runs the tests in network and mount namespaces of its own.
const inside = "GANTRY_PARTS_TEST_INSIDE"

func TestMain(m *testing.M) {
	if os.Getenv(inside) != "" {
		if err := isolate(); err != nil {
			fmt.Fprintln(os.Stderr, "isolate the tests:", err)
			os.Exit(1)
		}
		os.Exit(m.Run())
	}
	if os.Geteuid() != 0 {
		os.Exit(m.Run())
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		os.Exit(exit.ExitCode())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "start the tests in namespaces of their own:", err)
		os.Exit(1)
	}
}

// isolate keeps mounts in and brings the loopback up.
func isolate() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, lo)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// program is the compiled testdata/program.
var program = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "program")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "program")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", out, "./testdata/program")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the test's program: %w\n%s", err, text)
	}
	return os.ReadFile(out)
})

const testImage = "gantry/program:latest"

// imageTar is an image with the program, as "docker save" writes it.
func imageTar(t testing.TB) []byte {
	t.Helper()
	text, err := program()
	must(t, err)
	var layerTar bytes.Buffer
	w := tar.NewWriter(&layerTar)
	for _, dir := range []string{"tmp", "etc", "proc", "sys", "dev", "run", "data"} {
		must(t, w.WriteHeader(&tar.Header{Name: dir + "/", Typeflag: tar.TypeDir, Mode: 0o755}))
	}
	must(t, w.WriteHeader(&tar.Header{Name: "program", Typeflag: tar.TypeReg, Mode: 0o755, Size: int64(len(text))}))
	_, err = w.Write(text)
	must(t, err)
	must(t, w.Close())
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(layerTar.Bytes())), nil })
	must(t, err)
	image, err := mutate.AppendLayers(empty.Image, layer)
	must(t, err)
	file, err := image.ConfigFile()
	must(t, err)
	file = file.DeepCopy()
	file.OS, file.Architecture = "linux", goruntime.GOARCH
	file.Config = v1.Config{Entrypoint: []string{"/program"}}
	image, err = mutate.ConfigFile(image, file)
	must(t, err)
	tag, err := name.NewTag(testImage)
	must(t, err)
	var out bytes.Buffer
	must(t, tarball.Write(tag, image, &out))
	return out.Bytes()
}

// A host is a machine whose agent can be stopped and started again.
type host struct {
	t       testing.TB
	dir     string
	plane   *agenttest.Plane
	machine Machine
	logs    *logdriver.Drivers
	agent   *agent.Agent
	halt    func()
}

// newHost opens a runtime and a network, loads the image and starts an agent. At the test's end nothing is left.
func newHost(t testing.TB) *host {
	t.Helper()
	if os.Getenv(inside) == "" {
		t.Skip("needs root, to make containers and network namespaces")
	}
	versions, err := runtime.Versions()
	if err != nil || len(versions) == 0 {
		t.Skip("needs the embedded runtime: go run ./build/runtime")
	}
	run, err := os.MkdirTemp("/tmp", "gp")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(run) })
	h := &host{t: t, dir: t.TempDir(), plane: agenttest.New(t)}
	h.machine.OutputDir = filepath.Join(h.dir, "output")
	id := "t" + filepath.Base(run)[2:]
	logger := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	h.machine.Runtime, err = runtime.Open(t.Context(), runtime.Config{Dir: h.dir, ID: id, RunDir: run, Logger: logger})
	must(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := errors.Join(h.machine.Runtime.DeleteAll(ctx), h.machine.Runtime.Close()); err != nil {
			t.Error(err)
		}
	})
	_, err = h.machine.Runtime.Load(t.Context(), bytes.NewReader(imageTar(t)))
	must(t, err)
	h.machine.Network, err = network.Open(t.Context(), network.Config{
		ID: id[:min(8, len(id))], Dir: filepath.Join(h.dir, "network"), RunDir: filepath.Join(run, "net"), Logger: logger,
	})
	must(t, err)
	t.Cleanup(func() {
		if err := h.machine.Network.Remove(context.Background()); err != nil {
			t.Error(err)
		}
	})
	h.logs, err = logdriver.Open(logdriver.Config{Dir: h.machine.OutputDir, Region: "us-east-1", Log: logger})
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.logs.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	h.start()
	t.Cleanup(func() { h.down(id) })
	h.plane.Connected(1)
	return h
}

// open opens the agent, which takes up what is there.
func (h *host) open() *agent.Agent {
	h.t.Helper()
	logger := slog.New(slog.NewTextHandler(h.t.Output(), &slog.HandlerOptions{Level: slog.LevelInfo}))
	a, err := agent.New(context.Background(), agent.Config{
		DataDir: filepath.Join(h.dir, "agent"), Cluster: agenttest.Cluster, Endpoint: h.plane.URL, Region: "us-east-1",
		Credentials: agent.StaticCredentials{AccessKeyID: "AKIATEST", SecretAccessKey: "secret"}, Logger: logger,
		CleanupWait: time.Hour, LogDrivers: logdriver.Names(),
	}, Join(h.machine, Logs(h.logs)))
	must(h.t, err)
	return a
}

// start starts the agent; halt stops it and leaves its containers.
func (h *host) start() {
	h.t.Helper()
	h.agent = h.open()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.agent.Run(ctx) }()
	h.halt = func() {
		cancel()
		if err := errors.Join(<-done, h.agent.Close()); err != nil {
			h.t.Error(err)
		}
		h.halt = func() {}
	}
}

// down stops the agent and then all of its tasks, as gantry down does, and looks for what is left.
func (h *host) down(id string) {
	h.halt()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	a := h.open()
	if err := errors.Join(a.StopAll(ctx, 0), a.Close()); err != nil {
		h.t.Error(err)
	}
	if list, err := h.machine.Runtime.List(ctx); err != nil || len(list) > 0 {
		h.t.Errorf("left: containers %+v, %v", list, err)
	}
	if attached := h.machine.Network.Attached(); len(attached) > 0 {
		h.t.Errorf("left: networks %v", attached)
	}
	if groups, _ := filepath.Glob("/sys/fs/cgroup/*/gantry-" + id + "/*/"); len(groups) > 0 {
		h.t.Errorf("left: control groups %v", groups)
	}
}

// payload is a task of one definition.
func payload(arn string, containers ...acsapi.Container) acsapi.Task {
	for i := range containers {
		c := &containers[i]
		c.Image, c.Memory = cmp.Or(c.Image, testImage), cmp.Or(c.Memory, 64)
		// A process 1 ignores a SIGTERM that comes before it asked for it.
		c.StopTimeout = cmp.Or(c.StopTimeout, new(int64(2)))
	}
	return acsapi.Task{
		Arn: arn, Family: "web", Version: "1", DesiredStatus: "RUNNING", NetworkMode: "bridge", Overrides: "{}",
		TaskClusterArn: agenttest.ClusterARN, Containers: containers,
	}
}

func stop(arn string) acsapi.Task {
	return acsapi.Task{Arn: arn, Family: "web", Version: "1", DesiredStatus: "STOPPED", Overrides: "{}"}
}
