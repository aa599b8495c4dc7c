package pattern

import (
	"bufio"
	"os"
	"strings"
	"testing"
)

func TestPatterns(t *testing.T) {
	f, err := os.Open("testdata/patterns.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	line := 0
	for scan := bufio.NewScanner(f); scan.Scan(); {
		line++
		text := scan.Text()
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		last := strings.LastIndex(text, " | ")
		middle := strings.LastIndex(text[:last], " | ")
		expression, message, want := "", "", text[last+3:]
		if middle < 0 { // the pattern is empty
			message = strings.TrimPrefix(text[:last], "| ")
		} else {
			expression, message = text[:middle], text[middle+3:last]
		}
		p, err := Parse(expression)
		if part, isError := strings.CutPrefix(want, "error "); isError {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("line %d: Parse(%q) = %v, want an error with %q", line, expression, err, part)
			}
			continue
		}
		if err != nil {
			t.Errorf("line %d: Parse(%q): %v", line, expression, err)
			continue
		}
		if got := p.Match(message); got != (want == "yes") {
			t.Errorf("line %d: %q on %q = %t, want %s", line, expression, message, got, want)
		}
	}
	if line < 60 {
		t.Errorf("read %d lines only", line)
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{``, `a -b ?c "d e" %f%`, `{ $.a[*]["b"] = "x*" && ($.c IS NULL || $.d >= 1e3) }`, `[a=1||a=2, ..., z!=%x%]`} {
		f.Add(seed, `{"a":[{"b":"xy"}]}`)
	}
	f.Fuzz(func(t *testing.T, expression, message string) {
		if p, err := Parse(expression); err == nil {
			p.Match(message)
		}
	})
}
