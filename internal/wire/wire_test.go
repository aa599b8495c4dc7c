package wire_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"gantry/internal/wire"
)

func TestTimestampIsWrittenAsAWSWritesIt(t *testing.T) {
	for _, tt := range []struct {
		at   time.Time
		want string
	}{
		{time.Unix(946684800, 0), "946684800"},
		{time.UnixMilli(1466801808595), "1466801808.595"},
		{time.UnixMilli(1466801808590), "1466801808.59"},
		{time.UnixMilli(1466801808005), "1466801808.005"},
		{time.Unix(1, 999_999_999), "1.999"},
		{time.Unix(0, 0), "0"},
		{time.UnixMilli(-1500), "-1.5"},
	} {
		got, err := json.Marshal(wire.At(tt.at))
		if err != nil || string(got) != tt.want {
			t.Errorf("%v: got %s, %v; want %s", tt.at, got, err, tt.want)
		}
	}
}

func TestTimestampIsReadInEveryNotation(t *testing.T) {
	for in, want := range map[string]int64{
		"946684800": 946684800000, "9.466848e8": 946684800000, "946684800.0": 946684800000,
		"1466801808.595": 1466801808595, "1466801808.5954": 1466801808595, "0": 0, "-1.5": -1500,
	} {
		var got wire.Timestamp
		if err := json.Unmarshal([]byte(in), &got); err != nil || got.UnixMilli() != want {
			t.Errorf("%s: got %d, %v; want %d", in, got.UnixMilli(), err, want)
		}
	}
	for _, in := range []string{`"2026-01-01T00:00:00Z"`, `1e300`, `true`, `{}`, `[]`} {
		var got wire.Timestamp
		if err := json.Unmarshal([]byte(in), &got); err == nil {
			t.Errorf("%s: read as %v", in, got)
		}
	}
}

// What At makes is what is read back, so that a stored time equals the one that was answered.
func TestTimestampRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := wire.At(time.UnixMicro(rapid.Int64Range(0, 253402300799_000_000).Draw(t, "microseconds")))
		b, err := json.Marshal(at)
		if err != nil {
			t.Fatal(err)
		}
		var back wire.Timestamp
		if err := json.Unmarshal(b, &back); err != nil || back != *at {
			t.Fatalf("%v was written as %s and read as %v, %v", at, b, back, err)
		}
	})
}

// A wrong item is found by its index, also behind other lists.
func TestDecodeErrorNamesThePlace(t *testing.T) {
	type item struct {
		Name  string            `json:"name"`
		Ports []int32           `json:"ports"`
		At    []wire.Timestamp  `json:"at"`
		Words map[string]string `json:"words"`
	}
	var into struct {
		Items []item `json:"items"`
	}
	for in, want := range map[string]string{
		`{"items":[{"ports":[1,2]},{"name":"a","ports":[1,"x"]}]}`: "items[1].ports[1]: expected a whole number up to 2147483647, got a string",
		`{"other":[{"a":[[]]}],"items":[{"ports":{}}]}`:            "items[0].ports: expected a list, got an object",
		`{"items":[[]]}`:                        "items[0]: expected an object, got a list",
		`{"items":[{"words":{"a":"b","c":1}}]}`: "items[0].words.c: expected a string, got a number",
		`{"items":[{"at":[1,"x"]}]}`:            "items.at: expected a time in seconds since 1970, as a number, got a string",
	} {
		if err := wire.DecodeJSON([]byte(in), &into); err == nil || err.Error() != want {
			t.Errorf("%s:\n got %v\nwant %s", in, err, want)
		}
	}
}

func TestDepthCountsBracketsOutsideStrings(t *testing.T) {
	deep := func(n int) []byte {
		return []byte(`{"a":` + strings.Repeat("[", n-1) + strings.Repeat("]", n-1) + `}`)
	}
	var into struct{}
	if err := wire.DecodeJSON(deep(wire.MaxDepth), &into); err != nil {
		t.Errorf("%d levels: %v", wire.MaxDepth, err)
	}
	if err := wire.DecodeJSON(deep(wire.MaxDepth+1), &into); err == nil {
		t.Errorf("%d levels were read", wire.MaxDepth+1)
	}
	if err := wire.DecodeJSON([]byte(`{"a":"`+strings.Repeat(`\"[{`, 100)+`"}`), &into); err != nil {
		t.Errorf("brackets in a string: %v", err)
	}
}

func TestAppendEncoded(t *testing.T) {
	type rest struct {
		Failures []string `json:"failures,omitzero"`
	}
	one, two := json.RawMessage(`{"a":1}`), json.RawMessage(`{"b":2}`)
	for _, tt := range []struct {
		items []json.RawMessage
		rest  rest
		want  string
	}{
		{nil, rest{}, `{"tasks":[]}`},
		{[]json.RawMessage{one}, rest{}, `{"tasks":[{"a":1}]}`},
		{[]json.RawMessage{one, two}, rest{Failures: []string{}}, `{"tasks":[{"a":1},{"b":2}],"failures":[]}`},
	} {
		got, err := wire.AppendEncoded(nil, "tasks", tt.items, tt.rest)
		if err != nil || string(got) != tt.want {
			t.Errorf("got %s, %v; want %s", got, err, tt.want)
		}
	}
}

func TestErrorIsFoundByCode(t *testing.T) {
	err := fmt.Errorf("stop task: %w", &wire.Error{Code: "ClusterNotFoundException", Message: "Cluster not found."})
	if !errors.Is(err, &wire.Error{Code: "ClusterNotFoundException"}) || errors.Is(err, &wire.Error{Code: "ClientException"}) {
		t.Errorf("%v is not told apart by its code", err)
	}
}

func TestCoverage(t *testing.T) {
	type (
		in  struct{}
		out struct{}
	)
	answer := func(context.Context, *in) (*out, error) { return &out{}, nil }
	var page strings.Builder
	err := wire.WriteCoverage(&page, "Amazon ECS", []wire.Operation{
		wire.NewOperation("RunTask", answer),
		wire.NewOperation[in, out]("StartTask", nil),
	})
	want := "## Amazon ECS\n\n1 of 2 operations.\n\n| operation | |\n|---|---|\n| RunTask | offered |\n| StartTask | not yet |\n"
	if err != nil || page.String() != want {
		t.Errorf("got %q, %v", page.String(), err)
	}
}
