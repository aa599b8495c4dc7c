package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"gantry"
	"gantry/internal/store"
	"gantry/internal/wire/acsapi"

	"github.com/aws/smithy-go/aws-http-auth/credentials"
	"github.com/aws/smithy-go/aws-http-auth/sigv4"
	"github.com/coder/websocket"
	"github.com/google/uuid"
)

// patience bounds how long a test waits for a message or a state.
const patience = 2 * time.Minute

// A peer is a scripted agent that speaks as the genuine amazon-ecs-agent was recorded to:
// what it sends is written out rather than made of gantry's own types.
type peer struct {
	t       *testing.T
	control *control
	keys    credentials.Credentials
	cluster string // as configured: the short name
	token   string // of its registration
	arn     string // of the container instance, once it is registered
	// endpoint and telemetry are what DiscoverPollEndpoint said, which the agent keeps for
	// twelve hours.
	endpoint, telemetry string
}

// newPeer is a peer with an agent's key of its own, which registers in a cluster.
func newPeer(t *testing.T, c *control, cluster string) *peer {
	t.Helper()
	key := newPrincipal(gantry.AgentPrincipal, time.Now())
	_, err := c.store.Update(t.Context(), func(tx *store.Tx) error { store.Principals.Put(tx, key); return nil })
	if err != nil {
		t.Fatal(err)
	}
	return &peer{t: t, control: c, cluster: cluster, token: uuid.NewString(), keys: credentials.Credentials{AccessKeyID: key.AccessKeyID, SecretAccessKey: key.SecretKey}}
}

// ready is a peer that has registered and knows its endpoints.
func ready(t *testing.T, c *control, cluster string) *peer {
	t.Helper()
	p := newPeer(t, c, cluster)
	p.register(nil)
	p.discover()
	return p
}

// object is JSON as it is written by hand.
type object = map[string]any

// registration is the genuine agent's in external mode, with its members that the public
// model lacks. Change may alter it.
func (p *peer) registration(change func(object)) object {
	var attributes []object
	for _, name := range []string{
		"com.amazonaws.ecs.capability.docker-remote-api.1.18", "com.amazonaws.ecs.capability.docker-remote-api.1.21", "com.amazonaws.ecs.capability.docker-remote-api.1.25",
		"com.amazonaws.ecs.capability.logging-driver.json-file", "com.amazonaws.ecs.capability.logging-driver.awslogs", "ecs.capability.container-ordering",
		"ecs.capability.container-health-check", "ecs.capability.full-sync", "ecs.capability.external",
	} {
		attributes = append(attributes, object{"name": name})
	}
	for name, value := range map[string]string{"ecs.os-type": "linux", "ecs.os-family": "LINUX", "ecs.os-type-detailed": "LINUX", "ecs.cpu-architecture": "x86_64", "stack": "prod"} {
		attributes = append(attributes, object{"name": name, "value": value})
	}
	r := object{
		"attributes": attributes, "clientToken": p.token, "cluster": p.cluster,
		"instanceIdentityDocument": "", "instanceIdentityDocumentSignature": "",
		"totalResources": []object{
			{"integerValue": 2048, "name": "CPU", "type": "INTEGER"}, {"integerValue": 24105, "name": "MEMORY", "type": "INTEGER"},
			{"name": "PORTS", "stringSetValue": []string{"22", "2375", "2376", "51678", "51679"}, "type": "STRINGSET"},
			{"name": "PORTS_UDP", "stringSetValue": []string{}, "type": "STRINGSET"},
		},
	}
	if p.arn != "" { // then it sends neither a token nor the operator's attributes
		r["containerInstanceArn"] = p.arn
		delete(r, "clientToken")
		r["attributes"] = slices.DeleteFunc(attributes, func(a object) bool { return a["name"] == "stack" })
	}
	if change != nil {
		change(r)
	}
	return r
}

// register registers and checks the answer as the agent does, which ends with code 5
// where an attribute does not come back.
func (p *peer) register(change func(object)) (answered map[string]string) {
	p.t.Helper()
	request := p.registration(change)
	var out struct {
		ContainerInstance struct {
			ContainerInstanceArn, Status string
			Attributes                   []struct{ Name, Value string }
		}
	}
	p.must("RegisterContainerInstance", request, &out)
	answered = map[string]string{}
	for _, a := range out.ContainerInstance.Attributes {
		answered[a.Name] = a.Value
	}
	for _, a := range request["attributes"].([]object) {
		value, _ := a["value"].(string)
		if got, ok := answered[a["name"].(string)]; !ok || got != value {
			p.t.Errorf("Attribute validation failed: %s was %q and came back as %q (%t)", a["name"], value, got, ok)
		}
	}
	if p.arn != "" && p.arn != out.ContainerInstance.ContainerInstanceArn {
		p.t.Errorf("%s registered again, and is %s now", p.arn, out.ContainerInstance.ContainerInstanceArn)
	}
	if p.arn = out.ContainerInstance.ContainerInstanceArn; p.arn == "" || out.ContainerInstance.Status != "ACTIVE" {
		p.t.Fatalf("registered: %+v", out)
	}
	return answered
}

// discover asks for the endpoints.
func (p *peer) discover() {
	p.t.Helper()
	var out struct{ Endpoint, TelemetryEndpoint string }
	p.must("DiscoverPollEndpoint", object{"cluster": p.cluster, "containerInstance": p.arn, "zoneId": ""}, &out)
	for _, e := range []string{out.Endpoint, out.TelemetryEndpoint} {
		if u, err := url.Parse(e); err != nil || u.Scheme != "http" && u.Port() != "" && u.Port() != "443" {
			p.t.Errorf("the agent cannot use the endpoint %s", e)
		}
	}
	p.endpoint, p.telemetry = out.Endpoint, out.TelemetryEndpoint
}

// submit reports a task's state; more is added to the report.
func (p *peer) submit(task, status string, more object) {
	p.t.Helper()
	in := object{"cluster": p.cluster, "task": task, "status": status, "reason": ""}
	maps.Copy(in, more)
	var out struct{ Acknowledgment string }
	if p.must("SubmitTaskStateChange", in, &out); out.Acknowledgment == "" {
		p.t.Error("no acknowledgment")
	}
}

// must calls an operation that succeeds.
func (p *peer) must(operation string, in, out any) {
	p.t.Helper()
	if code, message := p.call(operation, in, out); code != "" {
		p.t.Fatalf("%s: %s: %s", operation, code, message)
	}
}

// call calls an ECS operation as the agent; code is the exception's, "" for none.
func (p *peer) call(operation string, in, out any) (code, message string) {
	p.t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		p.t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, p.control.endpoint+"/", bytes.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", "AmazonEC2ContainerServiceV20141113."+operation)
	p.sign(r, body)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		var e struct {
			Type    string `json:"__type"`
			Message string `json:"message"`
		}
		if json.Unmarshal(data, &e) != nil || e.Type == "" {
			p.t.Fatalf("%s: %d %s", operation, resp.StatusCode, data)
		}
		return e.Type[strings.LastIndexByte(e.Type, '#')+1:], e.Message
	}
	if out != nil {
		if err := json.Unmarshal(data, out); err != nil {
			p.t.Fatalf("%s: %v: %s", operation, err, data)
		}
	}
	return "", ""
}

func (p *peer) sign(r *http.Request, body []byte) {
	p.t.Helper()
	sum := sha256.Sum256(body)
	err := sigv4.New().SignRequest(&sigv4.SignRequestInput{Request: r, PayloadHash: sum[:], Credentials: p.keys, Service: "ecs", Region: string(p.control.identity.Region), Time: time.Now()})
	if err != nil {
		p.t.Fatal(err)
	}
}

// dial opens a websocket with the agent's query, signed; change may alter the query.
func (p *peer) dial(endpoint string, query url.Values, change func(url.Values)) (*session, *http.Response, error) {
	p.t.Helper()
	if change != nil {
		change(query)
	}
	if !strings.HasSuffix(endpoint, "/") {
		endpoint += "/"
	}
	r, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, endpoint+"ws?"+query.Encode(), nil)
	if err != nil {
		p.t.Fatal(err)
	}
	p.sign(r, nil)
	header := r.Header.Clone()
	header.Del("Host")
	conn, resp, err := websocket.Dial(p.t.Context(), r.URL.String(), &websocket.DialOptions{HTTPHeader: header})
	if err != nil {
		return nil, resp, err
	}
	conn.SetReadLimit(-1)
	p.t.Cleanup(func() { conn.CloseNow() })
	return &session{peer: p, conn: conn, url: r.URL.String()}, resp, nil
}

// controlQuery is what the agent says when it opens ACS; telemetryQuery, TCS.
func (p *peer) controlQuery(first bool) url.Values {
	q := url.Values{
		"agentHash": {"a8b3e7d3"}, "agentVersion": {"1.105.1"}, "clusterArn": {p.cluster}, "containerInstanceArn": {p.arn},
		"dockerVersion": {"DockerVersion: 20.10.24"}, "protocolVersion": {"2"}, "sendCredentials": {"false"}, "seqNum": {"1"},
	}
	if first {
		q.Set("sendCredentials", "true")
	}
	return q
}

func (p *peer) telemetryQuery() url.Values {
	return url.Values{"agentHash": {"a8b3e7d3"}, "agentVersion": {"1.105.1"}, "cluster": {p.cluster}, "containerInstance": {p.arn}, "dockerVersion": {"20.10.24"}}
}

// connect opens ACS: first after the agent's start, or again.
func (p *peer) connect(first bool) *session {
	p.t.Helper()
	s, _, err := p.dial(p.endpoint, p.controlQuery(first), nil)
	if err != nil {
		p.t.Fatal(err)
	}
	return s
}

// publish opens TCS.
func (p *peer) publish() *session {
	p.t.Helper()
	s, _, err := p.dial(p.telemetry, p.telemetryQuery(), nil)
	if err != nil {
		p.t.Fatal(err)
	}
	return s
}

// A session is one of the peer's websockets.
type session struct {
	*peer
	conn *websocket.Conn
	url  string
}

// next is the next message, which must be of the type. Heartbeats in between are answered.
func (s *session) next(typ string, into any) {
	s.t.Helper()
	for {
		ctx, cancel := context.WithTimeout(s.t.Context(), patience)
		_, data, err := s.conn.Read(ctx)
		cancel()
		if err != nil {
			s.t.Fatalf("waiting for %s: %v", typ, err)
		}
		f, err := acsapi.Decode(data)
		if err != nil {
			s.t.Fatalf("waiting for %s: %v", typ, err)
		}
		if f.Type == acsapi.TypeHeartbeat && typ != f.Type {
			continue
		}
		if f.Type != typ {
			s.t.Fatalf("got %s, want %s", data, typ)
		}
		if err := json.Unmarshal(f.Message, into); err != nil {
			s.t.Fatal(err)
		}
		return
	}
}

// say sends a frame as it is.
func (s *session) say(frame string) {
	s.t.Helper()
	if err := s.conn.Write(s.t.Context(), websocket.MessageText, []byte(frame)); err != nil {
		s.t.Fatal(err)
	}
}

// frame is a message of the agent's.
func frame(typ string, message object) string {
	data, err := json.Marshal(object{"type": typ, "message": message})
	if err != nil {
		panic(err)
	}
	return string(data)
}

// signedFrame puts the block of headers before a message that the genuine agent signs
// its telemetry with.
func (s *session) signedFrame(message string) string {
	s.t.Helper()
	r, err := http.NewRequest(http.MethodGet, s.url, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	s.sign(r, []byte(message))
	var out bytes.Buffer
	if err := r.Header.Write(&out); err != nil {
		s.t.Fatal(err)
	}
	return out.String() + "\r\n" + message
}

// manifest reads the manifest, which every connection begins with, and acknowledges it.
func (s *session) manifest() (m acsapi.TaskManifestMessage) {
	s.t.Helper()
	s.next(acsapi.TypeTaskManifest, &m)
	s.ack(m.MessageID)
	return m
}

// payload reads a payload and acknowledges it.
func (s *session) payload() (m acsapi.PayloadMessage) {
	s.t.Helper()
	s.next(acsapi.TypePayload, &m)
	s.ack(m.MessageID)
	return m
}

func (s *session) ack(message string) {
	s.t.Helper()
	s.say(frame("AckRequest", object{"cluster": string(s.control.identity.place().Cluster(gantry.ClusterName(s.cluster))), "containerInstance": s.arn, "messageId": message}))
}

// closed reads until the server closes, and is its code.
func (s *session) closed() websocket.StatusCode {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	for {
		if _, _, err := s.conn.Read(ctx); ctx.Err() != nil {
			s.t.Fatal("the server does not close the connection")
		} else if err != nil {
			return websocket.CloseStatus(err)
		}
	}
}

// asRoot is somebody who may call everything.
func asRoot(t *testing.T, c *control) *peer {
	return &peer{t: t, control: c, keys: credentials.Credentials{AccessKeyID: c.root.AccessKeyID, SecretAccessKey: c.root.SecretKey}}
}

// until waits for the store to be in a state.
func (p *peer) until(what string, ok func(*store.Snapshot) bool) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	for snap := p.control.store.View(); !ok(snap); {
		var err error
		if snap, err = p.control.store.Newer(ctx, snap.Revision()); err != nil {
			p.t.Fatalf("waiting until %s: %v", what, err)
		}
	}
}

// connection is the record of the peer's own.
func (p *peer) connection(snap *store.Snapshot) *gantry.Connection {
	_, key, _ := strings.Cut(p.arn, "/")
	c, ok := store.Connections.Get(snap, key)
	if !ok {
		return &gantry.Connection{}
	}
	return c
}

// restarted ends a control plane and starts another one on the same state and address.
func restarted(t *testing.T, stop func() *control) *control {
	t.Helper()
	old := stop()
	ln, err := net.Listen("tcp", strings.TrimPrefix(old.endpoint, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	again, err := openControl(t.Context(), controlConfig{dir: old.dir, identity: old.identity, endpoint: old.endpoint, log: old.log})
	if err != nil {
		t.Fatal(err)
	}
	keepServing(t, again, ln)
	return again
}

// keepServing runs a control plane until stop is called or the test ends.
func keepServing(t *testing.T, c *control, ln net.Listener) (stop func() *control) {
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- c.run(ctx, ln, &aMachine{}) }()
	var over bool
	stop = func() *control {
		if !over {
			over = true
			cancel()
			if err := <-ran; !errors.Is(err, context.Canceled) {
				t.Errorf("run: %v", err)
			}
			c.close()
		}
		return c
	}
	t.Cleanup(func() { stop() })
	return stop
}
