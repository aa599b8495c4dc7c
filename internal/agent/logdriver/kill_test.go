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

// Gantry is killed with -9 again and again while two containers print, mostly while
// a batch is under way. Each line arrives once.
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
			case <-time.After(patience):
				t.Fatal("the child delivers nothing")
			}
		}
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := child.Wait(); child.ProcessState == nil || child.ProcessState.Exited() {
			t.Fatalf("the child ended by itself: %v", err)
		}
		// A real kill ends the endpoint too; this one has to finish what it was asked.
		eventually(t, "the endpoint is idle", func() bool { return s.busy.Load() == 0 })
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
	messages := s.messages(t, "g", "p/web/t1")
	for i, m := range messages {
		if !strings.HasPrefix(m, fmt.Sprint(i, " ")) {
			t.Fatalf("line %d at CloudWatch Logs is %q", i, m)
		}
	}
	if len(messages) != *counts["cloud"] {
		t.Errorf("%d of %d lines arrived at CloudWatch Logs", len(messages), *counts["cloud"])
	}
	t.Logf("%d lines in %d batches, %d kills", len(messages), batches.Load(), kills)
}
