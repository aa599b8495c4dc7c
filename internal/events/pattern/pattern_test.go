package pattern

import (
	"os"
	"strings"
	"testing"
)

func lines(t testing.TB, file string, check func(given, want string)) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(text)) {
		given, want, ok := strings.Cut(line, " -> ")
		if !ok || strings.HasPrefix(line, "#") {
			continue
		}
		n++
		check(given, strings.TrimSpace(want))
	}
	if n == 0 {
		t.Fatalf("%s holds no scenario", file)
	}
}

func TestMatch(t *testing.T) {
	lines(t, "testdata/match.txt", func(given, want string) {
		text, event, _ := strings.Cut(given, " | ")
		p, err := Parse(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			return
		}
		v, err := Decode([]byte(event))
		if err != nil {
			t.Fatalf("%s: %v", event, err)
		}
		if got := p.Match(v); got != (want == "matches") {
			t.Errorf("%s | %s: matches: %t", text, event, got)
		}
		// What matches is also wanted, by whatever is known of its top.
		m := v.(map[string]any)
		for name, value := range m {
			if s, ok := value.(string); ok && p.Match(v) && !p.Wants(map[string]string{name: s}) {
				t.Errorf("%s: matches %s, and does not want %s=%s", text, event, name, s)
			}
		}
	})
}

func TestWants(t *testing.T) {
	for _, c := range []struct {
		pattern, source, kind string
		want                  bool
	}{
		{`{"source": ["aws.ecs"]}`, "aws.ecs", "ECS Task State Change", true},
		{`{"source": ["aws.ecs"], "detail-type": ["ECS Service Action"]}`, "aws.ecs", "ECS Task State Change", false},
		{`{"detail": {"lastStatus": ["STOPPED"]}}`, "aws.ecs", "ECS Task State Change", true},
		{`{"$or": [{"source": ["x"]}, {"detail-type": [{"prefix": "ECS Task"}]}]}`, "aws.ecs", "ECS Task State Change", true},
		{`{"$or": [{"source": ["x"]}, {"detail-type": ["y"]}]}`, "aws.ecs", "ECS Task State Change", false},
		{`{"source": [{"exists": false}]}`, "aws.ecs", "ECS Task State Change", false},
	} {
		p, err := Parse(c.pattern)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Wants(map[string]string{"source": c.source, "detail-type": c.kind}); got != c.want {
			t.Errorf("%s wants %s, %s: %t", c.pattern, c.source, c.kind, got)
		}
	}
}

func TestRefusals(t *testing.T) {
	lines(t, "testdata/refused.txt", func(given, want string) {
		if _, err := Parse(given); err == nil {
			t.Errorf("%s: taken", given)
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %q does not tell %q", given, err, want)
		}
	})
}

func FuzzParse(f *testing.F) {
	lines(f, "testdata/match.txt", func(given, _ string) {
		text, event, _ := strings.Cut(given, " | ")
		f.Add(text, event)
	})
	f.Fuzz(func(t *testing.T, text, event string) {
		p, err := Parse(text)
		if err != nil {
			return
		}
		if v, err := Decode([]byte(event)); err == nil {
			p.Match(v)
		}
	})
}
