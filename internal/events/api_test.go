package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"gantry/internal/store"
	"gantry/internal/wire"
	"gantry/internal/wire/eventsapi"
)

func newOps(t *testing.T) (*eventsapi.Operations, *store.Store) {
	st, err := store.NewMemory().Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	n := 0
	return NewOperations(APIConfig{Place: here, Store: st, NewID: func() string { n++; return fmt.Sprint("id-", n) }}), st
}

// call calls an operation by its name, as the protocol does.
func call(ctx context.Context, ops *eventsapi.Operations, name, body string) (any, error) {
	for _, op := range ops.Table() {
		if op.Name == name {
			in := op.NewInput()
			if err := wire.DecodeJSON([]byte(body), in); err != nil {
				return nil, err
			}
			return op.Call(ctx, in)
		}
	}
	return nil, fmt.Errorf("no operation is named %s", name)
}

// TestAPI reads a conversation: an operation and its input, and below it the answer that is expected, or the words of a
// refusal.
func TestAPI(t *testing.T) {
	ops, _ := newOps(t)
	text, err := os.ReadFile("testdata/api.txt")
	if err != nil {
		t.Fatal(err)
	}
	n, operation, input := 0, "", ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		verb, rest, _ := strings.Cut(line, " ")
		switch verb {
		case "", "#":
		case "answers", "refused":
			n++
			out, err := call(t.Context(), ops, operation, input)
			if verb == "refused" {
				code, words, _ := strings.Cut(rest, " ")
				e, ok := errors.AsType[*wire.Error](err)
				if !ok || e.Code != code || !strings.Contains(e.Message, words) || e.Status >= 500 {
					t.Errorf("%s %s\nis refused with %v, want %s", operation, input, err, rest)
				}
				continue
			}
			if err != nil {
				t.Errorf("%s %s\nis refused: %v", operation, input, err)
				continue
			}
			body, err := json.Marshal(out)
			if err != nil {
				t.Fatal(err)
			}
			if got := string(body); got != rest {
				t.Errorf("%s %s\nanswers %s\nwant    %s", operation, input, got, rest)
			}
		default:
			operation, input = verb, rest
		}
	}
	if n < 50 {
		t.Errorf("only %d exchanges", n)
	}
}

func TestPaging(t *testing.T) {
	ops, _ := newOps(t)
	for n := range 7 {
		if _, err := call(t.Context(), ops, "PutRule", fmt.Sprintf(`{"Name": "r%d", "ScheduleExpression": "rate(1 hour)"}`, n)); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	in := &eventsapi.ListRulesInput{Limit: new(int32(3))}
	for pages := 1; ; pages++ {
		out, err := ops.ListRules(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range out.Rules {
			got = append(got, *r.Name)
		}
		if out.NextToken == nil {
			if pages != 3 {
				t.Errorf("%d pages", pages)
			}
			break
		}
		in.NextToken = out.NextToken
	}
	if strings.Join(got, " ") != "r0 r1 r2 r3 r4 r5 r6" {
		t.Errorf("got %v", got)
	}
	if _, err := ops.ListRuleNamesByTarget(t.Context(), &eventsapi.ListRuleNamesByTargetInput{TargetArn: new("a"), NextToken: in.NextToken}); err == nil {
		t.Error("a token of another list is taken")
	}
}

func TestQuotas(t *testing.T) {
	ops, _ := newOps(t)
	for n := range mostRules + 1 {
		_, err := call(t.Context(), ops, "PutRule", fmt.Sprintf(`{"Name": "r%d", "ScheduleExpression": "rate(1 hour)"}`, n))
		if e, _ := errors.AsType[*wire.Error](err); (err != nil) != (n == mostRules) || err != nil && e.Code != "LimitExceededException" {
			t.Fatalf("rule %d: %v", n, err)
		}
	}
	for n := range mostTargets + 1 {
		_, err := call(t.Context(), ops, "PutTargets", fmt.Sprintf(`{"Rule": "r1", "Targets": [{"Id": "t%d", "Arn": "arn:aws:logs:us-east-1:123456789012:log-group:g"}]}`, n))
		if e, _ := errors.AsType[*wire.Error](err); (err != nil) != (n == mostTargets) || err != nil && e.Code != "LimitExceededException" {
			t.Fatalf("target %d: %v", n, err)
		}
	}
}
