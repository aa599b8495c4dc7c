package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
)

// TestRefusals sends bad inputs, past the checks of any client, and compares the
// exception and its message with testdata/refusals.txt.
func TestRefusals(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	c := s.sdk()
	cluster := "refusals"
	must(t, c.CreateCluster, &ecs.CreateClusterInput{ClusterName: &cluster})
	t.Cleanup(func() {
		if err := empty(context.Background(), c, cluster); err != nil {
			t.Error(err)
		}
	})
	text, err := os.ReadFile("testdata/refusals.txt")
	if err != nil {
		t.Fatal(err)
	}
	s.call(t, ecsTarget+"RegisterTaskDefinition", `{"family":"refusals","containerDefinitions":[{"name":"web","image":"x","memory":64}]}`)
	title := ""
	for n, block := range strings.Split(string(text), "\n\n") {
		lines := strings.Split(strings.TrimSpace(block), "\n")
		for len(lines) > 0 && strings.HasPrefix(lines[0], "#") {
			title, lines = lines[0], lines[1:]
		}
		if len(lines) == 0 {
			continue
		}
		request, want, ok := strings.Cut(strings.Join(lines, "\n"), "\n=> ")
		operation, body, ok2 := strings.Cut(request, " ")
		if !ok || !ok2 {
			t.Fatalf("block %d (%s) is not of the form: Operation {…}, => Exception: message", n, title)
		}
		a := s.call(t, ecsTarget+operation, fill(body))
		if got := a.code + ": " + a.message; got != want || a.status < 400 || a.status >= 500 {
			t.Errorf("%s\n%s\n=> %s\nwant %s (status %d)", title, request, got, want, a.status)
		}
	}
}

// fill replaces LONG<n> by n letters, and MANY<n> by n items, which nobody wants to read in a file.
func fill(body string) string {
	for _, f := range []struct {
		word string
		make func(n int) string
	}{
		{"LONG", func(n int) string { return strings.Repeat("x", n) }},
		{"MANY", func(n int) string { return strings.TrimSuffix(strings.Repeat(`"x",`, n), ",") }},
		{"TAGS", func(n int) string {
			var out []string
			for i := range n {
				out = append(out, fmt.Sprintf(`{"key":"k%d","value":"v"}`, i))
			}
			return strings.Join(out, ",")
		}},
	} {
		for {
			before, after, found := strings.Cut(body, f.word+"<")
			if !found {
				break
			}
			number, rest, _ := strings.Cut(after, ">")
			var n int
			fmt.Sscan(number, &n)
			body = before + f.make(n) + rest
		}
	}
	return body
}

// offered are the operations of Amazon ECS that the coverage page promises.
func offered(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository(), "docs", "reference", "coverage.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, page, _ := strings.Cut(string(text), "\n## Amazon ECS\n")
	page, _, _ = strings.Cut(page, "\n## ")
	var out []string
	for _, row := range regexp.MustCompile(`(?m)^\| (\w+) \| offered`).FindAllStringSubmatch(page, -1) {
		out = append(out, row[1])
	}
	if len(out) < 40 {
		t.Fatalf("the coverage page promises only %d operations: %v", len(out), out)
	}
	return out
}

// TestEveryOperationAnswers: each of the SDK's operations is offered or says that
// it is not yet, at once and with a status that makes no client try again.
func TestEveryOperationAnswers(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	client := reflect.TypeFor[*ecs.Client]()
	promised, all := offered(t), 0
	for i := range client.NumMethod() {
		m := client.Method(i)
		if m.Type.NumIn() != 4 || m.Type.NumOut() != 2 || m.Name == "Options" {
			continue
		}
		all++
		a := s.call(t, ecsTarget+m.Name, `{"cluster":"nobody-made-this-one"}`)
		notYet := a.code == "UnsupportedOperationException" && a.status == 400 &&
			a.message == m.Name+" is an operation of Amazon ECS that gantry does not offer yet."
		if want := !slices.Contains(promised, m.Name); notYet != want || a.status >= 500 {
			t.Errorf("%s: %d %s: %s", m.Name, a.status, a.code, a.message)
		}
		if a.header.Get("x-amzn-RequestId") == "" || a.header.Get("Content-Type") != "application/x-amz-json-1.1" {
			t.Errorf("%s: header %v", m.Name, a.header)
		}
	}
	if all != 88 {
		t.Errorf("the SDK has %d operations, not 88: is its model a new one?", all)
	}
	if a := s.call(t, ecsTarget+"MakeCoffee", `{}`); a.status != 400 || a.code != "UnknownOperationException" {
		t.Errorf("an operation that is none: %d %s", a.status, a.body)
	}
	if a := s.call(t, "DynamoDB_20120810.ListTables", `{}`); a.status < 400 || a.status >= 500 {
		t.Errorf("another service: %d %s", a.status, a.body)
	}
	if got := s.awsError(t, "ecs", "list-daemons"); !strings.Contains(got, "(UnsupportedOperationException)") || !strings.Contains(got, "ListDaemons is an operation of Amazon ECS that gantry does not offer yet.") {
		t.Errorf("aws ecs list-daemons: %s", got)
	}
}

// TestBodies: what is no request at all is refused, and large ones are.
func TestBodies(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	for _, test := range []struct{ name, body, code, words string }{
		{"empty", "", "", ""},
		{"not JSON", "{", "SerializationException", "not JSON"},
		{"a list", "[]", "SerializationException", "not a JSON object"},
		{"a wrong type", `{"clusters":"x"}`, "SerializationException", "clusters: expected"},
		{"nesting", `{"clusters":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `}`, "SerializationException", "64 deep"},
		{"unknown members", `{"clusters":["default"],"coffee":{"black":true}}`, "", ""},
		{"10 MB", `{"clusters":["` + strings.Repeat("x", 10<<20) + `"]}`, "RequestEntityTooLargeException", ""},
	} {
		a := s.call(t, ecsTarget+"DescribeClusters", test.body)
		if a.code != test.code || !strings.Contains(a.message, test.words) || (test.code == "") != (a.status == 200) {
			t.Errorf("%s: %d %s", test.name, a.status, a.body)
		}
	}
	var env []string
	for i := range 10_000 {
		env = append(env, fmt.Sprintf(`{"name":"N%d","value":"v"}`, i))
	}
	a := s.call(t, ecsTarget+"RegisterTaskDefinition", `{"family":"`+family(t)+`","containerDefinitions":[{"name":"x","image":"x","memory":64,"environment":[`+strings.Join(env, ",")+`]}]}`)
	if a.status != 400 || a.code != "ClientException" || !strings.Contains(a.message, "bytes; at most 65536 are allowed") {
		t.Errorf("10,000 environment variables: %d %s", a.status, aws.ToString(&a.message))
	}
}
