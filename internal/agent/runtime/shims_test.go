package runtime

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// sockets are those of the shims that a runtime has.
func sockets(t *testing.T, c Config) []string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(c.RunDir, "s", "*"))
	must(t, err)
	return list
}

// TestCloseEndsTheShimThatIsBeingStarted: whoever closes a runtime while a spare shim
// is on its way leaves none behind.
func TestCloseEndsTheShimThatIsBeingStarted(t *testing.T) {
	needRuntime(t)
	for range 5 {
		config := testConfig(t)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		r, err := Open(ctx, config)
		must(t, err)
		for len(sockets(t, config)) == 0 { // the socket comes before the process
			select {
			case <-ctx.Done():
				t.Fatal("no spare shim is started")
			case <-time.After(100 * time.Microsecond):
			}
		}
		must(t, r.Close())
		if left := sockets(t, config); len(left) > 0 {
			t.Errorf("left behind: shims %v", left)
		}
		if spare, _ := os.ReadDir(filepath.Join(config.RunDir, "spare")); len(spare) > 0 {
			t.Errorf("left behind: directories of shims %v", spare)
		}
	}
}

// TestDeleteSeesTheShimOff: a container that was deleted has no shim any more.
func TestDeleteSeesTheShimOff(t *testing.T) {
	r, ctx := open(t)
	for range 20 {
		s := spec(t, "exit", "0")
		_, err := r.Create(ctx, s)
		must(t, err)
		address, err := os.ReadFile(filepath.Join(r.stateDir(s.ID), shimDir, "address"))
		must(t, err)
		_, err = r.Start(ctx, s.ID)
		must(t, err)
		_, err = r.Wait(ctx, s.ID)
		must(t, err)
		must(t, r.Delete(ctx, s.ID))
		if _, err := os.Stat(string(address)[len("unix://"):]); !os.IsNotExist(err) {
			t.Errorf("deleted, and its shim is there: %v", err)
		}
	}
}

// TestDeleteAllEndsShims: a shim that was taken for a container that did not come to be
// ends with all others.
func TestDeleteAllEndsShims(t *testing.T) {
	r, ctx := open(t)
	taken, err := r.shims.take(filepath.Join(r.stateDir("neverMade"), shimDir))
	must(t, err)
	must(t, r.DeleteAll(ctx))
	select {
	case <-taken.ended:
	case <-ctx.Done():
		t.Error("its shim runs on")
	}
}

// TestShimAnswersLate: a shim that is held up for longer than containerd by itself waits
// for it, as on a busy machine, is not taken for dead: not while its container runs, nor
// by the next start.
func TestShimAnswersLate(t *testing.T) {
	r, ctx := open(t)
	s := spec(t, "wait")
	_, err := r.Create(ctx, s)
	must(t, err)
	started, err := r.Start(ctx, s.ID)
	must(t, err)
	pid, err := strconv.Atoi(read(t, filepath.Join(r.stateDir(s.ID), shimDir, shimPID)))
	must(t, err)
	hold := func(d time.Duration) {
		must(t, unix.Kill(pid, unix.SIGSTOP))
		time.AfterFunc(d, func() { _ = unix.Kill(pid, unix.SIGCONT) })
	}
	hold(3 * time.Second)
	c, err := r.Inspect(ctx, s.ID)
	if err != nil || c.State != Running {
		t.Errorf("held up while it runs: %s, %v", c.State, err)
	}
	must(t, r.Close())
	hold(7 * time.Second)
	again, err := Open(ctx, r.config)
	must(t, err)
	t.Cleanup(func() { wipe(t, again) })
	c, err = again.Inspect(ctx, s.ID)
	if err != nil || c.State != Running || c.PID != started.PID {
		t.Errorf("held up at the start: %+v, %v", c, err)
	}
}

// TestKilledSpareShim: a container gets another, and nothing is left of it.
func TestKilledSpareShim(t *testing.T) {
	r, ctx := open(t)
	var spare []*shim
	eventually(t, ctx, "spare shims", func() bool {
		r.shims.mu.Lock()
		defer r.shims.mu.Unlock()
		spare = slices.Clone(r.shims.spares)
		return len(spare) == spareShims
	})
	for _, s := range spare {
		pid, err := strconv.Atoi(read(t, filepath.Join(s.dir, shimPID)))
		must(t, err)
		must(t, unix.Kill(pid, unix.SIGKILL))
		<-s.ended
	}
	s := spec(t, "exit", "0")
	_, err := r.Create(ctx, s)
	must(t, err)
	must(t, r.Delete(ctx, s.ID))
	for _, s := range spare {
		for _, path := range []string{s.dir, s.socket} {
			if _, err := os.Stat(path); !os.IsNotExist(err) {
				t.Errorf("left of a spare shim that was killed: %s, %v", path, err)
			}
		}
	}
}

// TestSpareShimEndsUnnoticed: a container gets another where the one that it was to have is gone, whether its socket is
// left or not, and nobody has noticed yet.
func TestSpareShimEndsUnnoticed(t *testing.T) {
	for _, socket := range []string{"left", "gone"} {
		t.Run(socket, func(t *testing.T) {
			r, ctx := open(t)
			eventually(t, ctx, "a spare shim", func() bool {
				r.shims.mu.Lock()
				defer r.shims.mu.Unlock()
				return len(r.shims.spares) > 0
			})
			r.shims.mu.Lock()
			spare := r.shims.spares[0]
			r.shims.mu.Unlock()
			pid, err := strconv.Atoi(read(t, filepath.Join(spare.dir, shimPID)))
			must(t, err)
			must(t, unix.Kill(pid, unix.SIGKILL))
			<-spare.ended
			r.shims.mu.Lock()
			spare.ended = make(chan struct{}) // not noticed
			time.AfterFunc(time.Second, func() { close(spare.ended) })
			if socket == "gone" {
				must(t, os.Remove(spare.socket))
			}
			r.shims.mu.Unlock()
			s := spec(t, "exit", "0")
			_, err = r.Create(ctx, s)
			must(t, err)
			must(t, r.Delete(ctx, s.ID))
		})
	}
}

// TestShimEndsInAStart: the reason says that it was the shim, and how it ended or why it crashed.
func TestShimEndsInAStart(t *testing.T) {
	r, ctx := open(t)
	for printed, want := range map[string]string{"": "its process ended: signal: killed", "panic: out of luck\n\ngoroutine 1 [running]:\n": "panic: out of luck"} {
		s := spec(t, "wait")
		_, err := r.Create(ctx, s)
		must(t, err)
		dir := filepath.Join(r.stateDir(s.ID), shimDir)
		pid, err := strconv.Atoi(read(t, filepath.Join(dir, shimPID)))
		must(t, err)
		must(t, os.WriteFile(filepath.Join(dir, shimLog), []byte(printed), 0))
		must(t, unix.Kill(pid, unix.SIGSTOP))
		killed := make(chan struct{})
		go func() { // not before it is asked: containerd would have forgotten the container by then
			defer close(killed)
			for !r.wasStarted(s.ID) && ctx.Err() == nil {
				time.Sleep(time.Millisecond)
			}
			time.Sleep(100 * time.Millisecond) // the request follows at once
			_ = unix.Kill(pid, unix.SIGKILL)
		}()
		_, err = r.Start(ctx, s.ID)
		<-killed
		if e, ok := errors.AsType[*Error](err); !ok || e.Reason() != "CannotStartContainerError: its shim ended: ttrpc: closed ("+want+")" {
			t.Errorf("its shim ended while it was asked to start the container: %v", err)
		}
		must(t, r.Delete(ctx, s.ID))
	}
}

func TestLastWords(t *testing.T) {
	for printed, want := range map[string]string{
		"": "", "one\ntwo\n": "two", "one\npanic: x\n\ngoroutine 1 [running]:\nmain.main()\n": "panic: x",
		"fatal error: concurrent map writes\n\ngoroutine 7": "fatal error: concurrent map writes",
	} {
		if got := lastWords(printed); got != want {
			t.Errorf("of %q the last words are %q, want %q", printed, got, want)
		}
	}
}

// TestCreateThatIsCutShort: whenever gantry is stopped while it makes a container, neither a shim nor a process is left.
func TestCreateThatIsCutShort(t *testing.T) {
	r, ctx := open(t)
	for i := range 20 {
		after := time.Duration(i) * 6 * time.Millisecond
		s := spec(t, "wait")
		cut, cancel := context.WithTimeout(ctx, after)
		_, err := r.Create(cut, s)
		cancel()
		if err == nil {
			must(t, r.Delete(ctx, s.ID))
		}
		if _, err := os.Stat(r.stateDir(s.ID)); !os.IsNotExist(err) {
			t.Errorf("cut short after %v: its state is left: %v", after, err)
		}
	}
	left, err := filepath.Glob("/proc/[0-9]*")
	must(t, err)
	for _, dir := range left {
		if cwd, err := os.Readlink(filepath.Join(dir, "cwd")); err == nil && strings.HasPrefix(cwd, r.config.RunDir) && strings.HasSuffix(cwd, " (deleted)") {
			command, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
			t.Errorf("process %s is left, in %s: %q", filepath.Base(dir), cwd, command)
		}
	}
}
