package runtime

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"golang.org/x/sys/unix"
)

// inside marks the second start of the tests, in namespaces of their own.
const inside = "GANTRY_RUNTIME_TEST_INSIDE"

// TestMain runs the tests in a mount and a network namespace of their own, so
// that nothing they mount or set can reach the host. Without root they run
// where they are, and those that make containers skip.
func TestMain(m *testing.M) {
	if role := os.Getenv(helperRole); role != "" {
		os.Exit(runHelper(role))
	}
	if os.Geteuid() != 0 || os.Getenv(inside) != "" {
		if os.Getenv(inside) != "" {
			if err := isolate(); err != nil {
				fmt.Fprintln(os.Stderr, "isolate the tests:", err)
				os.Exit(1)
			}
		}
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
	return loopbackUp()
}

// needRuntime skips a test that this machine cannot run, saying what it lacks.
func needRuntime(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to make containers")
	}
	if _, err := readManifest(); err != nil {
		t.Skip("needs the embedded runtime: go run ./build/runtime")
	}
	if _, err := detectCgroups("/"); err != nil {
		t.Skip("needs control groups:", err)
	}
}

// probe is the compiled testdata/probe.
var probe = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "probe")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "probe")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", out, "./testdata/probe")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the probe: %w\n%s", err, text)
	}
	return os.ReadFile(out)
})

// probeImage is an image with the probe, some users and a directory with data.
func probeImage(t *testing.T, change func(*v1.Config)) v1.Image {
	t.Helper()
	program, err := probe()
	if err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, dir := range []string{"tmp", "etc", "proc", "sys", "dev", "run", "root", "data", "data/sub"} {
		must(t, w.WriteHeader(&tar.Header{Name: dir + "/", Typeflag: tar.TypeDir, Mode: 0o755}))
	}
	for _, f := range []struct {
		name, text string
		mode       int64
		uid        int
	}{
		{"probe", string(program), 0o755, 0},
		{"etc/passwd", "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001:app:/home/app:/bin/sh\n", 0o644, 0},
		{"etc/group", "root:x:0:\nappgroup:x:1001:\nextra:x:2000:app\n", 0o644, 0},
		{"data/sub/file", "from the image\n", 0o640, 1000},
		{"etc/notexec", "nothing", 0o644, 0},
	} {
		must(t, w.WriteHeader(&tar.Header{Name: f.name, Typeflag: tar.TypeReg, Mode: f.mode, Size: int64(len(f.text)), Uid: f.uid}))
		_, err := io.WriteString(w, f.text)
		must(t, err)
	}
	must(t, w.Close())
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(buf.Bytes())), nil })
	must(t, err)
	image, err := mutate.AppendLayers(empty.Image, layer)
	must(t, err)
	file, err := image.ConfigFile()
	must(t, err)
	file = file.DeepCopy()
	file.OS, file.Architecture = "linux", goarch
	file.Config = v1.Config{Entrypoint: []string{"/probe"}, Cmd: []string{"print", "hello", "world"}, Env: []string{"FROM=image"}}
	if change != nil {
		change(&file.Config)
	}
	image, err = mutate.ConfigFile(image, file)
	must(t, err)
	return image
}

// saveTar is an image as "docker save" writes it.
func saveTar(t *testing.T, ref string, image v1.Image) []byte {
	t.Helper()
	tag, err := name.NewTag(ref)
	must(t, err)
	var buf bytes.Buffer
	must(t, tarball.Write(tag, image, &buf))
	return buf.Bytes()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// testConfig is a configuration in directories of the test's own.
func testConfig(t *testing.T) Config {
	t.Helper()
	run, err := os.MkdirTemp("/tmp", "gr")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(run) })
	return Config{
		Dir: t.TempDir(), ID: "test-" + newToken(), RunDir: run,
		Logger: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
}

const (
	testImage = "gantry/probe:latest"
	testTask  = TaskID("0123456789abcdef")
	patience  = 5 * time.Minute // for a whole test: it takes seconds, on a busy machine a minute
)

// open starts a runtime with the probe image loaded. At the test's end all of
// it is gone, or the test fails.
func open(t *testing.T) (*Runtime, context.Context) {
	t.Helper()
	needRuntime(t)
	config := testConfig(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	r, err := Open(ctx, config)
	must(t, err)
	t.Cleanup(func() { wipe(t, r) })
	_, err = r.Load(ctx, bytes.NewReader(saveTar(t, testImage, probeImage(t, nil))))
	must(t, err)
	must(t, r.CreateTaskCgroup(ctx, testTask, TaskLimits{}))
	return r, ctx
}

// wipe removes everything a runtime made and looks for what is left.
func wipe(t *testing.T, r *Runtime) {
	if r.closed() {
		return // the test goes on with another
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := r.DeleteAll(ctx); err != nil {
		t.Error(err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	table, err := os.ReadFile("/proc/self/mountinfo")
	must(t, err)
	for line := range bytes.Lines(table) {
		if bytes.Contains(line, []byte(r.config.RunDir+"/")) || bytes.Contains(line, []byte(r.config.Dir+"/")) {
			t.Errorf("left behind: mount %s", line)
		}
	}
	groups, _ := filepath.Glob("/sys/fs/cgroup/*" + r.config.CgroupParent)
	if len(groups) > 0 {
		t.Errorf("left behind: control groups %v", groups)
	}
	sockets, _ := filepath.Glob(filepath.Join(r.config.RunDir, "s", "*"))
	if len(sockets) > 0 {
		t.Errorf("left behind: shims %v", sockets)
	}
}

// ran is what came of a container.
type ran struct {
	Exit           Exit
	Stdout, Stderr string
}

// spec is a container of the probe image.
func spec(t *testing.T, args ...string) Spec {
	t.Helper()
	dir := t.TempDir()
	return Spec{
		ID: ContainerID("c-" + newToken()), Task: testTask, Image: testImage, Command: args,
		Log: Log{Stdout: filepath.Join(dir, "stdout"), Stderr: filepath.Join(dir, "stderr")},
	}
}

// run makes, starts, awaits and deletes a container.
func run(t *testing.T, r *Runtime, ctx context.Context, s Spec) ran {
	t.Helper()
	_, err := r.Create(ctx, s)
	must(t, err)
	_, err = r.Start(ctx, s.ID)
	must(t, err)
	return finish(t, r, ctx, s)
}

func finish(t *testing.T, r *Runtime, ctx context.Context, s Spec) ran {
	t.Helper()
	exit, err := r.Wait(ctx, s.ID)
	must(t, err)
	must(t, r.Delete(ctx, s.ID))
	return ran{exit, read(t, s.Log.Stdout), read(t, s.Log.Stderr)}
}

func read(t *testing.T, path string) string {
	t.Helper()
	if path == "" {
		return ""
	}
	text, err := os.ReadFile(path)
	must(t, err)
	return string(text)
}

// eventually waits for a state, not for a time.
func eventually(t *testing.T, ctx context.Context, what string, done func() bool) {
	t.Helper()
	for !done() {
		select {
		case <-ctx.Done():
			t.Fatalf("never came: %s", what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// closed is whether a test has closed the runtime itself.
func (r *Runtime) closed() bool {
	_, err := r.client.NamespaceService().List(context.Background())
	return err != nil
}
