package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"
)

// signals is the socket by which containers say that they run.
type signals struct {
	dir      string // what containers see as /bench
	listener net.Listener
	arrived  chan arrival
}

type arrival struct {
	at   time.Time
	conn net.Conn // the container runs until it is closed
}

// manyAtOnce is more than a benchmark starts at a time.
const manyAtOnce = 64

func listen(dir string) (*signals, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	ln, err := net.Listen("unix", filepath.Join(dir, "sock"))
	if err != nil {
		return nil, err
	}
	s := &signals{dir: dir, listener: ln, arrived: make(chan arrival, manyAtOnce)}
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			s.arrived <- arrival{time.Now(), c}
		}
	}()
	return s, nil
}

// startWithin bounds how long a container may take to run.
const startWithin = 60 * time.Second

// await waits for n containers and tells how long after since each ran.
func (s *signals) await(since time.Time, n int) (took []time.Duration, conns []net.Conn, err error) {
	deadline := time.After(startWithin)
	for range n {
		select {
		case a := <-s.arrived:
			took, conns = append(took, a.at.Sub(since)), append(conns, a.conn)
		case <-deadline:
			return took, conns, fmt.Errorf("%d of %d containers run after %s", len(took), n, startWithin)
		}
	}
	return took, conns, nil
}

func (s *signals) close() { s.listener.Close() }
