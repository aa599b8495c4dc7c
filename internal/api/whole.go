package api

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"strings"
	"time"
)

// wholeFrom is the length of the shortest body, in bytes, for which answers have to
// be held together: shorter ones fit into net/http's buffer of 4 KiB beside any header.
const wholeFrom = 2 << 10

// goPatience is how long a longer answer is kept from AWS's SDK for Go. The SDK closes a
// request's body as soon as it sees the answer's header, and net/http, which on a busy
// machine may not have come to the end of that body, then ends the connection: what had not
// been read, beyond the first 4 KiB, is lost with "use of closed network connection". AWS is
// never that fast. On two cores with twenty busy threads one call in a hundred failed without this,
// one in two thousand after one millisecond, and none of ten thousand after three.
const goPatience = 4 * time.Millisecond

// A wholeConn can send an answer in one piece. net/http sends a longer one as its
// first 4 KiB and then the rest; arriving together they leave AWS's SDK for Go less
// time to end the connection between them.
type wholeConn struct {
	net.Conn
	// Both belong to the goroutine that serves the connection.
	expect int    // bytes of the body that is being written; 0 sends everything at once
	held   []byte // what was written so far, which begins with the header
}

// hold makes the next answer, whose body has that many bytes, leave in one piece.
func (c *wholeConn) hold(body int) { c.expect, c.held = body, c.held[:0] }

// Write keeps what is not the answer's end; the end is sent together with what was kept.
func (c *wholeConn) Write(p []byte) (int, error) {
	if c.expect == 0 {
		return c.Conn.Write(p)
	}
	if !c.ends(p) {
		c.held = append(c.held, p...)
		return len(p), nil
	}
	pieces := net.Buffers{c.held, p}
	c.expect = 0
	if _, err := pieces.WriteTo(c.Conn); err != nil {
		return 0, err
	}
	return len(p), nil
}

// ends reports whether the answer is complete with p.
func (c *wholeConn) ends(p []byte) bool {
	blank := []byte("\r\n\r\n")
	header := bytes.Index(c.held, blank)
	if header < 0 {
		if header = bytes.Index(p, blank); header < 0 {
			return false
		}
		header += len(c.held)
	}
	return len(c.held)+len(p) >= header+len(blank)+c.expect
}

// CloseWrite is what net/http calls before it closes, so that the client reads to the end.
func (c *wholeConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// A wholeListener accepts connections that can send answers in one piece.
type wholeListener struct{ net.Listener }

func (l wholeListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &wholeConn{Conn: c}, nil
}

type connKey struct{}

// withConn lets handlers find the connection that they answer on.
func withConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// A wholeWriter is for handlers that write the body of an answer by one Write.
type wholeWriter struct {
	http.ResponseWriter
	conn *wholeConn
	asks *http.Request
}

// whole lets an answer leave in one piece, where the connection can do that.
func whole(w http.ResponseWriter, r *http.Request) http.ResponseWriter {
	if c, ok := r.Context().Value(connKey{}).(*wholeConn); ok {
		return wholeWriter{w, c, r}
	}
	return w
}

func (w wholeWriter) Write(body []byte) (int, error) {
	if len(body) >= wholeFrom {
		if strings.Contains(w.asks.UserAgent(), "aws-sdk-go") {
			time.Sleep(goPatience)
		}
		w.conn.hold(len(body))
	}
	return w.ResponseWriter.Write(body)
}
