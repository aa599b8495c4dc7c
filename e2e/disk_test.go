package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/smithy-go"
	"golang.org/x/sys/unix"
)

const (
	// diskSize is that of the disk that gets full, in bytes.
	diskSize = 768 << 20
	// shortOfDisk leaves room for gantry's state, and too little for a new task.
	shortOfDisk = 224 << 20
)

// pipeHolds is how much a container can print that nobody reads, in bytes.
const pipeHolds = 64 << 10

// longPath makes a web server print a long line.
var longPath = "/" + strings.Repeat("x", 4095)

// small starts a server whose data dir is a file system of its own, with little room.
func small(t *testing.T) *server {
	t.Helper()
	dir, err := os.MkdirTemp("", "gantry-e2e")
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("gantry-e2e", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=700", diskSize)); err != nil {
		os.Remove(dir)
		t.Skipf("no file system of its own for the data dir: mount tmpfs: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
		os.Remove(dir)
	})
	s, err := up(dir)
	if err != nil {
		t.Fatalf("start gantry: %v", err)
	}
	t.Cleanup(func() {
		if err := s.down(); err != nil {
			t.Errorf("gantry down: %v", err)
		}
		if t.Failed() {
			t.Logf("output of gantry up:\n%s\nits log ends:\n%s", s.out.String(), s.logTail())
		}
	})
	return s
}

// leave fills the data dir's file system until so many bytes are free.
func (s *server) leave(t *testing.T, free int64) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(s.dir, "fill"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 1<<20)
	for {
		var fs unix.Statfs_t
		if err := unix.Statfs(s.dir, &fs); err != nil {
			t.Fatal(err)
		}
		n := min(int64(fs.Bavail)*fs.Bsize-free, int64(len(block)))
		if n <= 0 {
			return
		}
		if _, err := f.Write(block[:n]); errors.Is(err, unix.ENOSPC) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

func (s *server) makeRoom(t *testing.T) {
	t.Helper()
	if err := os.Remove(filepath.Join(s.dir, "fill")); err != nil {
		t.Fatal(err)
	}
}

// TestFullDisk: new work is refused with a reason, what runs goes on, is told and
// can be stopped; when there is room again, so is everything else.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	s := small(t)
	s.load(t, "web", "worker")
	c := s.sdk()
	web := s.define(t, func(in *ecs.RegisterTaskDefinitionInput, k *types.ContainerDefinition) {
		*in.Family += "-web"
		*k.Image = "gantry/sample-web:latest"
		k.PortMappings = []types.PortMapping{{ContainerPort: aws.Int32(8080)}}
	})
	worker := s.define(t, func(in *ecs.RegisterTaskDefinitionInput, k *types.ContainerDefinition) {
		k.Environment = pairs("INTERVAL=1ms")
	})
	serves, prints, third := s.launch(t, "default", web), s.launch(t, "default", worker), s.launch(t, "default", worker)
	port := *describeTask(t, c, "default", serves).Containers[0].NetworkBindings[0].HostPort
	eventually(t, "the web server to listen", func() (bool, string) { body, err := get(port); return err == nil, body })
	pids := s.pids(t)

	s.leave(t, shortOfDisk)
	late := s.stopped(t, "default", s.begin(t, "default", worker))
	if late.StopCode != types.TaskStopCodeTaskFailedToStart || !strings.Contains(*late.StoppedReason, "no space left on the instance's disk") {
		t.Errorf("a new task: %s", tell(late))
	}
	s.halt(t, "default", third)

	s.leave(t, 0)
	refusal, err := c.RunTask(t.Context(), &ecs.RunTaskInput{TaskDefinition: &worker})
	var api smithy.APIError
	if !errors.As(err, &api) || !strings.Contains(api.ErrorMessage(), "disk") {
		t.Errorf("run-task on a full disk: %+v, %v", refusal, err)
	}
	if _, err := s.gantry("image", "load", sampleTar("crasher")); err == nil || !strings.Contains(err.Error(), "no space left on device") && !strings.Contains(err.Error(), "disk") {
		t.Errorf("image load on a full disk: %v", err)
	}
	// The web server prints a line per request before it answers: more of them than a
	// pipe holds, and it would stand still if its output were not taken away.
	for range 2 * pipeHolds / len(longPath) {
		if body, err := getPath(port, longPath); err != nil || !strings.Contains(body, serves) {
			t.Fatalf("while the disk is full the web server answers %q, %v", body, err)
		}
	}
	for task, status := range map[string]string{serves: "RUNNING", prints: "RUNNING", third: "STOPPED"} {
		if got := describeTask(t, c, "default", task); *got.LastStatus != status {
			t.Errorf("while the disk is full: %s, want %s", tell(got), status)
		}
	}

	s.makeRoom(t)
	s.launch(t, "default", worker)
	now := s.pids(t)
	for _, task := range []string{serves, prints} {
		if id := runtimeID(t, s, task); !slices.Equal(now[id], pids[id]) {
			t.Errorf("%s has processes %v, before %v", task, now[id], pids[id])
		}
	}
	s.halt(t, "default", prints)
	out, err := s.gantry("logs", id(prints))
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if err != nil || len(lines) < 2 || lines[len(lines)-1] != "worker: finishes its work" {
		t.Errorf("the last of %d lines of the worker is %q, %v", len(lines), lines[len(lines)-1], err)
	}

	eventually(t, "a line that tells what was lost", func() (bool, string) {
		if body, err := get(port); err != nil {
			return false, body
		}
		out, err := s.gantry("logs", id(serves))
		return err == nil && strings.Contains(out, "[gantry: the disk was full: "), out[max(0, len(out)-300):]
	})

	s.leave(t, 0)
	s.kill()
	if err := s.start(); err == nil || !strings.Contains(err.Error(), "disk") {
		t.Errorf("started on a full disk: %v", err)
	}
	if body, err := get(port); err != nil || !strings.Contains(body, "hostname") {
		t.Errorf("the web server answers %q", body)
	}
	s.makeRoom(t)
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	if got := describeTask(t, s.sdk(), "default", serves); *got.LastStatus != "RUNNING" {
		t.Errorf("after all of it: %s", tell(got))
	}
}

func runtimeID(t *testing.T, s *server, task string) string {
	t.Helper()
	return *describeTask(t, s.sdk(), "default", task).Containers[0].RuntimeId
}
