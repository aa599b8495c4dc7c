package logdriver

import (
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write what the options mean into testdata/options.txt, to be read before it is committed")

// TestOptions plays testdata/options.txt: a driver and its options, and below what
// they mean or why they are refused.
func TestOptions(t *testing.T) {
	const file = "testdata/options.txt"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	d, err := Open(Config{Dir: t.TempDir(), Region: "us-east-1", Endpoint: "http://own", Credentials: staticKeys{}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for line := range strings.Lines(string(text)) {
		if question, ok := strings.CutPrefix(line, "> "); ok {
			got.WriteString(line)
			driver, options, _ := strings.Cut(strings.TrimSpace(question), " ")
			out := Output{ContainerID: "task1-0123", ContainerName: "web", TaskID: "task1", Driver: strings.Trim(driver, `"`)}
			if options != "" {
				if err := json.Unmarshal([]byte(options), &out.Options); err != nil {
					t.Fatalf("%s: %v", line, err)
				}
			}
			fmt.Fprintln(&got, meaning(d, out))
		} else if strings.HasPrefix(line, "#") || strings.TrimSpace(line) == "" {
			got.WriteString(line)
		}
	}
	if *update {
		if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if diff := cmp.Diff(strings.Split(string(text), "\n"), strings.Split(got.String(), "\n")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func meaning(d *Drivers, out Output) string {
	s, err := d.configure(out)
	if err != nil {
		return "refused: " + err.Error()
	}
	if err := os.MkdirAll(d.dir(out.ContainerID), 0o700); err != nil {
		return err.Error()
	}
	opened, err := s.open(record{})
	if err != nil {
		return err.Error()
	}
	defer opened.close()
	text := fmt.Sprintf("every %v, events of %d bytes, backlog %d", s.plan.interval, s.plan.most, s.plan.backlog)
	if s.plan.join != nil {
		text += fmt.Sprintf(", begins with %s, waits %v", s.plan.join().begins, s.plan.hold)
	}
	switch k := opened.(type) {
	case *awslogs:
		text += fmt.Sprintf("; %s %s group %s stream %s", k.client.endpoint, k.client.region, k.group, k.stream)
		if k.createGroup {
			text += ", made if need be"
		}
	case *jsonFile:
		text += fmt.Sprintf("; %d files of %d bytes", k.count, k.most)
		if k.compress {
			text += ", compressed"
		}
	}
	return text
}
