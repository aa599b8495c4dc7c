package enginetest

import (
	"context"
	"strings"
	"testing"
	"time"

	"gantry/internal/agent/engine"
)

// patience is what a busy machine needs for all of it, and more.
const patience = 5 * time.Minute

// A Subject is a machine whose parts are to be examined. Spec makes a container that exits with 3 ("exit"), ends when it
// is asked to ("wait") or takes no notice of that ("deaf"); its task is "conformance".
type Subject struct {
	Containers engine.Containers
	Sandboxes  engine.Sandboxes
	Network    engine.Network
	Spec       func(program, id string) *engine.Spec
	// Ready returns once a started container minds its signals.
	Ready func(t testing.TB, id string)
}

// Conform examines what the engine relies on. The machine that pretends is to be trusted because it passes what the real
// one passes.
func Conform(t *testing.T, s Subject) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	state := func(id string) engine.FoundState {
		t.Helper()
		list, err := s.Containers.List(ctx)
		must(err)
		for _, f := range list {
			if f.ID == id {
				if !strings.HasPrefix(f.Image.Digest, "sha256:") || !strings.HasPrefix(f.Image.ID, "sha256:") || f.Image.ID == f.Image.Digest {
					t.Errorf("%s is made from %+v", id, f.Image)
				}
				return f.State
			}
		}
		return "absent"
	}
	expect := func(what, id string, want engine.FoundState) {
		t.Helper()
		if got := state(id); got != want {
			t.Errorf("%s: %s, want %s", what, got, want)
		}
	}
	wait := func(id string, code int32, startedAt time.Time) {
		t.Helper()
		exit, err := s.Containers.Wait(ctx, id)
		must(err)
		if exit.Code != code || exit.At.Before(startedAt) || exit.OOMKilled {
			t.Errorf("%s, started at %v, ended with %+v, want code %d", id, startedAt, exit, code)
		}
	}
	id := func(n string) string { return "c0ffee0000000000000000000000000000000000000000000000000000000" + n }

	must(s.Sandboxes.Prepare(ctx, engine.TaskSandbox{ID: "conformance"}))
	must(s.Sandboxes.Prepare(ctx, engine.TaskSandbox{ID: "conformance"})) // again does no harm

	ends := id("001")
	expect("before it is made", ends, "absent")
	must(s.Containers.Create(ctx, s.Spec("exit", ends)))
	expect("created", ends, engine.FoundCreated)
	must(s.Containers.Create(ctx, s.Spec("exit", ends))) // what a killed agent left half made is replaced
	expect("created again", ends, engine.FoundCreated)
	before := time.Now().Add(-time.Second)
	startedAt, err := s.Containers.Start(ctx, ends)
	must(err)
	if startedAt.Before(before) || startedAt.After(time.Now()) {
		t.Errorf("started at %v", startedAt)
	}
	wait(ends, 3, startedAt)
	wait(ends, 3, startedAt) // however often one asks
	expect("ended", ends, engine.FoundExited)
	if err := s.Containers.Stop(ctx, ends, ""); err != nil {
		t.Errorf("a signal to an ended container: %v", err)
	}
	if _, err := s.Containers.Start(ctx, ends); err == nil {
		t.Error("an ended container was started, not restarted")
	}
	startedAt, err = s.Containers.Restart(ctx, ends)
	must(err)
	wait(ends, 3, startedAt)
	must(s.Containers.Delete(ctx, ends))
	expect("deleted", ends, "absent")
	must(s.Containers.Delete(ctx, ends)) // what is not there is no error

	polite := id("002")
	must(s.Containers.Create(ctx, s.Spec("wait", polite)))
	_, err = s.Containers.Start(ctx, polite)
	must(err)
	expect("running", polite, engine.FoundRunning)
	s.Ready(t, polite)
	must(s.Containers.Stop(ctx, polite, ""))
	if exit, err := s.Containers.Wait(ctx, polite); err != nil || exit.Code == 137 {
		t.Errorf("asked to end: %+v, %v", exit, err)
	}
	must(s.Containers.Delete(ctx, polite))

	deaf := id("003")
	must(s.Containers.Create(ctx, s.Spec("deaf", deaf)))
	startedAt, err = s.Containers.Start(ctx, deaf)
	must(err)
	s.Ready(t, deaf)
	must(s.Containers.Stop(ctx, deaf, ""))
	expect("asked to end", deaf, engine.FoundRunning)
	must(s.Containers.Kill(ctx, deaf))
	wait(deaf, 137, startedAt)
	must(s.Containers.Delete(ctx, deaf))

	request := engine.AttachRequest{ContainerID: id("004"), Mode: "bridge", Ports: []engine.Ports{{Container: 80, Count: 1, Protocol: "tcp"}}}
	first, err := s.Network.Attach(ctx, request)
	must(err)
	second, err := s.Network.Attach(ctx, request)
	must(err)
	if first.IP != second.IP || *first.Bindings[0].HostPort != *second.Bindings[0].HostPort || *first.Bindings[0].HostPort == 0 {
		t.Errorf("attached as %+v and again as %+v", first, second)
	}
	taken := engine.AttachRequest{ContainerID: id("005"), Mode: "bridge", Ports: []engine.Ports{
		{Container: 80, Count: 1, Protocol: "tcp", HostPort: uint16(*first.Bindings[0].HostPort)},
	}}
	if _, err := s.Network.Attach(ctx, taken); err == nil {
		t.Error("a host port was given twice")
	}
	must(s.Network.Detach(ctx, request.ContainerID))
	must(s.Network.Detach(ctx, request.ContainerID))
	_, err = s.Network.Attach(ctx, taken)
	must(err)
	must(s.Network.Detach(ctx, taken.ContainerID))

	must(s.Sandboxes.Release(ctx, "conformance"))
	must(s.Sandboxes.Release(ctx, "conformance"))
	must(s.Sandboxes.RemoveVolumes(ctx, "conformance"))
}
