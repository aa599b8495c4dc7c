package api

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"syscall"
	"testing"
	"time"
)

// A holder opens sessions at a door, as agents do, and holds them.
type holder struct {
	*testing.T
	door   Door
	server *httptest.Server
	alive  func(key string) bool
	over   chan string // the keys of sessions that have ended
}

func newHolder(t *testing.T) *holder {
	h := &holder{T: t, alive: func(string) bool { return true }, over: make(chan string, 10)}
	h.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key := r.Header.Get("Key")
		held := &held{ResponseWriter: w, key: key, sessions: &h.door.sessions, alive: func() bool { return h.alive(key) }}
		defer func() { held.release(); h.over <- key }()
		if r.URL.Path == "/refused" {
			http.Error(w, "no", http.StatusForbidden)
			return
		}
		conn, _, err := http.NewResponseController(held).Hijack()
		if err != nil {
			h.Error(err)
			return
		}
		defer conn.Close()
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: test\r\n\r\n")
		io.Copy(conn, conn) // until it breaks off
	}))
	t.Cleanup(h.server.Close)
	return h
}

// open begins a session of a key.
func (h *holder) open(key, path string) (net.Conn, *bufio.Reader) {
	h.Helper()
	conn, err := net.Dial("tcp", h.server.Listener.Addr().String())
	if err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	r := httptest.NewRequest(http.MethodGet, "http://server"+path, nil)
	r.Header.Set("Key", key)
	r.Header.Set("Connection", "Upgrade")
	if err := r.Write(conn); err != nil {
		h.Fatal(err)
	}
	return conn, bufio.NewReader(conn)
}

// begin begins a session, and waits until it is one.
func (h *holder) begin(key string) (net.Conn, *bufio.Reader) {
	h.Helper()
	conn, in := h.open(key, "/session")
	answer, err := http.ReadResponse(in, nil)
	if err != nil || answer.StatusCode != http.StatusSwitchingProtocols {
		h.Fatalf("a session of %s begins with %v, %v", key, answer, err)
	}
	return conn, in
}

// ended waits for the end of a session, which is that of a key.
func (h *holder) ended(key string) {
	h.Helper()
	select {
	case got := <-h.over:
		if got != key {
			h.Errorf("the session of %s has ended, not that of %s", got, key)
		}
	case <-time.After(10 * time.Second):
		h.Fatalf("no session ends; want that of %s", key)
	}
}

// kept is how many sessions the door knows of, and of how many keys.
func (h *holder) kept() (sessions, keys int) {
	s := &h.door.sessions
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, of := range s.open {
		sessions += len(of)
	}
	return sessions, len(s.open)
}

// The end of a key is the end of all its sessions and of nobody else's, and what is over
// is forgotten.
func TestEndOfAKey(t *testing.T) {
	h := newHolder(t)
	_, first := h.begin("a")
	_, second := h.begin("a")
	other, others := h.begin("b")
	if sessions, keys := h.kept(); sessions != 3 || keys != 2 {
		t.Fatalf("%d sessions of %d keys", sessions, keys)
	}
	h.door.End("a")
	h.door.End("nobody")
	for _, in := range []*bufio.Reader{first, second} {
		if _, err := in.ReadByte(); err == nil {
			t.Error("a session goes on after its key has ended")
		}
		h.ended("a")
	}
	if _, err := io.WriteString(other, "x"); err != nil {
		t.Fatal(err)
	}
	if b, err := others.ReadByte(); err != nil || b != 'x' {
		t.Errorf("the session of another key: %q, %v", b, err)
	}
	if sessions, keys := h.kept(); sessions != 1 || keys != 1 {
		t.Errorf("left: %d sessions of %d keys", sessions, keys)
	}
	other.Close()
	h.ended("b")
	if sessions, keys := h.kept(); sessions != 0 || keys != 0 {
		t.Errorf("in the end: %d sessions of %d keys", sessions, keys)
	}
}

// A key that ends while its handshake is under way has no session either.
func TestKeyEndsDuringTheHandshake(t *testing.T) {
	h := newHolder(t)
	h.alive = func(string) bool { return false } // it ended after it was looked up
	_, in := h.open("a", "/session")
	if _, err := io.ReadAll(in); err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Fatal(err)
	}
	h.ended("a")
	if sessions, keys := h.kept(); sessions != 0 || keys != 0 {
		t.Errorf("left: %d sessions of %d keys", sessions, keys)
	}
}

// A handshake that is refused is no session: there is nothing to break off.
func TestRefusedHandshakeIsNoSession(t *testing.T) {
	h := newHolder(t)
	_, in := h.open("a", "/refused")
	answer, err := http.ReadResponse(in, nil)
	if err != nil || answer.StatusCode != http.StatusForbidden {
		t.Fatalf("%v, %v", answer, err)
	}
	h.ended("a")
	h.door.End("a")
	if sessions, keys := h.kept(); sessions != 0 || keys != 0 {
		t.Errorf("left: %d sessions of %d keys", sessions, keys)
	}
}
