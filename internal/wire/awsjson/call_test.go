package awsjson

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"gantry/internal/wire"

	"github.com/google/go-cmp/cmp"
)

func TestNewCall(t *testing.T) {
	r, body, err := NewCall(t.Context(), "http://127.0.0.1:4747/", "Service.Do", map[string]string{"a": "<b>"})
	if err != nil {
		t.Fatal(err)
	}
	if r.Method != "POST" || r.URL.String() != "http://127.0.0.1:4747/" || r.Header.Get("X-Amz-Target") != "Service.Do" || r.Header.Get("Content-Type") != "application/x-amz-json-1.1" {
		t.Errorf("%s %s %v", r.Method, r.URL, r.Header)
	}
	if sent, _ := io.ReadAll(r.Body); string(sent) != string(body) || int64(len(body)) != r.ContentLength {
		t.Errorf("sends %q, and %q is to be signed", sent, body)
	}
}

func TestReadAnswer(t *testing.T) {
	for _, tt := range []struct {
		name   string
		status int
		body   string
		out    map[string]string
		err    *wire.Error
	}{
		{"output", 200, `{"a":"b"}`, map[string]string{"a": "b"}, nil},
		{"no output", 200, ``, nil, nil},
		{"error", 400, `{"__type":"ClientException","message":"no"}`, nil, &wire.Error{Code: "ClientException", Message: "no", Status: 400, RequestID: "r-1"}},
		{"error with its namespace", 400, `{"__type":"com.amazonaws.ecs#ClientException","Message":"no"}`, nil, &wire.Error{Code: "ClientException", Message: "no", Status: 400, RequestID: "r-1"}},
		{"a proxy's page", 502, `<html>`, nil, &wire.Error{Message: "HTTP status 502 without an AWS error", Status: 502, RequestID: "r-1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out map[string]string
			err := ReadAnswer(&http.Response{StatusCode: tt.status, Header: http.Header{RequestIDHeader: {"r-1"}}, Body: io.NopCloser(strings.NewReader(tt.body))}, 1<<10, &out)
			got, _ := errors.AsType[*wire.Error](err)
			if tt.err == nil && err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff(tt.err, got); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.out, out); diff != "" {
				t.Errorf("output (-want +got):\n%s", diff)
			}
		})
	}
	err := ReadAnswer(&http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader(`{"a":"bcd"}`))}, 8, &struct{}{})
	if err == nil || !strings.HasPrefix(err.Error(), "read the answer: ") {
		t.Errorf("a longer answer than is read: %v", err)
	}
}
