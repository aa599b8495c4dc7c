package main

import (
	"bytes"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The coverage page says what the program does: `make gen` writes it anew.
func TestTheCoveragePageIsUpToDate(t *testing.T) {
	page, err := os.ReadFile("../../docs/reference/coverage.md")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	cmd := newDocs()
	cmd.SetArgs([]string{"coverage"})
	cmd.SetOut(&out)
	if err := cmd.Execute(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(page), out.String()); diff != "" {
		t.Errorf("docs/reference/coverage.md: run make gen (-page +program)\n%s", diff)
	}
}
