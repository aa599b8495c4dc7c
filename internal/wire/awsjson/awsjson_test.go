package awsjson_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"

	"gantry/internal/wire"
	"gantry/internal/wire/awsjson"
	"gantry/internal/wire/ecsapi"
)

const target = "AmazonEC2ContainerServiceV20141113"

// service returns ECS with the given operations; what it logs goes into log.
func service(ops *ecsapi.Operations, log *bytes.Buffer) *awsjson.Service {
	return awsjson.New(awsjson.Config{
		Title:  "Amazon ECS",
		Target: target,
		Table:  ops.Table(),
		Fault:  func(m string) *wire.Error { return ecsapi.NewServerException(m) },
		Log:    slog.New(slog.NewTextHandler(log, nil)),
	})
}

// request is a call of an operation as a client sends it.
func request(operation, body string) *http.Request {
	r := httptest.NewRequest("POST", "/", strings.NewReader(body))
	r.Header.Set("X-Amz-Target", target+"."+operation)
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	return r
}

func serve(s *awsjson.Service, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

// everything offers every operation; each answers an empty output.
func everything() *ecsapi.Operations {
	ops := &ecsapi.Operations{}
	for f, v := range reflect.ValueOf(ops).Elem().Fields() {
		v.Set(reflect.MakeFunc(f.Type, func([]reflect.Value) []reflect.Value {
			return []reflect.Value{reflect.New(f.Type.Out(0).Elem()), reflect.Zero(f.Type.Out(1))}
		}))
	}
	return ops
}

// TestBadInputs runs testdata/bad_inputs.txt: a line "Operation body", then the line that answers it.
func TestBadInputs(t *testing.T) {
	text, err := os.ReadFile("testdata/bad_inputs.txt")
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	s := service(everything(), &log)
	var call string
	cases := 0
	for n, line := range strings.Split(string(text), "\n") {
		switch {
		case line == "" || line[0] == '#':
		case call == "":
			call = line
		default:
			cases++
			operation, body, _ := strings.Cut(call, " ")
			w := serve(s, request(operation, body))
			if got := outcome(t, w); got != line {
				t.Errorf("line %d: %s\n got %s\nwant %s", n+1, call, got, line)
			}
			call = ""
		}
	}
	if cases < 30 {
		t.Errorf("only %d cases were read", cases)
	}
	if log.Len() > 0 {
		t.Errorf("a client's mistake was logged as ours: %s", log.String())
	}
}

// outcome returns "400 ClientException: text", or "200".
func outcome(t *testing.T, w *httptest.ResponseRecorder) string {
	t.Helper()
	if w.Code == 200 {
		return "200 " + w.Body.String()
	}
	var e struct {
		Type    string `json:"__type"`
		Message string `json:"message"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil {
		t.Fatalf("answer %d is not JSON: %q", w.Code, w.Body)
	}
	return fmt.Sprintf("%d %s: %s", w.Code, e.Type, e.Message)
}

func TestAnswer(t *testing.T) {
	ops := &ecsapi.Operations{
		ListClusters: func(_ context.Context, in *ecsapi.ListClustersInput) (*ecsapi.ListClustersOutput, error) {
			return &ecsapi.ListClustersOutput{ClusterArns: []string{}, NextToken: in.NextToken}, nil
		},
	}
	w := serve(service(ops, &bytes.Buffer{}), request("ListClusters", `{"nextToken":"<&>","fromTheFuture":{"a":[1]}}`))
	if got, want := w.Body.String(), `{"clusterArns":[],"nextToken":"<&>"}`; w.Code != 200 || got != want {
		t.Errorf("got %d %s, want %s", w.Code, got, want)
	}
	for header, want := range map[string]string{"Content-Type": "application/x-amz-json-1.1", "Content-Length": "36"} {
		if got := w.Header().Get(header); got != want {
			t.Errorf("%s: got %q, want %q", header, got, want)
		}
	}
	if id := w.Header().Get("x-amzn-RequestId"); len(id) != 36 {
		t.Errorf("request id %q is not a UUID", id)
	}
}

func TestNoOutputIsAnEmptyObject(t *testing.T) {
	ops := &ecsapi.Operations{DescribeTasks: func(context.Context, *ecsapi.DescribeTasksInput) (*ecsapi.DescribeTasksOutput, error) {
		return nil, nil
	}}
	if got := outcome(t, serve(service(ops, &bytes.Buffer{}), request("DescribeTasks", `{"tasks":["t"]}`))); got != "200 {}" {
		t.Errorf("got %s", got)
	}
}

func TestJSON10IsAnsweredAsSuch(t *testing.T) {
	r := request("ListClusters", "")
	r.Header.Set("Content-Type", "application/x-amz-json-1.0")
	w := serve(service(everything(), &bytes.Buffer{}), r)
	if got := w.Header().Get("Content-Type"); w.Code != 200 || got != "application/x-amz-json-1.0" {
		t.Errorf("got %d, content type %q", w.Code, got)
	}
}

func TestRequestIDOfAnOuterHandlerIsKept(t *testing.T) {
	w := httptest.NewRecorder()
	w.Header().Set(awsjson.RequestIDHeader, "outer")
	service(everything(), &bytes.Buffer{}).Answer(w, request("ListClusters", ""), nil)
	if got := w.Header().Get(awsjson.RequestIDHeader); got != "outer" {
		t.Errorf("request id is %q", got)
	}
}

func TestExceptionWithMembers(t *testing.T) {
	for _, tt := range []struct {
		err  error
		code int
		want string
	}{
		{ecsapi.NewConflictException("Used.", []string{"arn:1"}), 400, `{"__type":"ConflictException","message":"Used.","resourceIds":["arn:1"]}`},
		{ecsapi.NewConflictException("Used.", nil), 400, `{"__type":"ConflictException","message":"Used."}`},
		{fmt.Errorf("stop task: %w", ecsapi.NewAccessDeniedException("No.")), 403, `{"__type":"AccessDeniedException","message":"No."}`},
		{&wire.Error{Code: "ThrottlingException", Message: "Rate exceeded"}, 400, `{"__type":"ThrottlingException","message":"Rate exceeded"}`},
	} {
		ops := &ecsapi.Operations{StopTask: func(context.Context, *ecsapi.StopTaskInput) (*ecsapi.StopTaskOutput, error) { return nil, tt.err }}
		w := serve(service(ops, &bytes.Buffer{}), request("StopTask", `{"task":"t"}`))
		if got := w.Body.String(); w.Code != tt.code || got != tt.want {
			t.Errorf("%v: got %d %s, want %d %s", tt.err, w.Code, got, tt.code, tt.want)
		}
	}
}

// A failure of ours tells the client nothing but where to look, and the log everything.
func TestFailureOfOurs(t *testing.T) {
	for name, fail := range map[string]func() error{
		"error": func() error { return errors.New("disk is gone") },
		"panic": func() error { panic("disk is gone") },
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			ops := &ecsapi.Operations{StopTask: func(context.Context, *ecsapi.StopTaskInput) (*ecsapi.StopTaskOutput, error) { return nil, fail() }}
			w := serve(service(ops, &log), request("StopTask", `{"task":"t"}`))
			id := w.Header().Get("x-amzn-RequestId")
			if got := outcome(t, w); got != "500 ServerException: gantry could not carry this out. Its log says why, with request id "+id+"." {
				t.Errorf("got %s", got)
			}
			if !strings.Contains(log.String(), id) || !strings.Contains(log.String(), "disk is gone") {
				t.Errorf("the log does not say what happened to %s: %s", id, log.String())
			}
		})
	}
}

// What people can do something about they are told.
func TestAdvice(t *testing.T) {
	full := errors.New("the disk is full")
	ops := &ecsapi.Operations{StopTask: func(context.Context, *ecsapi.StopTaskInput) (*ecsapi.StopTaskOutput, error) {
		return nil, fmt.Errorf("commit: /secret/path: %w", full)
	}}
	s := awsjson.New(awsjson.Config{
		Title: "Amazon ECS", Target: "AmazonEC2ContainerServiceV20141113", Table: ops.Table(), Fault: ecsapi.NewServerException, Log: slog.New(slog.DiscardHandler),
		Advice: func(err error) string {
			if errors.Is(err, full) {
				return "Make room."
			}
			return ""
		},
	})
	if got := outcome(t, serve(s, request("StopTask", `{"task":"t"}`))); got != "500 ServerException: Make room." {
		t.Errorf("got %s", got)
	}
}

// A client that hangs up is not a failure to report.
func TestClientGoneIsNotLogged(t *testing.T) {
	var log bytes.Buffer
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	ops := &ecsapi.Operations{StopTask: func(ctx context.Context, _ *ecsapi.StopTaskInput) (*ecsapi.StopTaskOutput, error) {
		return nil, fmt.Errorf("read tasks: %w", ctx.Err())
	}}
	serve(service(ops, &log), request("StopTask", `{"task":"t"}`).WithContext(ctx))
	if log.Len() > 0 {
		t.Errorf("logged: %s", log.String())
	}
}

func TestBodyIsBounded(t *testing.T) {
	s := service(everything(), &bytes.Buffer{})
	big := `{"cluster":"` + strings.Repeat("x", awsjson.MaxBody) + `"}`
	w := serve(s, request("ListTasks", big))
	want := "413 RequestEntityTooLargeException: The body has more than the 1048576 bytes that Amazon ECS takes in one request."
	if got := outcome(t, w); got != want {
		t.Errorf("got %s", got)
	}
	w = httptest.NewRecorder()
	s.Answer(w, request("ListTasks", ""), []byte(big))
	if got := outcome(t, w); got != want {
		t.Errorf("body read before: got %s", got)
	}
}

func TestOtherRefusals(t *testing.T) {
	get := request("ListTasks", "")
	get.Method = "GET"
	none := request("ListTasks", "")
	none.Header.Del("X-Amz-Target")
	other := request("ListTasks", "")
	other.Header.Set("X-Amz-Target", "Logs_20140328.DescribeLogGroups")
	zipped := request("ListTasks", "\x1f\x8b")
	zipped.Header.Set("Content-Encoding", "gzip")
	for _, tt := range []struct {
		request *http.Request
		want    string
	}{
		{get, "400 UnknownOperationException: Amazon ECS is called by POST, not GET."},
		{none, `400 UnknownOperationException: Amazon ECS has no operation "".`},
		{other, `400 UnknownOperationException: Amazon ECS has no operation "Logs_20140328.DescribeLogGroups".`},
		{zipped, `400 SerializationException: ListTasks: the body has Content-Encoding "gzip"; send it as it is.`},
		{request("RunTasks", "{}"), `400 UnknownOperationException: Amazon ECS has no operation "AmazonEC2ContainerServiceV20141113.RunTasks".`},
		{request("RunTask", "{}"), "400 UnsupportedOperationException: RunTask is an operation of Amazon ECS that gantry does not offer yet."},
	} {
		ops := everything()
		ops.RunTask = nil
		if got := outcome(t, serve(service(ops, &bytes.Buffer{}), tt.request)); got != tt.want {
			t.Errorf("got %s\nwant %s", got, tt.want)
		}
	}
}

// Some AWS SDKs fail now and then when header and body arrive apart.
func TestHeaderAndBodyAreOneWrite(t *testing.T) {
	ops := &ecsapi.Operations{ListTasks: func(_ context.Context, in *ecsapi.ListTasksInput) (*ecsapi.ListTasksOutput, error) {
		return &ecsapi.ListTasksOutput{NextToken: in.NextToken}, nil
	}}
	for _, size := range []int{0, 1000, 3000} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		counter := &countingListener{Listener: l}
		server := &httptest.Server{Listener: counter, Config: &http.Server{Handler: service(ops, &bytes.Buffer{})}}
		server.Start()
		r := request("ListTasks", `{"nextToken":"`+strings.Repeat("x", size)+`"}`)
		r.RequestURI = ""
		if r.URL, err = url.Parse(server.URL); err != nil {
			t.Fatal(err)
		}
		resp, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		server.Close()
		if err != nil || resp.ContentLength != int64(len(body)) || len(body) < size {
			t.Errorf("size %d: %d bytes of %d, %v", size, len(body), resp.ContentLength, err)
		}
		if n := counter.writes.Load(); n != 1 {
			t.Errorf("size %d: %d writes", size, n)
		}
	}
}

// A countingListener counts the writes to the connections that it accepts.
type countingListener struct {
	net.Listener
	writes atomic.Int32
}

func (l *countingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return countingConn{c, &l.writes}, err
}

type countingConn struct {
	net.Conn
	writes *atomic.Int32
}

func (c countingConn) Write(b []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(b)
}

// Whatever comes in, the client is told of a mistake of its own; we neither fail nor panic.
func FuzzServe(f *testing.F) {
	for _, seed := range []string{
		"", "{}", "null", "[]", `{"containerDefinitions":[{"name":"a","cpu":1.5}]}`, `{"family":"f","containerDefinitions":[null]}`,
		`{"family":"f","containerDefinitions":[{"dependsOn":[{"condition":"NO"}],"dockerLabels":{"a":null}}],"tags":[{"key":"\ud800"}]}`,
		strings.Repeat(`{"a":[`, 100), `{"family":1e999}`, "{\"family\":\"\xff\"}",
	} {
		f.Add("RegisterTaskDefinition", []byte(seed))
	}
	f.Add("SubmitTaskStateChange", []byte(`{"pullStartedAt":1.4e9,"executionStoppedAt":-0.5}`))
	f.Add("CreateService", []byte(`{"serviceName":"s","deploymentConfiguration":{"lifecycleHooks":[{"hookDetails":{"a":1}}]}}`))
	s := service(everything(), &bytes.Buffer{})
	f.Fuzz(func(t *testing.T, operation string, body []byte) {
		r := request(operation, "")
		w := httptest.NewRecorder()
		s.Answer(w, r, body)
		if w.Code != 200 && (w.Code < 400 || w.Code > 499) {
			t.Errorf("answered %d %s", w.Code, w.Body)
		}
		if !json.Valid(w.Body.Bytes()) {
			t.Errorf("the answer is not JSON: %q", w.Body)
		}
	})
}
