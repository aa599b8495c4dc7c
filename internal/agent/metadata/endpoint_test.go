package metadata

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestEndpointAnswers(t *testing.T) {
	h := demoEndpoint()
	for _, c := range []struct{ path, file string }{
		{"/v4/" + webUUID, "v4-container"},
		{"/v4/" + sideUUID, "v4-container-not-created"},
		{"/v4/" + webUUID + "/task", "v4-task"},
		{"/v4/" + sideUUID + "/taskWithTags", "v4-task-with-tags"},
		{"/v4/" + webUUID + "/stats", "v4-stats"},
		{"/v4/" + sideUUID + "/task/stats", "v4-task-stats"},
		{"/v4/" + webUUID + "/associations/elastic-inference", "v4-associations"},
		{"/v3/" + webUUID, "v3-container"},
		{"/v3/" + webUUID + "/task", "v3-task"},
		{"/v3/" + webUUID + "/stats", "v3-stats"},
		{"/v2/credentials/ready", "v2-credentials"},
		{"/v1/credentials?id=ready", "v2-credentials"},
	} {
		status, body := ask(t, h, "GET", c.path, "")
		if status != http.StatusOK {
			t.Errorf("%s: %d %s", c.path, status, body)
		}
		golden(t, c.file, body)
	}
}

func TestEndpointRefusals(t *testing.T) {
	h := demoEndpoint()
	state := "/api/" + webUUID + "/task-protection/v1/state"
	for _, c := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"GET", "/v4/nobody", "", 404, `"V4 metadata handler: unable to get container ID from request: unable to get docker ID from v3 endpoint ID: nobody"`},
		{"GET", "/v3/nobody/task/stats", "", 404, `"V3 metadata handler: `},
		{"GET", "/v4/" + sideUUID + "/stats", "", 404, "no stats of container side yet"},
		{"GET", "/v4/" + webUUID + "/associations/elastic-inference/x", "", 404, "has no elastic-inference association x"},
		{"POST", "/v4/" + webUUID, "", 405, ""},
		{"GET", "/v2/metadata", "", 404, "awsvpc"},
		{"GET", "/latest/meta-data/", "", 404, ""},
		{"GET", "/v2/credentials/nobody", "", 400, `"code": "InvalidIdInRequest"`},
		{"GET", "/v2/credentials/", "", 400, `"message": "CredentialsV2Request: No Credential ID in the request"`},
		{"GET", "/v2/credentials/expected", "", 503, `"HTTPErrorCode": 503`},
		{"GET", "/v1/credentials", "", 400, `"message": "CredentialsV1Request: No Credential ID in the request"`},
		{"PUT", state, `{"ProtectionEnabled":true,"Surprise":60}`, 400, "InvalidParameterException"},
		{"PUT", state, `{"ProtectionEnabled":true,"ExpiresInMinutes":"60"}`, 400, "UpdateTaskProtection: failed to decode request"},
		{"PUT", state, `{}`, 400, `"Arn": "` + taskARN},
		{"PUT", state, `{}`, 400, "does not contain 'ProtectionEnabled'"},
		{"PUT", state, `{"ProtectionEnabled":` + strings.Repeat(" ", maxProtectionBody) + `true}`, 400, "InvalidParameterException"},
		{"GET", "/api/nobody/task-protection/v1/state", "", 404, "Failed to find a task for the request"},
		{"POST", "/api/" + webUUID + "/fault/v1/network-latency/start", "{}", 400, "fault injection is not enabled for task: " + taskARN},
		{"POST", "/api/nobody/fault/v1/network-latency/start", "{}", 404, "unable to get task"},
	} {
		status, body := ask(t, h, c.method, c.path, c.body)
		if status != c.status || !strings.Contains(body, c.want) {
			t.Errorf("%s %s: %d %s, want %d %s", c.method, c.path, status, body, c.status, c.want)
		}
	}
}

func TestProtection(t *testing.T) {
	h := demoEndpoint()
	state := "/api/" + webUUID + "/task-protection/v1/state"
	for _, c := range []struct {
		method, body string
		status       int
		want         string
	}{
		{"GET", "", 200, `{"protection":{"ExpirationDate":null,"ProtectionEnabled":false,"TaskArn":"` + taskARN + `"}}`},
		{"PUT", `{"ProtectionEnabled":false}`, 200, `{"protection":{"ExpirationDate":null,"ProtectionEnabled":false,"TaskArn":"` + taskARN + `"}}`},
		{"PUT", `{"ProtectionEnabled":true,"ExpiresInMinutes":30}`, 200, `{"protection":{"ExpirationDate":"2026-11-23T12:00:30Z","ProtectionEnabled":true,"TaskArn":"` + taskARN + `"}}`},
		{"PUT", `{"ProtectionEnabled":true}`, 200, `{"failure":{"Arn":"` + taskARN + `","Detail":null,"Reason":"TASK_NOT_VALID"}}`},
		{"PUT", `{"ProtectionEnabled":true,"ExpiresInMinutes":2881}`, 400, `{"requestID":"r-1","error":{"Arn":"` + taskARN + `","Code":"InvalidParameterException","Message":"too long"}}`},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(c.method, state, strings.NewReader(c.body)))
		if w.Code != c.status || w.Body.String() != c.want {
			t.Errorf("%s %s: %d %s, want %d %s", c.method, c.body, w.Code, w.Body, c.status, c.want)
		}
	}
}

func TestLimit(t *testing.T) {
	now := noon(0)
	l := newLimiter(func() time.Time { return now })
	a, b := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	count := func(caller netip.Addr) (n int) {
		for l.allow(caller) {
			n++
		}
		return n
	}
	for _, c := range []struct {
		what   string
		caller netip.Addr
		wait   time.Duration
		want   int
	}{
		{"burst", a, 0, 60},
		{"at once again", a, 0, 0},
		{"another caller", b, 0, 60},
		{"after a second", a, time.Second, 40},
		{"after half a second", a, time.Second / 2, 20},
		{"after an hour", a, time.Hour, 60},
		{"clock set back", a, -time.Hour, 0},
	} {
		now = now.Add(c.wait)
		if got := count(c.caller); got != c.want {
			t.Errorf("%s: %d requests, want %d", c.what, got, c.want)
		}
	}
	for i := range 2 * maxCallers {
		l.allow(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}))
	}
	if len(l.callers) > maxCallers {
		t.Errorf("%d callers are remembered", len(l.callers))
	}
}

func TestServe(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- Serve(ctx, l, demoEndpoint()) }()
	codes := map[int]int{}
	for range requestBurst + 3 {
		r, err := http.Get(fmt.Sprintf("http://%s/v4/%s", l.Addr(), webUUID))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r.Body)
		r.Body.Close()
		if err != nil || r.StatusCode == 200 && !strings.Contains(string(body), webID) {
			t.Fatalf("answer %q, %v", body, err)
		}
		codes[r.StatusCode]++
	}
	if codes[200] != requestBurst || codes[429] != 3 {
		t.Errorf("answers by status: %v", codes)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("tcp4", l.Addr().String()); err == nil {
		t.Error("the endpoint still listens")
	}
}

func TestIntrospection(t *testing.T) {
	stopped := Task{ARN: "arn:stopped", KnownStatus: "STOPPED", Family: "old", Revision: "7", Containers: []Container{{ID: "89cb", Name: "x"}}}
	h := NewIntrospection(Introspection{
		Instance: func() Instance { return Instance{Cluster: "demo", ARN: "arn:ci", Version: "gantry 1.0"} },
		Tasks:    fake{[]Task{demo(), stopped}},
		License:  "the license",
	})
	for _, c := range []struct {
		path   string
		status int
		file   string
	}{
		{"/v1/metadata", 200, "introspection-metadata"},
		{"/v1/tasks", 200, "introspection-tasks"},
		{"/v1/tasks?taskarn=" + taskARN, 200, "introspection-task"},
		{"/v1/tasks?dockerid=" + webID, 200, "introspection-task"},
		{"/v1/tasks?dockerid=89ca4137a48d", 200, "introspection-task"},
		{"/v1/tasks?dockerid=89ca4137a48d0", 404, "introspection-no-task"},
		{"/v1/tasks?dockerid=89c", 400, "introspection-no-task"},
		{"/v1/tasks?taskarn=nobody", 404, "introspection-no-task"},
		{"/", 200, "introspection-commands"},
		{"/v9/everything", 200, "introspection-commands"},
	} {
		status, body := ask(t, h, "GET", c.path, "")
		if status != c.status {
			t.Errorf("%s: %d, want %d", c.path, status, c.status)
		}
		golden(t, c.file, body)
	}
	if _, body := ask(t, h, "GET", "/license", ""); body != "the license" {
		t.Errorf("license: %q", body)
	}
	unregistered := NewIntrospection(Introspection{Instance: func() Instance { return Instance{Cluster: "demo"} }, Tasks: fake{}})
	if _, body := ask(t, unregistered, "GET", "/v1/metadata", ""); !strings.Contains(body, `"ContainerInstanceArn": null`) {
		t.Errorf("before registration: %s", body)
	}
	if _, body := ask(t, unregistered, "GET", "/v1/tasks", ""); !strings.Contains(body, `"Tasks": []`) {
		t.Errorf("without tasks: %s", body)
	}
}

func TestRatesOfARestartedContainer(t *testing.T) {
	before := Stats{Read: noon(0), Networks: map[string]InterfaceStats{"eth0": {RxBytes: 1000}}}
	for _, c := range []struct {
		what string
		now  Stats
		want *ratesAnswer
	}{
		{"grown", Stats{Read: noon(2), Networks: map[string]InterfaceStats{"eth0": {RxBytes: 3000}}}, &ratesAnswer{Rx: 1000}},
		{"began anew", Stats{Read: noon(2), Networks: map[string]InterfaceStats{"eth0": {RxBytes: 500}}}, &ratesAnswer{Rx: 250}},
		{"same instant", Stats{Read: noon(0), Networks: map[string]InterfaceStats{"eth0": {RxBytes: 500}}}, nil},
		{"no network", Stats{Read: noon(2)}, nil},
	} {
		got := renderRates(c.now, before)
		if (got == nil) != (c.want == nil) || got != nil && *got != *c.want {
			t.Errorf("%s: %+v, want %+v", c.what, got, c.want)
		}
	}
}
