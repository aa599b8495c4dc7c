package runtime

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sync/errgroup"
)

//go:embed embedded
var embedded embed.FS

// ErrNotBuilt is returned by Open when this gantry has no shim and runc inside.
var ErrNotBuilt = errors.New("this gantry was built without its runtime: run make build")

// programs are the paths of the executables that containers are made with.
type programs struct {
	shim, runc, init string
	// seccomp is whether runc can apply a seccomp profile.
	seccomp bool
}

// A manifest says what build/runtime built; that command writes it.
type manifest struct {
	Seccomp  bool              `json:"seccomp"`
	Programs []embeddedProgram `json:"programs"`
}

type embeddedProgram struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	SHA256  string `json:"sha256"`
	Size    int64  `json:"size"`
}

// Versions returns the version of each program that gantry carries, by name.
func Versions() (map[string]string, error) {
	m, err := readManifest()
	if err != nil {
		return nil, err
	}
	versions := make(map[string]string)
	for _, p := range m.Programs {
		versions[p.Name] = p.Version
	}
	return versions, nil
}

func readManifest() (manifest, error) {
	text, err := embedded.ReadFile("embedded/manifest.json")
	if errors.Is(err, fs.ErrNotExist) {
		return manifest{}, ErrNotBuilt
	}
	if err != nil {
		return manifest{}, err
	}
	var m manifest
	if err := json.Unmarshal(text, &m); err != nil {
		return manifest{}, fmt.Errorf("embedded manifest: %w", err)
	}
	return m, nil
}

// writePrograms makes dir hold exactly the embedded programs. A file that is
// already right, by its hash, is left alone; the others are replaced
// atomically, so that shims of an older gantry keep what they execute.
func writePrograms(dir string) (programs, error) {
	m, err := readManifest()
	if err != nil {
		return programs{}, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return programs{}, err
	}
	var group errgroup.Group
	for _, p := range m.Programs {
		group.Go(func() error {
			if err := p.write(filepath.Join(dir, p.Name)); err != nil {
				return fmt.Errorf("write %s: %w", p.Name, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return programs{}, err
	}
	return programs{
		shim:    filepath.Join(dir, "containerd-shim-runc-v2"),
		runc:    filepath.Join(dir, "runc"),
		init:    filepath.Join(dir, "init"),
		seccomp: m.Seccomp,
	}, nil
}

func (p embeddedProgram) write(path string) error {
	if old, err := os.ReadFile(path); err == nil && p.matches(old) {
		return os.Chmod(path, 0o755)
	}
	packed, err := embedded.ReadFile("embedded/" + p.Name + ".zst")
	if err != nil {
		return err
	}
	decoder, err := zstd.NewReader(nil)
	if err != nil {
		return err
	}
	defer decoder.Close()
	data, err := decoder.DecodeAll(packed, make([]byte, 0, p.Size))
	if err != nil {
		return err
	}
	if !p.matches(data) {
		return errors.New("its hash differs from the manifest's: run make build again")
	}
	return replaceFile(path, data, 0o755)
}

func (p embeddedProgram) matches(data []byte) bool {
	if int64(len(data)) != p.Size {
		return false
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:]) == p.SHA256
}

// replaceFile writes a file so that a reader, or a crash, sees the old or the
// new, never half.
func replaceFile(path string, data []byte, mode os.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone already when all went well
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
