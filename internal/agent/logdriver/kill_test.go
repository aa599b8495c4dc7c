package logdriver

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// The child of TestKilled runs drivers over the directory and the endpoint that these name.
const (
	childDir      = "LOGDRIVER_TEST_DIR"
	childEndpoint = "LOGDRIVER_TEST_ENDPOINT"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		d, err := Open(Config{Dir: dir, Region: "us-east-1", Endpoint: os.Getenv(childEndpoint), Credentials: staticKeys{}, Log: slog.Default()})
		if err == nil {
			err = d.Run(context.Background())
		}
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// Gantry is killed with -9 again and again while two containers print. Each line
// arrives; in a json-file log once; at CloudWatch Logs only those of a batch that was
// under way may come twice.
func TestKilled(t *testing.T) {
	var batches atomic.Int32
	arrived := make(chan struct{}, 1)
	s := serve(t, func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.Header.Get("X-Amz-Target"), "PutLogEvents") {
			batches.Add(1)
			select {
			case arrived <- struct{}{}:
			default:
			}
		}
		return false
	})
	s.group(t, "g")
	dir := t.TempDir()
	d, stop := start(t, dir, s.url)
	var printers sync.WaitGroup
	quit := make(chan struct{})
	counts := map[string]*int{}
	for _, out := range []Output{awslogsOutput("cloud", nil), jsonFileOutput("file", map[string]string{"max-size": "1g"})} {
		c := launch(t, dir, out.ContainerID)
		if err := d.Attach(t.Context(), out); err != nil {
			t.Fatal(err)
		}
		n := new(int)
		counts[out.ContainerID] = n
		printers.Go(func() {
			defer c.exit()
			for tick := time.Tick(100 * time.Microsecond); ; *n++ {
				select {
				case <-quit:
					return
				case <-tick:
					if _, err := fmt.Fprintf(c.out, "%d %s\n", *n, strings.Repeat("x", *n%200)); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	stop()
	const kills = 12
	for i := range kills {
		child := exec.Command(os.Args[0], "-test.run=^$")
		child.Env = append(os.Environ(), childDir+"="+dir, childEndpoint+"="+s.url)
		child.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		child.Stderr = t.Output()
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		for range i%3 + 1 { // batches, before or after which it dies
			select {
			case <-arrived:
			case <-time.After(15 * time.Second):
				t.Fatal("the child delivers nothing")
			}
		}
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := child.Wait(); child.ProcessState == nil || child.ProcessState.Exited() {
			t.Fatalf("the child ended by itself: %v", err)
		}
	}
	close(quit)
	printers.Wait()
	d, _ = start(t, dir, s.url)
	drain(t, d, "cloud")
	drain(t, d, "file")

	lines := strings.Split(strings.TrimSuffix(printed(t, d, "file"), "\n"), "\n")
	for i, line := range lines {
		if !strings.HasPrefix(line, fmt.Sprint(i, " ")) {
			t.Fatalf("line %d of the file is %q", i, line)
		}
	}
	if len(lines) != *counts["file"] {
		t.Errorf("the file has %d of %d lines", len(lines), *counts["file"])
	}
	next, doubled := 0, 0
	for _, m := range s.messages(t, "g", "p/web/t1") {
		var n int
		if _, err := fmt.Sscan(m, &n); err != nil {
			t.Fatal(err)
		}
		switch {
		case n > next:
			t.Fatalf("line %d comes after line %d", n, next-1)
		case n < next:
			doubled++
		default:
			next++
		}
	}
	if next != *counts["cloud"] || doubled > next/2 {
		t.Errorf("%d of %d lines arrived, and %d twice", next, *counts["cloud"], doubled)
	}
	t.Logf("%d lines in %d batches, %d kills, %d lines twice", next, batches.Load(), kills, doubled)
}
