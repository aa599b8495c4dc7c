package agent

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"gantry/internal/wire/acsapi"

	"github.com/coder/websocket"
)

// A control plane that says something twice a minute is left after half an hour, with the words of the genuine agent,
// and at once called again.
func TestAConnectionIsRenewedAfterHalfAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lasted, err, closed := hold(t, 30*time.Second)
		if !errors.Is(err, errExpired) || lasted < renewAfter || lasted > renewAfter+renewJitter {
			t.Errorf("after %v: %v", lasted, err)
		}
		var frame websocket.CloseError
		if !errors.As(closed, &frame) || frame.Code != websocket.StatusNormalClosure || frame.Reason != "ConnectionExpired: Reconnect to continue" {
			t.Errorf("the control plane saw %v", closed)
		}
		if pause := (&Agent{}).pauseAfter(err, lasted, true, new(acsBackoff())); pause != 0 {
			t.Errorf("called again after %v", pause)
		}
	})
}

// A control plane that says nothing is left after one to two minutes, as it may be at the other end of a cut line.
func TestASilentConnectionIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lasted, err, _ := hold(t, 0)
		if !errors.Is(err, errIdle) || lasted < idleAfter || lasted > idleAfter+idleJitter {
			t.Errorf("after %v: %v", lasted, err)
		}
	})
}

// hold is a control session with a control plane that sends a heartbeat every so often, or nothing where that is 0: how
// long it lasted, why the agent ended it, and what the control plane saw of its end.
func hold(t *testing.T, heartbeats time.Duration) (lasted time.Duration, ended, closed error) {
	ours, theirs := net.Pipe()
	seen := make(chan error, 1)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.CloseNow()
		reading, done := context.WithCancel(t.Context())
		defer done()
		go func() {
			for heartbeats > 0 {
				text, err := acsapi.Encode(acsapi.TypeHeartbeat, acsapi.HeartbeatMessage{MessageID: "h"})
				if err != nil {
					t.Error(err)
				}
				if sleep(reading, heartbeats) != nil || conn.Write(reading, websocket.MessageText, text) != nil {
					return
				}
			}
		}()
		for {
			if _, _, err := conn.Read(reading); err != nil {
				seen <- err
				return
			}
		}
	})}
	line := &oneConn{conn: make(chan net.Conn, 1), closed: make(chan struct{})}
	line.conn <- theirs
	go server.Serve(line)
	defer server.Close()
	client := &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return ours, nil }}}
	conn, _, err := websocket.Dial(t.Context(), "ws://plane/ws", &websocket.DialOptions{HTTPClient: client})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	s := &session{agent: &Agent{log: slog.New(slog.DiscardHandler), beat: make(chan struct{}, 1)}, conn: conn}
	ended = s.run(t.Context())
	lasted = time.Since(began)
	conn.CloseNow()
	return lasted, ended, <-seen
}

// oneConn is a listener with one connection.
type oneConn struct {
	conn   chan net.Conn
	closed chan struct{}
}

func (l *oneConn) Accept() (net.Conn, error) {
	select {
	case c := <-l.conn:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *oneConn) Close() error {
	close(l.closed)
	return nil
}

func (l *oneConn) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }
