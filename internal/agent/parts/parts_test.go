package parts

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gantry/internal/agent"
	"gantry/internal/agent/agenttest"
	"gantry/internal/agent/engine"
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

// noLogs leaves what containers print in its files.
type noLogs struct{}

func (noLogs) Attach(context.Context, engine.LogOutput) error { return nil }
func (noLogs) Drain(context.Context, string) error            { return nil }
func (noLogs) Forget(context.Context, string) error           { return nil }

// A host is a machine whose agent can be stopped and started again.
type host struct {
	t       *testing.T
	dir     string
	plane   *agenttest.Plane
	machine Machine
	agent   *agent.Agent
	halt    func()
}

// newHost opens a runtime and a network, loads the image and starts an agent. At the test's end nothing is left.
func newHost(t *testing.T) *host {
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
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
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
	h.start()
	t.Cleanup(func() { h.halt() })
	return h
}

// start starts the agent; halt stops it and leaves its containers.
func (h *host) start() {
	h.t.Helper()
	logger := slog.New(slog.NewTextHandler(h.t.Output(), &slog.HandlerOptions{Level: slog.LevelInfo}))
	a, err := agent.New(h.t.Context(), agent.Config{
		DataDir: filepath.Join(h.dir, "agent"), Cluster: agenttest.Cluster, Endpoint: h.plane.URL, Region: "us-east-1",
		Credentials: agent.StaticCredentials{AccessKeyID: "AKIATEST", SecretAccessKey: "secret"}, Logger: logger,
		CleanupWait: time.Hour, LogDrivers: []string{"none"},
	}, Join(h.machine, noLogs{}))
	must(h.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	h.agent = a
	h.halt = func() {
		cancel()
		if err := errors.Join(<-done, a.Close()); err != nil {
			h.t.Error(err)
		}
		h.halt = func() {}
	}
}

const taskARN = "arn:aws:ecs:us-east-1:123456789012:task/demo/00000000000000000000000000000001"

// payload is a task of one definition.
func payload(arn string, containers ...acsapi.Container) acsapi.Task {
	for i := range containers {
		containers[i].Image, containers[i].Memory = testImage, 64
	}
	return acsapi.Task{
		Arn: arn, Family: "web", Version: "1", DesiredStatus: "RUNNING", NetworkMode: "bridge", Overrides: "{}",
		TaskClusterArn: agenttest.ClusterARN, Containers: containers,
	}
}

func stop(arn string) acsapi.Task {
	return acsapi.Task{Arn: arn, Family: "web", Version: "1", DesiredStatus: "STOPPED", Overrides: "{}"}
}

func TestATaskRunsAndStops(t *testing.T) {
	h := newHost(t)
	h.plane.Connected(1)
	h.plane.Payload("p1", 1, payload(taskARN, acsapi.Container{
		Name: "web", Essential: true, Command: []string{"serve", "8080"}, Environment: map[string]string{"A": "b"},
		PortMappings: []acsapi.PortMapping{{ContainerPort: 8080}},
	}))
	h.plane.Acked("p1")
	running := h.plane.Change(taskARN, "RUNNING")
	if len(running.Containers) != 1 || len(running.Containers[0].NetworkBindings) != 1 {
		t.Fatalf("RUNNING with %+v", running.Containers)
	}
	port := *running.Containers[0].NetworkBindings[0].HostPort
	body := get(t, fmt.Sprintf("http://127.0.0.1:%d/", port))
	for _, want := range []string{"\nA=b\n", "ECS_CONTAINER_METADATA_URI_V4=http://169.254.170.2/v4/", "AWS_REGION=us-east-1"} {
		if !strings.Contains("\n"+body, want) {
			t.Errorf("the container does not see %q in\n%s", want, body)
		}
	}
	h.plane.Payload("p2", 2, func() acsapi.Task { s := stop(taskARN); return s }())
	h.plane.Acked("p2")
	stopped := h.plane.Change(taskARN, "STOPPED")
	if c := stopped.Containers[0]; c.ExitCode == nil || *c.ExitCode != 2 && *c.ExitCode != 143 {
		t.Errorf("stopped with %+v", c)
	}
}

// get asks until somebody answers: a container is RUNNING before its program listens.
func get(t *testing.T, url string) string {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		r, err := http.Get(url)
		if err == nil {
			defer r.Body.Close()
			body, err := io.ReadAll(r.Body)
			must(t, err)
			return string(body)
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
