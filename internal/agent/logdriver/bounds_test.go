package logdriver

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"gantry/internal/wire/logsapi"
)

// occupied is how much space a file takes on the disk.
func occupied(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Sys().(*syscall.Stat_t).Blocks * 512
}

// A line of 2 GB without an end (512 MB under the race detector, which is slow) takes neither memory nor, once delivered, disk.
func TestEndlessLine(t *testing.T) {
	dir := t.TempDir()
	d, _ := start(t, dir, "http://127.0.0.1:1")
	c := launch(t, dir, "c1")
	if err := d.Attach(t.Context(), Output{ContainerID: "c1", Driver: "none"}); err != nil {
		t.Fatal(err)
	}
	const megabytes = endlessMegabytes
	chunk := string(bytes.Repeat([]byte{'x'}, 1<<20))
	var most uint64
	var memory runtime.MemStats
	for i := range megabytes {
		c.print(chunk)
		if i%32 == 0 {
			runtime.ReadMemStats(&memory)
			most = max(most, memory.HeapAlloc)
		}
	}
	c.exit()
	drain(t, d, "c1")
	if most > 64<<20 {
		t.Errorf("%d MiB of memory were in use", most>>20)
	}
	path := filepath.Join(dir, "c1", "stdout")
	if got := d.find("c1").delivered(); got != megabytes<<20 {
		t.Errorf("%d bytes were delivered", got)
	}
	if got := occupied(t, path); got > 2*punchSize {
		t.Errorf("%s takes %d bytes", path, got)
	}
}

// A long line arrives in pieces that make it up again.
func TestLongLineArrives(t *testing.T) {
	s, dir := serve(t, nil), t.TempDir()
	s.group(t, "g")
	d, _ := start(t, dir, s.url)
	c := launch(t, dir, "c1")
	if err := d.Attach(t.Context(), awslogsOutput("c1", nil)); err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("漢字 and letters ", 200_000)
	c.print(long + "\nshort\n\xff\xfe\n")
	c.exit()
	drain(t, d, "c1")
	got := s.messages(t, "g", "p/web/t1")
	n := len(got)
	if n < 3 || strings.Join(got[:n-2], "") != long || got[n-2] != "short" || got[n-1] != "\ufffd\ufffd" {
		t.Errorf("%d messages, which do not make up the line", n)
	}
}

// Bytes that are no text grow when they become U+FFFD, and fit all the same.
func TestBinaryOutputIsDelivered(t *testing.T) {
	s, dir := serve(t, nil), t.TempDir()
	s.group(t, "g")
	d, _ := start(t, dir, s.url)
	c := launch(t, dir, "c1")
	if err := d.Attach(t.Context(), awslogsOutput("c1", nil)); err != nil {
		t.Fatal(err)
	}
	c.print(strings.Repeat("\x80", 3<<20))
	c.exit()
	drain(t, d, "c1")
	if got := strings.Join(s.messages(t, "g", "p/web/t1"), ""); got != strings.Repeat("\ufffd", 3<<20) {
		t.Errorf("%d bytes arrived", len(got))
	}
}

// Where nothing can be delivered, a non-blocking log keeps as much as its buffer may
// hold, the newest, and delivers that later.
func TestNonBlockingBounds(t *testing.T) {
	var away atomic.Bool
	s := serve(t, func(w http.ResponseWriter, r *http.Request) bool {
		if away.Load() {
			w.WriteHeader(http.StatusInternalServerError)
		}
		return away.Load()
	})
	s.group(t, "g")
	dir := t.TempDir()
	d, _ := start(t, dir, s.url)
	c := launch(t, dir, "c1")
	options := map[string]string{"mode": "non-blocking", "max-buffer-size": "2m"}
	if err := d.Attach(t.Context(), awslogsOutput("c1", options)); err != nil {
		t.Fatal(err)
	}
	away.Store(true)
	all := numbered("line", 200_000) // about 10 MB
	c.print(all)
	least := int64(len(all) - 2<<20)
	eventually(t, "the oldest is given up", func() bool { return d.find("c1").delivered() >= least })
	away.Store(false)
	c.exit()
	drain(t, d, "c1")
	got := strings.Join(s.messages(t, "g", "p/web/t1"), "\n") + "\n"
	if !strings.HasSuffix(all, got) || len(got) < 1<<20 || len(got) > 2<<20 {
		t.Errorf("%d bytes arrived, which are no end of the output", len(got))
	}
}

// A stream that somebody deletes is made again.
func TestDeletedStreamIsMadeAgain(t *testing.T) {
	s, dir := serve(t, nil), t.TempDir()
	s.group(t, "g")
	d, _ := start(t, dir, s.url)
	c := launch(t, dir, "c1")
	if err := d.Attach(t.Context(), awslogsOutput("c1", nil)); err != nil {
		t.Fatal(err)
	}
	c.print("before\n")
	eventually(t, "a line arrives", func() bool { return len(s.messages(t, "g", "p/web/t1")) == 1 })
	if _, err := s.DeleteLogStream(t.Context(), &logsapi.DeleteLogStreamInput{LogGroupName: new("g"), LogStreamName: new("p/web/t1")}); err != nil {
		t.Fatal(err)
	}
	c.print("after\n")
	c.exit()
	drain(t, d, "c1")
	if got := s.messages(t, "g", "p/web/t1"); len(got) != 1 || got[0] != "after" {
		t.Errorf("got %q", got)
	}
}

// An endpoint that does not let the agent ask which batches had arrived gets them all the same.
func TestDeliversWithoutPermissionToAsk(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.Header.Get("X-Amz-Target"), "DescribeLogStreams") {
			return false
		}
		w.WriteHeader(http.StatusBadRequest)
		if _, err := w.Write([]byte(`{"__type":"AccessDeniedException","Message":"no"}`)); err != nil {
			t.Error(err)
		}
		return true
	})
	s.group(t, "g")
	dir := t.TempDir()
	d, stop := start(t, dir, s.url)
	c := launch(t, dir, "c1")
	if err := d.Attach(t.Context(), awslogsOutput("c1", nil)); err != nil {
		t.Fatal(err)
	}
	stop()
	// As after a kill while a batch was under way.
	record := "00000000000000000000 00000000000000000000 00000000000000000000 00000000000000000004 00000000000000000000 00000000000000000002\n"
	if err := os.WriteFile(filepath.Join(dir, "c1", recordFile), []byte(record), 0o600); err != nil {
		t.Fatal(err)
	}
	c.print("one\ntwo\n")
	c.exit()
	d, _ = start(t, dir, s.url)
	drain(t, d, "c1")
	if got := s.messages(t, "g", "p/web/t1"); len(got) != 2 {
		t.Errorf("got %q", got)
	}
}

// Lines that belong together arrive as one event; the last is not held for ever.
func TestMultiline(t *testing.T) {
	s, dir := serve(t, nil), t.TempDir()
	s.group(t, "g")
	d, _ := start(t, dir, s.url)
	c := launch(t, dir, "c1")
	options := map[string]string{"awslogs-datetime-format": "%Y-%m-%d", "awslogs-force-flush-interval-seconds": "1"}
	if err := d.Attach(t.Context(), awslogsOutput("c1", options)); err != nil {
		t.Fatal(err)
	}
	c.print("2026-11-23 failed\n  at a\n  at b\n2026-11-23 next\n")
	eventually(t, "both arrive while the container runs", func() bool { return len(s.messages(t, "g", "p/web/t1")) == 2 })
	c.print("2026-11-24 last\n  at c")
	c.exit()
	drain(t, d, "c1")
	got := strings.Join(s.messages(t, "g", "p/web/t1"), "|")
	if want := "2026-11-23 failed\n  at a\n  at b\n|2026-11-23 next\n|2026-11-24 last\n  at c"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
