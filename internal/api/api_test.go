package api

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestRoutes(t *testing.T) {
	form := func(action string) call {
		return call{body: "Action=" + action + "&Version=2011-06-15", contentType: "application/x-www-form-urlencoded; charset=utf-8", service: "sts"}
	}
	other := func(target string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("X-Amz-Target", target) }
	}
	as := func(c call, change func(*call)) call { change(&c); return c }
	tests := []struct {
		name   string
		call   call
		alter  func(*http.Request)
		status int
		want   string
	}{
		{"identity of root", form("GetCallerIdentity"), nil, 200, "<UserId>123456789012</UserId>"},
		{"identity of an agent", as(form("GetCallerIdentity"), func(c *call) { c.key = agentKey }), nil, 200, "<Arn>arn:aws:iam::123456789012:user/gantry/agent/AKIAAGENT</Arn>"},
		{"another action", form("AssumeRole"), nil, 400, "<Code>InvalidAction</Code><Message>gantry does not offer sts:AssumeRole yet.</Message>"},
		{"another Query service", as(form("DescribeVpcs"), func(c *call) { c.service = "ec2" }), nil, 400, "<Response><Errors><Error><Code>InvalidAction</Code><Message>gantry does not offer ec2:DescribeVpcs yet.</Message></Error></Errors><RequestID>"},
		{"IAM", as(form("GetRole"), func(c *call) { c.service = "iam" }), nil, 400, "<ErrorResponse><Error><Type>Sender</Type><Code>InvalidAction</Code><Message>gantry does not offer iam:GetRole yet."},
		{"load balancers", as(form("DescribeLoadBalancers"), func(c *call) { c.service = "elasticloadbalancing" }), nil, 400, "gantry does not offer elasticloadbalancing:DescribeLoadBalancers yet."},
		{"autoscaling", call{body: "{}", service: "application-autoscaling"}, other("AnyScaleFrontendService.DescribeScalableTargets"), 400,
			`{"__type":"UnknownOperationException","message":"gantry offers no service for target AnyScaleFrontendService.DescribeScalableTargets."}`},
		{"a path of Lambda", call{method: "GET", path: "/2015-03-31/functions/", service: "lambda"}, nil, 400, `"__type":"UnknownOperationException"`},
		{"no action", as(form(""), func(c *call) { c.body = "" }), nil, 400, "<Code>MissingAction</Code>"},
		{"no form", as(form(""), func(c *call) { c.body = "a=%zz" }), nil, 400, "<Code>MalformedQueryString</Code>"},
		{"form unsigned", form("GetCallerIdentity"), func(r *http.Request) { r.Header.Del("Authorization") }, 403, "<Code>MissingAuthenticationToken</Code>"},
		{"unknown JSON service", call{body: "{}"}, other("AmazonSSM.GetParameter"), 400, `{"__type":"UnknownOperationException","message":"gantry offers no service for target AmazonSSM.GetParameter."}`},
		{"unknown operation", call{target: "MakeCoffee", body: "{}"}, nil, 400, "UnknownOperationException"},
		{"operation not offered", call{target: "CreateService", body: "{}"}, nil, 400, "UnsupportedOperationException"},
		{"another path", call{path: "/service/GraniteServiceVersion20100801/operation/PutMetricData"}, nil, 400, "UnknownOperationException"},
		{"health", call{method: "GET", path: "/healthz"}, func(r *http.Request) { r.Header.Del("Authorization") }, 200, "ok"},
		{"session", call{method: "GET", path: "/acs/ws?seqNum=1", key: agentKey}, nil, 200, "AKIAAGENT"},
		{"session unsigned", call{method: "GET", path: "/acs/ws"}, func(r *http.Request) { r.Header.Del("Authorization") }, 403,
			`{"AccessDeniedException":"MissingAuthenticationTokenException: Request is missing Authentication Token"}`},
		{"command without body", call{method: "GET", path: "/gantry/v1/status", service: "gantry"}, nil, 200, "/status "},
		{"command with body", call{path: "/gantry/v1/images", service: "gantry", body: "abc",
			headers: map[string]string{"X-Amz-Content-Sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}}, nil, 200, "/images abc"},
		{"command with another body", call{path: "/gantry/v1/images", service: "gantry", body: "abc",
			headers: map[string]string{"X-Amz-Content-Sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}},
			func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader("abd")) }, 400, "not the one that was signed"},
		{"command of an agent", call{method: "GET", path: "/gantry/v1/status", service: "gantry", key: agentKey}, nil, 403, "AccessDeniedException"},
		{"command signed for ecs", call{method: "GET", path: "/gantry/v1/status"}, nil, 400, "Credential should be scoped to correct service: 'gantry'."},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := tt.call.request(t)
			if tt.alter != nil {
				tt.alter(r)
			}
			w := httptest.NewRecorder()
			newDoor(nil).ServeHTTP(w, r)
			if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.want) {
				t.Errorf("got %d %s, want %d with %s", w.Code, w.Body, tt.status, tt.want)
			}
		})
	}
}

func TestAgentsMayCallWhatAgentsNeed(t *testing.T) {
	const prefix = "arn:aws:ecs:us-east-1:123456789012:"
	tests := []struct {
		operation, body string
		status          int
		want            string
	}{
		{"ListClusters", `{}`, 403, `{"__type":"AccessDeniedException","message":"User: arn:aws:iam::123456789012:user/gantry/agent/AKIAAGENT is not authorized to perform: ecs:ListClusters on resource: * because`},
		{"DiscoverPollEndpoint", `{"cluster":"prod","containerInstance":"i1"}`, 200, `{}`},
		{"DiscoverPollEndpoint", `{"containerInstance":"` + prefix + `container-instance/prod/i1"}`, 200, `{}`},
		{"DiscoverPollEndpoint", `{"cluster":"prod","containerInstance":"i2"}`, 403, "ecs:DiscoverPollEndpoint on resource: i2"},
		{"DiscoverPollEndpoint", `{"cluster":"test","containerInstance":"i1"}`, 403, "AccessDeniedException"},
		{"SubmitTaskStateChange", `{"cluster":"prod","task":"` + prefix + `task/prod/t1"}`, 200, `{}`},
		{"SubmitTaskStateChange", `{"cluster":"prod","task":"t1"}`, 200, `{}`},
		{"SubmitTaskStateChange", `{"cluster":"prod","task":"forgotten"}`, 200, `{}`},
		{"SubmitTaskStateChange", `{"cluster":"prod","task":"t2"}`, 403, "AccessDeniedException"},
		{"GetTaskProtection", `{"cluster":"prod","tasks":["t1"]}`, 200, `{}`},
		{"GetTaskProtection", `{"cluster":"prod","tasks":["t1","t2"]}`, 403, "ecs:GetTaskProtection on resource: t2"},
		{"GetTaskProtection", `{"cluster":"prod"}`, 403, "ecs:GetTaskProtection on resource: *"},
		{"UpdateTaskProtection", `{"cluster":"prod","protectionEnabled":true,"tasks":["` + prefix + `task/prod/t1"]}`, 200, `{}`},
		{"UpdateTaskProtection", `{"cluster":"prod","protectionEnabled":true,"tasks":["t2"]}`, 403, "ecs:UpdateTaskProtection on resource: t2"},
		{"UpdateTaskProtection", `{"cluster":"prod","protectionEnabled":true,"tasks":["unknown"]}`, 403, "AccessDeniedException"},
	}
	for _, tt := range tests {
		t.Run(tt.operation+tt.body, func(t *testing.T) {
			w := httptest.NewRecorder()
			newDoor(nil).ServeHTTP(w, call{target: tt.operation, body: tt.body, key: agentKey}.request(t))
			if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.want) {
				t.Errorf("got %d %s, want %d with %s", w.Code, w.Body, tt.status, tt.want)
			}
		})
	}
}

// An answer under way when gantry is told to stop still arrives, and the listener is gone afterwards.
func TestServeFinishesWhatIsUnderWay(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	arrived, goOn := make(chan struct{}), make(chan struct{})
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-goOn
		fmt.Fprint(w, "done ", r.Context().Err())
	})
	served := make(chan error, 1)
	go func() { served <- Serve(ctx, ln, h, slog.New(slog.DiscardHandler)) }()
	answer := make(chan string, 1)
	go func() {
		resp, err := http.Get("http://" + ln.Addr().String())
		if err != nil {
			answer <- err.Error()
			return
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		answer <- string(body)
	}()
	<-arrived
	stop()
	for { // until the listener is closed
		conn, err := net.DialTimeout("tcp", ln.Addr().String(), time.Second)
		if err != nil {
			break
		}
		conn.Close()
	}
	close(goOn)
	if got := <-answer; got != "done <nil>" {
		t.Errorf("the answer under way was %q", got)
	}
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
}

// A connection on which nobody has asked anything does not hold the stop up.
func TestServeDoesNotWaitForTheUnused(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- Serve(ctx, ln, http.NotFoundHandler(), slog.New(slog.DiscardHandler)) }()
	unused, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer unused.Close()
	if resp, err := http.Get("http://" + ln.Addr().String()); err != nil { // it was accepted after the other one
		t.Fatal(err)
	} else {
		resp.Body.Close()
	}
	began := time.Now()
	stop()
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if took := time.Since(began); took >= shutdownGrace {
		t.Errorf("the stop took %s", took)
	}
}

// Some SDKs fail now and then when header and body arrive in two pieces.
func TestAnswerArrivesInOnePiece(t *testing.T) {
	srv := httptest.NewServer(newDoor(nil))
	defer srv.Close()
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: x\r\nX-Amz-Target: none\r\nContent-Length: 0\r\n\r\n")
	buf := make([]byte, 64<<10)
	n, err := conn.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(strings.NewReader(string(buf[:n]))), nil)
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(resp.Body); err != nil || !strings.HasSuffix(string(body), "}") {
		t.Errorf("the first segment ends in the middle: %q, %v", body, err)
	}
}
