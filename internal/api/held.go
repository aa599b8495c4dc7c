package api

import (
	"bufio"
	"net"
	"net/http"
	"sync"
)

// sessions are the connections that agents hold open, by the key that opened them:
// so that the end of a key is the end of its sessions, whatever they are about.
type sessions struct {
	mu   sync.Mutex
	open map[string]map[*held]bool // by access key id; guarded by mu
}

// End breaks off every session that an access key has opened. It is for a key that
// is gone: those that begin later are refused, since nobody has it.
func (d *Door) End(accessKeyID string) {
	s := &d.sessions
	s.mu.Lock()
	defer s.mu.Unlock()
	for h := range s.open[accessKeyID] {
		h.conn.Close()
	}
}

// A held is the answer to a handshake, which may become a session.
type held struct {
	http.ResponseWriter
	key      string
	alive    func() bool // whether the key is still somebody's
	sessions *sessions
	conn     net.Conn // nil while it is no session; guarded by sessions.mu
}

// Hijack takes the connection over, as websockets do.
func (h *held) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	s := h.sessions
	s.mu.Lock()
	defer s.mu.Unlock()
	h.conn = conn
	if s.open == nil {
		s.open = map[string]map[*held]bool{}
	}
	if s.open[h.key] == nil {
		s.open[h.key] = map[*held]bool{}
	}
	s.open[h.key][h] = true
	if !h.alive() { // it ended before this session could be found
		conn.Close()
	}
	return conn, buffered, nil
}

// Unwrap is for [http.ResponseController].
func (h *held) Unwrap() http.ResponseWriter { return h.ResponseWriter }

// release forgets the session, which is over.
func (h *held) release() {
	s := h.sessions
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open[h.key], h)
	if len(s.open[h.key]) == 0 {
		delete(s.open, h.key)
	}
}
