package acs

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gantry"
	"gantry/internal/store"
	"gantry/internal/wire/acsapi"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"
)

func TestAgentIsToldWhatItDoesNotKnow(t *testing.T) {
	f := onLoopback(t)
	f.task("waits", gantry.Running, gantry.Pending)
	f.task("runs", gantry.Running, gantry.Running)
	f.task("stops", gantry.Stopped, gantry.Running)
	f.task("over", gantry.Stopped, gantry.Stopped)
	p := f.connect(nil)

	var manifest acsapi.TaskManifestMessage
	p.next(acsapi.TypeTaskManifest, &manifest)
	var listed []string
	for _, t := range manifest.Tasks {
		listed = append(listed, t.TaskArn[strings.LastIndexByte(t.TaskArn, '/')+1:]+":"+t.DesiredStatus)
	}
	slices.Sort(listed)
	if diff := cmp.Diff([]string{"runs:RUNNING", "stops:STOPPED", "waits:RUNNING"}, listed); diff != "" {
		t.Errorf("manifest (-want +got):\n%s", diff)
	}
	first, told := p.payload()
	if diff := cmp.Diff([]string{"stops:STOPPED", "waits:RUNNING"}, told); diff != "" {
		t.Errorf("first payload (-want +got):\n%s", diff)
	}
	if first.SeqNum < manifest.Timeline {
		t.Errorf("seqNum %d is below the manifest's timeline %d", first.SeqNum, manifest.Timeline)
	}
	p.ack(first)

	f.task("new", gantry.Running, gantry.Pending)
	second, told := p.payload()
	if diff := cmp.Diff([]string{"new:RUNNING"}, told); diff != "" {
		t.Errorf("second payload (-want +got):\n%s", diff)
	}
	p.ack(second)
	// The agent's own report is no news for it; the order to stop is.
	f.task("new", gantry.Running, gantry.Running)
	f.task("new", gantry.Stopped, gantry.Running)
	if _, told := p.payload(); !slices.Equal(told, []string{"new:STOPPED"}) {
		t.Errorf("third payload: %v", told)
	}
	if c := f.connection(); !c.Connected || c.Epoch != 1 || c.AgentVersion != "1.105.1" || c.DockerVersion != "DockerVersion: 20.10.24" {
		t.Errorf("connection: %+v", c)
	}
}

func TestAnAgentThatHasJustStartedIsToldEverything(t *testing.T) {
	f := onLoopback(t)
	f.task("runs", gantry.Running, gantry.Running)
	p := f.connect(func(q url.Values) { q.Set("sendCredentials", "true") })
	p.next(acsapi.TypeTaskManifest, new(acsapi.TaskManifestMessage))
	if _, told := p.payload(); !slices.Equal(told, []string{"runs:RUNNING"}) {
		t.Errorf("payload: %v", told)
	}
}

func TestManyTasksGoInFewMessagesAndWaitForAcknowledgements(t *testing.T) {
	f := onLoopback(t)
	const tasks = maxPayloadTasks * (maxFlying + 3)
	f.update(func(tx *store.Tx) {
		for n := range tasks {
			store.Tasks.Put(tx, &gantry.Task{ID: gantry.TaskID(fmt.Sprintf("t%04d", n)),
				Cluster: "prod", Instance: "i1", Definition: "web:1", DesiredStatus: gantry.Running, LastStatus: gantry.Pending})
		}
	})
	p := f.connect(nil)
	p.next(acsapi.TypeTaskManifest, new(acsapi.TaskManifestMessage))
	seen := map[string]bool{}
	messages := 0
	var unacked []acsapi.PayloadMessage
	for len(seen) < tasks {
		if len(unacked) == maxFlying { // nothing more comes before these are acknowledged
			for _, m := range unacked {
				p.ack(m)
			}
			unacked = nil
		}
		m, told := p.payload()
		messages++
		unacked = append(unacked, m)
		for _, id := range told {
			if seen[id] {
				t.Fatalf("%s was told twice", id)
			}
			seen[id] = true
		}
	}
	if messages != maxFlying+3 {
		t.Errorf("%d tasks took %d messages, want %d", tasks, messages, maxFlying+3)
	}
}

// TestNoTaskOfABurstIsForgotten: tasks are placed while the session looks at those
// before them, so that looks and commits meet at every moment.
func TestNoTaskOfABurstIsForgotten(t *testing.T) {
	f := onLoopback(t)
	p := f.connect(nil)
	p.next(acsapi.TypeTaskManifest, new(acsapi.TaskManifestMessage))
	const writers, each = 8, 500
	var writing sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			for n := range each {
				f.task(gantry.TaskID(fmt.Sprintf("t%d-%d", w, n)), gantry.Running, gantry.Pending)
			}
		})
	}
	defer writing.Wait()
	stuck := time.AfterFunc(5*time.Minute, func() { p.conn.CloseNow() })
	defer stuck.Stop()
	seen := map[string]bool{}
	for len(seen) < writers*each {
		m, told := p.payload()
		for _, id := range told {
			seen[id] = true
		}
		p.ack(m)
	}
}

func TestRefusedHandshakes(t *testing.T) {
	set := func(name, value string) func(url.Values) { return func(q url.Values) { q.Set(name, value) } }
	tests := []struct {
		name   string
		who    *gantry.Principal
		change func(url.Values)
		before func(*store.Tx)
		want   string
	}{
		{name: "no ARN", change: set("containerInstanceArn", "i1"), want: `{"InvalidInstanceException":"containerInstanceArn is not the ARN of a container instance: i1"}`},
		{name: "unknown instance", who: &gantry.Principal{Kind: gantry.RootPrincipal},
			change: set("containerInstanceArn", "arn:aws:ecs:us-east-1:123456789012:container-instance/prod/i9"), want: `{"InvalidInstanceException":"Nobody has registered`},
		{name: "another cluster", change: set("clusterArn", "test"), want: `{"InvalidClusterException":"`},
		{name: "another instance's key", who: &gantry.Principal{Kind: gantry.AgentPrincipal, Instance: "prod/i2"}, want: `{"AccessDeniedException":"`},
		{name: "a key without an instance", who: &gantry.Principal{Kind: gantry.AgentPrincipal}, want: `{"AccessDeniedException":"`},
		{name: "deregistered", before: func(tx *store.Tx) {
			store.Instances.Put(tx, &gantry.Instance{ID: "i1", Cluster: "prod", Status: gantry.InstanceInactive})
		}, want: `{"InactiveInstanceException":"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := onLoopback(t)
			if tt.who != nil {
				f.who.Store(tt.who)
			}
			if tt.before != nil {
				f.update(tt.before)
			}
			_, resp, err := f.dial(tt.change)
			if err == nil || resp == nil {
				t.Fatalf("connected: %v", err)
			}
			body, _ := io.ReadAll(resp.Body)
			if !strings.HasPrefix(string(body), tt.want) || resp.StatusCode == 101 {
				t.Errorf("got %d %s, want %s", resp.StatusCode, body, tt.want)
			}
			if f.connection().Connected {
				t.Error("the instance shows as connected")
			}
		})
	}
}

func TestTheNewerConnectionWins(t *testing.T) {
	f := onLoopback(t)
	old := f.connect(nil)
	var before, after acsapi.TaskManifestMessage
	old.next(acsapi.TypeTaskManifest, &before)
	newer := f.connect(nil)
	newer.next(acsapi.TypeTaskManifest, &after)
	if code := old.closed(); code != websocket.StatusPolicyViolation {
		t.Errorf("the older one was closed with %d", code)
	}
	if after.Timeline <= before.Timeline {
		t.Errorf("timeline %d after %d", after.Timeline, before.Timeline)
	}
	f.task("new", gantry.Running, gantry.Pending)
	if _, told := newer.payload(); !slices.Equal(told, []string{"new:RUNNING"}) {
		t.Errorf("payload: %v", told)
	}
	if c := f.connection(); !c.Connected || c.Epoch != 2 {
		t.Errorf("connection: %+v", c)
	}
}

// A server that starts takes every agent for gone; those that are connected to another
// one say that they are not.
func TestAConnectedAgentIsNotTakenForGone(t *testing.T) {
	f := onLoopback(t)
	p := f.connect(nil)
	p.next(acsapi.TypeTaskManifest, new(acsapi.TaskManifestMessage))
	f.until("the agent is connected", func() bool { return f.connection().Connected })
	if err := DisconnectAll(t.Context(), f.store, time.Now()); err != nil {
		t.Fatal(err)
	}
	f.until("the agent is connected again", func() bool { return f.connection().Connected })
	if c := f.connection(); c.Epoch != 1 {
		t.Errorf("connection: %+v", c)
	}
}

// An agent that was given up begins anew when it comes back: nothing of its loss stays,
// and its manifest lacks what was given up.
func TestAGivenUpAgentComesBack(t *testing.T) {
	f := onLoopback(t)
	f.task("lost", gantry.Stopped, gantry.Stopped)
	f.task("alone", gantry.Running, gantry.Running)
	f.update(func(tx *store.Tx) {
		store.Connections.Put(tx, &gantry.Connection{Cluster: "prod", Instance: "i1", Epoch: 7, Loss: gantry.LossGivenUp, LostAt: time.Now()})
	})
	p := f.connect(nil)
	var manifest acsapi.TaskManifestMessage
	p.next(acsapi.TypeTaskManifest, &manifest)
	if len(manifest.Tasks) != 1 || !strings.HasSuffix(manifest.Tasks[0].TaskArn, "/alone") {
		t.Errorf("manifest: %+v", manifest.Tasks)
	}
	p.say(acsapi.TypeTaskStopVerification, acsapi.TaskStopVerificationMessage{MessageID: manifest.MessageID,
		StopCandidates: []acsapi.TaskIdentifier{{TaskArn: "arn:aws:ecs:us-east-1:123456789012:task/prod/lost"}}})
	var ack acsapi.TaskStopVerificationAck
	if p.next(acsapi.TypeTaskStopVerificationAck, &ack); len(ack.StopTasks) != 1 {
		t.Errorf("may stop: %+v", ack.StopTasks)
	}
	if c := f.connection(); !c.Connected || c.Epoch != 8 || c.Loss != "" || !c.LostAt.IsZero() {
		t.Errorf("connection: %+v", c)
	}
}

func TestStopVerification(t *testing.T) {
	for _, tt := range []struct {
		name        string
		keepUnknown bool
		want        []string
	}{
		{"the store's word is enough", false, []string{"over", "elsewhere", "stopping", "unknown"}},
		{"after a restore the unknown stay", true, []string{"over", "elsewhere", "stopping"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := onLoopback(t)
			f.server.KeepUnknown = tt.keepUnknown
			f.task("over", gantry.Stopped, gantry.Stopped)
			f.task("stopping", gantry.Stopped, gantry.Running)
			f.task("runs", gantry.Running, gantry.Running)
			f.update(func(tx *store.Tx) {
				store.Tasks.Put(tx, &gantry.Task{ID: "elsewhere", Cluster: "prod", Instance: "i2", DesiredStatus: gantry.Running, LastStatus: gantry.Running})
			})
			p := f.connect(nil)
			var manifest acsapi.TaskManifestMessage
			p.next(acsapi.TypeTaskManifest, &manifest)
			p.payload() // stopping
			ask := acsapi.TaskStopVerificationMessage{MessageID: manifest.MessageID}
			for _, id := range []string{"over", "elsewhere", "stopping", "runs", "unknown"} {
				ask.StopCandidates = append(ask.StopCandidates, acsapi.TaskIdentifier{TaskArn: "arn:aws:ecs:us-east-1:123456789012:task/prod/" + id})
			}
			ask.StopCandidates = append(ask.StopCandidates, acsapi.TaskIdentifier{TaskArn: "arn:aws:ecs:us-east-1:123456789012:task/test/other"}, acsapi.TaskIdentifier{TaskArn: "nonsense"})
			stray := ask
			stray.MessageID = "another"
			p.say(acsapi.TypeTaskStopVerification, stray) // ignored
			p.say(acsapi.TypeTaskStopVerification, ask)
			var ack acsapi.TaskStopVerificationAck
			p.next(acsapi.TypeTaskStopVerificationAck, &ack)
			var may []string
			for _, t := range ack.StopTasks {
				may = append(may, t.TaskArn[strings.LastIndexByte(t.TaskArn, '/')+1:])
			}
			if diff := cmp.Diff(tt.want, may); diff != "" || ack.MessageID != manifest.MessageID {
				t.Errorf("message %s, may stop (-want +got):\n%s", ack.MessageID, diff)
			}
		})
	}
}

func TestUnreadableAndUnknownMessagesAreIgnored(t *testing.T) {
	f := onLoopback(t)
	p := f.connect(nil)
	p.next(acsapi.TypeTaskManifest, new(acsapi.TaskManifestMessage))
	for _, text := range []string{`{`, `{"message":{}}`, `{"type":"NewThing","message":{"a":1}}`, `{"type":"AckRequest","message":[]}`} {
		if err := p.conn.Write(t.Context(), websocket.MessageText, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	p.say(acsapi.TypeNack, acsapi.NackRequest{MessageID: "m", Reason: "no"})
	f.task("new", gantry.Running, gantry.Pending)
	if _, told := p.payload(); !slices.Equal(told, []string{"new:RUNNING"}) {
		t.Errorf("payload: %v", told)
	}
}

func TestDeregisteredInstanceIsDisconnected(t *testing.T) {
	f := onLoopback(t)
	p := f.connect(nil)
	p.next(acsapi.TypeTaskManifest, new(acsapi.TaskManifestMessage))
	f.update(func(tx *store.Tx) {
		store.Instances.Put(tx, &gantry.Instance{ID: "i1", Cluster: "prod", Status: gantry.InstanceInactive})
	})
	if code := p.closed(); code != websocket.StatusNormalClosure {
		t.Errorf("closed with %d", code)
	}
	f.until("the agent shows as gone", func() bool { return !f.connection().Connected })
}

// What an agent does not acknowledge it is told again, however often, until it does.
func TestUnacknowledgedPayloadsAreResent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := inBubble(t)
		f.task("new", gantry.Running, gantry.Pending)
		began := time.Now()
		p := f.connect(nil)
		p.next(acsapi.TypeTaskManifest, new(acsapi.TaskManifestMessage))
		first, _ := p.payload()
		second, told := p.payload()
		if !slices.Equal(told, []string{"new:RUNNING"}) || first.MessageID == second.MessageID {
			t.Errorf("resent: %v in message %s after %s", told, second.MessageID, first.MessageID)
		}
		if waited := time.Since(began); waited != ackTimeout {
			t.Errorf("resent after %s, want %s", waited, ackTimeout)
		}
		p.ack(second)
		p.next(acsapi.TypeHeartbeat, new(acsapi.HeartbeatMessage)) // and no payload before it
	})
}

// The genuine agent acknowledges no payload in which it cannot read one task: it starts
// the others, and reports that one. The next payload has the others only.
func TestATaskThatTheAgentCannotReadHoldsNoOthersUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := inBubble(t)
		f.task("bad", gantry.Running, gantry.Pending)
		f.task("good", gantry.Running, gantry.Pending)
		p := f.connect(nil)
		p.next(acsapi.TypeTaskManifest, new(acsapi.TaskManifestMessage))
		if _, told := p.payload(); len(told) != 2 {
			t.Fatalf("told %v", told)
		}
		f.task("bad", gantry.Stopped, gantry.Stopped) // its report
		again, told := p.payload()
		if !slices.Equal(told, []string{"good:RUNNING"}) {
			t.Errorf("resent: %v", told)
		}
		p.ack(again)
		p.next(acsapi.TypeHeartbeat, new(acsapi.HeartbeatMessage)) // and no payload before it
	})
}

func TestHeartbeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := inBubble(t)
		began := time.Now()
		p := f.connect(nil)
		p.next(acsapi.TypeTaskManifest, new(acsapi.TaskManifestMessage))
		for range 10 {
			var h acsapi.HeartbeatMessage
			p.next(acsapi.TypeHeartbeat, &h)
			p.say(acsapi.TypeHeartbeatAck, acsapi.HeartbeatAckRequest{MessageID: h.MessageID})
		}
		if since := time.Since(began); since != 10*heartbeatEvery {
			t.Errorf("ten heartbeats took %s", since)
		}
		if c := f.connection(); !c.Connected {
			t.Error("the instance shows as disconnected")
		}
	})
}

// An agent that promised acknowledgements and falls silent is given up; one of an
// older protocol is not.
func TestSilentAgentIsDisconnected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := inBubble(t)
		began := time.Now()
		p := f.connect(nil)
		p.closed()
		if after := time.Since(began); after <= deafAfter || after > deafAfter+heartbeatEvery {
			t.Errorf("given up after %s", after)
		}
		f.until("the agent shows as gone", func() bool { return !f.connection().Connected })
	})
	synctest.Test(t, func(t *testing.T) {
		f := inBubble(t)
		p := f.connect(func(q url.Values) { q.Set("protocolVersion", "1") })
		p.next(acsapi.TypeTaskManifest, new(acsapi.TaskManifestMessage))
		for range 20 {
			p.next(acsapi.TypeHeartbeat, new(acsapi.HeartbeatMessage))
		}
	})
}

// An agent renews its connection within the grace and never shows as disconnected;
// one that stays away does.
func TestReconnectGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := inBubble(t)
		p := f.connect(nil)
		p.next(acsapi.TypeTaskManifest, new(acsapi.TaskManifestMessage))
		p.conn.Close(websocket.StatusNormalClosure, "ConnectionExpired: Reconnect to continue")
		time.Sleep(reconnectGrace / 2)
		if !f.connection().Connected {
			t.Error("disconnected within the grace")
		}
		again := f.connect(nil)
		time.Sleep(2 * reconnectGrace)
		if c := f.connection(); !c.Connected || c.Epoch != 2 {
			t.Errorf("after reconnecting: %+v", c)
		}
		again.conn.CloseNow()
		time.Sleep(reconnectGrace + time.Millisecond)
		synctest.Wait()
		if f.connection().Connected {
			t.Error("still connected after the grace")
		}
	})
}

func TestShutdownSendsAgentsAway(t *testing.T) {
	f := onLoopback(t)
	p := f.connect(nil)
	p.next(acsapi.TypeTaskManifest, new(acsapi.TaskManifestMessage))
	f.server.end() // what Run does when its context ends
	if code := p.closed(); code != websocket.StatusGoingAway {
		t.Errorf("closed with %d", code)
	}
	f.until("the agent shows as gone", func() bool { return !f.connection().Connected })
}

func TestDisconnectAll(t *testing.T) {
	st, err := store.NewMemory().Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	connected, away, now := time.Unix(1, 0), time.Unix(2, 0), time.Unix(3, 0)
	// One more than goes into one update.
	const others = "others"
	for at := 0; at <= st.MostRows(); at += st.MostRows() {
		if _, err := st.Update(t.Context(), func(tx *store.Tx) error {
			for i := range min(st.MostRows(), st.MostRows()+1-at) {
				store.Connections.Put(tx, &gantry.Connection{Cluster: others, Instance: gantry.InstanceID(fmt.Sprint(at + i)), Connected: true})
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := st.Update(t.Context(), func(tx *store.Tx) error {
		store.Connections.Put(tx, &gantry.Connection{Cluster: "prod", Instance: "i1", Connected: true, Epoch: 7, Since: connected})
		store.Connections.Put(tx, &gantry.Connection{Cluster: "prod", Instance: "i2", Epoch: 8, Since: away})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := DisconnectAll(context.Background(), st, now); err != nil {
		t.Fatal(err)
	}
	if c, _ := store.Connections.Get(st.View(), "prod/i1"); c.Connected || c.Epoch != 7 || !c.Since.Equal(now) {
		t.Errorf("the one that was connected: %+v", c)
	}
	if c, _ := store.Connections.Get(st.View(), "prod/i2"); c.Connected || c.Epoch != 8 || !c.Since.Equal(away) {
		t.Errorf("the one that was not: %+v", c)
	}
	for c := range store.Connections.All(st.View(), others+"/") {
		if c.Connected {
			t.Fatalf("%s is still connected", c.Key())
		}
	}
}
