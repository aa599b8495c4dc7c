package query

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestQueries runs testdata/queries.txt.
func TestQueries(t *testing.T) {
	f, err := os.Open("testdata/queries.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var names []string
	subjects := map[string]*Subject{}
	query, asked := "", 0
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		word, rest, _ := strings.Cut(strings.TrimSpace(lines.Text()), " ")
		switch word {
		case "", "#":
		case "instance":
			fields := strings.Fields(rest)
			names = append(names, fields[0])
			subjects[fields[0]] = subject(t, fields[1:])
		case "query":
			query = rest
		case "selects", "error":
			asked++
			got := answer(query, names, subjects)
			if want := strings.TrimSpace(word + " " + rest); got != want {
				t.Errorf("line %d: %s\n got %s\nwant %s", n, query, got, want)
			}
		default:
			t.Fatalf("line %d: unknown word %q", n, word)
		}
	}
	if err := lines.Err(); err != nil || asked < 80 {
		t.Fatalf("read %d cases of testdata/queries.txt: %v", asked, err)
	}
}

// answer says what became of a query, in the words of the scenario file.
func answer(query string, names []string, subjects map[string]*Subject) string {
	q, err := Parse(query)
	if bad, ok := errors.AsType[*Error](err); ok {
		return fmt.Sprintf("error %d %s", bad.Position, bad.Problem)
	}
	selected := []string{"selects"}
	for _, name := range names {
		if q.Match(subjects[name]) {
			selected = append(selected, name)
		}
	}
	return strings.Join(selected, " ")
}

func subject(t *testing.T, fields []string) *Subject {
	t.Helper()
	s := &Subject{Attributes: map[string]string{}}
	for _, field := range fields {
		key, value, _ := strings.Cut(field, "=")
		var err error
		switch key {
		case "agentVersion":
			s.AgentVersion = value
		case "agentConnected":
			s.AgentConnected, err = strconv.ParseBool(value)
		case "ec2InstanceId":
			s.EC2InstanceID = value
		case "registeredAt":
			s.RegisteredAt, err = time.Parse(time.RFC3339, value)
		case "running":
			s.RunningTasksCount, err = strconv.Atoi(value)
		case "groups":
			s.Groups = slices.Values(strings.Split(value, ","))
		default:
			name, ok := strings.CutPrefix(key, "attribute:")
			if !ok {
				t.Fatalf("unknown field %q", field)
			}
			s.Attributes[name] = value
		}
		if err != nil {
			t.Fatalf("field %q: %v", field, err)
		}
	}
	return s
}

func TestLengthLimit(t *testing.T) {
	long := "attribute:a == " + strings.Repeat("é", MaxLength-len("attribute:a == "))
	if _, err := Parse(long); err != nil {
		t.Errorf("a query of %d characters is refused: %v", MaxLength, err)
	}
	_, err := Parse(long + "x")
	want := "Invalid cluster query expression at character 2001: it has 2001 characters and may have 2000."
	if err == nil || err.Error() != want {
		t.Errorf("a query that is too long: got error %v, want %s", err, want)
	}
}

func TestAsksForTasks(t *testing.T) {
	for query, want := range map[string]bool{
		"attribute:a exists":                              false,
		"agentVersion > 1.2 or registeredAt > 2020-01-01": false,
		"not(task:group == web)":                          true,
		"attribute:a exists and runningTasksCount < 3":    true,
	} {
		q, err := Parse(query)
		if err != nil {
			t.Fatal(err)
		}
		if q.AsksForTasks() != want {
			t.Errorf("AsksForTasks of %s is %v", query, !want)
		}
	}
}

// FuzzParse holds the parser to this: any text gives a query or a positioned error, a
// query answers for any instance, and its negation answers the opposite.
func FuzzParse(f *testing.F) {
	text, err := os.ReadFile("testdata/queries.txt")
	if err != nil {
		f.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if query, ok := strings.CutPrefix(line, "query "); ok {
			f.Add(strings.TrimSpace(query))
		}
	}
	f.Add(strings.Repeat("(", MaxLength))
	f.Add(strings.Repeat("!", MaxLength))
	s := &Subject{
		Attributes:   map[string]string{"a": "1", "stack": "prod"},
		AgentVersion: "1.14.5", EC2InstanceID: "i-1", RegisteredAt: time.Unix(1, 0),
		Groups: slices.Values([]string{"web"}),
	}
	f.Fuzz(func(t *testing.T, text string) {
		q, err := Parse(text)
		if err != nil {
			bad, ok := errors.AsType[*Error](err)
			if !ok || bad.Problem == "" || bad.Position < 1 || bad.Position > MaxLength+1 {
				t.Fatalf("Parse(%q) gives the error %#v", text, err)
			}
			return
		}
		opposite, err := Parse("not(" + text + ")")
		if err != nil {
			if len([]rune(text)) <= MaxLength-len("not()") {
				t.Fatalf("%q can be parsed and its negation cannot: %v", text, err)
			}
			return
		}
		if q.Match(s) == opposite.Match(s) {
			t.Fatalf("%q and its negation agree", text)
		}
	})
}
