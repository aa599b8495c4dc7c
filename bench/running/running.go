// Package running tells benchmarks when a container's program runs: its only program
// says so by a socket in a folder of the host that is mounted into the container, and
// runs until the other side closes it.
package running

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// ImageName is what Pack calls the image.
const ImageName = "gantry/sample-hello:latest"

// Pack builds the program and makes an image of it in a folder, as docker save would
// write it.
func Pack(dir string) (string, error) {
	binary := filepath.Join(dir, "hello")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", binary, "./bench/running/hello")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the program: %w\n%s", err, out)
	}
	if out, err := exec.Command("go", "run", "./samples/pack", "-out", dir, "hello="+binary).CombinedOutput(); err != nil {
		return "", fmt.Errorf("pack the image: %w\n%s", err, out)
	}
	return filepath.Join(dir, "hello.tar"), nil
}

// Signals is the socket by which programs say that they run.
type Signals struct {
	Dir      string // what containers see as /bench
	listener net.Listener
	arrived  chan Arrival
}

// An Arrival is a program that runs.
type Arrival struct {
	At   time.Time
	Conn net.Conn // it runs until this is closed
}

// manyAtOnce is more than a benchmark starts at a time.
const manyAtOnce = 64

// Listen opens the socket in a folder.
func Listen(dir string) (*Signals, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	ln, err := net.Listen("unix", filepath.Join(dir, "sock"))
	if err != nil {
		return nil, err
	}
	s := &Signals{Dir: dir, listener: ln, arrived: make(chan Arrival, manyAtOnce)}
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			s.arrived <- Arrival{time.Now(), c}
		}
	}()
	return s, nil
}

// Within bounds how long a container may take to run.
const Within = 60 * time.Second

// Next waits for the next program that runs.
func (s *Signals) Next() (Arrival, error) {
	select {
	case a := <-s.arrived:
		return a, nil
	case <-time.After(Within):
		return Arrival{}, fmt.Errorf("no container runs after %s", Within)
	}
}

// Await waits for n containers and tells how long after since each ran.
func (s *Signals) Await(since time.Time, n int) (took []time.Duration, conns []net.Conn, err error) {
	for range n {
		a, err := s.Next()
		if err != nil {
			return took, conns, fmt.Errorf("%d of %d: %w", len(took), n, err)
		}
		took, conns = append(took, a.At.Sub(since)), append(conns, a.Conn)
	}
	return took, conns, nil
}

// Close closes the socket.
func (s *Signals) Close() { s.listener.Close() }

// Pid is the process of the program, as the host sees it.
func (a Arrival) Pid() (int, error) {
	raw, err := a.Conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return 0, err
	}
	var who *syscall.Ucred
	var asked error
	if err := raw.Control(func(fd uintptr) {
		who, asked = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	}); err != nil {
		return 0, err
	}
	if asked != nil {
		return 0, fmt.Errorf("ask who is at the other end: %w", asked)
	}
	return int(who.Pid), nil
}
