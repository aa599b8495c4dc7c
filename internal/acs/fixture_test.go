package acs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"gantry"
	"gantry/internal/api"
	"gantry/internal/store"
	"gantry/internal/wire/acsapi"
	"gantry/internal/wire/ecsapi"

	"github.com/coder/websocket"
)

// A fixture is a server with a store in which instance prod/i1 is registered,
// and scripted agents that connect to it.
type fixture struct {
	t      testing.TB
	store  *store.Store
	server *Server
	ln     net.Listener
	client *http.Client
	who    atomic.Pointer[gantry.Principal] // signs the next handshake
}

var agentKey = &gantry.Principal{AccessKeyID: "AKIAAGENT", Kind: gantry.AgentPrincipal, Instance: "prod/i1"}

// onLoopback serves on a real socket; inBubble on pipes, so that time passes for free.
func onLoopback(t testing.TB) *fixture {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return newFixture(t, ln, &http.Client{Transport: &http.Transport{}})
}

func inBubble(t testing.TB) *fixture {
	p := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
	return newFixture(t, p, &http.Client{Transport: &http.Transport{DialContext: p.dial}})
}

func newFixture(t testing.TB, ln net.Listener, client *http.Client) *fixture {
	st, err := store.NewMemory().Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{t: t, store: st, ln: ln, client: client}
	f.who.Store(agentKey)
	var ids atomic.Int64
	f.server = New(Config{
		Place: testPlace, Store: st, Now: time.Now, Log: slog.New(slog.DiscardHandler),
		NewID: func() string { return fmt.Sprint("m", ids.Add(1)) },
	})
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.server.ServeHTTP(w, r.WithContext(api.WithPrincipal(r.Context(), f.who.Load())))
	})}
	go srv.Serve(ln)
	ctx, stop := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- f.server.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ran; !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
		srv.Close()
		client.CloseIdleConnections()
		if err := st.Close(); err != nil {
			t.Errorf("close the store: %v", err)
		}
	})
	f.update(func(tx *store.Tx) {
		store.Instances.Put(tx, &gantry.Instance{ID: "i1", Cluster: "prod", Status: ecsapi.ContainerInstanceStatusActive})
		store.Definitions.Put(tx, &gantry.Definition{Name: "web:1", Wire: &ecsapi.TaskDefinition{
			ContainerDefinitions: []ecsapi.ContainerDefinition{{Name: new("web"), Image: new("web")}}}})
	})
	return f
}

func (f *fixture) update(change func(*store.Tx)) {
	f.t.Helper()
	if _, err := f.store.Update(f.t.Context(), func(tx *store.Tx) error { change(tx); return nil }); err != nil {
		f.t.Fatal(err)
	}
}

// task puts a task on the instance.
func (f *fixture) task(id gantry.TaskID, desired, last gantry.TaskStatus) {
	f.t.Helper()
	f.update(func(tx *store.Tx) {
		store.Tasks.Put(tx, &gantry.Task{
			ID: id, Cluster: "prod", Instance: "i1", Definition: "web:1", DesiredStatus: desired, LastStatus: last,
			Containers: []gantry.Container{{Name: "web", ID: "c"}},
		})
	})
}

func (f *fixture) connection() *gantry.Connection {
	c, _ := store.Connections.Get(f.store.View(), "prod/i1")
	if c == nil {
		return &gantry.Connection{}
	}
	return c
}

// until waits for the store to be in a state.
func (f *fixture) until(what string, ok func() bool) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), 2*time.Minute)
	defer cancel()
	for seen := f.store.View().Revision(); !ok(); { // ok sees this revision at least
		snap, err := f.store.Newer(ctx, seen)
		if err != nil {
			f.t.Fatalf("waiting until %s: %v", what, err)
		}
		seen = snap.Revision()
	}
}

// A peer is a scripted agent on one connection.
type peer struct {
	t    testing.TB
	conn *websocket.Conn
}

// handshake is the query of the genuine agent's; change may alter it.
func handshake(change func(url.Values)) url.Values {
	q := url.Values{
		"agentHash": {"a8b3e7d3"}, "agentVersion": {"1.105.1"}, "clusterArn": {"prod"}, "dockerVersion": {"DockerVersion: 20.10.24"},
		"containerInstanceArn": {"arn:aws:ecs:us-east-1:123456789012:container-instance/prod/i1"},
		"protocolVersion":      {"2"}, "sendCredentials": {"false"}, "seqNum": {"1"},
	}
	if change != nil {
		change(q)
	}
	return q
}

func (f *fixture) dial(change func(url.Values)) (*websocket.Conn, *http.Response, error) {
	return websocket.Dial(f.t.Context(), "ws://"+f.ln.Addr().String()+"/ws?"+handshake(change).Encode(),
		&websocket.DialOptions{HTTPClient: f.client})
}

func (f *fixture) connect(change func(url.Values)) *peer {
	f.t.Helper()
	conn, _, err := f.dial(change)
	if err != nil {
		f.t.Fatal(err)
	}
	conn.SetReadLimit(-1) // the genuine agent has none
	f.t.Cleanup(func() { conn.CloseNow() })
	return &peer{f.t, conn}
}

// next reads the next message, which must be of the type, into v.
func (p *peer) next(typ string, v any) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), time.Hour)
	defer cancel()
	_, data, err := p.conn.Read(ctx)
	if err != nil {
		p.t.Fatalf("waiting for %s: %v", typ, err)
	}
	f, err := acsapi.Decode(data)
	if err != nil || f.Type != typ {
		p.t.Fatalf("got %s %v, want %s", data, err, typ)
	}
	if err := json.Unmarshal(f.Message, v); err != nil {
		p.t.Fatal(err)
	}
}

func (p *peer) say(typ string, v any) {
	p.t.Helper()
	data, err := acsapi.Encode(typ, v)
	if err == nil {
		err = p.conn.Write(p.t.Context(), websocket.MessageText, data)
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

// payload reads a payload and tells "id:desired" of its tasks.
func (p *peer) payload() (message acsapi.PayloadMessage, told []string) {
	p.t.Helper()
	p.next(acsapi.TypePayload, &message)
	for _, t := range message.Tasks {
		told = append(told, t.Arn[len("arn:aws:ecs:us-east-1:123456789012:task/prod/"):]+":"+t.DesiredStatus)
	}
	return message, told
}

func (p *peer) ack(m acsapi.PayloadMessage) {
	p.say(acsapi.TypeAck, acsapi.AckRequest{Cluster: m.ClusterArn, ContainerInstance: m.ContainerInstanceArn, MessageID: m.MessageID})
}

// closed reads until the server closes, and returns its code.
func (p *peer) closed() websocket.StatusCode {
	p.t.Helper()
	for {
		ctx, cancel := context.WithTimeout(p.t.Context(), time.Hour)
		_, _, err := p.conn.Read(ctx)
		cancel()
		if err != nil {
			return websocket.CloseStatus(err)
		}
	}
}

// pipes is a listener without sockets.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case p.conns <- theirs:
		return ours, nil
	case <-p.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	select {
	case <-p.closed:
	default:
		close(p.closed)
	}
	return nil
}

func (p *pipes) Addr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }
