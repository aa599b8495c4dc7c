package events

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"gantry"
	"gantry/internal/events/record"
	"gantry/internal/store"
	"gantry/internal/wire/eventsapi"
	"gantry/internal/wire/logsapi"
)

// helperDir has this test program be the process that is killed, in a folder.
const helperDir = "GANTRY_EVENTS_HELPER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(helperDir); dir != "" {
		fmt.Fprintln(os.Stderr, stepOn(dir))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// openDurable opens the store and the engine of a folder. What is delivered goes into a file.
func openDurable(ctx context.Context, dir string) (*store.Store, *Engine, error) {
	log := slog.New(slog.DiscardHandler)
	st, err := store.OpenEtcd(ctx, store.EtcdConfig{Dir: filepath.Join(dir, "store"), Log: log})
	if err != nil {
		return nil, nil, err
	}
	e, err := Open(Config{
		Store: st, Place: here, Dir: filepath.Join(dir, "events"), Seed: "test", Show: shower{}, Log: log,
		PutLogEvents: func(_ context.Context, in *logsapi.PutLogEventsInput) (*logsapi.PutLogEventsOutput, error) {
			f, err := os.OpenFile(filepath.Join(dir, "delivered"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
			if err != nil {
				return nil, err
			}
			defer f.Close()
			for _, e := range in.LogEvents {
				if _, err := f.WriteString(*e.Message + "\n"); err != nil {
					return nil, err
				}
			}
			return &logsapi.PutLogEventsOutput{}, nil
		},
	})
	return st, e, err
}

// stepOn writes one step of a task after the other, and prints each that the store has acknowledged.
func stepOn(dir string) error {
	ctx := context.Background()
	st, e, err := openDurable(ctx, dir)
	if err != nil {
		return err
	}
	go e.Run(ctx)
	for {
		var version int64
		_, err := st.Update(ctx, func(tx *store.Tx) error {
			next := gantry.Task{ID: "a", Cluster: "prod", LastStatus: gantry.Running, DesiredStatus: gantry.Running}
			if t, ok := store.Tasks.Get(tx, "prod/a"); ok {
				next = *t
			}
			next.Version++
			version = next.Version
			store.Tasks.Put(tx, &next)
			return nil
		})
		if err != nil {
			return err
		}
		fmt.Println(version)
	}
}

// However often gantry is killed, each step is in the record once and in order, and is delivered, at least once and always
// under the same id.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	st, e, err := openDurable(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	ops := NewOperations(APIConfig{Place: here, Store: st})
	if _, err := ops.PutRule(t.Context(), &eventsapi.PutRuleInput{Name: new("all"), EventPattern: new(`{"source": ["aws.ecs"]}`)}); err != nil {
		t.Fatal(err)
	}
	if _, err := ops.PutTargets(t.Context(), &eventsapi.PutTargetsInput{Rule: new("all"), Targets: []eventsapi.Target{{Id: new("t"), Arn: groupARN("g")}}}); err != nil {
		t.Fatal(err)
	}
	begun, stop := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- e.Run(begun) }()
	for { // until it has its place
		snap := st.View()
		if _, ok := store.Followers.Get(snap, followerName); ok {
			break
		}
		if _, err := st.Newer(t.Context(), snap.Revision()); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	<-ran
	if err := errors.Join(e.Close(), st.Close()); err != nil {
		t.Fatal(err)
	}

	acknowledged := int64(0)
	for range 6 {
		acknowledged = max(acknowledged, killed(t, dir))
	}

	st, e, err = openDurable(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	task, _ := store.Tasks.Get(st.View(), "prod/a")
	if task.Version < acknowledged {
		t.Fatalf("the store has version %d, and %d was acknowledged", task.Version, acknowledged)
	}
	running, stop := context.WithCancel(t.Context())
	go func() { ran <- e.Run(running) }()
	f := e.record.Follow(record.Position{})
	ids := map[int64]string{}
	for want := int64(1); want <= task.Version; want++ {
		entry, err := f.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		version, id := told(t, entry.Body)
		if version != want {
			t.Fatalf("the record goes on with version %d, want %d", version, want)
		}
		ids[version] = id
	}
	for delivered := false; !delivered; {
		snap := st.View()
		c, ok := store.EventCursors.Get(snap, "all/t")
		if delivered = ok && !(record.Position{Revision: c.Revision, N: c.N}).Before(e.record.Last()); !delivered {
			if _, err := st.Newer(t.Context(), snap.Revision()); err != nil {
				t.Fatal(err)
			}
		}
	}
	stop()
	<-ran
	f.Close()
	if err := errors.Join(e.Close(), st.Close()); err != nil {
		t.Error(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "delivered"))
	if err != nil {
		t.Fatal(err)
	}
	got := map[int64]int{}
	for line := range bytes.Lines(text) {
		if !bytes.HasSuffix(line, []byte("}\n")) {
			continue // the target was killed, too, while it wrote
		}
		version, id := told(t, line)
		if id != ids[version] {
			t.Errorf("version %d is delivered as %s, and recorded as %s", version, id, ids[version])
		}
		got[version]++
	}
	for version := range ids {
		if got[version] == 0 {
			t.Errorf("version %d was never delivered", version)
		}
	}
	t.Logf("%d steps, %d lines delivered", task.Version, bytes.Count(text, []byte{'\n'}))
}

// told is the version and the id that an event tells.
func told(t *testing.T, event []byte) (version int64, id string) {
	t.Helper()
	var e struct {
		ID     string
		Detail struct{ Version int64 }
	}
	if err := json.Unmarshal(event, &e); err != nil {
		t.Fatalf("%v in %s", err, event)
	}
	return e.Detail.Version, e.ID
}

// killed runs the helper for a moment, and is the last step that it has acknowledged.
func killed(t *testing.T, dir string) (acknowledged int64) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), helperDir+"="+dir)
	var errOut bytes.Buffer
	cmd.Stderr = &errOut
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	steps := 20 + rand.IntN(200)
	lines := bufio.NewScanner(out)
	for n := 0; n < steps && lines.Scan(); n++ {
		fmt.Sscan(strings.TrimSpace(lines.Text()), &acknowledged)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() {
		fmt.Sscan(lines.Text(), &acknowledged)
	}
	_ = cmd.Wait() // it was killed
	if acknowledged == 0 {
		t.Fatalf("the process did nothing: %s", errOut.String())
	}
	return acknowledged
}
