package api

import (
	"context"
	"errors"
	"net"
	"net/http"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The kernel is told to probe, through what wraps the connection. How long nothing has
// come in is known, and a connection on which that is too long is closed.
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
	tcp := accepted.(*wholeConn).Conn.(*net.TCPConn)
	raw, err := tcp.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var idle int
	if err := raw.Control(func(fd uintptr) {
		idle, err = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_KEEPIDLE)
	}); err != nil || idle != 10 {
		t.Errorf("probes after %d s: %v", idle, err)
	}
	began := time.Now()
	if _, err := client.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := accepted.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if got, err := silence(tcp); err != nil || got > time.Since(began)+time.Second {
		t.Errorf("%s after it has heard something it is silent for %s: %v", time.Since(began), got, err)
	}
	for { // the kernel counts milliseconds
		if got, err := silence(tcp); err != nil || got >= 5*time.Millisecond {
			break
		}
	}
	closeSilent(tcp, time.Hour)
	if _, err := accepted.Write([]byte("x")); err != nil {
		t.Errorf("not silent for long: %v", err)
	}
	closeSilent(tcp, 5*time.Millisecond)
	if _, err := accepted.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("silent for too long: %v", err)
	}
}
