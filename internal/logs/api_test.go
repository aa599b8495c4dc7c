package logs

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gantry"
	"gantry/internal/wire"
	"gantry/internal/wire/logsapi"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write what the operations answer into the scenarios, to be read before it is committed")

// TestScenarios plays testdata/*.txt: a line "> Operation {input}" and below it what
// is answered, an output or an exception with its message. The clock stands still
// unless "= 2026-11-23T12:00:00Z" sets it; "# …" is for the reader. {{now}}, {{now-5}}
// and {{now+3}} are times in milliseconds, so many seconds away; {{token}} is the
// token that the answer before held in nextToken, {{forward}} and {{backward}} those
// of GetLogEvents, and {{big 9}} is a string of nine letters.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, string(text))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(strings.Split(string(text), "\n"), strings.Split(got, "\n")); diff != "" && !*update {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func play(t *testing.T, scenario string) string {
	var now time.Time
	ops := NewOperations(Config{
		Engine: open(t, t.TempDir()), Place: gantry.Place{Region: "us-east-1", Account: "123456789012"},
		Now: func() time.Time { return now },
	})
	table := map[string]wire.Operation{}
	for _, op := range ops.Table() {
		table[op.Name] = op
	}
	words := words{now: &now, tokens: map[string]string{}}
	var out strings.Builder
	for line := range strings.Lines(scenario) {
		switch {
		case strings.HasPrefix(line, "= "):
			at, err := time.Parse(time.RFC3339, strings.TrimSpace(line[2:]))
			if err != nil {
				t.Fatal(err)
			}
			now = at
			out.WriteString(line)
		case strings.HasPrefix(line, "> "):
			out.WriteString(line)
			name, input, _ := strings.Cut(strings.TrimSpace(line[2:]), " ")
			out.WriteString(words.abstract(call(t, table[name], words.concrete(t, input))) + "\n")
		case strings.HasPrefix(line, "#"), strings.TrimSpace(line) == "":
			out.WriteString(line)
		}
	}
	return out.String()
}

func call(t *testing.T, op wire.Operation, input string) string {
	t.Helper()
	if !op.Offered() {
		t.Fatalf("operation %s is not offered", op.Name)
	}
	in := op.NewInput()
	if err := wire.DecodeJSON([]byte(input), in); err != nil {
		t.Fatalf("%s %s: %v", op.Name, input, err)
	}
	answer, err := op.Call(t.Context(), in)
	if err != nil {
		return err.Error()
	}
	text, err := json.Marshal(answer)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// FilterLogEvents answers every event once over its pages, in either direction, also
// where events of several streams share a millisecond.
func TestFilterPages(t *testing.T) {
	now := time.UnixMilli(1_800_000_000_000)
	ops := NewOperations(Config{Engine: open(t, t.TempDir()), Now: func() time.Time { return now }})
	ctx, group := t.Context(), new("g")
	if _, err := ops.CreateLogGroup(ctx, &logsapi.CreateLogGroupInput{LogGroupName: group}); err != nil {
		t.Fatal(err)
	}
	total := 0
	for _, stream := range []string{"a", "b", "c"} {
		if _, err := ops.CreateLogStream(ctx, &logsapi.CreateLogStreamInput{LogGroupName: group, LogStreamName: &stream}); err != nil {
			t.Fatal(err)
		}
		for batch := range 3 {
			in := &logsapi.PutLogEventsInput{LogGroupName: group, LogStreamName: &stream}
			for i := range 20 {
				in.LogEvents = append(in.LogEvents, logsapi.InputLogEvent{Message: new("m"), Timestamp: new(now.UnixMilli() - 10 + int64(i/5+batch))})
				total++
			}
			if _, err := ops.PutLogEvents(ctx, in); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, fromHead := range []bool{true, false} {
		for _, size := range []int32{1, 7, 100, 10000} {
			seen := map[string]bool{}
			last := int64(0)
			in := &logsapi.FilterLogEventsInput{LogGroupName: group, Limit: &size, StartFromHead: &fromHead, StartTime: new(newestFirst.UnixMilli())}
			for {
				out, err := ops.FilterLogEvents(ctx, in)
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range out.Events {
					if seen[*e.EventId] {
						t.Fatalf("limit %d: event %s came twice", size, *e.EventId)
					}
					seen[*e.EventId] = true
					if last != 0 && (fromHead && *e.Timestamp < last || !fromHead && *e.Timestamp > last) {
						t.Fatalf("limit %d: time %d after %d", size, *e.Timestamp, last)
					}
					last = *e.Timestamp
				}
				if out.NextToken == nil {
					break
				}
				in.NextToken = out.NextToken
			}
			if len(seen) != total {
				t.Errorf("from head %v, limit %d: %d of %d events", fromHead, size, len(seen), total)
			}
		}
	}
}
