package images

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var now = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

// archive is a tar of files, given as name and text in turn.
func archive(t *testing.T, files ...string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for i := 0; i < len(files); i += 2 {
		if err := w.WriteHeader(&tar.Header{Name: files[i], Mode: 0o644, Size: int64(len(files[i+1]))}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, files[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func saved(t *testing.T, content string, names ...string) []byte {
	return archive(t, "layer", content, "manifest.json", `[{"RepoTags":["`+strings.Join(names, `","`)+`"]}]`)
}

func open(t *testing.T, dir string, limit int64) *Shelf {
	t.Helper()
	s, err := Open(dir, limit)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *Shelf) must(t *testing.T, archive []byte) []Image {
	t.Helper()
	loaded, err := s.Put(bytes.NewReader(archive), now, nil)
	if err != nil {
		t.Fatal(err)
	}
	return loaded
}

// tars are the archives that are on disk.
func tars(t *testing.T, dir string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "*.tar*"))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestWhatIsPutIsFound(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, DefaultLimit)
	first := saved(t, "one", "web:1", "gantry/sample:latest")
	if got := s.must(t, first); len(got) != 2 || got[0].Name != "docker.io/gantry/sample:latest" || got[1].Name != "docker.io/library/web:1" {
		t.Errorf("loaded %+v", got)
	}
	if err := os.WriteFile(filepath.Join(dir, "1"+newSuffix), nil, 0o600); err != nil { // as one that was killed leaves
		t.Fatal(err)
	}
	s = open(t, dir, DefaultLimit) // as after a restart
	if left, _ := filepath.Glob(filepath.Join(dir, "*"+newSuffix)); len(left) != 0 {
		t.Errorf("half written files are left: %q", left)
	}
	found, err := s.Find("docker.io/library/web:1")
	if err != nil || found.Size != int64(len(first)) {
		t.Fatalf("%+v, %v", found, err)
	}
	f, err := s.Archive(found.Digest)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got, err := io.ReadAll(f); err != nil || !bytes.Equal(got, first) {
		t.Errorf("the archive comes back as %d bytes, not %d: %v", len(got), len(first), err)
	}
	for _, digest := range []string{"", "sha256:", "sha256:../index.json", "sha256:" + strings.Repeat("0", 64)} {
		if _, err := s.Archive(digest); !errors.Is(err, ErrNotFound) {
			t.Errorf("archive %q: %v", digest, err)
		}
	}
}

func TestArchivesGoWithTheirLastName(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, DefaultLimit)
	s.must(t, saved(t, "one", "a:1", "b:1"))
	s.must(t, saved(t, "two", "a:1"))
	if n := len(tars(t, dir)); n != 2 {
		t.Errorf("%d archives, want both: b:1 is in the first", n)
	}
	s.must(t, saved(t, "three", "b:1"))
	if n := len(tars(t, dir)); n != 2 {
		t.Errorf("%d archives, want 2: nothing leads to the first any more", n)
	}
	if err := s.Remove("a:1"); err != nil {
		t.Error(err)
	}
	if err := s.Remove("a:1"); !errors.Is(err, ErrNotFound) {
		t.Errorf("removed twice: %v", err)
	}
	if n := len(tars(t, dir)); n != 1 || len(s.List()) != 1 {
		t.Errorf("%d archives and %+v are left", n, s.List())
	}
}

func TestThereIsALimit(t *testing.T) {
	dir := t.TempDir()
	one := saved(t, "one", "a:1")
	s := open(t, dir, int64(len(one))+100)
	s.must(t, one)
	if _, err := s.Put(bytes.NewReader(saved(t, "two", "b:1")), now, nil); err == nil || !strings.Contains(err.Error(), "gantry image rm") {
		t.Errorf("more than the limit: %v", err)
	}
	if got := tars(t, dir); len(got) != 1 || len(s.List()) != 1 {
		t.Errorf("what was refused left %q", got)
	}
}

func TestWhatIsNoArchiveIsRefused(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, DefaultLimit)
	for name, text := range map[string][]byte{
		"empty":        nil,
		"text":         []byte(strings.Repeat("not a tar ", 200)),
		"cut off":      saved(t, strings.Repeat("x", 5000), "a:1")[:2000],
		"nameless":     archive(t, "layer", "x"),
		"only a tag":   archive(t, "index.json", `{"manifests":[{"annotations":{"org.opencontainers.image.ref.name":"latest"}}]}`),
		"a wrong name": saved(t, "x", "../../etc/passwd"),
		"broken list":  archive(t, "manifest.json", `[{`),
	} {
		if got, err := s.Put(bytes.NewReader(text), now, nil); err == nil {
			t.Errorf("%s: taken as %+v", name, got)
		}
	}
	broken := errors.New("it does not unpack")
	if _, err := s.Put(bytes.NewReader(saved(t, "x", "a:1")), now, func(*os.File) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("what cannot be used: %v", err)
	}
	if got := tars(t, dir); len(got) != 0 || len(s.List()) != 0 {
		t.Errorf("what was refused left %q and %+v", got, s.List())
	}
}

func TestFullNames(t *testing.T) {
	for name, want := range map[string]string{
		"nginx": "docker.io/library/nginx:latest", "nginx:1": "docker.io/library/nginx:1", "team/app": "docker.io/team/app:latest",
		"localhost/app:2": "localhost/app:2", "registry.example:5000/app": "registry.example:5000/app:latest",
		"docker.io/nginx": "docker.io/library/nginx:latest", "index.docker.io/team/app:3": "docker.io/team/app:3",
		"app@sha256:00": "docker.io/library/app@sha256:00",
	} {
		if got, err := fullName(name); err != nil || got != want {
			t.Errorf("%s is %s (%v), want %s", name, got, err, want)
		}
	}
}
