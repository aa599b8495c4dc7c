package logdriver

import (
	"bufio"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// However output is cut into chunks, its lines are the same, no piece is longer than
// allowed, no character is cut, and the ends of events are where they are in the file.
func TestSplitter(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		most := rapid.IntRange(utf8.UTFMax, 12).Draw(rt, "most")
		text := rapid.StringOf(rapid.SampledFrom([]rune("ab\n\né漢😀"))).Draw(rt, "text")
		s := splitter{most: most}
		at, events, end := time.Unix(1, 0), []event(nil), int64(0)
		for rest := text; len(rest) > 0; {
			n := rapid.IntRange(1, len(rest)).Draw(rt, "chunk")
			s.add([]byte(rest[:n]), at, func(e event) { events = append(events, e) })
			rest = rest[n:]
		}
		s.flush(func(e event) { events = append(events, e) })
		var again strings.Builder
		for _, e := range events {
			again.Write(e.text)
			if e.whole {
				again.WriteByte('\n')
			}
			if end = int64(again.Len()); e.end != end {
				rt.Fatalf("event %q ends at %d, not %d", e.text, e.end, end)
			}
			if len(e.text) > most || !utf8.Valid(e.text) || strings.Contains(string(e.text), "\n") {
				rt.Fatalf("event %q", e.text)
			}
			if len(e.text) < most-utf8.UTFMax && !e.whole && e.end != int64(len(text)) {
				rt.Fatalf("piece %q is short for no reason", e.text)
			}
		}
		if again.String() != text {
			rt.Fatalf("got %q, want %q", again.String(), text)
		}
	})
}

// What is no text at all is cut too.
func TestSplitterOfBytes(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := splitter{most: 5}
		data := rapid.SliceOf(rapid.Byte()).Draw(rt, "data")
		var got []byte
		take := func(e event) {
			if len(e.text) > 5 {
				rt.Fatalf("%d bytes", len(e.text))
			}
			if got = append(got, e.text...); e.whole {
				got = append(got, '\n')
			}
		}
		s.add(data, time.Time{}, take)
		s.flush(take)
		if !slices.Equal(got, data) {
			rt.Fatalf("got %q, want %q", got, data)
		}
	})
}

func TestJoiner(t *testing.T) {
	j := joiner{begins: regexp.MustCompile(`^\d`), most: 20}
	var got []string
	take := func(e event) { got = append(got, string(e.text)) }
	for _, line := range []string{"early", "1 first", " at a", " at b", "2 second", "3 third", " is much too", " long to join"} {
		j.add(event{text: []byte(line), whole: true}, take)
	}
	j.flush(take)
	// The third is full before its second line: 8 and 13 bytes are more than 20.
	want := []string{"early\n", "1 first\n at a\n at b\n", "2 second\n", "3 third\n", " is much too\n", " long to join\n"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// testdata/strftime.txt has a format per block, and lines that begin an event (+) or do not (-).
func TestStrftime(t *testing.T) {
	f, err := os.Open("testdata/strftime.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var re *regexp.Regexp
	for lines := bufio.NewScanner(f); lines.Scan(); {
		kind, text, _ := strings.Cut(lines.Text(), " ")
		switch kind {
		case "=":
			expression, err := strftime(text)
			if err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			re = regexp.MustCompile(expression)
		case "!":
			if _, err := strftime(text); err == nil {
				t.Errorf("%s was accepted", text)
			}
		case "+", "-":
			if re.MatchString(text) != (kind == "+") {
				t.Errorf("%s: %s", lines.Text(), re)
			}
		}
	}
}
