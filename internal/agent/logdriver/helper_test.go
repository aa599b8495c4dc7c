package logdriver

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/smithy-go/aws-http-auth/credentials"

	"gantry"
	"gantry/internal/logs"
	"gantry/internal/wire/awsjson"
	"gantry/internal/wire/logsapi"
)

// patience is how long a test waits for what has to come: on a busy machine half a gigabyte takes its time.
const patience = 3 * time.Minute

type staticKeys struct{}

func (staticKeys) Credentials(context.Context) (credentials.Credentials, error) {
	return credentials.Credentials{AccessKeyID: "AKID", SecretAccessKey: "secret"}, nil
}

// service is CloudWatch Logs as gantry offers it, over loopback.
type service struct {
	*logsapi.Operations
	url  string
	busy atomic.Int32 // requests under way
}

// serve starts one; through, if set, sees each request first and may answer it itself.
func serve(t testing.TB, through func(w http.ResponseWriter, r *http.Request) (answered bool)) *service {
	t.Helper()
	e, err := logs.Open(t.TempDir(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	ops := logs.NewOperations(logs.Config{Engine: e, Place: gantry.Place{Region: "us-east-1", Account: "123456789012"}})
	s := awsjson.New(awsjson.Config{
		Title: "Amazon CloudWatch Logs", Target: "Logs_20140328", Table: ops.Table(),
		Fault: logsapi.NewServiceUnavailableException, Log: slog.New(slog.DiscardHandler), MaxBody: 8 << 20,
	})
	running := &service{Operations: ops}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		running.busy.Add(1)
		defer running.busy.Add(-1)
		if through == nil || !through(w, r) {
			s.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(srv.Close)
	running.url = srv.URL
	return running
}

func (s *service) group(t *testing.T, name string) {
	t.Helper()
	if _, err := s.CreateLogGroup(t.Context(), &logsapi.CreateLogGroupInput{LogGroupName: &name}); err != nil {
		t.Fatal(err)
	}
}

// messages is all that a stream has.
func (s *service) messages(t *testing.T, group, stream string) []string {
	t.Helper()
	var all []string
	in := &logsapi.GetLogEventsInput{LogGroupName: &group, LogStreamName: &stream, StartFromHead: new(true)}
	for {
		out, err := s.GetLogEvents(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range out.Events {
			all = append(all, *e.Message)
		}
		if in.NextToken != nil && *out.NextForwardToken == *in.NextToken {
			return all
		}
		in.NextToken = out.NextForwardToken
	}
}

// start runs drivers over dir until the test or stop ends them.
func start(t testing.TB, dir, endpoint string) (d *Drivers, stop func()) {
	t.Helper()
	d, err := Open(Config{Dir: dir, Region: "us-east-1", Endpoint: endpoint, Credentials: staticKeys{},
		Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	}
	t.Cleanup(stop)
	return d, stop
}

// A container is what its shim does: it holds the two files open for appending.
type container struct {
	t        testing.TB
	out, err *os.File
}

func launch(t testing.TB, dir, id string) *container {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(dir, id), 0o700); err != nil {
		t.Fatal(err)
	}
	open := func(name string) *os.File {
		f, err := os.OpenFile(filepath.Join(dir, id, name), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	c := &container{t, open("stdout"), open("stderr")}
	t.Cleanup(c.exit)
	return c
}

func (c *container) print(text string) {
	c.t.Helper()
	if _, err := c.out.WriteString(text); err != nil {
		c.t.Fatal(err)
	}
}

func (c *container) exit() {
	c.out.Close()
	c.err.Close()
}

func drain(t *testing.T, d *Drivers, id string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := d.Drain(ctx, id); err != nil {
		t.Fatal(err)
	}
}

// eventually waits until a state holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it never happened that %s", what)
		}
	}
}

func numbered(prefix string, n int) string {
	var b bytes.Buffer
	for i := range n {
		b.WriteString(prefix + " " + strings.Repeat("x", i%90) + "\n")
	}
	return b.String()
}

// delivered is how many bytes were recorded as delivered.
func (p *pump) delivered() int64 {
	rec, err := readRecord(p.record)
	if err != nil {
		return 0
	}
	return rec.delivered[stdout] + rec.delivered[stderr]
}
