package e2e

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Bounds on waiting: generous, since these machines are slow and shared; a test
// never waits for a time, only for a state until one of these.
const (
	readyWithin = 3 * time.Minute
	stopWithin  = 3 * time.Minute
	stateWithin = 4 * time.Minute
)

// A server is a running gantry and how to reach it.
type server struct {
	dir string
	// command is what it runs, with flags; nil is up at a free port of loopback.
	command []string
	// ns is the network namespace that it runs in; nil is that of the tests.
	ns  *os.File
	cmd *exec.Cmd
	out *output
	env []string // what `gantry env` prints
}

func repository() string {
	dir, err := filepath.Abs("..")
	if err != nil {
		panic(err)
	}
	return dir
}

// program is bin/gantry, unless GANTRY_PROGRAM names another one.
func program() string {
	if other := os.Getenv("GANTRY_PROGRAM"); other != "" {
		return other
	}
	return filepath.Join(repository(), "bin", "gantry")
}

func sampleTar(name string) string {
	return filepath.Join(repository(), "build", "samples", name+".tar")
}

// shared is the server that tests use which need none of their own.
var shared struct {
	once sync.Once
	s    *server
	err  error
}

// gantry returns the shared server with all samples loaded, starting it at first use.
func gantry(t *testing.T) *server {
	t.Helper()
	shared.once.Do(func() {
		dir, err := os.MkdirTemp("", "gantry-e2e")
		if err != nil {
			shared.err = err
			return
		}
		if shared.s, shared.err = up(dir); shared.err != nil {
			return
		}
		for _, sample := range []string{"web", "worker", "crasher", "burner", "eater", "probe"} {
			if _, shared.err = shared.s.gantry("image", "load", sampleTar(sample)); shared.err != nil {
				return
			}
		}
	})
	if shared.err != nil {
		t.Fatalf("start gantry: %v", shared.err)
	}
	return shared.s
}

func stopShared() error {
	if shared.s == nil {
		return nil
	}
	err := shared.s.down()
	return errors.Join(err, os.RemoveAll(shared.s.dir))
}

// own starts a server that belongs to one test, and takes it down with it.
func own(t *testing.T, flags ...string) *server {
	t.Helper()
	dir, err := os.MkdirTemp("", "gantry-e2e")
	if err != nil {
		t.Fatal(err)
	}
	s, err := up(dir, flags...)
	if err != nil {
		t.Fatalf("start gantry: %v", err)
	}
	t.Cleanup(func() {
		err := s.down()
		if err != nil {
			t.Errorf("gantry down, of which %s is left to look at: %v", dir, err)
		}
		if t.Failed() {
			t.Logf("output of gantry up:\n%s\nits log ends:\n%s", s.out.String(), s.logTail())
		}
		if err == nil {
			os.RemoveAll(dir)
		}
	})
	return s
}

// logTail is the end of what gantry has logged.
func (s *server) logTail() string {
	const enough = 16 << 10
	text, err := os.ReadFile(filepath.Join(s.dir, "gantry.log"))
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-enough):])
}

// up starts gantry on a free port and waits until it is ready.
func up(dir string, flags ...string) (*server, error) {
	s := &server{dir: dir}
	if err := s.start(flags...); err != nil {
		return nil, err
	}
	return s, nil
}

// spawn starts the process and returns at once; ended tells how it ended.
func (s *server) spawn(flags ...string) (ended <-chan error, err error) {
	s.out = new(output)
	command := s.command
	if command == nil {
		command = []string{"up", "--listen", "127.0.0.1:0", "--task-warmup", "0s"}
	}
	s.cmd = exec.Command(program(), slices.Concat(command, []string{"--data-dir", s.dir}, flags)...)
	s.cmd.Env = clean()
	s.cmd.Stdout, s.cmd.Stderr = s.out, s.out
	if err := startIn(s.ns, s.cmd); err != nil {
		return nil, err
	}
	waited := make(chan error, 1)
	go func() { waited <- s.cmd.Wait() }()
	return waited, nil
}

// start starts gantry and returns when it is ready.
func (s *server) start(flags ...string) error {
	ended, err := s.spawn(flags...)
	if err != nil {
		return err
	}
	deadline := time.After(readyWithin)
	for !strings.Contains(s.out.String(), "\nready in ") { // at the start of a line: a port may be already in use
		select {
		case err := <-ended:
			return fmt.Errorf("gantry ended: %v\n%s", err, s.out)
		case <-deadline:
			return fmt.Errorf("gantry is not ready after %s\n%s", readyWithin, s.out)
		case <-time.After(20 * time.Millisecond):
		}
	}
	if s.command != nil && s.command[0] == "agent" {
		return nil
	}
	s.env = clean()
	lines, err := s.gantry("env")
	if err != nil {
		return err
	}
	for scan := bufio.NewScanner(strings.NewReader(lines)); scan.Scan(); {
		name, value, ok := strings.Cut(strings.TrimPrefix(scan.Text(), "export "), "=")
		if ok {
			s.env = append(s.env, name+"="+strings.Trim(value, `"'`))
		}
	}
	return nil
}

// kill ends gantry as a power cut would: containers go on.
func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.wait(stopWithin)
}

// terminate asks gantry to stop and leaves tasks running.
func (s *server) terminate() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return s.wait(stopWithin)
}

// wait is for the process to be gone. (cmd.Wait runs in start's goroutine.)
func (s *server) wait(within time.Duration) error {
	for deadline := time.Now().Add(within); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if s.cmd.Process.Signal(syscall.Signal(0)) != nil {
			return nil
		}
	}
	return fmt.Errorf("gantry still runs after %s", within)
}

// down stops gantry and its tasks, also when gantry is dead.
func (s *server) down() error {
	out, err := s.gantry("down")
	if err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return s.wait(stopWithin)
}

// gantry runs a gantry command against this server.
func (s *server) gantry(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), stopWithin)
	defer cancel()
	cmd := exec.CommandContext(ctx, program(), append(args, "--data-dir", s.dir)...)
	cmd.Env = clean()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := startIn(s.ns, cmd)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		return stdout.String(), fmt.Errorf("gantry %s: %w: %s", strings.Join(args, " "), err, stderr.String())
	}
	return stdout.String(), nil
}

// clean is this process's environment without any AWS or Terraform setting.
func clean() []string {
	var env []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "AWS_") && !strings.HasPrefix(e, "TF_") && !strings.HasPrefix(e, "GANTRY_") {
			env = append(env, e)
		}
	}
	return append(env, "AWS_PAGER=", "AWS_EC2_METADATA_DISABLED=true")
}

// output collects what a process prints; it is read while the process runs.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

var _ io.Writer = (*output)(nil)
