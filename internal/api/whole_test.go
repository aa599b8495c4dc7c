package api

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// TestAnswersArriveWhole reads each answer by one Read: on loopback what one system
// call sends, up to 64 KiB, one system call receives.
func TestAnswersArriveWhole(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	handler := func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/"))
		w.Header().Set("Content-Length", strconv.Itoa(n))
		whole(w, r).Write([]byte(strings.Repeat("x", n)))
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- Serve(ctx, ln, http.HandlerFunc(handler), slog.New(slog.DiscardHandler)) }()
	defer func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	buf := make([]byte, 1<<20)
	for i := range 200 {
		size := []int{0, 100, wholeFrom, 4 << 10, 20_000}[i%5]
		if _, err := io.WriteString(c, "GET /"+strconv.Itoa(size)+" HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		n, err := c.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		header, body, _ := strings.Cut(string(buf[:n]), "\r\n\r\n")
		if !strings.HasPrefix(header, "HTTP/1.1 200") || len(body) != size {
			t.Fatalf("answer %d came with %d bytes of its %d at first", i, len(body), size)
		}
	}
	// The last answer of a connection is followed by its end.
	if _, err := io.WriteString(c, "GET /20000 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(c)
	if _, body, _ := strings.Cut(string(rest), "\r\n\r\n"); err != nil || len(body) != 20_000 {
		t.Errorf("%d bytes before the connection's end, %v", len(body), err)
	}
}
