// Package agenttest is a control plane that does what a test tells it: it answers an agent's API calls and holds its two
// websockets, speaking exactly as the genuine one does, and remembers all it was told.
package agenttest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"gantry/internal/wire/acsapi"
	"gantry/internal/wire/ecsapi"

	"github.com/coder/websocket"
)

// Names of the one cluster and the one instance.
const (
	Cluster    = "demo"
	ClusterARN = "arn:aws:ecs:us-east-1:123456789012:cluster/demo"
	Instance   = "arn:aws:ecs:us-east-1:123456789012:container-instance/demo/0123456789abcdef0123456789abcdef"
)

// patience is how long a test waits for something that has to come: at once, and on a busy machine much later.
const patience = 2 * time.Minute

// A Call is one API call of the agent.
type Call struct {
	Operation string
	Body      json.RawMessage
	Header    http.Header
}

// A Handshake is how a websocket was asked for.
type Handshake struct {
	Query  map[string][]string
	Header http.Header
}

// A Plane is the control plane.
type Plane struct {
	t   testing.TB
	URL string

	// Refuse, if set, may answer an API call with an error: a status and an AWS error type.
	Refuse func(c Call) (status int, errorType string)
	// RefuseControl, if set, answers the handshake of a control connection with a status and a body.
	RefuseControl func() (status int, body string)

	mu         sync.Mutex
	calls      []Call                              // guarded by mu
	changes    []ecsapi.SubmitTaskStateChangeInput // guarded by mu
	frames     []acsapi.Frame                      // guarded by mu; from the agent on the control connection
	telemetry  []acsapi.Frame                      // guarded by mu
	handshakes []Handshake                         // guarded by mu; of control connections
	control    *websocket.Conn                     // guarded by mu; the latest
	changed    chan struct{}                       // guarded by mu; closed when any of the above changes
}

// New starts a control plane that ends with the test.
func New(t testing.TB) *Plane {
	p := &Plane{t: t, changed: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /{$}", p.api)
	mux.HandleFunc("GET /acs/ws", p.acs)
	mux.HandleFunc("GET /tcs/ws", p.tcs)
	server := httptest.NewServer(mux)
	t.Cleanup(server.CloseClientConnections)
	t.Cleanup(server.Close)
	t.Cleanup(p.Drop)
	p.URL = server.URL
	return p
}

// note changes what is remembered and wakes who waits for it.
func (p *Plane) note(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *Plane) api(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	call := Call{Operation: operation, Body: body, Header: r.Header}
	p.note(func() { p.calls = append(p.calls, call) })
	if p.Refuse != nil {
		if status, typ := p.Refuse(call); status != 0 {
			w.WriteHeader(status)
			fmt.Fprintf(w, `{"__type": %q, "message": "refused by the test"}`, typ)
			return
		}
	}
	var answer any
	switch operation {
	case "RegisterContainerInstance":
		var in ecsapi.RegisterContainerInstanceInput
		if err := json.Unmarshal(body, &in); err != nil {
			p.t.Errorf("RegisterContainerInstance: %v", err)
		}
		answer = ecsapi.RegisterContainerInstanceOutput{ContainerInstance: &ecsapi.ContainerInstance{
			ContainerInstanceArn: new(Instance), Status: new("ACTIVE"), AgentConnected: new(true),
			Attributes:          append(in.Attributes, ecsapi.Attribute{Name: new("ecs.availability-zone"), Value: new("local-1a")}),
			RegisteredResources: in.TotalResources, RemainingResources: in.TotalResources,
		}}
	case "DiscoverPollEndpoint":
		answer = map[string]string{"endpoint": p.URL + "/acs/", "telemetryEndpoint": p.URL + "/tcs/", "somethingNew": "ignored"}
	case "SubmitTaskStateChange":
		var in ecsapi.SubmitTaskStateChangeInput
		if err := json.Unmarshal(body, &in); err != nil {
			p.t.Errorf("SubmitTaskStateChange: %v", err)
		}
		p.note(func() { p.changes = append(p.changes, in) })
		answer = map[string]string{"acknowledgment": "ok"}
	case "ListTagsForResource":
		answer = map[string]any{"tags": []map[string]string{{"key": "team", "value": "a"}}}
	default:
		http.Error(w, `{"__type": "UnknownOperationException"}`, http.StatusBadRequest)
		return
	}
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		p.t.Logf("answer %s: %v", operation, err)
	}
}

func (p *Plane) acs(w http.ResponseWriter, r *http.Request) {
	if p.RefuseControl != nil {
		if status, body := p.RefuseControl(); status != 0 {
			p.note(func() { p.handshakes = append(p.handshakes, Handshake{r.URL.Query(), r.Header}) })
			w.WriteHeader(status)
			io.WriteString(w, body)
			return
		}
	}
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	conn.SetReadLimit(-1)
	p.note(func() {
		p.control = conn
		p.handshakes = append(p.handshakes, Handshake{r.URL.Query(), r.Header})
	})
	p.hear(conn, func(text []byte) []byte { return text }, func(f acsapi.Frame) { p.frames = append(p.frames, f) })
}

func (p *Plane) tcs(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer conn.CloseNow()
	unsigned := func(text []byte) []byte {
		head, body, ok := bytes.Cut(text, []byte("\r\n\r\n"))
		if !ok || !bytes.Contains(head, []byte("Authorization: AWS4-HMAC-SHA256 Credential=")) {
			p.t.Errorf("telemetry without a signature: %q", text)
		}
		return body
	}
	p.hear(conn, unsigned, func(f acsapi.Frame) {
		p.telemetry = append(p.telemetry, f)
		ack := map[string]string{
			acsapi.TypePublishMetrics: acsapi.TypeAckPublishMetric, acsapi.TypePublishHealth: acsapi.TypeAckPublishHealth,
			acsapi.TypePublishInstanceStatus: acsapi.TypeAckPublishInstanceStatus,
		}[f.Type]
		text, err := acsapi.Encode(ack, acsapi.PublishAck{Message: "OK"})
		if err != nil {
			p.t.Error(err)
		}
		_ = conn.Write(context.Background(), websocket.MessageText, text) // the agent may have gone
	})
}

// hear remembers what arrives until the connection ends.
func (p *Plane) hear(conn *websocket.Conn, unwrap func([]byte) []byte, remember func(acsapi.Frame)) {
	for {
		_, text, err := conn.Read(context.Background())
		if err != nil {
			return
		}
		f, err := acsapi.Decode(unwrap(text))
		if err != nil {
			p.t.Errorf("the agent sent %q: %v", text, err)
			continue
		}
		p.note(func() { remember(f) })
	}
}

// wait returns when found does; the caller's description says what did not come otherwise. found is called with mu held.
func (p *Plane) wait(what string, found func() bool) {
	p.t.Helper()
	deadline := time.After(patience)
	for {
		p.mu.Lock()
		ok, changed := found(), p.changed
		p.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			p.t.Fatalf("%s did not come; the agent called …%v and said …%v", what, tail(p.Operations()), tail(p.Said()))
		}
	}
}

// tail is the end of a list: as much as one likes to read.
func tail(list []string) []string { return list[max(0, len(list)-20):] }

// Connected waits for the n-th control connection, counted from 1, and says how it was asked for.
func (p *Plane) Connected(n int) (h Handshake) {
	p.t.Helper()
	p.wait(fmt.Sprintf("control connection %d", n), func() bool {
		if len(p.handshakes) < n {
			return false
		}
		h = p.handshakes[n-1]
		return true
	})
	return h
}

// Send sends a message on the control connection.
func (p *Plane) Send(typ string, message any) {
	p.t.Helper()
	text, err := acsapi.Encode(typ, message)
	if err != nil {
		p.t.Fatal(err)
	}
	p.SendText(string(text))
}

// SendText sends a frame on the control connection, as it is.
func (p *Plane) SendText(text string) {
	p.t.Helper()
	p.mu.Lock()
	conn := p.control
	p.mu.Unlock()
	if conn == nil {
		p.t.Fatal("no agent is connected")
	}
	if err := conn.Write(context.Background(), websocket.MessageText, []byte(text)); err != nil {
		p.t.Fatal(err)
	}
}

// Payload sends tasks.
func (p *Plane) Payload(id string, seq int64, tasks ...acsapi.Task) {
	p.t.Helper()
	p.Send(acsapi.TypePayload, acsapi.PayloadMessage{
		MessageID: id, ClusterArn: ClusterARN, ContainerInstanceArn: Instance, SeqNum: seq, Tasks: tasks,
	})
}

// Close closes the control connection with a code.
func (p *Plane) Close(code websocket.StatusCode) {
	p.mu.Lock()
	conn := p.control
	p.mu.Unlock()
	_ = conn.Close(code, "told by the test") // the agent may have been quicker
}

// Drop cuts the control connection, if there is one.
func (p *Plane) Drop() {
	p.mu.Lock()
	conn := p.control
	p.mu.Unlock()
	if conn != nil {
		_ = conn.CloseNow()
	}
}

// Heard waits for the first message of a type that matches, and decodes it.
func Heard[M any](p *Plane, typ string, matches func(M) bool) M {
	p.t.Helper()
	return first(p, typ, func() []acsapi.Frame { return p.frames }, matches)
}

// Telemetry waits for the first telemetry of a type that matches.
func Telemetry[M any](p *Plane, typ string, matches func(M) bool) M {
	p.t.Helper()
	return first(p, typ, func() []acsapi.Frame { return p.telemetry }, matches)
}

// first waits for a frame; frames is called while they do not change.
func first[M any](p *Plane, typ string, frames func() []acsapi.Frame, matches func(M) bool) (m M) {
	p.t.Helper()
	p.wait(typ, func() bool {
		for _, f := range frames() {
			if f.Type != typ {
				continue
			}
			var got M
			if err := json.Unmarshal(f.Message, &got); err != nil {
				p.t.Errorf("%s: %v", typ, err)
			}
			if matches == nil || matches(got) {
				m = got
				return true
			}
		}
		return false
	})
	return m
}

// Acked waits for the acknowledgement of a message.
func (p *Plane) Acked(id string) {
	p.t.Helper()
	Heard(p, acsapi.TypeAck, func(a acsapi.AckRequest) bool { return a.MessageID == id })
}

// Change waits for the report that a task has a status.
func (p *Plane) Change(task, status string) (change ecsapi.SubmitTaskStateChangeInput) {
	p.t.Helper()
	p.wait(status+" of "+task, func() bool {
		for _, c := range p.changes {
			if *c.Task == task && *c.Status == status {
				change = c
				return true
			}
		}
		return false
	})
	return change
}

// Changes is every report so far of one task.
func (p *Plane) Changes(task string) (list []ecsapi.SubmitTaskStateChangeInput) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.changes {
		if *c.Task == task {
			list = append(list, c)
		}
	}
	return list
}

// ChangesBeyond waits for more reports of one task than so many, and is all of them.
func (p *Plane) ChangesBeyond(task string, n int) (list []ecsapi.SubmitTaskStateChangeInput) {
	p.t.Helper()
	p.wait("another report of "+task, func() bool {
		list = nil
		for _, c := range p.changes {
			if *c.Task == task {
				list = append(list, c)
			}
		}
		return len(list) > n
	})
	return list
}

// Calls is every call of an operation so far.
func (p *Plane) Calls(operation string) (list []Call) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.calls {
		if c.Operation == operation {
			list = append(list, c)
		}
	}
	return list
}

// Operations is the names of the calls so far, in order.
func (p *Plane) Operations() (names []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.calls {
		names = append(names, c.Operation)
	}
	return names
}

// Said is the types of the messages of the agent so far, in order.
func (p *Plane) Said() (types []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range p.frames {
		types = append(types, f.Type)
	}
	return types
}
