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

// probing looks after a session on which nothing is said.
var probing = net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 5 * time.Second, Count: 3}

// boundSilence has the kernel give up the connection of a session on which the other
// machine answers nothing. Other connections keep the kernel's own patience: a client
// may stop reading for as long as it likes.
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
		_ = limitUnacknowledged(tcp, aliveWithin)
	}
}
