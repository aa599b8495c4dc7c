package runtime

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// What is on disk becomes what is embedded, and is left alone once it is.
func TestWritePrograms(t *testing.T) {
	if _, err := readManifest(); err != nil {
		t.Skip("needs the embedded runtime: go run ./build/runtime")
	}
	dir := filepath.Join(t.TempDir(), "bin")
	p, err := writePrograms(dir)
	must(t, err)
	long := time.Now().Add(-time.Hour).Truncate(time.Second)
	for _, path := range []string{p.shim, p.runc, p.init} {
		info, err := os.Stat(path)
		must(t, err)
		if info.Mode().Perm() != 0o755 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		must(t, os.Chtimes(path, long, long))
	}
	// One loses its mode, one is damaged, one is as it should be.
	must(t, os.Chmod(p.shim, 0o600))
	damaged, err := os.ReadFile(p.init)
	must(t, err)
	whole := append([]byte(nil), damaged...)
	damaged[len(damaged)/2]++
	must(t, os.WriteFile(p.init, damaged, 0o755))
	_, err = writePrograms(dir)
	must(t, err)
	if info, err := os.Stat(p.shim); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("the shim cannot be executed: %v %v", info.Mode(), err)
	}
	if got, err := os.ReadFile(p.init); err != nil || string(got) != string(whole) {
		t.Errorf("init is still damaged: %v", err)
	}
	if info, err := os.Stat(p.runc); err != nil || !info.ModTime().Equal(long) {
		t.Errorf("runc was written again: %v", err)
	}
	left, err := os.ReadDir(dir)
	must(t, err)
	if len(left) != 3 {
		t.Errorf("%d files", len(left))
	}
	versions, err := Versions()
	if err != nil || versions["runc"] == "" || versions["containerd-shim-runc-v2"] == "" {
		t.Errorf("versions %v %v", versions, err)
	}
}

func TestKeyedMutex(t *testing.T) {
	var k keyedMutex
	count := map[string]*int{"a": new(int), "b": new(int)}
	var all sync.WaitGroup
	for key, n := range count {
		for range 100 {
			all.Go(func() {
				unlock, err := k.lock(t.Context(), key)
				if err != nil {
					t.Error(err)
					return
				}
				*n++ // the race detector watches
				unlock()
			})
		}
	}
	all.Wait()
	if *count["a"] != 100 || *count["b"] != 100 || len(k.held) != 0 {
		t.Errorf("counted %d and %d, %d keys left", *count["a"], *count["b"], len(k.held))
	}
	unlock, err := k.lock(t.Context(), "a")
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := k.lock(ctx, "a"); err == nil {
		t.Error("locked twice")
	}
	unlock()
	if len(k.held) != 0 {
		t.Error("a key is left")
	}
}
