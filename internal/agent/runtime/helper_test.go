package runtime

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/typeurl/v2"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/types/known/anypb"
)

// helperRole makes this test binary play another process; helperInput is what
// it is told, as JSON.
const (
	helperRole  = "GANTRY_RUNTIME_TEST_ROLE"
	helperInput = "GANTRY_RUNTIME_TEST_INPUT"
)

func runHelper(role string) int {
	roles := map[string]func() error{"gantry": playGantry, "namespace": playNamespace}
	play, ok := roles[role]
	if !ok {
		return 2
	}
	if err := play(); err != nil {
		fmt.Println("failed:", err)
		return 1
	}
	return 0
}

// A script is what playGantry runs.
type script struct {
	Config Config
	Specs  []Spec
	// Halts stops each container's process before it is let run, and says "ready" then.
	Halts bool
}

// playGantry runs containers, says so, and waits to be killed.
func playGantry() error {
	var s script
	if err := json.Unmarshal([]byte(os.Getenv(helperInput)), &s); err != nil {
		return err
	}
	ctx := context.Background()
	r, err := Open(ctx, s.Config)
	if err != nil {
		return err
	}
	for _, spec := range s.Specs {
		made, err := r.Create(ctx, spec)
		if err != nil {
			return err
		}
		if s.Halts {
			if err := unix.Kill(made.PID, unix.SIGSTOP); err != nil {
				return err
			}
			fmt.Println("ready", made.PID)
		}
		if _, err := r.Start(ctx, spec.ID); err != nil {
			return err
		}
	}
	fmt.Println("ready")
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// playNamespace enters a mount namespace and does what each line of its input says.
func playNamespace() error {
	dir := os.Getenv(helperInput)
	if err := EnterMountNamespace(dir); err != nil {
		return err
	}
	seen, err := HostMountsSeen()
	if err != nil {
		return err
	}
	here, err := namespaceInode("/proc/self/ns/mnt")
	if err != nil {
		return err
	}
	fmt.Println("ready", os.Getpid(), here, seen, os.Getenv(insideEnv) == "")
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		verb, path, _ := strings.Cut(in.Text(), " ")
		var err error
		switch verb {
		case "mount":
			err = unix.Mount("test", path, "tmpfs", 0, "")
		case "list":
			var entries []os.DirEntry
			entries, err = os.ReadDir(path)
			for _, e := range entries {
				fmt.Print(e.Name(), " ")
			}
		case "release":
			err = ReleaseMountNamespace(dir)
		}
		if err != nil {
			return err
		}
		fmt.Println("done")
	}
	return in.Err()
}

// A helper is this test binary playing another process.
type helper struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

// play starts a helper and returns what it said when it was ready.
func play(t *testing.T, role, input string) (*helper, string) {
	t.Helper()
	h := &helper{cmd: exec.Command("/proc/self/exe")}
	h.cmd.Env = append(os.Environ(), helperRole+"="+role, helperInput+"="+input)
	h.cmd.Stderr = t.Output()
	var err error
	h.in, err = h.cmd.StdinPipe()
	must(t, err)
	out, err := h.cmd.StdoutPipe()
	must(t, err)
	h.out = bufio.NewScanner(out)
	must(t, h.cmd.Start())
	t.Cleanup(h.kill)
	line := h.line(t)
	if !strings.HasPrefix(line, "ready") {
		t.Fatalf("the helper said: %s", line)
	}
	return h, line
}

// kill is kill -9, and waits until it is dead.
func (h *helper) kill() {
	_ = h.cmd.Process.Kill()
	_ = h.cmd.Wait()
}

func (h *helper) line(t *testing.T) string {
	t.Helper()
	if !h.out.Scan() {
		t.Fatalf("the helper ended: %v", h.out.Err())
	}
	return h.out.Text()
}

func (h *helper) tell(t *testing.T, line string) string {
	t.Helper()
	_, err := fmt.Fprintln(h.in, line)
	must(t, err)
	return h.line(t)
}

// A killed gantry's containers run on, print on, and are taken up with their
// true exit codes.
func TestKilled(t *testing.T) {
	r, ctx := open(t)
	must(t, r.Close())
	config := r.config
	logger := config.Logger
	config.Logger = nil

	talker, ender, waiter := spec(t, "lines", "300000"), spec(t, "exit", "5"), spec(t, "wait")
	text, err := json.Marshal(script{Config: config, Specs: []Spec{talker, ender, waiter}})
	must(t, err)
	h, _ := play(t, "gantry", string(text))
	h.kill()

	// Nobody is there: it ends all the same, and all it said is on disk.
	last := "line 299999\n"
	eventually(t, ctx, "the last line", func() bool { return strings.HasSuffix(read(t, talker.Log.Stdout), last) })
	if n := strings.Count(read(t, talker.Log.Stdout), "\n"); n != 300000 {
		t.Errorf("%d lines of 300000", n)
	}

	config.Logger = logger
	again, err := Open(ctx, config)
	must(t, err)
	t.Cleanup(func() { wipe(t, again) })
	r = again
	list, err := r.List(ctx)
	must(t, err)
	states := map[ContainerID]State{}
	for _, c := range list {
		states[c.ID] = c.State
	}
	if len(list) != 3 || states[waiter.ID] != Running {
		t.Errorf("found %+v", states)
	}
	if got := finish(t, r, ctx, talker); got.Exit.Code != 0 {
		t.Errorf("the talker ended with %+v", got.Exit)
	}
	if got := finish(t, r, ctx, ender); got.Exit.Code != 5 {
		t.Errorf("the ender ended with %+v", got.Exit)
	}
	if got, err := r.Exec(ctx, waiter.ID, []string{"/probe", "exit", "6"}, 0); err != nil || got.Code != 6 {
		t.Errorf("exec in what was taken up: %+v %v", got, err)
	}
	must(t, r.Kill(ctx, waiter.ID, ""))
	if got := finish(t, r, ctx, waiter); got.Exit.Code != 3 {
		t.Errorf("the waiter ended with %+v", got.Exit)
	}
}

// A container may end in the moment in which the next start takes up its shim:
// after what the bundles tell was read, and before containerd throws them away.
func TestEndedWhileTakenUp(t *testing.T) {
	r, ctx := open(t)
	must(t, r.Close())
	config := r.config
	config.Logger = nil
	ender := spec(t, "exit", "5")
	text, err := json.Marshal(script{Config: config, Specs: []Spec{ender}})
	must(t, err)
	h, _ := play(t, "gantry", string(text))
	h.kill()
	noted := filepath.Join(r.stateDir(ender.ID), shimDir, "exit.json")
	eventually(t, ctx, "the shim to note the exit", func() bool { _, err := os.Stat(noted); return err == nil })
	inBundle := filepath.Join(r.bundle(string(ender.ID)), "exit.json")
	eventually(t, ctx, "the shim to tell the exit", func() bool { _, err := os.Stat(inBundle); return err == nil })
	must(t, os.Remove(inBundle))

	config.Logger = r.config.Logger
	again, err := Open(ctx, config)
	must(t, err)
	t.Cleanup(func() { wipe(t, again) })
	c, err := again.Inspect(ctx, ender.ID)
	must(t, err)
	if c.State != Stopped || c.Exit == nil || c.Exit.Code != 5 {
		t.Errorf("it is %s, ended with %+v", c.State, c.Exit)
	}
}

// A process that was set up and never let run has no end to tell, also where it was
// killed because the container was being made anew.
func TestNeverStarted(t *testing.T) {
	r, ctx := open(t)
	s := spec(t, "wait")
	_, err := r.Create(ctx, s)
	must(t, err)
	must(t, r.kill(r.in(ctx), s.ID, unix.SIGKILL))
	noted := filepath.Join(r.stateDir(s.ID), shimDir, "exit.json")
	eventually(t, ctx, "the shim to note the end", func() bool { _, err := os.Stat(noted); return err == nil })
	must(t, r.Close())
	again, err := Open(ctx, r.config)
	must(t, err)
	t.Cleanup(func() { wipe(t, again) })
	if c, err := again.Inspect(ctx, s.ID); err != nil || c.State != Lost || c.Exit != nil {
		t.Errorf("it is %s, ended with %+v; %v", c.State, c.Exit, err)
	}
	must(t, again.Delete(ctx, s.ID))
}

// A shim whose container was half made when containerd threw its bundle away is
// ended all the same, and the container can be made again.
func TestBundleGone(t *testing.T) {
	r, ctx := open(t)
	s := spec(t, "exit", "5")
	_, err := r.Create(ctx, s)
	must(t, err)
	must(t, r.Close())
	bundle := r.bundle(string(s.ID))
	_ = unix.Unmount(filepath.Join(bundle, "rootfs"), unix.MNT_DETACH)
	must(t, os.RemoveAll(bundle))
	pid := strings.TrimSpace(read(t, filepath.Join(r.stateDir(s.ID), shimDir, shimPID)))
	again, err := Open(ctx, r.config)
	must(t, err)
	t.Cleanup(func() { wipe(t, again) })
	if command, err := os.ReadFile(filepath.Join("/proc", pid, "cmdline")); err == nil && len(command) > 0 {
		t.Errorf("its shim runs on: %q", command)
	}
	must(t, again.Delete(ctx, s.ID))
	if got := run(t, again, ctx, s); got.Exit.Code != 5 {
		t.Errorf("made again it ended with %+v", got.Exit)
	}
}

// A layer's folder that was made and not written down does not stand in the way.
func TestHalfMadeLayer(t *testing.T) {
	r, ctx := open(t)
	must(t, r.Close())
	folder := filepath.Join(r.config.Dir, "containerd", "io.containerd.snapshotter.v1.overlayfs", "snapshots")
	layers, err := os.ReadDir(folder)
	must(t, err)
	for n := range 20 {
		err := os.MkdirAll(filepath.Join(folder, strconv.Itoa(len(layers)+n), "fs"), 0o755)
		must(t, err)
	}
	again, err := Open(ctx, r.config)
	must(t, err)
	t.Cleanup(func() { wipe(t, again) })
	if got := run(t, again, ctx, spec(t, "exit", "5")); got.Exit.Code != 5 {
		t.Errorf("the next container ended with %+v", got.Exit)
	}
}

// However far a launch was when gantry was killed, the next start can say what
// is there, and can take all of it away: containers, shims, mounts, groups.
func TestKilledAnywhere(t *testing.T) {
	r, ctx := open(t)
	must(t, r.Close())
	config := r.config
	for _, after := range []time.Duration{30, 60, 90, 120, 160, 200, 260, 350, 500, 700} {
		config.Logger = nil
		specs := []Spec{spec(t, "wait"), spec(t, "exit", "4"), spec(t, "wait")}
		text, err := json.Marshal(script{Config: config, Specs: specs})
		must(t, err)
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), helperRole+"=gantry", helperInput+"="+string(text))
		_, err = cmd.StdinPipe() // keeps it waiting; Wait closes it
		must(t, err)
		must(t, cmd.Start())
		<-time.After(after * time.Millisecond)
		must(t, cmd.Process.Kill())
		_ = cmd.Wait()

		config.Logger = r.config.Logger
		again, err := Open(ctx, config)
		must(t, err)
		list, err := again.List(ctx)
		must(t, err)
		t.Logf("killed after %v ms: %d containers", int(after), len(list))
		for _, c := range list {
			if c.State == Stopped && c.Exit.Code != 4 {
				t.Errorf("container %s ended with %+v", c.ID, *c.Exit)
			}
		}
		wipe(t, again)
	}
}

// A container that is being let run when gantry is killed runs, once, and passes for running.
func TestKilledWhileAContainerStarts(t *testing.T) {
	r, ctx := open(t)
	must(t, r.Close())
	config := r.config
	config.Logger = nil
	s := spec(t, "wait")
	text, err := json.Marshal(script{Config: config, Specs: []Spec{s}, Halts: true})
	must(t, err)
	h, said := play(t, "gantry", string(text))
	var pid int
	_, err = fmt.Sscanf(said, "ready %d", &pid)
	must(t, err)
	eventually(t, ctx, "runc to start the container", func() bool { return runcStarts(s.ID) })
	h.kill()
	// Only now, so that a shim that takes runc along with its caller has done so; whoever looks meanwhile has to wait.
	time.AfterFunc(time.Second, func() { unix.Kill(pid, unix.SIGCONT) })

	config.Logger = r.config.Logger
	again, err := Open(ctx, config)
	must(t, err)
	t.Cleanup(func() { wipe(t, again) })
	list, err := again.List(ctx)
	must(t, err)
	if len(list) != 1 || list[0].State != Running || list[0].PID != pid {
		t.Errorf("got %+v, want process %d to run", list, pid)
	}
}

// runcStarts reports whether there is a process that starts a container.
func runcStarts(id ContainerID) bool {
	processes, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, p := range processes {
		line, _ := os.ReadFile(p)
		if strings.HasSuffix(string(line), "\x00start\x00"+string(id)+"\x00") {
			return true
		}
	}
	return false
}

// A container of which only the record is there, as after a reboot, is lost.
func TestLost(t *testing.T) {
	r, ctx := open(t)
	id := ContainerID("c-" + newToken())
	own, err := json.Marshal(record{Task: testTask, StopSignal: "SIGTERM"})
	must(t, err)
	_, err = r.client.ContainerService().Create(r.in(ctx), containers.Container{
		ID: string(id), Runtime: containers.RuntimeInfo{Name: r.programs.shim}, Spec: &anypb.Any{TypeUrl: "x", Value: []byte("{}")},
		Extensions: map[string]typeurl.Any{extension: &anypb.Any{TypeUrl: recordType, Value: own}},
	})
	must(t, err)
	c, err := r.Inspect(ctx, id)
	must(t, err)
	if c.State != Lost || c.Exit != nil || c.Task != testTask {
		t.Errorf("got %+v", c)
	}
	must(t, r.Kill(ctx, id, ""))
	must(t, r.Delete(ctx, id))
}

// A killed shim takes its container along, and the end is still told.
func TestShimKilled(t *testing.T) {
	r, ctx := open(t)
	s := spec(t, "wait")
	_, err := r.Create(ctx, s)
	must(t, err)
	c, err := r.Start(ctx, s.ID)
	must(t, err)
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.PID))
	must(t, err)
	_, after, _ := strings.Cut(string(status), "PPid:\t")
	var shim int
	_, err = fmt.Sscan(after, &shim)
	must(t, err)
	must(t, unix.Kill(shim, unix.SIGKILL))
	exit, err := r.Wait(ctx, s.ID)
	must(t, err)
	if exit.Code != 137 || exit.OOMKilled {
		t.Errorf("exit %+v", exit)
	}
	again, err := r.Inspect(ctx, s.ID)
	must(t, err)
	if again.State != Stopped || again.Exit == nil || *again.Exit != exit {
		t.Errorf("got %+v", again)
	}
	must(t, r.Delete(ctx, s.ID))
	// Its socket goes with the next start.
	must(t, sweepSockets(filepath.Join(r.config.RunDir, "s")))
}

func TestMountNamespace(t *testing.T) {
	needRuntime(t)
	dir := t.TempDir()
	outsideDir := t.TempDir()
	// A host whose mounts propagate, as systemd makes them.
	must(t, unix.Mount("host", outsideDir, "tmpfs", 0, ""))
	defer unix.Unmount(outsideDir, unix.MNT_DETACH)
	must(t, unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, ""))
	defer unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	for _, d := range []string{"own", "late"} {
		must(t, os.Mkdir(filepath.Join(outsideDir, d), 0o755))
	}
	ours, err := namespaceInode("/proc/self/ns/mnt")
	must(t, err)

	h, said := play(t, "namespace", dir)
	var pid int
	var inode string
	var seen, tidy bool
	_, err = fmt.Sscanf(said, "ready %d %s %t %t", &pid, &inode, &seen, &tidy)
	must(t, err)
	if pid != h.cmd.Process.Pid || inode == ours || !seen || !tidy {
		t.Errorf("said %q; pid %d, we are in %s", said, h.cmd.Process.Pid, ours)
	}
	// What it mounts stays inside.
	h.tell(t, "mount "+filepath.Join(outsideDir, "own"))
	table, err := os.ReadFile("/proc/self/mountinfo")
	must(t, err)
	if strings.Contains(string(table), filepath.Join(outsideDir, "own")) {
		t.Error("a mount from inside is seen on the host")
	}
	// What the host mounts later is seen inside.
	must(t, unix.Mount("test", filepath.Join(outsideDir, "late"), "tmpfs", 0, ""))
	must(t, os.WriteFile(filepath.Join(outsideDir, "late/file"), nil, 0o644))
	if got := h.tell(t, "list "+filepath.Join(outsideDir, "late")); got != "file done" {
		t.Errorf("inside: %q", got)
	}
	h.kill()
	// The next one finds the same namespace and what was mounted in it.
	h, again := play(t, "namespace", dir)
	if !strings.Contains(again, " "+inode+" ") {
		t.Errorf("said %q, not of namespace %s", again, inode)
	}
	mounts, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", h.cmd.Process.Pid))
	must(t, err)
	if !strings.Contains(string(mounts), filepath.Join(outsideDir, "own")) {
		t.Error("its mount is gone")
	}
	// Released from inside, nothing is left on the host.
	h.tell(t, "release")
	must(t, ReleaseMountNamespace(dir))
	table, err = os.ReadFile("/proc/self/mountinfo")
	must(t, err)
	if strings.Contains(string(table), dir) {
		t.Errorf("left behind:\n%s", table)
	}
	if _, err := os.Stat(filepath.Join(dir, "run/mnt")); err == nil {
		t.Error("left behind: run/mnt")
	}
	h.kill()
}
