package logs

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// writerDir names the directory in which a child of TestKilled writes events.
const writerDir = "LOGS_TEST_WRITER_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(writerDir); dir != "" {
		if err := writeUntilKilled(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// writeUntilKilled puts numbered events, packs in between, and tells each number once it is acknowledged.
func writeUntilKilled(dir string) error {
	e, err := openWithin(dir, nil, limits{size: 8 << 20, blocks: 20, span: time.Hour})
	if err != nil {
		return err
	}
	s, err := e.stream("g", "s")
	if err != nil {
		return err
	}
	packing := time.Tick(3 * time.Millisecond)
	for n := s.state().Next; ; n++ {
		event := Event{Timestamp: int64(n), Message: strings.Repeat("x", int(n%300)) + " " + fmt.Sprint(n)}
		if _, err := e.put(s, time.UnixMilli(int64(n)), []Event{event}); err != nil {
			return err
		}
		if _, err := fmt.Println(n); err != nil {
			return err
		}
		select {
		case <-packing:
			e.removeFiles(e.packAll())
		default:
		}
	}
}

// Acknowledged events survive a kill -9 at any moment, once each and in order.
func TestKilled(t *testing.T) {
	dir := t.TempDir()
	e := open(t, dir)
	if err := e.createGroup(groupMeta{Name: "g"}); err != nil {
		t.Fatal(err)
	}
	if err := e.createStream("g", "s", time.UnixMilli(1)); err != nil {
		t.Fatal(err)
	}
	e.Close()
	acknowledged := 0
	for round := range 15 {
		acknowledged = max(acknowledged, killWriter(t, dir, 20+round*7))
		e := open(t, dir)
		messages := readAll(t, e, "g", Forward, 0, forever, nil)
		if len(messages) < acknowledged || len(messages) > acknowledged+1 {
			t.Fatalf("%d events are there, %d were acknowledged", len(messages), acknowledged)
		}
		for i, m := range messages {
			if !strings.HasSuffix(m, fmt.Sprint(" ", i+1)) {
				t.Fatalf("event %d is %q", i+1, m[max(0, len(m)-20):])
			}
		}
		e.Close()
		acknowledged = len(messages)
	}
}

// killWriter runs a child until it has acknowledged so many events, kills it, and
// returns the last number that it acknowledged.
func killWriter(t *testing.T, dir string, events int) int {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run=^$")
	child.Env = append(os.Environ(), writerDir+"="+dir)
	child.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	child.Stderr = t.Output()
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	last, seen := 0, 0
	for lines := bufio.NewScanner(out); lines.Scan(); seen++ {
		if last, err = strconv.Atoi(lines.Text()); err != nil {
			t.Fatal(err)
		}
		if seen == events {
			if err := child.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	err = child.Wait()
	if exit := child.ProcessState; exit == nil || exit.Exited() {
		t.Fatalf("the child ended by itself: %v", err)
	}
	return last
}

// A disk that is full refuses events in a sentence, and what was there stays readable.
func TestFullDisk(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("mounting a small file system needs root")
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=66m"); err != nil {
		t.Skipf("mounting a small file system: %v", err)
	}
	defer func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	}()
	e := open(t, dir)
	if err := e.createGroup(groupMeta{Name: "g"}); err != nil {
		t.Fatal(err)
	}
	if err := e.createStream("g", "s", time.UnixMilli(1)); err != nil {
		t.Fatal(err)
	}
	var kept []string
	var err error
	random := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 100_000)
	for i := 0; err == nil && i < 100; i++ {
		for j := range noise { // which zstd cannot shrink
			noise[j] = byte(random.UintN(128))
		}
		message := fmt.Sprint(i, string(noise))
		if err = put(e, "s", []Event{{Timestamp: int64(i), Message: message}}); err == nil {
			kept = append(kept, message)
		}
	}
	if exc := exception(err); exc == nil || exc.Error() != "ServiceUnavailableException: PutLogEvents: the disk that holds the logs is full: free some space, or shorten the retention of log groups." {
		t.Errorf("got %v", exc)
	}
	if got := readAll(t, e, "g", Forward, 0, forever, nil); len(kept) == 0 || !slices.Equal(got, kept) {
		t.Errorf("%d events are there, %d were put", len(got), len(kept))
	}
	e.Close()
	if got := readAll(t, open(t, dir), "g", Forward, 0, forever, nil); !slices.Equal(got, kept) {
		t.Errorf("after a restart %d events are there, %d were put", len(got), len(kept))
	}
}
