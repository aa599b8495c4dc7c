package logdriver

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func jsonFileOutput(id string, options map[string]string) Output {
	return Output{ContainerID: id, ContainerName: "web", TaskID: "t1", Driver: "json-file", Options: options}
}

func printed(t *testing.T, d *Drivers, id string) string {
	t.Helper()
	var b bytes.Buffer
	if err := d.Print(t.Context(), &b, id, UntilNow); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestJSONFileIsDockers(t *testing.T) {
	dir := t.TempDir()
	d, _ := start(t, dir, "http://127.0.0.1:1")
	c := launch(t, dir, "c1")
	if err := d.Attach(t.Context(), jsonFileOutput("c1", nil)); err != nil {
		t.Fatal(err)
	}
	c.print("hello \"you\" <b>\n")
	if _, err := c.err.WriteString("oops"); err != nil {
		t.Fatal(err)
	}
	c.exit()
	drain(t, d, "c1")
	data, err := os.ReadFile(filepath.Join(dir, "c1", "c1-json.log"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, line := range strings.SplitAfter(strings.TrimSuffix(string(data), "\n"), "\n") {
		var e map[string]string
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		if at, err := time.Parse(time.RFC3339Nano, e["time"]); err != nil || time.Since(at) > time.Minute {
			t.Errorf("time %q: %v", e["time"], err)
		}
		got = append(got, e["stream"]+":"+e["log"])
	}
	slices.Sort(got)
	if want := []string{"stderr:oops", "stdout:hello \"you\" <b>\n"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Rotated files, packed or not, are as many and as big as asked, and are printed in order.
func TestJSONFileRotates(t *testing.T) {
	for _, compress := range []string{"false", "true"} {
		dir := t.TempDir()
		d, _ := start(t, dir, "http://127.0.0.1:1")
		c := launch(t, dir, "c1")
		options := map[string]string{"max-size": "100k", "max-file": "3", "compress": compress}
		if err := d.Attach(t.Context(), jsonFileOutput("c1", options)); err != nil {
			t.Fatal(err)
		}
		var all string
		for i := range 12 {
			text := numbered(strings.Repeat("z", i+1), 300)
			all += text
			c.print(text)
			eventually(t, "it is delivered", func() bool { return d.find("c1").delivered() == int64(len(all)) })
		}
		c.exit()
		drain(t, d, "c1")
		files, err := filepath.Glob(filepath.Join(dir, "c1", "c1-json.log*"))
		if err != nil || len(files) != 3 {
			t.Errorf("compress %s: files %v, %v", compress, files, err)
		}
		info, err := os.Stat(filepath.Join(dir, "c1", "c1-json.log"))
		if err != nil || info.Size() > 100<<10 {
			t.Errorf("compress %s: the newest file has %d bytes, %v", compress, info.Size(), err)
		}
		if got := printed(t, d, "c1"); !strings.HasSuffix(all, got) || len(got) < 20_000 {
			t.Errorf("compress %s: printed %d bytes, which are no end of the output", compress, len(got))
		}
	}
}

// A burst that is one batch is spread over as many files as its size asks for.
func TestJSONFileOfABurst(t *testing.T) {
	dir := t.TempDir()
	d, _ := start(t, dir, "http://127.0.0.1:1")
	c := launch(t, dir, "c1")
	if err := d.Attach(t.Context(), jsonFileOutput("c1", map[string]string{"max-size": "50k", "max-file": "3"})); err != nil {
		t.Fatal(err)
	}
	all := numbered("burst", 20_000)
	c.print(all)
	c.exit()
	drain(t, d, "c1")
	files, err := filepath.Glob(filepath.Join(dir, "c1", "c1-json.log*"))
	if err != nil || len(files) != 3 {
		t.Errorf("files %v, %v", files, err)
	}
	for _, file := range files {
		if info, err := os.Stat(file); err != nil || info.Size() > 50<<10 {
			t.Errorf("%s has %d bytes, %v", file, info.Size(), err)
		}
	}
	if got := printed(t, d, "c1"); !strings.HasSuffix(all, got) || len(got) < 10_000 {
		t.Errorf("printed %d bytes, which are no end of the output", len(got))
	}
}

// A json-file log holds each line once, also when gantry was killed between writing
// it and recording that.
func TestJSONFileOnceAfterKill(t *testing.T) {
	dir := t.TempDir()
	d, stop := start(t, dir, "http://127.0.0.1:1")
	c := launch(t, dir, "c1")
	if err := d.Attach(t.Context(), jsonFileOutput("c1", nil)); err != nil {
		t.Fatal(err)
	}
	c.print("one\n")
	eventually(t, "one is delivered", func() bool { return d.find("c1").delivered() == 4 })
	before, err := os.ReadFile(filepath.Join(dir, "c1", recordFile))
	if err != nil {
		t.Fatal(err)
	}
	c.print("two\n")
	eventually(t, "two is delivered", func() bool { return d.find("c1").delivered() == 8 })
	stop()
	if err := os.WriteFile(filepath.Join(dir, "c1", recordFile), before, 0o600); err != nil {
		t.Fatal(err)
	}
	d, _ = start(t, dir, "http://127.0.0.1:1")
	c.exit()
	drain(t, d, "c1")
	if got := printed(t, d, "c1"); got != "one\ntwo\n" {
		t.Errorf("got %q", got)
	}
}

func TestPrintFollowsUntilTheEnd(t *testing.T) {
	dir := t.TempDir()
	d, _ := start(t, dir, "http://127.0.0.1:1")
	c := launch(t, dir, "c1")
	if err := d.Attach(t.Context(), jsonFileOutput("c1", nil)); err != nil {
		t.Fatal(err)
	}
	c.print("one\n")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	done := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		done <- d.Print(ctx, w, "c1", UntilEnd)
		w.Close()
	}()
	expect := func(want string) {
		t.Helper()
		got := make([]byte, len(want))
		if _, err := io.ReadFull(r, got); err != nil || string(got) != want {
			t.Fatalf("read %q, %v; want %q", got, err, want)
		}
	}
	expect("one\n")
	c.print("two\n")
	expect("two\n")
	c.print("three\n")
	c.exit()
	expect("three\n")
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestNothingToPrint(t *testing.T) {
	dir := t.TempDir()
	d, _ := start(t, dir, "http://127.0.0.1:1")
	if err := d.Attach(t.Context(), Output{ContainerID: "c1", ContainerName: "web", Driver: "none"}); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]string{
		"c1": "nothing is kept on this machine of what container web prints: its log driver is none",
		"c2": "nothing is kept of what container c2 printed",
	} {
		if err := d.Print(t.Context(), io.Discard, id, UntilNow); err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", id, err, want)
		}
	}
}

func TestForgetLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	d, _ := start(t, dir, "http://127.0.0.1:1")
	c := launch(t, dir, "c1")
	if err := d.Attach(t.Context(), jsonFileOutput("c1", nil)); err != nil {
		t.Fatal(err)
	}
	c.print("x\n")
	c.exit()
	if err := d.Forget(t.Context(), "c1"); err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
	if err := d.Forget(t.Context(), "c1"); err != nil {
		t.Errorf("forget again: %v", err)
	}
}
