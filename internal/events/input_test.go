package events

import (
	"os"
	"strings"
	"testing"
	"time"

	"gantry"
	"gantry/internal/wire/eventsapi"
)

var here = gantry.Place{Region: "us-east-1", Account: "123456789012"}

const inputEvent = `{"version":"0","id":"e1","detail-type":"T","source":"s","time":"2026-11-23T12:00:00Z","detail":{"lastStatus":"STOPPED","exit":137,"reason":"it \"failed\" <here>","containers":[{"name":"web"},{"name":"log"}],"a.b":1}}`

// TestTemplates reads scenarios: the paths, the template, and what comes out.
func TestTemplates(t *testing.T) {
	text, err := os.ReadFile("testdata/templates.txt")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for block := range strings.SplitSeq(string(text), "\n\n") {
		target := &eventsapi.Target{Id: new("t"), InputTransformer: &eventsapi.InputTransformer{InputPathsMap: map[string]string{}}}
		want, wrong := "", ""
		for line := range strings.Lines(block) {
			line = strings.TrimSuffix(line, "\n")
			switch head, rest, _ := strings.Cut(line, " "); head {
			case "var":
				name, path, _ := strings.Cut(rest, "=")
				target.InputTransformer.InputPathsMap[name] = path
			case "template":
				target.InputTransformer.InputTemplate = &rest
			case "path":
				target.InputTransformer, target.InputPath = nil, &rest
			case "gives":
				want = rest
			case "refused":
				wrong = rest
			}
		}
		if want == "" && wrong == "" {
			continue
		}
		n++
		err := checkInput(target)
		if wrong != "" {
			if err == nil || !strings.Contains(err.Error(), wrong) {
				t.Errorf("%s\nis refused with %v", block, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s\nis refused: %v", block, err)
			continue
		}
		got, err := inputOf(target, "stops", here, []byte(inputEvent), time.Date(2026, 11, 23, 12, 0, 1, 0, time.UTC))
		if err != nil || string(got) != want {
			t.Errorf("%s\ngives %s, %v", block, got, err)
		}
	}
	if n < 10 {
		t.Errorf("only %d scenarios", n)
	}
}
