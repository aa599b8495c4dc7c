// Package images keeps the archives of images that were loaded at a server, so that
// every machine which joins it can have them: there is no registry to ask.
//
// An archive is a file as docker save or an OCI tool writes it, kept as it came, under
// the SHA-256 of its bytes. The names in it lead to it; a name that is loaded again
// leads to the newer archive, and an archive that no name leads to is removed.
//
// The package knows files and names, no containers: who runs images unpacks them.
package images

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"gantry/internal/wholefile"
	"gantry/internal/wire/joinapi"
)

// DefaultLimit is how many bytes of archives are kept at most: some hundred images.
const DefaultLimit = 64 << 30

// ErrNotFound says that no image of a name, or no archive of a digest, was loaded.
var ErrNotFound = errors.New("no such image was loaded here")

const (
	indexFile = "index.json"
	// newSuffix marks a file that is being written.
	newSuffix = wholefile.Suffix
)

// An Image is a name that was loaded and the archive that holds it.
type Image struct {
	Name string `json:"name"` // complete: "docker.io/library/nginx:latest"
	joinapi.Archive
	LoadedAt time.Time `json:"loadedAt"`
}

// A Shelf is a folder of archives. It is safe for concurrent use; one process has it.
type Shelf struct {
	dir   string
	limit int64

	puts  sync.Mutex       // held by the one archive that is being received
	mu    sync.Mutex       // guards the folder, too, but for archives that are read
	index map[string]Image // by name
}

// Open opens a folder, made where it is not there, and removes what a killed process left half written.
func Open(dir string, limit int64) (*Shelf, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	s := &Shelf{dir: dir, limit: limit, index: map[string]Image{}}
	text, err := os.ReadFile(filepath.Join(dir, indexFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err == nil {
		if err := json.Unmarshal(text, &s.index); err != nil {
			return nil, fmt.Errorf("%s is damaged: %w; remove it and load the images again", filepath.Join(dir, indexFile), err)
		}
	}
	halves, err := filepath.Glob(filepath.Join(dir, "*"+newSuffix))
	for _, half := range halves {
		err = errors.Join(err, os.Remove(half))
	}
	return s, errors.Join(err, s.sweep())
}

// Put keeps an archive, and says which images are in it. Use runs with the archive
// before it counts, on the machine that shall run it itself; it may be nil.
func (s *Shelf) Put(archive io.Reader, now time.Time, use func(*os.File) error) ([]Image, error) {
	s.puts.Lock()
	defer s.puts.Unlock()
	f, err := os.CreateTemp(s.dir, "*"+newSuffix)
	if err != nil {
		return nil, fmt.Errorf("keep the archive: %w", err)
	}
	defer os.Remove(f.Name()) // gone already where all went well
	defer f.Close()
	kept, err := s.receive(f, archive)
	if err != nil {
		return nil, err
	}
	names, err := namesIn(f)
	if err != nil {
		return nil, err
	}
	if use != nil {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return nil, fmt.Errorf("keep the archive: %w", err)
		}
		if err := use(f); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := os.Rename(f.Name(), s.file(kept.Digest)); err != nil {
		return nil, fmt.Errorf("keep the archive: %w", err)
	}
	var loaded []Image
	for _, name := range names {
		i := Image{Name: name, Archive: kept, LoadedAt: now.UTC().Truncate(time.Millisecond)}
		s.index[name] = i
		loaded = append(loaded, i)
	}
	return loaded, errors.Join(s.write(), s.sweep())
}

// receive copies an archive to a file, as long as there is room, and says what it is.
func (s *Shelf) receive(f *os.File, archive io.Reader) (joinapi.Archive, error) {
	room := s.limit - s.size()
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(f, sum), io.LimitReader(archive, room+1))
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		return joinapi.Archive{}, fmt.Errorf("keep the archive: %w", err)
	}
	if n > room {
		return joinapi.Archive{}, fmt.Errorf("the images that were loaded here would take more than %d GiB: remove some with gantry image rm", s.limit>>30)
	}
	return joinapi.Archive{Digest: digestPrefix + hex.EncodeToString(sum.Sum(nil)), Size: n}, nil
}

// size is what the archives take, in bytes.
func (s *Shelf) size() (total int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := map[string]bool{}
	for _, i := range s.index {
		if !seen[i.Digest] {
			seen[i.Digest] = true
			total += i.Size
		}
	}
	return total
}

// Find is the archive that holds an image, by its complete name; or ErrNotFound.
func (s *Shelf) Find(name string) (Image, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, ok := s.index[name]
	if !ok {
		return Image{}, ErrNotFound
	}
	return i, nil
}

// List is every image, by name.
func (s *Shelf) List() []Image {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Image, 0, len(s.index))
	for _, i := range s.index {
		out = append(out, i)
	}
	slices.SortFunc(out, func(a, b Image) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// Archive opens the archive of a digest; or says ErrNotFound.
func (s *Shelf) Archive(digest string) (*os.File, error) {
	sum, ok := strings.CutPrefix(digest, digestPrefix)
	if raw, err := hex.DecodeString(sum); !ok || err != nil || len(raw) != sha256.Size {
		return nil, ErrNotFound
	}
	f, err := os.Open(s.file(digest))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotFound
	}
	return f, err
}

// Remove forgets an image by its name, complete or as it was given, and its archive if no other name leads there.
func (s *Shelf) Remove(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	full, err := fullName(name)
	if err != nil {
		return err
	}
	if _, ok := s.index[full]; !ok {
		return fmt.Errorf("%s: %w", name, ErrNotFound)
	}
	delete(s.index, full)
	return errors.Join(s.write(), s.sweep())
}

const digestPrefix = "sha256:"

func (s *Shelf) file(digest string) string {
	return filepath.Join(s.dir, strings.TrimPrefix(digest, digestPrefix)+".tar")
}

// write puts the index on disk at once. The caller holds mu.
func (s *Shelf) write() error {
	text, err := json.MarshalIndent(s.index, "", "  ")
	if err != nil {
		return err
	}
	return wholefile.Write(filepath.Join(s.dir, indexFile), text, 0o600)
}

// sweep removes archives that no name leads to.
func (s *Shelf) sweep() error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	wanted := map[string]bool{}
	for _, i := range s.index {
		wanted[filepath.Base(s.file(i.Digest))] = true
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".tar") && !wanted[e.Name()] {
			err = errors.Join(err, os.Remove(filepath.Join(s.dir, e.Name())))
		}
	}
	return err
}
