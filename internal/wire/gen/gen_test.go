package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// TestCommittedIsGenerated fails when a generated file was edited, or not written anew after a change here.
func TestCommittedIsGenerated(t *testing.T) {
	root := t.TempDir()
	if err := run(root); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(root, "internal", "wire", "*", "*.go"))
	if err != nil || len(files) != 8*len(sources) {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		rel, err := filepath.Rel(root, file)
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join("..", "..", "..", rel))
		if err != nil {
			t.Errorf("%v: run `go run .` in internal/wire/gen", err)
		} else if !bytes.Equal(got, want) {
			t.Errorf("%s is not what the generator writes: run `go run .` in internal/wire/gen", rel)
		}
	}
}
