package api

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
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

// TestLongAnswersToGoWait: AWS's SDK for Go gets the time to finish its request before a
// longer answer arrives. Nobody else waits, and no short answer.
func TestLongAnswersToGoWait(t *testing.T) {
	for _, test := range []struct {
		agent string
		size  int
		want  time.Duration
	}{
		{"aws-sdk-go-v2/1.24.1 os/linux lang/go#1.26", wholeFrom, goPatience},
		{"APN/1.0 HashiCorp/1.0 Terraform/1.5.7 aws-sdk-go-v2/1.36.3", 20_000, goPatience},
		{"aws-sdk-go-v2/1.24.1", wholeFrom - 1, 0},
		{"aws-cli/2.36.0", 20_000, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodPost, "/", nil)
			r.Header.Set("User-Agent", test.agent)
			r = r.WithContext(withConn(r.Context(), new(wholeConn)))
			asked := time.Now()
			whole(httptest.NewRecorder(), r).Write(make([]byte, test.size))
			if got := time.Since(asked); got != test.want {
				t.Errorf("%d bytes to %s after %s, want %s", test.size, test.agent, got, test.want)
			}
		})
	}
}
