package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gantry/internal/wire"
	"gantry/internal/wire/awsjson"
	"gantry/internal/wire/ecsapi"
	"gantry/internal/wire/eventsapi"
	"gantry/internal/wire/logsapi"
)

// The SDK publishes, for its own tests, a request and a response of every operation with every member filled, and
// every error. A client sends and understands exactly these; so must gantry.

// A golden is a service and what to compare it with.
type golden struct {
	module       string
	target       string
	operations   any // pointer to the service's Operations
	table        func() []wire.Operation
	constructors map[string]any
	requests     int // how many of each there are at least, so that a moved folder is noticed
	errors       int
}

func goldens() []golden {
	ecs, logs, events := &ecsapi.Operations{}, &logsapi.Operations{}, &eventsapi.Operations{}
	return []golden{
		{
			module: "github.com/aws/aws-sdk-go-v2/service/ecs", target: "AmazonEC2ContainerServiceV20141113",
			operations: ecs, table: ecs.Table, constructors: ecsapiConstructors, requests: 88, errors: 31,
		},
		{
			module: "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs", target: "Logs_20140328",
			operations: logs, table: logs.Table, constructors: logsapiConstructors, requests: 116, errors: 16,
		},
		{
			module: "github.com/aws/aws-sdk-go-v2/service/eventbridge", target: "AWSEvents",
			operations: events, table: events.Table, constructors: eventsapiConstructors, requests: 57, errors: 13,
		},
	}
}

// TestGoldenCalls sends every published request through gantry's own handler to an operation that answers the published
// response, and compares what the operation was given and what the client gets with what was published.
func TestGoldenCalls(t *testing.T) {
	for _, g := range goldens() {
		dir := moduleDir(t, g.module)
		var given any
		for f, v := range reflect.ValueOf(g.operations).Elem().Fields() {
			out := f.Type.Out(0).Elem()
			response := readSnap(t, filepath.Join(dir, "response_snapshot", f.Name+".response.snap"))
			v.Set(reflect.MakeFunc(f.Type, func(args []reflect.Value) []reflect.Value {
				given = args[1].Interface()
				answer := reflect.New(out)
				if err := json.Unmarshal(response.body, answer.Interface()); err != nil {
					t.Errorf("%s: the published response does not fit: %v", f.Name, err)
				}
				return []reflect.Value{answer, reflect.Zero(f.Type.Out(1))}
			}))
		}
		s := service(g)
		n := 0
		for _, op := range g.table() {
			if !op.Offered() {
				continue // answers with an event stream
			}
			n++
			t.Run(op.Name, func(t *testing.T) {
				request := readSnap(t, filepath.Join(dir, "request_snapshot", op.Name+".request.snap"))
				want := readSnap(t, filepath.Join(dir, "response_snapshot", op.Name+".response.snap"))
				w := request.serve(s)
				if w.Code != 200 {
					t.Fatalf("answered %d %s", w.Code, w.Body)
				}
				again, err := json.Marshal(given)
				if err != nil {
					t.Fatal(err)
				}
				compare(t, "request", request.body, again)
				compare(t, "response", want.body, w.Body.Bytes())
				compareHeaders(t, want.header, w.Header())
			})
		}
		if n < g.requests {
			t.Errorf("%s: %d operations were called, expected %d", g.target, n, g.requests)
		}
	}
}

// TestGoldenErrors makes every published error with its constructor and compares status, headers and body.
func TestGoldenErrors(t *testing.T) {
	for _, g := range goldens() {
		dir := moduleDir(t, g.module)
		files, err := filepath.Glob(filepath.Join(dir, "response_snapshot", "*.error.snap"))
		if err != nil || len(files) < g.errors {
			t.Fatalf("%s: %d published errors, expected %d; %v", g.target, len(files), g.errors, err)
		}
		for _, file := range files {
			code := strings.TrimSuffix(filepath.Base(file), ".error.snap")
			t.Run(code, func(t *testing.T) {
				want := readSnap(t, file)
				exception := construct(t, g.constructors[code], want.body)
				w := httptest.NewRecorder()
				awsjson.WriteError(w, httptest.NewRequest("POST", "/", nil), exception)
				if w.Code != want.status {
					t.Errorf("status %d, published is %d", w.Code, want.status)
				}
				compare(t, "error", want.body, w.Body.Bytes())
				compareHeaders(t, want.header, w.Header())
			})
		}
	}
}

// construct calls a constructor with the message and the other members that the published body has, in the order of their names.
func construct(t *testing.T, constructor any, body []byte) *wire.Error {
	t.Helper()
	if constructor == nil {
		t.Fatal("there is no constructor")
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(body, &members); err != nil {
		t.Fatal(err)
	}
	call := reflect.ValueOf(constructor)
	names := []string{"message"}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if name != "__type" && name != "message" {
			names = append(names, name)
		}
	}
	if len(names) != call.Type().NumIn() {
		t.Fatalf("published members are %v, the constructor takes %d", names, call.Type().NumIn())
	}
	var args []reflect.Value
	for i, name := range names {
		arg := reflect.New(call.Type().In(i))
		if err := json.Unmarshal(members[name], arg.Interface()); err != nil {
			t.Fatal(err)
		}
		args = append(args, arg.Elem())
	}
	return call.Call(args)[0].Interface().(*wire.Error)
}

func moduleDir(t *testing.T, module string) string {
	t.Helper()
	dir, err := dirOf(module)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func service(g golden) http.Handler {
	return awsjson.New(awsjson.Config{
		Title: g.target, Target: g.target, Table: g.table(), Log: slog.New(slog.DiscardHandler),
		Fault: func(m string) *wire.Error { return &wire.Error{Code: "Fault", Message: m, Status: 500} },
	})
}

// A snap is a published request or response.
type snap struct {
	status int // of a response
	header http.Header
	body   []byte
}

// readSnap reads a first line (method and path, or status), headers, an empty line and the body.
func readSnap(t *testing.T, name string) snap {
	t.Helper()
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(bytes.NewReader(raw))
	first, err := r.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	var s snap
	if s.status, err = strconv.Atoi(strings.TrimSpace(first)); err != nil {
		r.ReadString('\n') // a request has an empty line here
	}
	header, err := textproto.NewReader(r).ReadMIMEHeader()
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	s.header = http.Header(header)
	if s.body, err = io.ReadAll(r); err != nil {
		t.Fatal(err)
	}
	return s
}

// serve sends the request.
func (s snap) serve(h http.Handler) *httptest.ResponseRecorder {
	r := httptest.NewRequest("POST", "/", bytes.NewReader(s.body))
	r.Header = s.header
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// compare compares JSON, whatever the order of its members.
func compare(t *testing.T, what string, want, got []byte) {
	t.Helper()
	if diff := cmp.Diff(normal(t, want), normal(t, got)); diff != "" {
		t.Errorf("%s differs (-published +ours):\n%s", what, diff)
	}
}

func normal(t *testing.T, b []byte) (v any) {
	t.Helper()
	if len(b) == 0 {
		return map[string]any{} // an operation without output answers nothing or an empty object
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v in %s", err, b)
	}
	return v
}

// compareHeaders compares the headers that a client reads; the snapshots also repeat the request's target.
func compareHeaders(t *testing.T, want, got http.Header) {
	t.Helper()
	if w, g := want.Get("Content-Type"), got.Get("Content-Type"); w == "" || w != g {
		t.Errorf("content type %q, published is %q", g, w)
	}
	if got.Get("X-Amzn-Requestid") == "" {
		t.Error("no request id")
	}
	if n, err := strconv.Atoi(got.Get("Content-Length")); err != nil || n == 0 {
		t.Errorf("content length %q", got.Get("Content-Length"))
	}
}
