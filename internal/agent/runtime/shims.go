package runtime

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	shimapi "github.com/containerd/containerd/api/runtime/task/v3"
	"github.com/containerd/ttrpc"
	"golang.org/x/sys/unix"
)

// A shimPool keeps a few shims started that have no container yet. Starting a
// shim is two programs to execute when containerd does it, a quarter of what
// starting a container takes; with the pool it is none, or one when the pool
// is empty. containerd is told of the shim by the container's sandbox, all of
// which are the one that startServer records.
type shimPool struct {
	program string
	dir     string // a directory per spare shim
	sockets string
	parent  string // the address by which the shims know containerd
	log     func(error)

	want   chan struct{} // holds a token when the pool may have fewer than it should
	filled chan struct{} // closed once fill has returned

	mu     sync.Mutex
	spares []*shim // under mu
	closed bool    // under mu
}

// A shim is one that we started. Its directory holds its address and its log.
type shim struct {
	dir, socket string        // dir changes under its pool's mu
	ended       chan struct{} // closed once the process is gone
}

const (
	// spareShims is how many are kept; each costs 4 MiB.
	spareShims = 2
	// refillPause lets the container that took a shim start first.
	refillPause = 100 * time.Millisecond
	// shimEnd is how long a shim without containers may take to end.
	shimEnd  = 5 * time.Second
	shimLook = time.Millisecond // doubled with every look
)

// fill keeps the pool full until ctx ends, or the pool is closed.
func (p *shimPool) fill(ctx context.Context) {
	defer close(p.filled)
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.want:
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(refillPause):
		}
		for p.missing() {
			s, err := p.start()
			if err != nil {
				p.log(fmt.Errorf("start a spare shim: %w", err))
				break // the next container tries again, and tells
			}
			p.put(s)
		}
	}
}

func (p *shimPool) missing() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.spares) < spareShims && !p.closed
}

func (p *shimPool) put(s *shim) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.spares = append(p.spares, s)
}

// take returns a running shim, whose directory it moves to where the caller says.
func (p *shimPool) take(dir string) (*shim, error) {
	s := p.pop()
	if s == nil {
		var err error
		if s, err = p.start(); err != nil {
			return nil, fmt.Errorf("start its shim: %w", err)
		}
	}
	select {
	case p.want <- struct{}{}:
	default:
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o711); err != nil {
		return nil, errors.Join(err, s.end(context.Background()))
	}
	if err := p.move(s, dir); err != nil {
		return nil, errors.Join(err, s.end(context.Background()))
	}
	return s, nil
}

func (p *shimPool) move(s *shim, dir string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := os.Rename(s.dir, dir); err != nil {
		return err
	}
	s.dir = dir
	return nil
}

// noteEnd adds to what a shim printed how it ended, where there still is such a file.
func (p *shimPool) noteEnd(s *shim, how *os.ProcessState) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	f, err := os.OpenFile(filepath.Join(s.dir, shimLog), os.O_WRONLY|os.O_APPEND, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "%s%s\n", shimEnding, how)
	return errors.Join(err, f.Close())
}

func (p *shimPool) pop() *shim {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.spares) > 0 {
		s := p.spares[0]
		p.spares = p.spares[1:]
		select {
		case <-s.ended: // somebody killed it
			if err := s.end(context.Background()); err != nil {
				p.log(fmt.Errorf("clear a spare shim away that was killed: %w", err))
			}
		default:
			return s
		}
	}
	return nil
}

// close ends the spare shims, also one that is being started. Those that were taken run
// on. The context of fill has to have ended.
func (p *shimPool) close(ctx context.Context) error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	<-p.filled
	p.mu.Lock()
	spares := p.spares
	p.spares = nil
	p.mu.Unlock()
	var problems []error
	for _, s := range spares {
		problems = append(problems, s.end(ctx))
	}
	return errors.Join(problems...)
}

// start executes a shim the way its own start command would: in its directory,
// with its listening socket as descriptor 3.
func (p *shimPool) start() (*shim, error) {
	name := newToken()
	s := &shim{dir: filepath.Join(p.dir, name), socket: filepath.Join(p.sockets, name), ended: make(chan struct{})}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, err
	}
	for file, text := range map[string]string{shimLog: "", "address": s.address()} {
		if err := os.WriteFile(filepath.Join(s.dir, file), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: s.socket, Net: "unix"})
	if err != nil {
		return nil, err
	}
	listener.SetUnlinkOnClose(false) // the shim removes it
	defer listener.Close()
	descriptor, err := listener.File()
	if err != nil {
		return nil, err
	}
	defer descriptor.Close()
	printed, err := os.OpenFile(filepath.Join(s.dir, shimLog), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return nil, err
	}
	defer printed.Close()
	cmd := exec.Command(p.program, "-namespace", namespace, "-id", name, "-address", p.parent)
	cmd.Dir, cmd.ExtraFiles, cmd.Stderr = s.dir, []*os.File{descriptor}, printed
	cmd.Env = append(os.Environ(), "GOMAXPROCS=2", "TTRPC_ADDRESS="+p.parent+".ttrpc", "GRPC_ADDRESS="+p.parent, "NAMESPACE="+namespace)
	// A group of its own: it outlives gantry, and what is typed at gantry's
	// terminal is not for it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, os.Remove(s.socket), os.RemoveAll(s.dir))
	}
	go func() {
		_ = cmd.Wait() // its end is told by its container's
		if err := p.noteEnd(s, cmd.ProcessState); err != nil {
			p.log(fmt.Errorf("note how a shim ended: %w", err))
		}
		close(s.ended)
	}()
	pid := cmd.Process.Pid
	err = errors.Join(preferVictim(pid), os.WriteFile(filepath.Join(s.dir, shimPID), []byte(strconv.Itoa(pid)), 0o600))
	if err != nil {
		return nil, errors.Join(err, s.end(context.Background()))
	}
	return s, nil
}

// preferVictim has the kernel kill a shim rather than gantry, as containerd does.
func preferVictim(pid int) error {
	const most = 1000
	own, err := os.ReadFile("/proc/self/oom_score_adj")
	if err != nil {
		return err
	}
	score, err := strconv.Atoi(strings.TrimSpace(string(own)))
	if err != nil {
		return err
	}
	err = os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid), []byte(strconv.Itoa(min(score+1, most))), 0)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) {
		return nil // it has ended already, which is noticed when it is used
	}
	return err
}

func (s *shim) address() string { return "unix://" + s.socket }

// end has a shim without containers end. One that has ended already is fine.
func (s *shim) end(ctx context.Context) error {
	if err := endShim(ctx, s.socket); err != nil {
		return err
	}
	select {
	case <-s.ended:
	case <-time.After(shimEnd):
		return fmt.Errorf("spare shim %s does not end", s.socket)
	}
	if err := os.Remove(s.socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err // of one that was killed
	}
	return os.RemoveAll(s.dir)
}

func endShim(ctx context.Context, socket string) error {
	conn, err := dialShim(socket)
	if conn == nil {
		return err
	}
	client := ttrpc.NewClient(conn)
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, shimEnd)
	defer cancel()
	_, err = shimapi.NewTTRPCTaskClient(client).Shutdown(ctx, &shimapi.ShutdownRequest{})
	if err != nil && !errors.Is(err, ttrpc.ErrClosed) {
		return fmt.Errorf("end shim %s: %w", socket, err)
	}
	return nil
}

const (
	// shimDir is the place of a container's shim in its state directory.
	shimDir = "shim"
	// shimPID is the file in it that holds the shim's process number.
	shimPID = "pid"
)

// removeShim makes room for another shim of a container whose last one ended.
func (r *Runtime) removeShim(id ContainerID) error {
	return errors.Join(
		os.RemoveAll(filepath.Join(r.stateDir(id), shimDir)),
		os.RemoveAll(filepath.Join(r.stateDir(id), savedExit)))
}
