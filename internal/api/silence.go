package api

import (
	"net"
	"net/http"
	"time"
)

// aliveWithin is how long the machine of an agent may answer nothing at all, not even
// the kernel's probes, until its session ends. An agent whose machine has lost its power
// or its network then shows as disconnected, whatever it promised.
const aliveWithin = 25 * time.Second

// probing has the other machine answer on a session on which nothing is said.
var probing = net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 5 * time.Second, Count: 3}

// boundSilence gives up the connection of a session on which the other machine answers
// nothing. Other connections keep the kernel's own patience: a client may stop reading
// for as long as it likes.
func boundSilence(r *http.Request) {
	conn, _ := r.Context().Value(connKey{}).(net.Conn)
	if c, ok := conn.(*wholeConn); ok {
		conn = c.Conn
	}
	if c, ok := conn.(interface{ NetConn() net.Conn }); ok { // of TLS
		conn = c.NetConn()
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		// Where it fails the session ends later, by its unanswered heartbeats.
		_ = tcp.SetKeepAliveConfig(probing)
		closeSilent(tcp, aliveWithin)
	}
}

// closeSilent closes a connection as soon as nothing was heard on it for so long. The
// kernel has two clocks for that, and begins the second, TCP_USER_TIMEOUT, when something
// is sent while the first, of the probes, is about to end: together they take twice as long.
func closeSilent(c *net.TCPConn, within time.Duration) {
	silent, err := silence(c)
	switch {
	case err != nil: // it is closed, or nobody can tell
	case silent >= within:
		_ = c.Close() // whoever reads from it is told
	default:
		time.AfterFunc(within-silent, func() { closeSilent(c, within) })
	}
}
