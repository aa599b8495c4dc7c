package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestMistypedCommands: what was typed wrongly is refused in one sentence that says what would be right.
func TestMistypedCommands(t *testing.T) {
	for _, test := range []struct {
		line string
		want string
	}{
		{"logs", "TASK is missing: gantry logs TASK [CONTAINER] [flags]"},
		{"image load", "FILE is missing: gantry image load FILE [flags]"},
		{"why", "TASK is missing: gantry why TASK [flags]"},
		{"backup", "FILE is missing: gantry backup FILE [flags]"},
		{"status now", `"now" is too much: gantry status [flags]`},
		{"image prune", `unknown command "prune" for "gantry image"; see gantry image --help`},
		{"token x", `unknown command "x" for "gantry token"; see gantry token --help`},
		{"up --datadir x", "unknown flag: --datadir; see gantry up --help"},
		{"up --region US_east", "--region US_east: a region is lower-case letters, digits and hyphens, such as us-east-1"},
	} {
		root := newRoot()
		root.SetArgs(append(strings.Fields(test.line), "--data-dir", t.TempDir()))
		if test.line == "image prune" || test.line == "token x" {
			root.SetArgs(strings.Fields(test.line))
		}
		root.SetOut(io.Discard)
		if err := root.Execute(); err == nil || err.Error() != test.want {
			t.Errorf("gantry %s: %v, want %s", test.line, err, test.want)
		}
	}
}

func TestVersionFlag(t *testing.T) {
	var out bytes.Buffer
	root := newRoot()
	root.SetArgs([]string{"--version"})
	root.SetOut(&out)
	if err := root.Execute(); err != nil || out.String() != "gantry "+version+"\n" {
		t.Errorf("%q, %v", &out, err)
	}
}

// TestOpenArchive: as docker load does, image load takes what gzip has compressed; what it cannot read it says so of.
func TestOpenArchive(t *testing.T) {
	const text = "an archive of images"
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, test := range []struct{ name, path, in, want, refused string }{
		{name: "a file", path: file("a.tar", text), want: text},
		{name: "gzip", path: file("a.tgz", packed.String()), want: text},
		{name: "standard input", path: "-", in: text, want: text},
		{name: "standard input, gzip", path: "-", in: packed.String(), want: text},
		{name: "nothing", path: file("empty", ""), want: ""},
		{name: "gzip cut off", path: file("cut.tgz", packed.String()[:packed.Len()-6]), refused: "unexpected EOF"},
		{name: "zstd", path: file("a.zst", "\x28\xb5\x2f\xfd\x00\x00"), refused: "zstd -dc"},
		{name: "xz on standard input", path: "-", in: "\xfd7zXZ\x00", refused: "xz -dc"},
		{name: "a folder", path: dir, refused: "is a folder: make an archive of it"},
		{name: "a device", path: "/dev/zero", refused: "is no file"},
	} {
		t.Run(test.name, func(t *testing.T) {
			f, err := openArchive(t.Context(), test.path, strings.NewReader(test.in))
			if err != nil || test.refused != "" {
				if err == nil || test.refused == "" || !strings.Contains(err.Error(), test.refused) {
					t.Fatalf("%v, want %q in it", err, test.refused)
				}
				return
			}
			defer f.Close()
			if got, err := io.ReadAll(f); err != nil || string(got) != test.want {
				t.Errorf("%q, %v; want %q", got, err, test.want)
			}
		})
	}
}

// TestStoppedArchive: Ctrl-C ends the reading of an archive that never ends.
func TestStoppedArchive(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	endless, w := io.Pipe()
	go func() {
		_, _ = w.Write(make([]byte, 1<<20))
		cancel()
		for {
			if _, err := w.Write(make([]byte, 1<<20)); err != nil {
				return
			}
		}
	}()
	if _, err := openArchive(ctx, "-", endless); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	endless.Close()
}

// TestStoppedWhileNothingComes: Ctrl-C ends it also at a terminal where nobody types.
func TestStoppedWhileNothingComes(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	silent, w := io.Pipe()
	defer w.Close()
	cancelled := make(chan error)
	go func() {
		_, err := openArchive(ctx, "-", reads{silent, cancel})
		cancelled <- err
	}()
	select {
	case err := <-cancelled:
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Error("it still waits")
	}
}

// reads is a reader that says when it is read.
type reads struct {
	io.Reader
	asked func()
}

func (r reads) Read(p []byte) (int, error) {
	r.asked()
	return r.Reader.Read(p)
}
