package api

import (
	"context"
	"net"
	"net/http"
	"testing"

	"golang.org/x/sys/unix"
)

// The kernel is told how long an agent's machine may be silent, through what wraps the
// connection.
func TestSilenceOfSessionsIsBounded(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	client, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	accepted, err := wholeListener{ln}.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()
	r, err := http.NewRequestWithContext(withConn(context.Background(), accepted), http.MethodGet, "/acs/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	boundSilence(r)
	raw, err := accepted.(*wholeConn).Conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var timeout, idle int
	err = raw.Control(func(fd uintptr) {
		timeout, _ = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT)
		idle, _ = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_KEEPIDLE)
	})
	if err != nil || timeout != int(aliveWithin.Milliseconds()) || idle != 10 {
		t.Errorf("after %d ms without an acknowledgement, probes after %d s: %v", timeout, idle, err)
	}
}
