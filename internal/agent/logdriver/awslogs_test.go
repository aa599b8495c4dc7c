package logdriver

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func awslogsOutput(id string, options map[string]string) Output {
	given := map[string]string{"awslogs-group": "g", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "p"}
	for k, v := range options {
		given[k] = v
	}
	return Output{ContainerID: id, ContainerName: "web", TaskID: "t1", Driver: "awslogs", Options: given}
}

// A line reaches the API at once, also while the container runs on; what was printed
// just before the end, without a newline, is there when Drain returns.
func TestLinesArrive(t *testing.T) {
	s, dir := serve(t, nil), t.TempDir()
	s.group(t, "g")
	d, _ := start(t, dir, s.url)
	c := launch(t, dir, "c1")
	if err := d.Attach(t.Context(), awslogsOutput("c1", nil)); err != nil {
		t.Fatal(err)
	}
	// A busy machine may be slow once; a line that is held back is so each time.
	var took time.Duration
	var want []string
	for range 10 {
		began := time.Now()
		c.print("hello\n")
		want = append(want, "hello")
		eventually(t, "a line arrives", func() bool { return len(s.messages(t, "g", "p/web/t1")) == len(want) })
		if took = time.Since(began); took < time.Second {
			break
		}
	}
	if took >= time.Second {
		t.Errorf("a line took %v", took)
	}
	c.print("second\n\nunfinis")
	c.print("hed")
	c.exit()
	drain(t, d, "c1")
	want = append(want, "second", "unfinished")
	if got := s.messages(t, "g", "p/web/t1"); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Drain waits for the writer to close its files: the last of the output may come after the exit.
func TestDrainWaitsForTheShim(t *testing.T) {
	s, dir := serve(t, nil), t.TempDir()
	s.group(t, "g")
	d, _ := start(t, dir, s.url)
	c := launch(t, dir, "c1")
	if err := d.Attach(t.Context(), awslogsOutput("c1", nil)); err != nil {
		t.Fatal(err)
	}
	drained := make(chan error, 1)
	go func() { drained <- d.Drain(t.Context(), "c1") }()
	c.print("early\n")
	eventually(t, "the early line arrives", func() bool { return len(s.messages(t, "g", "p/web/t1")) == 1 })
	select {
	case err := <-drained:
		t.Fatalf("drained while the shim could still write: %v", err)
	default:
	}
	c.print("late")
	c.exit()
	if err := <-drained; err != nil {
		t.Fatal(err)
	}
	if got := s.messages(t, "g", "p/web/t1"); !slices.Equal(got, []string{"early", "late"}) {
		t.Errorf("got %q", got)
	}
}

// Gantry is away while a container prints; nothing is lost and nothing doubled.
func TestCatchesUpAfterRestart(t *testing.T) {
	s, dir := serve(t, nil), t.TempDir()
	s.group(t, "g")
	d, stop := start(t, dir, s.url)
	c := launch(t, dir, "c1")
	if err := d.Attach(t.Context(), awslogsOutput("c1", nil)); err != nil {
		t.Fatal(err)
	}
	var want []string
	line := 0
	print := func(n int) {
		for range n {
			text := fmt.Sprintf("line %d %s", line, strings.Repeat("y", line%50))
			c.print(text + "\n")
			want = append(want, text)
			line++
		}
	}
	for range 4 {
		print(500)
		eventually(t, "something is delivered", func() bool { return len(s.messages(t, "g", "p/web/t1")) > len(want)-500 })
		stop()
		print(3000)
		d, stop = start(t, dir, s.url)
	}
	c.exit()
	drain(t, d, "c1")
	if diff := cmp.Diff(want, s.messages(t, "g", "p/web/t1")); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
}

// An endpoint that is away for a while costs no line.
func TestEndpointAwayForAWhile(t *testing.T) {
	var away atomic.Bool
	s := serve(t, func(w http.ResponseWriter, r *http.Request) bool {
		if away.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		return away.Load()
	})
	dir := t.TempDir()
	s.group(t, "g")
	d, _ := start(t, dir, s.url)
	c := launch(t, dir, "c1")
	if err := d.Attach(t.Context(), awslogsOutput("c1", nil)); err != nil {
		t.Fatal(err)
	}
	away.Store(true)
	c.print(numbered("away", 1000))
	c.exit()
	if d.find("c1").delivered() != 0 {
		t.Error("delivered to an endpoint that is away")
	}
	away.Store(false)
	drain(t, d, "c1")
	if got := s.messages(t, "g", "p/web/t1"); len(got) != 1000 {
		t.Errorf("%d of 1000 messages arrived", len(got))
	}
}

func TestGroupMustExistUnlessCreated(t *testing.T) {
	s, dir := serve(t, nil), t.TempDir()
	d, _ := start(t, dir, s.url)
	err := d.Attach(t.Context(), awslogsOutput("c1", nil))
	want := "CannotStartContainerError: failed to initialize logging driver: CreateLogStream: ResourceNotFoundException: The specified log group does not exist."
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	if err := d.Attach(t.Context(), awslogsOutput("c1", map[string]string{"awslogs-create-group": "true"})); err != nil {
		t.Fatal(err)
	}
	if got := s.messages(t, "g", "p/web/t1"); len(got) != 0 {
		t.Errorf("got %q", got)
	}
}
