package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"gantry/internal/store"
	"gantry/internal/wire/acsapi"

	"github.com/coder/websocket"
)

// These tests are named as the pitfalls that a control plane meets with the genuine
// amazon-ecs-agent: what it checks, leaves out, repeats, or takes badly. Those about time
// are beside the sessions, in package acs.

// webTask runs a task and returns its ARN.
func webTask(t *testing.T, c *control, cluster string) string {
	t.Helper()
	root := asRoot(t, c)
	root.must("RegisterTaskDefinition", webDefinition, nil)
	var out struct{ Tasks []struct{ TaskArn string } }
	root.must("RunTask", object{"cluster": cluster, "taskDefinition": "web", "launchType": "EXTERNAL"}, &out)
	if len(out.Tasks) != 1 {
		t.Fatal("no place for the task")
	}
	return out.Tasks[0].TaskArn
}

// given is a peer that was given a task: the payload is on its way.
func given(t *testing.T, c *control) (p *peer, s *session, task string) {
	t.Helper()
	p = ready(t, c, "default")
	s = p.connect(true)
	s.manifest()
	return p, s, webTask(t, c, "default")
}

var webDefinition = object{"family": "web", "networkMode": "bridge", "containerDefinitions": []object{
	{"name": "web", "image": "local/busybox:1", "cpu": 128, "memory": 64, "portMappings": []object{{"containerPort": 8080}}, "environment": []object{{"name": "A", "value": "b"}},
		"healthCheck": object{"command": []string{"CMD-SHELL", "true"}, "interval": 5}},
	{"name": "side", "image": "local/busybox:1", "memory": 32, "essential": false, "dependsOn": []object{{"containerName": "web", "condition": "HEALTHY"}}},
}}

// ranAs is how the agent reports that a task runs.
var ranAs = object{"containers": []object{
	{"containerName": "web", "networkBindings": []object{{"bindIP": "0.0.0.0", "containerPort": 8080, "hostPort": 32769, "protocol": "tcp"}}, "runtimeId": "89ca4137a48d", "status": "RUNNING"},
	{"containerName": "side", "runtimeId": "d7d8fc32bbfc", "status": "RUNNING"},
}}

// shown is a task as DescribeTasks shows it.
func shown(t *testing.T, c *control, cluster, task string) (got struct {
	LastStatus, DesiredStatus, StopCode, StoppedReason, HealthStatus, Connectivity string
	ConnectivityAt                                                                 float64
	Containers                                                                     []struct {
		Name, LastStatus, HealthStatus, RuntimeID string
		ExitCode                                  *int
		NetworkBindings                           []struct{ HostPort int }
	}
}) {
	t.Helper()
	var out struct{ Tasks []json.RawMessage }
	asRoot(t, c).must("DescribeTasks", object{"cluster": cluster, "tasks": []string{task}}, &out)
	if len(out.Tasks) != 1 {
		t.Fatalf("no task %s", task)
	}
	if err := json.Unmarshal(out.Tasks[0], &got); err != nil {
		t.Fatal(err)
	}
	return got
}

func TestPitfallEveryAttributeComesBack(t *testing.T) {
	c, _ := running(t)
	p := newPeer(t, c, "default")
	got := p.register(func(r object) {
		r["attributes"] = append(r["attributes"].([]object), object{"name": "empty", "value": ""}, object{"name": "odd name/with:signs", "value": " a b "})
	})
	if zone := got["ecs.availability-zone"]; zone != "us-east-1a" {
		t.Errorf("the agent takes its zone from the answer: %q", zone)
	}
}

func TestPitfallMembersThatTheModelLacks(t *testing.T) {
	c, _ := running(t)
	p := newPeer(t, c, "default")
	p.register(func(r object) { r["madeUp"] = object{"deep": []int{1}} })
	p.discover() // with zoneId
	p.connect(true).manifest()
	task := webTask(t, c, "default")
	p.submit(task, "PENDING", object{"newThing": 1, "containers": []object{{"containerName": "web", "status": "RUNNING", "another": true}}})
}

func TestPitfallTheSameInstanceAfterARestart(t *testing.T) {
	c, _ := running(t)
	p := newPeer(t, c, "default")
	first := p.register(nil)
	first["stack"] = "prod"
	again := p.register(nil) // with the ARN, and without the operator's attributes
	if again["stack"] != "prod" {
		t.Errorf("the custom attribute is gone: %v", again)
	}
}

func TestPitfallALostRegistrationAnswer(t *testing.T) {
	c, _ := running(t)
	p := newPeer(t, c, "default")
	p.register(nil)
	known := p.arn
	p.arn = "" // it never heard
	if p.register(nil); p.arn != known {
		t.Errorf("the same token made %s, and then %s", known, p.arn)
	}
}

func TestPitfallAnUnknownCluster(t *testing.T) {
	c, _ := running(t)
	p := newPeer(t, c, "nowhere")
	if code, _ := p.call("RegisterContainerInstance", p.registration(nil), nil); code != "ClusterNotFoundException" {
		t.Errorf("answered %q", code)
	}
	// Without a configured cluster it makes default, which is there.
	p.cluster = "default"
	p.must("CreateCluster", object{"clusterName": "default"}, nil)
	p.register(nil)
}

func TestPitfallADeregisteredInstance(t *testing.T) {
	c, _ := running(t)
	p := ready(t, c, "default")
	asRoot(t, c).must("DeregisterContainerInstance", object{"cluster": "default", "containerInstance": p.arn, "force": true}, nil)
	_, resp, err := p.dial(p.endpoint, p.controlQuery(true), nil)
	if err == nil || resp == nil {
		t.Fatalf("connected: %v", err)
	}
	body, _ := io.ReadAll(resp.Body)
	var exception map[string]string // exactly one member
	if json.Unmarshal(body, &exception) != nil || len(exception) != 1 || exception["InactiveInstanceException"] == "" {
		t.Errorf("refused with %d %s", resp.StatusCode, body)
	}
	if code, _ := p.call("RegisterContainerInstance", p.registration(nil), nil); code != "ClientException" {
		t.Errorf("registering again answered %q, and the agent has to end", code)
	}
}

func TestPitfallACachedEndpoint(t *testing.T) {
	c, ln := opened(t)
	stop := keepServing(t, c, ln)
	if err := c.makeDefault(t.Context()); err != nil {
		t.Fatal(err)
	}
	p := ready(t, c, "default")
	p.connect(true).manifest()
	p.control = restarted(t, stop)
	p.connect(false).manifest() // without asking again: it keeps the endpoint for twelve hours
}

func TestPitfallTheShortNameOfTheCluster(t *testing.T) {
	c, _ := running(t)
	p := ready(t, c, "default")
	for _, named := range []string{"default", "arn:aws:ecs:us-east-1:123456789012:cluster/default", ""} {
		s, _, err := p.dial(p.endpoint, p.controlQuery(true), func(q url.Values) { q.Set("clusterArn", named) })
		if err != nil {
			t.Fatalf("clusterArn %q: %v", named, err)
		}
		if m := s.manifest(); m.ClusterArn != "arn:aws:ecs:us-east-1:123456789012:cluster/default" || m.ContainerInstanceArn != p.arn {
			t.Errorf("the manifest is for %s of %s", m.ContainerInstanceArn, m.ClusterArn)
		}
	}
}

func TestPitfallCredentialsAreAskedForAfterAStartOnly(t *testing.T) {
	c, _ := running(t)
	p, s, task := given(t, c)
	if m := s.payload(); len(m.Tasks) != 1 || m.Tasks[0].Arn != task {
		t.Fatalf("payload: %+v", m)
	}
	p.submit(task, "RUNNING", ranAs)
	s = p.connect(true) // a start: all there is, since credentials live in memory
	s.manifest()
	if m := s.payload(); len(m.Tasks) != 1 || m.Tasks[0].Arn != task {
		t.Errorf("after a start: %+v", m)
	}
	s = p.connect(false)
	if m := s.manifest(); len(m.Tasks) != 1 {
		t.Errorf("manifest: %+v", m.Tasks)
	}
	second := webTask(t, c, "default")
	if m := s.payload(); len(m.Tasks) != 1 || m.Tasks[0].Arn != second {
		t.Errorf("after a reconnection the first is told again: %+v", m)
	}
}

func TestPitfallTimelinesOnlyRise(t *testing.T) {
	c, ln := opened(t)
	stop := keepServing(t, c, ln)
	if err := c.makeDefault(t.Context()); err != nil {
		t.Fatal(err)
	}
	p := ready(t, c, "default")
	highest := int64(0)
	rises := func(what string, n int64, equal bool) {
		t.Helper()
		if n < highest || n == highest && !equal {
			t.Errorf("%s has number %d, after %d", what, n, highest)
		}
		highest = n
	}
	for n := range 3 {
		s := p.connect(n == 0)
		rises("a manifest", s.manifest().Timeline, false)
		webTask(t, p.control, "default")
		for told := 0; told <= n; { // what no report has come of is told again
			m := s.payload()
			rises("a payload", m.SeqNum, true)
			told += len(m.Tasks)
		}
		if n == 1 {
			p.control = restarted(t, stop)
		}
	}
}

func TestPitfallStopsAreVerifiedWithTheManifestsID(t *testing.T) {
	c, _ := running(t)
	p := ready(t, c, "default")
	s := p.connect(true)
	m := s.manifest()
	task := webTask(t, c, "default")
	s.payload()
	stray := "arn:aws:ecs:us-east-1:123456789012:task/default/0123456789abcdef0123456789abcdef"
	ask := func(id string) string {
		return frame("TaskStopVerificationMessage", object{"messageId": id, "stopCandidates": []object{
			{"desiredStatus": "STOPPED", "taskArn": stray, "taskClusterArn": m.ClusterArn}, {"desiredStatus": "STOPPED", "taskArn": task, "taskClusterArn": m.ClusterArn},
		}})
	}
	s.say(ask("another"))
	s.say(ask(m.MessageID))
	var ack acsapi.TaskStopVerificationAck
	s.next(acsapi.TypeTaskStopVerificationAck, &ack)
	if ack.MessageID != m.MessageID || len(ack.StopTasks) != 1 || ack.StopTasks[0].TaskArn != stray {
		t.Errorf("may stop: %+v", ack)
	}
}

func TestPitfallTwoConnectionsOfOneInstance(t *testing.T) {
	c, _ := running(t)
	p := ready(t, c, "default")
	old := p.connect(true)
	old.manifest()
	newer := p.connect(false)
	newer.manifest()
	if code := old.closed(); code != websocket.StatusPolicyViolation {
		t.Errorf("the older one is closed with %d", code)
	}
	task := webTask(t, c, "default")
	if m := newer.payload(); m.Tasks[0].Arn != task {
		t.Errorf("payload: %+v", m)
	}
	if got := p.connection(c.store.View()); !got.Connected || got.Epoch != 2 {
		t.Errorf("connection: %+v", got)
	}
}

func TestPitfallItLeavesAndComesBackTwiceAnHour(t *testing.T) {
	c, _ := running(t)
	p, s, task := given(t, c)
	s.payload()
	p.submit(task, "RUNNING", ranAs)
	at := shown(t, c, "default", task)
	if at.Connectivity != "CONNECTED" || at.ConnectivityAt == 0 {
		t.Errorf("connectivity %s at %v", at.Connectivity, at.ConnectivityAt)
	}
	s.conn.Close(websocket.StatusNormalClosure, "ConnectionExpired: Reconnect to continue")
	p.connect(false).manifest()
	if got := shown(t, c, "default", task); got.LastStatus != "RUNNING" || got.Connectivity != "CONNECTED" || got.ConnectivityAt != at.ConnectivityAt {
		t.Errorf("task: %+v, connected at %v before", got, at.ConnectivityAt)
	}
}

func TestPitfallAnAgentThatIsAway(t *testing.T) {
	c, _ := running(t)
	p, s, task := given(t, c)
	s.payload()
	p.submit(task, "RUNNING", ranAs)
	connected := shown(t, c, "default", task)
	s.conn.CloseNow()
	p.until("the agent shows as gone", func(snap *store.Snapshot) bool { return !p.connection(snap).Connected })
	got := shown(t, c, "default", task)
	if got.LastStatus != "RUNNING" || got.Connectivity != "DISCONNECTED" || got.ConnectivityAt != connected.ConnectivityAt {
		t.Errorf("task: %+v", got)
	}
	defer func() { // when it is back, connectivityAt is when that was
		p.connect(false).manifest()
		if got := shown(t, c, "default", task); got.Connectivity != "CONNECTED" || got.ConnectivityAt <= connected.ConnectivityAt {
			t.Errorf("back: %+v, after %v", got, connected.ConnectivityAt)
		}
	}()
	root := asRoot(t, c)
	var out struct{ Failures []struct{ Reason string } }
	if root.must("StartTask", object{"cluster": "default", "taskDefinition": "web", "containerInstances": []string{p.arn}}, &out); len(out.Failures) != 1 || out.Failures[0].Reason != "AGENT" {
		t.Errorf("a new task there: %+v", out)
	}
}

// What the agent says may be as long as it likes, and must not fill gantry's memory.
func TestPitfallFramesThatAreTooLong(t *testing.T) {
	c, _ := running(t)
	p := ready(t, c, "default")
	for name, open := range map[string]func() *session{
		"acs": func() *session { s := p.connect(false); s.manifest(); return s }, "tcs": p.publish,
	} {
		s := open()
		// Whether the agent learns the code depends on how much of it was on its way.
		if err := s.conn.Write(t.Context(), websocket.MessageText, []byte(`{"type":"`+strings.Repeat("x", 8<<20))); err == nil {
			if code := s.closed(); code != websocket.StatusMessageTooBig && code != -1 {
				t.Errorf("%s: closed with %d", name, code)
			}
		}
		open() // and comes back
	}
}

// An agent's key speaks for its own container instance.
func TestPitfallAnotherInstancesKey(t *testing.T) {
	c, _ := running(t)
	victim, _, task := given(t, c) // the only one that is connected
	thief := ready(t, c, "default")
	own := thief.arn
	thief.arn = victim.arn
	for operation, in := range map[string]object{
		"RegisterContainerInstance":     thief.registration(nil),
		"DeregisterContainerInstance":   {"cluster": "default", "containerInstance": victim.arn, "force": true},
		"DiscoverPollEndpoint":          {"cluster": "default", "containerInstance": victim.arn},
		"UpdateContainerInstancesState": {"cluster": "default", "containerInstances": []string{own, victim.arn}, "status": "DRAINING"},
		"SubmitTaskStateChange":         {"cluster": "default", "task": task, "status": "STOPPED"},
		"SubmitContainerStateChange":    {"cluster": "default", "task": task, "containerName": "web", "status": "STOPPED"},
		"ListTagsForResource":           {"resourceArn": task},
		"RunTask":                       {"cluster": "default", "taskDefinition": "web"},
		"StopTask":                      {"cluster": "default", "task": task},
		"DescribeTasks":                 {"cluster": "default", "tasks": []string{task}},
	} {
		if code, message := thief.call(operation, in, nil); code != "AccessDeniedException" {
			t.Errorf("%s: %s %s", operation, code, message)
		}
	}
	for name, query := range map[string]url.Values{pathOf(victim.endpoint): thief.controlQuery(true), pathOf(victim.telemetry): thief.telemetryQuery()} {
		_, resp, err := thief.dial(c.endpoint+name, query, nil)
		if err == nil || resp == nil || resp.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if body, _ := io.ReadAll(resp.Body); !strings.HasPrefix(string(body), `{"AccessDeniedException":`) {
			t.Errorf("%s: refused with %s", name, body)
		}
	}
	if got := shown(t, c, "default", task); got.LastStatus != "PENDING" {
		t.Errorf("the task: %+v", got)
	}
}

// pathOf is an endpoint's path.
func pathOf(endpoint string) string {
	u, err := url.Parse(endpoint)
	if err != nil {
		panic(err)
	}
	return u.Path
}

func TestPitfallAHandshakeThatNobodySigned(t *testing.T) {
	c, _ := running(t)
	p := ready(t, c, "default")
	p.keys.SecretAccessKey = "guessed"
	_, resp, err := p.dial(p.endpoint, p.controlQuery(true), nil)
	if err == nil || resp == nil || resp.StatusCode != http.StatusForbidden {
		t.Fatalf("connected: %v", err)
	}
	body, _ := io.ReadAll(resp.Body)
	var exception map[string]string
	if json.Unmarshal(body, &exception) != nil || len(exception) != 1 || exception["AccessDeniedException"] == "" {
		t.Errorf("refused with %s", body)
	}
}
