package api

import (
	"net"
	"net/http"
	"sync"
)

// unused are the connections on which nothing has been asked yet. Clients make them
// in stock, and a server that stops would wait five seconds for each to ask.
type unused struct {
	mu     sync.Mutex
	conns  map[net.Conn]bool // guarded by mu
	closed bool              // guarded by mu; connections are closed as they come
}

func newUnused() *unused { return &unused{conns: map[net.Conn]bool{}} }

// note follows a connection; it is a [http.Server]'s ConnState.
func (u *unused) note(c net.Conn, state http.ConnState) {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case state != http.StateNew:
		delete(u.conns, c)
	case u.closed:
		c.Close()
	default:
		u.conns[c] = true
	}
}

// close closes them, and those that are still to come.
func (u *unused) close() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.closed = true
	for c := range u.conns {
		c.Close()
	}
	clear(u.conns)
}
