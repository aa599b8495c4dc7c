package e2e

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// refusedWithin bounds a gantry up that must not come up.
const refusedWithin = time.Minute

// attempt runs a gantry command that has to fail, and returns what it says.
func attempt(t *testing.T, as *syscall.Credential, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), refusedWithin)
	defer cancel()
	cmd := exec.CommandContext(ctx, program(), args...)
	cmd.Env = clean()
	cmd.Dir = "/"
	if as != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as}
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err == nil || ctx.Err() != nil {
		t.Errorf("gantry %s: error %v, want a refusal\n%s%s", strings.Join(args, " "), err, &stdout, &stderr)
	}
	return stderr.String()
}

// TestRefusedStarts: what cannot be started says why in one sentence, and what to
// do about it.
func TestRefusedStarts(t *testing.T) {
	t.Parallel()
	s := own(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	foreign, newer, damaged, placed, file := t.TempDir(), t.TempDir(), t.TempDir(), t.TempDir(), filepath.Join(t.TempDir(), "file")
	write(t, filepath.Join(foreign, "thesis.tex"), "years of work")
	write(t, filepath.Join(newer, "gantry.json"), `{"format":99,"id":"0badcafe"}`)
	write(t, filepath.Join(damaged, "gantry.json"), `{"format":1,`)
	write(t, filepath.Join(placed, "gantry.json"), `{"format":1,"id":"0badcafe","region":"us-east-1","account":"123456789012"}`)
	write(t, file, "")
	nobody := &syscall.Credential{Uid: 65534, Gid: 65534}
	for _, test := range []struct {
		name string
		as   *syscall.Credential
		args []string
		want []string
	}{
		{"second on the same data dir", nil, []string{"up", "--data-dir", s.dir, "--listen", "127.0.0.1:0"}, []string{"another gantry (pid ", "is running on " + s.dir, "gantry down --data-dir " + s.dir}},
		{"port in use", nil, []string{"up", "--data-dir", t.TempDir(), "--listen", taken.Addr().String()}, []string{taken.Addr().String() + " is in use", "--listen"}},
		{"foreign data dir", nil, []string{"up", "--data-dir", foreign}, []string{foreign + " holds files that are not gantry's (thesis.tex)", "--data-dir"}},
		{"foreign data dir, down", nil, []string{"down", "--data-dir", foreign}, []string{"not gantry's (thesis.tex)"}},
		{"data dir of a newer gantry", nil, []string{"up", "--data-dir", newer}, []string{"newer gantry (format 99"}},
		{"damaged data dir", nil, []string{"up", "--data-dir", damaged}, []string{"gantry.json is damaged", "backup"}},
		{"data dir is a file", nil, []string{"up", "--data-dir", file}, []string{file + " is not a folder"}},
		{"other region", nil, []string{"up", "--data-dir", placed, "--region", "eu-central-1"}, []string{"belongs to region us-east-1, and --region says eu-central-1"}},
		{"account of eleven digits", nil, []string{"up", "--data-dir", t.TempDir(), "--account", "12345678901"}, []string{"12 digits"}},
		{"no root", nobody, []string{"up", "--data-dir", filepath.Join(t.TempDir(), "x")}, []string{"needs root", "sudo"}},
		{"down where nothing was", nil, []string{"down", "--data-dir", t.TempDir()}, []string{"no gantry was ever started on"}},
		{"status where nothing was", nil, []string{"status", "--data-dir", t.TempDir()}, []string{"gantry up --data-dir"}},
		{"unknown level", nil, []string{"up", "--data-dir", t.TempDir(), "--log-level", "loud"}, []string{"choose debug, info, warn or error"}},
		{"unknown flag", nil, []string{"up", "--datadir", "x"}, []string{"--datadir"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.as != nil && !mayExecute(test.as) {
				t.Skipf("%s is in a folder that only root may enter", program())
			}
			said := attempt(t, test.as, test.args...)
			for _, w := range test.want {
				if !strings.Contains(said, w) {
					t.Errorf("said %q, want %q in it", said, w)
				}
			}
			if lines := strings.Count(strings.TrimSpace(said), "\n") + 1; lines != 1 {
				t.Errorf("said it in %d lines:\n%s", lines, said)
			}
		})
	}
	if got, err := os.ReadDir(foreign); err != nil || len(got) != 1 {
		t.Errorf("the foreign data dir was written to: %v, %v", got, err)
	}
	must(t, s.sdk().ListClusters, &ecs.ListClustersInput{}) // and the one that runs goes on
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// mayExecute says whether another user may run the program.
func mayExecute(as *syscall.Credential) bool {
	cmd := exec.Command(program(), "--help")
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as}
	return cmd.Run() == nil
}

// TestStoppedWhileStarting: a gantry that is killed or told to stop before it is ready leaves
// nothing that gantry down would not take back, and stops as one that is ready does.
func TestStoppedWhileStarting(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		made   string // in the data dir: what it has come to
		signal syscall.Signal
	}{{"run/mnt/namespace", syscall.SIGKILL}, {"gantry.log", syscall.SIGTERM}, {"store/member", syscall.SIGINT}, {"endpoint", syscall.SIGINT}} {
		t.Run(test.made, func(t *testing.T) {
			dir := t.TempDir()
			var out bytes.Buffer
			cmd := exec.CommandContext(t.Context(), program(), "up", "--data-dir", dir, "--listen", "127.0.0.1:0")
			cmd.Env, cmd.Stdout, cmd.Stderr = clean(), &out, &out
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			eventually(t, test.made, func() (bool, string) {
				_, err := os.Stat(filepath.Join(dir, test.made))
				return err == nil, ""
			})
			if err := cmd.Process.Signal(test.signal); err != nil {
				t.Fatal(err)
			}
			err := cmd.Wait()
			if test.signal != syscall.SIGKILL && (err != nil || !strings.HasSuffix(out.String(), "stopped; tasks go on running (gantry down stops them too)\n") || strings.Contains(out.String(), "level=")) {
				t.Errorf("%v, and it said:\n%s", err, &out)
			}
			s := &server{dir: dir}
			if said, err := s.gantry("down"); err != nil {
				t.Errorf("gantry down: %v\n%s", err, said)
			}
			s.nothingLeft(t)
		})
	}
}

// TestTwoGantries: on one host, each with its data dir, neither sees the other's
// tasks, and taking one down leaves the other alone.
func TestTwoGantries(t *testing.T) {
	t.Parallel()
	one, two := own(t), own(t)
	for _, s := range []*server{one, two} {
		s.load(t, "web")
	}
	start := func(s *server) (task string, port int32) {
		d := s.define(t, func(_ *ecs.RegisterTaskDefinitionInput, c *types.ContainerDefinition) {
			*c.Image = "gantry/sample-web:latest"
			c.PortMappings = []types.PortMapping{{ContainerPort: new(int32(8080))}}
		})
		task = s.launch(t, "default", d)
		return task, *describeTask(t, s.sdk(), "default", task).Containers[0].NetworkBindings[0].HostPort
	}
	taskOne, portOne := start(one)
	taskTwo, portTwo := start(two)
	if portOne == portTwo {
		t.Errorf("both have host port %d", portOne)
	}
	visit := func(port int32, task string) {
		t.Helper()
		eventually(t, "an answer of "+task, func() (bool, string) {
			body, err := get(port)
			return err == nil && strings.Contains(body, task), body
		})
	}
	visit(portOne, taskOne)
	visit(portTwo, taskTwo)
	if err := one.down(); err != nil {
		t.Fatal(err)
	}
	one.nothingLeft(t)
	visit(portTwo, taskTwo)
	if got := *describeTask(t, two.sdk(), "default", taskTwo).LastStatus; got != "RUNNING" {
		t.Errorf("the other gantry's task is %s", got)
	}
	if body, err := get(portOne); err == nil && strings.Contains(body, taskOne) {
		t.Errorf("the host port of the one that is down still answers: %s", body)
	}
}

// TestRestart: SIGTERM leaves tasks running, with the same process, address and
// log; what ends meanwhile is told afterwards.
func TestRestart(t *testing.T) {
	t.Parallel()
	s := own(t)
	s.load(t, "web", "probe")
	web := s.define(t, func(in *ecs.RegisterTaskDefinitionInput, c *types.ContainerDefinition) {
		*in.Family += "-web"
		*c.Image = "gantry/sample-web:latest"
		c.PortMappings = []types.PortMapping{{ContainerPort: new(int32(8080))}}
	})
	runs := s.launch(t, "default", web)
	ends := s.job(t, s.probe("ends", "out=it begins", "await=/gate/end", "out=it ends", "exit=7"))
	ends.in.ContainerDefinitions[0].LogConfiguration = nil
	end := ends.gate()
	ends.start().running()
	before := describeTask(t, s.sdk(), "default", runs)
	runtimeID := *before.Containers[0].RuntimeId
	was := s.pids(t)[runtimeID]
	port := *before.Containers[0].NetworkBindings[0].HostPort
	eventually(t, "it to listen", func() (bool, string) { body, err := get(port); return err == nil, body })

	if err := s.terminate(); err != nil {
		t.Fatal(err)
	}
	if out := s.out.String(); !strings.Contains(out, "stopped; tasks go on running") {
		t.Errorf("it said at its end:\n%s", out)
	}
	if _, err := get(port); err != nil {
		t.Errorf("while gantry is stopped its task does not answer: %v", err)
	}
	end("end")
	eventually(t, "the other one to end", func() (bool, string) { return len(s.pids(t)) == 1, "" })
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	after := describeTask(t, s.sdk(), "default", runs)
	if now := s.pids(t)[runtimeID]; *after.LastStatus != "RUNNING" || len(was) == 0 || !slices.Equal(was, now) {
		t.Errorf("it is %s with processes %v, before %v", *after.LastStatus, now, was)
	}
	if *after.Containers[0].NetworkBindings[0].HostPort != port || !after.StartedAt.Equal(*before.StartedAt) {
		t.Errorf("it has changed: %+v\nbefore: %+v", after, before)
	}
	if _, err := get(port); err != nil {
		t.Errorf("after the restart: %v", err)
	}
	ended := ends.stopped()
	if c := ended.Containers[0]; c.ExitCode == nil || *c.ExitCode != 7 || ended.StopCode != types.TaskStopCodeEssentialContainerExited {
		t.Errorf("the one that ended meanwhile: %+v", ended)
	}
	if out, err := s.gantry("logs", id(ends.arn)); err != nil || out != "it begins\nit ends\n" {
		t.Errorf("its log: %v\n%s", err, out)
	}

	if err := s.down(); err != nil {
		t.Fatal(err)
	}
	s.nothingLeft(t)
	if err := s.start(); err != nil {
		t.Fatalf("up after down: %v", err)
	}
	down := describeTask(t, s.sdk(), "default", runs)
	if *down.LastStatus != "STOPPED" || *down.StoppedReason != "Stopped by gantry down" {
		t.Errorf("the task that gantry down has stopped: %s, %s", *down.LastStatus, *down.StoppedReason)
	}
	s.launch(t, "default", web) // and work goes on
}
