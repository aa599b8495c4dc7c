package runtime

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func TestRunOne(t *testing.T) {
	r, ctx := open(t)
	begin := time.Now()
	got := run(t, r, ctx, spec(t))
	if got.Exit.Code != 0 || got.Stdout != "hello\n" || got.Stderr != "world\n" {
		t.Errorf("got %+v", got)
	}
	if got.Exit.At.Before(begin) || got.Exit.OOMKilled {
		t.Errorf("exit %+v", got.Exit)
	}
}

// What a container sees, for each part of a definition that shows from inside.
func TestInside(t *testing.T) {
	r, ctx := open(t)
	host, err := os.Hostname()
	must(t, err)
	shared := t.TempDir()
	must(t, os.WriteFile(filepath.Join(shared, "file"), []byte("of the host\n"), 0o644))
	for _, c := range []struct {
		name   string
		args   string
		change func(*Spec)
		want   string // of standard output, or with "…" the parts in it
		code   uint32
	}{
		{name: "exit code", args: "exit 42", code: 42},
		{name: "nobody in particular", args: "id", want: "0 0 [0] / c-…"},
		{name: "user by name", args: "id", change: func(s *Spec) { s.User = "app" }, want: "1000 1001 [1001 2000] / …"},
		{name: "user by number", args: "id", change: func(s *Spec) { s.User = "1234:99" }, want: "1234 99 [99] / …"},
		{name: "working directory is made", args: "id", change: func(s *Spec) { s.WorkingDirectory = "/deep/er" }, want: "…/deep/er…"},
		{name: "hostname", args: "id", change: func(s *Spec) { s.Network.Hostname = "web-1" }, want: "… web-1 1\n"},
		{name: "host network", args: "id", change: func(s *Spec) { s.Network.Host = true }, want: "… " + host + " 1\n"},
		{name: "init is process 1", args: "cat /proc/1/cmdline", change: func(s *Spec) { s.Init = true }, want: "/dev/init\x00--\x00/probe…"},
		{name: "init passes the exit code on", args: "exit 9", change: func(s *Spec) { s.Init = true }, code: 9},
		{name: "environment", args: "env", change: func(s *Spec) { s.Environment = []string{"A=b=c", "FROM=task"} }, want: "PATH=…HOSTNAME=c-…FROM=task…A=b=c…HOME=/root…"},
		{name: "entry point of its own", change: func(s *Spec) { s.EntryPoint, s.Command = []string{"/probe", "print"}, []string{"x", "y"} }, want: "x\n"},
		{name: "read-only root", args: "write /tmp/x y", change: func(s *Spec) { s.Security.ReadonlyRootFilesystem = true }, code: 1},
		{name: "read-only root with tmpfs", args: "write /scratch/x y", change: func(s *Spec) {
			s.Security.ReadonlyRootFilesystem = true
			s.Tmpfs = []Tmpfs{{ContainerPath: "/scratch", SizeBytes: 1 << 20, Options: []string{"mode=1777"}}}
		}},
		{name: "tmpfs size", args: "statfs /scratch", change: func(s *Spec) { s.Tmpfs = []Tmpfs{{ContainerPath: "/scratch", SizeBytes: 8 << 20}} }, want: "8388608\n"},
		{name: "shared memory is 64 MiB", args: "statfs /dev/shm", want: "67108864\n"},
		{name: "shared memory size", args: "statfs /dev/shm", change: func(s *Spec) { s.Resources.SharedMemoryBytes = 1 << 20 }, want: "1048576\n"},
		{name: "ulimit core", args: "limit 4", change: func(s *Spec) { s.Ulimits = []Ulimit{{"core", 10, 20}} }, want: "10 20\n"},
		{name: "capabilities", args: "cat /proc/self/status", want: "…CapEff:\t00000000a80425fb\n…NoNewPrivs:\t0\nSeccomp:\t2\n…"},
		{name: "no capability", args: "cat /proc/self/status", change: func(s *Spec) { s.Security.CapDrop = []string{"ALL"} }, want: "…CapEff:\t0000000000000000\n…"},
		{name: "one capability", args: "cat /proc/self/status", change: func(s *Spec) {
			s.Security.CapDrop, s.Security.CapAdd = []string{"ALL"}, []string{"NET_ADMIN"}
		}, want: "…CapEff:\t0000000000001000\n…"},
		{name: "no new privileges", args: "cat /proc/self/status", change: func(s *Spec) { s.Security.Options = []string{"no-new-privileges"} }, want: "…NoNewPrivs:\t1\n…"},
		{name: "seccomp unconfined", args: "cat /proc/self/status", change: func(s *Spec) { s.Security.Options = []string{"seccomp=unconfined"} }, want: "…Seccomp:\t0\n…"},
		{name: "privileged", args: "cat /proc/self/status", change: func(s *Spec) { s.Security.Privileged = true }, want: "…Seccomp:\t0\n…"},
		{name: "sysctl", args: "cat /proc/sys/net/ipv4/ip_unprivileged_port_start", change: func(s *Spec) {
			s.Sysctls = map[string]string{"net.ipv4.ip_unprivileged_port_start": "77"}
		}, want: "77\n"},
		{name: "files", args: "cat /etc/hosts /etc/resolv.conf /etc/hostname", change: func(s *Spec) {
			s.Files = Files{Hosts: []byte("1.2.3.4 a\n"), ResolvConf: []byte("nameserver 1.1.1.1\n"), Hostname: []byte("me\n")}
		}, want: "1.2.3.4 a\nnameserver 1.1.1.1\nme\n"},
		{name: "host directory", args: "cat /host/file", change: func(s *Spec) { s.Mounts = []Mount{{Source: shared, Destination: "/host"}} }, want: "of the host\n"},
		{name: "host directory, read-only", args: "write /host/other x", change: func(s *Spec) { s.Mounts = []Mount{{Source: shared, Destination: "/host", ReadOnly: true}} }, code: 1},
		{name: "host directory is made", args: "write /host/new x", change: func(s *Spec) { s.Mounts = []Mount{{Source: filepath.Join(shared, "a/b"), Destination: "/host"}} }},
		{name: "device", args: "ls /dev/own", change: func(s *Spec) { s.Devices = []Device{{HostPath: "/dev/null", ContainerPath: "/dev/own/null"}} }, want: "null\n"},
		{name: "device without its permission", args: "cat /dev/own", change: func(s *Spec) {
			s.Devices = []Device{{HostPath: "/dev/kmsg", ContainerPath: "/dev/own", Permissions: "w"}}
		}, code: 1},
		{name: "host processes", args: "id", change: func(s *Spec) { s.PID.Host = true }, want: "0 0 …"},
		{name: "no shared memory", args: "ls /dev", change: func(s *Spec) { s.IPC.None = true }, want: "fd\nfull\nmqueue\nnull\nptmx\npts\nrandom\nstderr\n…"},
		{name: "processes are bounded", args: "cat /sys/fs/cgroup/pids/pids.max", want: fmt.Sprintln(r.host.pids)},
		{name: "a terminal has one output", args: "print out err", change: func(s *Spec) { s.Terminal = true }, want: "out\r\nerr\r\n"},
		{name: "memory limit is visible", args: "cat /sys/fs/cgroup/memory/memory.limit_in_bytes", change: func(s *Spec) { s.Resources.MemoryBytes = 32 << 20 }, want: "33554432\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if strings.Contains(c.args, "/sys/fs/cgroup/") && r.cgroups.unified != "" {
				t.Skip("control groups version 2")
			}
			s := spec(t, strings.Fields(c.args)...)
			if c.change != nil {
				c.change(&s)
			}
			got := run(t, r, ctx, s)
			if got.Exit.Code != c.code {
				t.Errorf("exit code %d, not %d: %s%s", got.Exit.Code, c.code, got.Stdout, got.Stderr)
			}
			if !like(got.Stdout, c.want) {
				t.Errorf("got\n%s\nwant\n%s", got.Stdout, c.want)
			}
		})
	}
	s := spec(t, "fork") // until it fails, and tells how many it could
	s.Resources.PidsLimit = 40
	if n, err := strconv.Atoi(strings.TrimSpace(run(t, r, ctx, s).Stdout)); err != nil || n < 1 || n >= 40 {
		t.Errorf("a container of 40 processes and threads started %d others (%v)", n, err)
	}
	if text := read(t, filepath.Join(shared, "a/b/new")); text != "x" {
		t.Errorf("the host sees %q", text)
	}
}

// like compares with a pattern whose "…" stands for anything.
func like(text, pattern string) bool {
	parts := strings.Split(pattern, "…")
	if len(parts) == 1 {
		return pattern == "" || text == pattern
	}
	if !strings.HasPrefix(text, parts[0]) {
		return false
	}
	for i, part := range parts[1:] {
		if i == len(parts)-2 && part != "" {
			return strings.HasSuffix(text, part)
		}
		_, rest, found := strings.Cut(text, part)
		if !found {
			return false
		}
		text = rest
	}
	return true
}

// What cannot be honoured is refused with a sentence and leaves nothing.
func TestRefused(t *testing.T) {
	r, ctx := open(t)
	for _, c := range []struct {
		name, want string
		change     func(*Spec)
	}{
		{"no such image", "CannotCreateContainerError: no such image: gantry/none", func(s *Spec) { s.Image = "gantry/none" }},
		{"no such user", "CannotCreateContainerError: unable to find user ghost: no matching entries in passwd file", func(s *Spec) { s.User = "ghost" }},
		{"no such group", "CannotCreateContainerError: unable to find group ghosts", func(s *Spec) { s.User = "app:ghosts" }},
		{"no such capability", `CannotCreateContainerError: capability "FLY" is not one of Linux's`, func(s *Spec) { s.Security.CapAdd = []string{"FLY"} }},
		{"no such device", "CannotCreateContainerError: device /dev/none: no such device on this host", func(s *Spec) { s.Devices = []Device{{HostPath: "/dev/none"}} }},
		{"no device", "CannotCreateContainerError: device /etc/passwd: it is not a device", func(s *Spec) { s.Devices = []Device{{HostPath: "/etc/passwd"}} }},
		{"no such ulimit", `CannotCreateContainerError: ulimit "fun" is not known`, func(s *Spec) { s.Ulimits = []Ulimit{{"fun", 1, 1}} }},
		{"sysctl of the host", "CannotCreateContainerError: sysctl vm.swappiness is not in a namespace of the container's own", func(s *Spec) { s.Sysctls = map[string]string{"vm.swappiness": "1"} }},
		{"sysctl in host network", "CannotCreateContainerError: sysctl net.core.somaxconn is not allowed with network mode host", func(s *Spec) {
			s.Network.Host, s.Sysctls = true, map[string]string{"net.core.somaxconn": "1"}
		}},
		{"seccomp profile", "CannotCreateContainerError: security option seccomp=/my.json: profiles of your own", func(s *Spec) { s.Security.Options = []string{"seccomp=/my.json"} }},
		{"tmpfs option", `CannotCreateContainerError: tmpfs /x: mount option "sparkle" is not known`, func(s *Spec) { s.Tmpfs = []Tmpfs{{ContainerPath: "/x", Options: []string{"sparkle"}}} }},
		{"mounted twice", "CannotCreateContainerError: container path /x is mounted twice", func(s *Spec) { s.Tmpfs = []Tmpfs{{ContainerPath: "/x"}, {ContainerPath: "/x/"}} }},
		{"no such volume", "CannotCreateContainerError: volume none: no such volume: none", func(s *Spec) { s.Mounts = []Mount{{Volume: "none", Destination: "/x"}} }},
		{"working directory", "CannotCreateContainerError: the working directory 'app' is invalid, it needs to be an absolute path", func(s *Spec) { s.WorkingDirectory = "app" }},
		{"signal", `CannotCreateContainerError: signal "SIGFUN" is not known`, func(s *Spec) { s.StopSignal = "SIGFUN" }},
		{"swap without memory", "CannotCreateContainerError: maxSwap needs a memory limit for the container", func(s *Spec) { s.Resources.SwapBytes = new(int64(1)) }},
		{"network namespace", "CannotStartContainerError: …/run/netns/none…", func(s *Spec) { s.Network.Path = "/run/netns/none" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := spec(t)
			c.change(&s)
			_, err := r.Create(ctx, s)
			if !like(reason(err), c.want+"…") {
				t.Errorf("got %v\nwant %s", reason(err), c.want)
			}
		})
	}
	list, err := r.List(ctx)
	must(t, err)
	if len(list) > 0 {
		t.Errorf("left behind: %+v", list)
	}
	for _, c := range []struct{ program, want string }{
		{"/none", "CannotStartContainerError: …/none…no such file or directory…"},
		{"none", "CannotStartContainerError: …none…executable file not found in $PATH…"},
		{"/etc/notexec", "CannotStartContainerError: …permission denied…"},
	} {
		s := spec(t)
		s.EntryPoint = []string{c.program}
		_, err := r.Create(ctx, s)
		if err == nil {
			_, err = r.Start(ctx, s.ID)
		}
		if !like(reason(err), c.want) {
			t.Errorf("entry point %s: %v", c.program, reason(err))
		}
		t.Log(reason(err))
		must(t, r.Delete(ctx, s.ID))
	}
}

func TestMemory(t *testing.T) {
	r, ctx := open(t)
	s := spec(t, "eat", "256")
	s.Resources.MemoryBytes = 32 << 20
	if got := run(t, r, ctx, s); got.Exit.Code != 137 || !got.Exit.OOMKilled {
		t.Errorf("over its limit: %+v", got.Exit)
	}

	// The task's limit kills the greedy container and no other.
	task := TaskID("tight")
	must(t, r.CreateTaskCgroup(ctx, task, TaskLimits{MemoryMiB: 48}))
	modest, greedy := spec(t, "wait"), spec(t, "eat", "256")
	modest.Task, greedy.Task = task, task
	for _, s := range []Spec{modest, greedy} {
		_, err := r.Create(ctx, s)
		must(t, err)
		_, err = r.Start(ctx, s.ID)
		must(t, err)
	}
	if got := finish(t, r, ctx, greedy); got.Exit.Code != 137 || !got.Exit.OOMKilled {
		t.Errorf("over the task's limit: %+v", got.Exit)
	}
	must(t, r.Kill(ctx, modest.ID, "SIGKILL"))
	if got := finish(t, r, ctx, modest); got.Exit.Code != 137 || got.Exit.OOMKilled {
		t.Errorf("killed by us: %+v", got.Exit)
	}
	must(t, r.RemoveTaskCgroup(ctx, task))
	must(t, r.RemoveTaskCgroup(ctx, task))
}

// maxSwap is enforced where the kernel accounts swap, and else refused.
func TestSwap(t *testing.T) {
	r, ctx := open(t)
	if r.cgroups.unified != "" {
		t.Skip("looks at control files of version 1")
	}
	s := spec(t, "cat", "/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes")
	s.Resources.MemoryBytes, s.Resources.SwapBytes = 32<<20, new(int64(16<<20))
	if _, err := os.Stat(filepath.Join(r.cgroups.trees["memory"], "memory.memsw.limit_in_bytes")); err != nil {
		if _, err := r.Create(ctx, s); !strings.Contains(reason(err), "maxSwap cannot be enforced: this host's kernel does not account swap") {
			t.Errorf("got %v", err)
		}
		return
	}
	if got := run(t, r, ctx, s); got.Stdout != "50331648\n" {
		t.Errorf("got %+v", got)
	}
}

func TestCPULimit(t *testing.T) {
	r, ctx := open(t)
	must(t, r.CreateTaskCgroup(ctx, "slow", TaskLimits{CPUs: 0.2, CPUShares: 128}))
	s := spec(t, "burn")
	s.Task = "slow"
	_, err := r.Create(ctx, s)
	must(t, err)
	_, err = r.Start(ctx, s.ID)
	must(t, err)
	var first, last Stats
	eventually(t, ctx, "a tenth of a second of CPU time", func() bool {
		first, err = r.Stats(ctx, s.ID)
		must(t, err)
		return first.CPU.TotalNanos > 1e8
	})
	// Between the time of a sample and its figures a busy machine may let some time pass.
	eventually(t, ctx, "a few seconds", func() bool {
		last, err = r.Stats(ctx, s.ID)
		must(t, err)
		return last.At.Sub(first.At) > 4*time.Second
	})
	share := float64(last.CPU.TotalNanos-first.CPU.TotalNanos) / float64(last.At.Sub(first.At))
	if share > 0.3 {
		t.Errorf("used %.2f CPUs of 0.2", share)
	}
	if last.Memory.Usage == 0 || last.Pids.Current == 0 || last.Memory.WithoutCache() > last.Memory.Usage {
		t.Errorf("stats %+v", last)
	}
}

func TestStop(t *testing.T) {
	r, ctx := open(t)
	s := spec(t, "wait")
	made, err := r.Create(ctx, s)
	must(t, err)
	if made.State != Created || made.StopSignal != "SIGTERM" {
		t.Errorf("made %+v", made)
	}
	if _, err := r.Create(ctx, s); !errors.Is(err, ErrExists) {
		t.Errorf("made twice: %v", err)
	}
	started, err := r.Start(ctx, s.ID)
	must(t, err)
	if started.State != Running || started.PID == 0 {
		t.Errorf("started %+v", started)
	}
	eventually(t, ctx, "it waits", func() bool { return read(t, s.Log.Stdout) == "waiting\n" })
	must(t, r.Kill(ctx, s.ID, ""))
	exit, err := r.Wait(ctx, s.ID)
	must(t, err)
	again, err := r.Wait(ctx, s.ID)
	must(t, err)
	if diff := cmp.Diff(exit, again); exit.Code != 3 || diff != "" {
		t.Errorf("exit %+v, then %s", exit, diff)
	}
	must(t, r.Kill(ctx, s.ID, "SIGKILL")) // too late, and fine
	stopped, err := r.Inspect(ctx, s.ID)
	must(t, err)
	if stopped.State != Stopped || stopped.Exit == nil || *stopped.Exit != exit {
		t.Errorf("stopped %+v", stopped)
	}
	must(t, r.Delete(ctx, s.ID))
	must(t, r.Delete(ctx, s.ID))
	if _, err := r.Inspect(ctx, s.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("deleted, and yet: %v", err)
	}
	if _, err := r.Wait(ctx, s.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("deleted, and yet: %v", err)
	}

	// One that is running is killed by Delete.
	s = spec(t, "stubborn")
	_, err = r.Create(ctx, s)
	must(t, err)
	_, err = r.Start(ctx, s.ID)
	must(t, err)
	must(t, r.Delete(ctx, s.ID))
	// And one that never started.
	s = spec(t)
	_, err = r.Create(ctx, s)
	must(t, err)
	must(t, r.Delete(ctx, s.ID))
}

// A container that is restarted keeps its files and goes on with its output.
func TestRestart(t *testing.T) {
	r, ctx := open(t)
	s := spec(t, "again")
	_, err := r.Create(ctx, s)
	must(t, err)
	_, err = r.Start(ctx, s.ID)
	must(t, err)
	for range 2 {
		exit, err := r.Wait(ctx, s.ID)
		must(t, err)
		if exit.Code != 0 {
			t.Errorf("exit %+v", exit)
		}
		c, err := r.Restart(ctx, s.ID)
		must(t, err)
		if c.ID != s.ID {
			t.Errorf("restarted %+v", c)
		}
	}
	if got := finish(t, r, ctx, s); got.Stdout != "1\n2\n3\n" {
		t.Errorf("got %q", got.Stdout)
	}
	s = spec(t, "wait")
	_, err = r.Create(ctx, s)
	must(t, err)
	_, err = r.Start(ctx, s.ID)
	must(t, err)
	if _, err := r.Restart(ctx, s.ID); err == nil || !strings.Contains(err.Error(), "it is running") {
		t.Errorf("restarted what runs: %v", err)
	}
	if _, err := r.Restart(ctx, "none"); !errors.Is(err, ErrNotFound) {
		t.Errorf("restarted what is not there: %v", err)
	}
}

func TestTwentyAtOnce(t *testing.T) {
	r, ctx := open(t)
	var all sync.WaitGroup
	begin := time.Now()
	for i := range 20 {
		s := spec(t, "exit", fmt.Sprint(i))
		all.Go(func() {
			_, err := r.Create(ctx, s)
			if err == nil {
				_, err = r.Start(ctx, s.ID)
			}
			if err != nil {
				t.Error(err)
				return
			}
			exit, err := r.Wait(ctx, s.ID)
			if err != nil || exit.Code != uint32(i) {
				t.Errorf("container %d: %+v %v", i, exit, err)
			}
		})
	}
	all.Wait()
	t.Logf("20 containers in %v", time.Since(begin))
}

func TestOutput(t *testing.T) {
	r, ctx := open(t)
	const lines = 200_000
	s := spec(t, "lines", fmt.Sprint(lines))
	got := run(t, r, ctx, s)
	if n := strings.Count(got.Stdout, "\n"); n != lines || !strings.HasSuffix(got.Stdout, fmt.Sprintf("line %d\n", lines-1)) {
		t.Errorf("%d lines of %d", n, lines)
	}
	// Nothing is missing when Wait returns, though nothing was deleted yet.
	for range 5 {
		s = spec(t, "lines", "20000")
		_, err := r.Create(ctx, s)
		must(t, err)
		_, err = r.Start(ctx, s.ID)
		must(t, err)
		_, err = r.Wait(ctx, s.ID)
		must(t, err)
		if text := read(t, s.Log.Stdout); !strings.HasSuffix(text, "line 19999\n") {
			t.Errorf("Wait returned before the end: %d bytes", len(text))
		}
	}
	// Both into one file, and none at all.
	s = spec(t, "apart", "out", "err")
	s.Log.Stderr = s.Log.Stdout
	if got := run(t, r, ctx, s); got.Stdout != "out\nerr\n" {
		t.Errorf("got %q", got.Stdout)
	}
	s = spec(t, "print", "out", "err")
	s.Log = Log{}
	if got := run(t, r, ctx, s); got.Exit.Code != 0 {
		t.Errorf("without output: %+v", got.Exit)
	}
	// An interactive container waits for input instead of finding its end.
	s = spec(t, "readline")
	s.Interactive = true
	_, err := r.Create(ctx, s)
	must(t, err)
	_, err = r.Start(ctx, s.ID)
	must(t, err)
	pipe, err := os.OpenFile(filepath.Join(r.stateDir(s.ID), "stdin"), os.O_WRONLY, 0)
	must(t, err)
	_, err = pipe.WriteString("typed\n")
	must(t, err)
	must(t, pipe.Close())
	if got := finish(t, r, ctx, s); got.Stdout != "typed\n <nil>\n" {
		t.Errorf("got %q", got.Stdout)
	}
}

// A disk that stands still for a while when a container ends costs none of its output.
func TestOutputOfASlowDisk(t *testing.T) {
	r, ctx := open(t)
	s := spec(t, "lines", "10000")
	must(t, unix.Mkfifo(s.Log.Stdout, 0o600))
	disk, err := os.OpenFile(s.Log.Stdout, os.O_RDWR, 0)
	must(t, err)
	defer disk.Close()
	_, err = r.Create(ctx, s)
	must(t, err)
	_, err = r.Start(ctx, s.ID)
	must(t, err)
	// It takes what a pipe holds, and the rest only when the container has ended for long.
	eventually(t, ctx, "the container to end", func() bool {
		c, err := r.Inspect(ctx, s.ID)
		must(t, err)
		return c.State == Stopped
	})
	var done atomic.Bool
	go func() {
		var got []byte
		<-time.After(sharedPatience + time.Second)
		buffer := make([]byte, 1<<16)
		for !bytes.HasSuffix(got, []byte("line 9999\n")) {
			n, err := disk.Read(buffer)
			if err != nil {
				return
			}
			got = append(got, buffer[:n]...)
		}
		done.Store(true)
	}()
	_, err = r.Wait(ctx, s.ID)
	must(t, err)
	if !done.Load() {
		t.Error("Wait returned before the end")
	}
}

func TestAnchor(t *testing.T) {
	r, ctx := open(t)
	anchor := ContainerID("a-" + newToken())
	must(t, r.CreateAnchor(ctx, AnchorSpec{ID: anchor, Task: testTask, SharedMemoryBytes: 4 << 20}))
	first := spec(t, "wait")
	first.PID.Anchor, first.IPC.Anchor = anchor, anchor
	_, err := r.Create(ctx, first)
	must(t, err)
	_, err = r.Start(ctx, first.ID)
	must(t, err)

	second := spec(t, "statfs", "/dev/shm")
	second.PID.Anchor, second.IPC.Anchor = anchor, anchor
	if got := run(t, r, ctx, second); got.Stdout != "4194304\n" {
		t.Errorf("shared memory: %q", got.Stdout)
	}
	third := spec(t, "cat", "/proc/1/cmdline")
	third.PID.Anchor = anchor
	if got := run(t, r, ctx, third); got.Stdout != "/init\x00-hold\x00" {
		t.Errorf("process 1 is %q: %s", got.Stdout, got.Stderr)
	}
	list, err := r.List(ctx)
	must(t, err)
	if len(list) != 1 || list[0].ID != first.ID {
		t.Errorf("listed %+v", list)
	}
	eventually(t, ctx, "it waits", func() bool { return read(t, first.Log.Stdout) == "waiting\n" })
	must(t, r.Kill(ctx, first.ID, ""))
	if got := finish(t, r, ctx, first); got.Exit.Code != 3 {
		t.Errorf("exit %+v", got.Exit)
	}
	must(t, r.Delete(ctx, anchor))
	last := spec(t)
	last.PID.Anchor = anchor
	if _, err := r.Create(ctx, last); err == nil {
		t.Error("joined an anchor that is gone")
	}
}

// What the host mounts below a host volume later is seen in the container; what
// the container mounts is not seen by the host.
func TestHostMountsSeen(t *testing.T) {
	r, ctx := open(t)
	dir := t.TempDir()
	must(t, unix.Mount("host", dir, "tmpfs", 0, ""))
	defer unix.Unmount(dir, unix.MNT_DETACH)
	must(t, unix.Mount("", dir, "", unix.MS_SHARED, ""))
	must(t, os.Mkdir(filepath.Join(dir, "late"), 0o755))
	s := spec(t, "wait")
	s.Mounts = []Mount{{Source: dir, Destination: "/host"}}
	_, err := r.Create(ctx, s)
	must(t, err)
	_, err = r.Start(ctx, s.ID)
	must(t, err)
	must(t, unix.Mount("late", filepath.Join(dir, "late"), "tmpfs", 0, ""))
	defer unix.Unmount(filepath.Join(dir, "late"), unix.MNT_DETACH)
	must(t, os.WriteFile(filepath.Join(dir, "late/file"), nil, 0o644))
	got, err := r.Exec(ctx, s.ID, []string{"/probe", "ls", "/host/late"}, 0)
	must(t, err)
	if string(got.Output) != "file\n" {
		t.Errorf("the container sees %q", got.Output)
	}
	must(t, r.Delete(ctx, s.ID))
}
