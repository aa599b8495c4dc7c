package runtime

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	copying "github.com/containerd/continuity/fs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// A VolumeName names a Docker-style volume on this host: letters, digits, and
// after the first also "_", "." and "-".
type VolumeName string

// A Volume is a directory of this host with a name, kept until it is removed.
type Volume struct {
	Name VolumeName
	// Driver must be "local" or empty.
	Driver string
	// DriverOptions are those of Docker's local driver, by which a volume is a mount: type, device and o.
	DriverOptions map[string]string
	Labels        map[string]string
	// Task is the task whose end removes it (scope task); empty is scope shared.
	Task TaskID
}

var validVolume = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,254}$`)

// A volume is a directory: data is what containers see; about.json says what it
// is; filled is there once the image's content was copied in.
const (
	volumeData   = "_data"
	volumeAbout  = "about.json"
	volumeFilled = "filled"
)

// CreateVolume makes a volume. One that is there already is left as it is, as
// Docker does, if it is of the same scope.
func (r *Runtime) CreateVolume(ctx context.Context, v Volume) error {
	if err := r.createVolume(ctx, v); err != nil {
		return failed(CannotVolume, err, "create volume %s", v.Name)
	}
	return nil
}

func (r *Runtime) createVolume(ctx context.Context, v Volume) error {
	if !validVolume.MatchString(string(v.Name)) {
		return fmt.Errorf("%q is not a volume name: letters, digits, and after the first also _ . -", v.Name)
	}
	if v.Driver != "" && v.Driver != "local" {
		return fmt.Errorf("volume driver %q is not supported, only local", v.Driver)
	}
	if err := checkDriverOptions(v.DriverOptions); err != nil {
		return err
	}
	unlock, err := r.volumes.lock(ctx, string(v.Name))
	if err != nil {
		return err
	}
	defer unlock()
	old, err := r.Volume(v.Name)
	if err == nil {
		if old.Task != v.Task {
			return errors.New("a volume of that name is there with another scope or for another task")
		}
		return nil
	}
	if !errors.Is(err, ErrNotFound) {
		return err
	}
	if err := os.MkdirAll(filepath.Join(r.volumeDir(v.Name), volumeData), 0o755); err != nil {
		return err
	}
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	// Last: a volume without it does not exist yet.
	return replaceFile(filepath.Join(r.volumeDir(v.Name), volumeAbout), text, 0o644)
}

// Volume says what a volume is, or wraps ErrNotFound.
func (r *Runtime) Volume(name VolumeName) (Volume, error) {
	if !validVolume.MatchString(string(name)) {
		return Volume{}, fmt.Errorf("no such volume: %s: %w", name, ErrNotFound)
	}
	text, err := os.ReadFile(filepath.Join(r.volumeDir(name), volumeAbout))
	if errors.Is(err, fs.ErrNotExist) {
		return Volume{}, fmt.Errorf("no such volume: %s: %w", name, ErrNotFound)
	}
	if err != nil {
		return Volume{}, err
	}
	var v Volume
	if err := json.Unmarshal(text, &v); err != nil {
		return Volume{}, fmt.Errorf("read volume %s: %w", name, err)
	}
	return v, nil
}

// VolumePath is where a volume's content is on the host.
func (r *Runtime) VolumePath(name VolumeName) string {
	return filepath.Join(r.volumeDir(name), volumeData)
}

// Volumes lists the volumes, by name.
func (r *Runtime) Volumes() ([]Volume, error) {
	entries, err := os.ReadDir(filepath.Join(r.config.Dir, "volumes"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list volumes: %w", err)
	}
	var list []Volume
	for _, entry := range entries {
		v, err := r.Volume(VolumeName(entry.Name()))
		if errors.Is(err, ErrNotFound) {
			continue // it was being made when gantry was killed
		}
		if err != nil {
			return nil, fmt.Errorf("list volumes: %w", err)
		}
		list = append(list, v)
	}
	return list, nil
}

// RemoveVolume removes a volume and its content. Removing one that is not there
// is fine; one that a container still uses is the caller's mistake.
func (r *Runtime) RemoveVolume(ctx context.Context, name VolumeName) error {
	unlock, err := r.volumes.lock(ctx, string(name))
	if err != nil {
		return failed(CannotRemove, err, "remove volume %s", name)
	}
	defer unlock()
	if !validVolume.MatchString(string(name)) {
		return nil
	}
	if err := r.unmountVolume(name); err != nil {
		return failed(CannotRemove, err, "remove volume %s", name)
	}
	// It stops existing before its content goes.
	err = os.Remove(filepath.Join(r.volumeDir(name), volumeAbout))
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		err = os.RemoveAll(r.volumeDir(name))
	}
	if err != nil {
		return failed(CannotRemove, err, "remove volume %s", name)
	}
	return nil
}

// RemoveTaskVolumes removes the volumes of scope task that a task had.
func (r *Runtime) RemoveTaskVolumes(ctx context.Context, id TaskID) error {
	list, err := r.Volumes()
	if err != nil {
		return err
	}
	var problems []error
	for _, v := range list {
		if v.Task == id && id != "" {
			problems = append(problems, r.RemoveVolume(ctx, v.Name))
		}
	}
	return errors.Join(problems...)
}

func (r *Runtime) volumeDir(name VolumeName) string {
	return filepath.Join(r.config.Dir, "volumes", string(name))
}

// mountSources turns a container's mounts into binds of things that exist: host
// paths are made where missing, volumes filled on first use.
func (r *Runtime) mountSources(ctx context.Context, spec Spec, info *imageInfo) ([]specs.Mount, error) {
	var list []specs.Mount
	for _, m := range spec.Mounts {
		if m.Volume != "" {
			if err := r.mountVolume(ctx, m.Volume); err != nil {
				return nil, fmt.Errorf("volume %s: %w", m.Volume, err)
			}
			if err := r.fillVolume(ctx, m, info); err != nil {
				return nil, fmt.Errorf("volume %s: %w", m.Volume, err)
			}
			list = append(list, hostBind(m, r.VolumePath(m.Volume)))
			continue
		}
		if !filepath.IsAbs(m.Source) {
			return nil, fmt.Errorf("source %q of the mount at %s is not an absolute path", m.Source, m.Destination)
		}
		if _, err := os.Stat(m.Source); errors.Is(err, fs.ErrNotExist) {
			if err := os.MkdirAll(m.Source, 0o755); err != nil {
				return nil, err
			}
		} else if err != nil {
			return nil, err
		}
		list = append(list, hostBind(m, m.Source))
	}
	return list, nil
}

// fillVolume copies what the image has at the mount's place into a volume that
// is new and empty, with owners and modes, as Docker does.
func (r *Runtime) fillVolume(ctx context.Context, m Mount, info *imageInfo) error {
	if _, err := r.Volume(m.Volume); err != nil {
		return err
	}
	unlock, err := r.volumes.lock(ctx, string(m.Volume))
	if err != nil {
		return err
	}
	defer unlock()
	mark := filepath.Join(r.volumeDir(m.Volume), volumeFilled)
	if _, err := os.Stat(mark); err == nil {
		return nil
	}
	data := r.VolumePath(m.Volume)
	there, err := os.ReadDir(data)
	if err != nil {
		return err
	}
	if len(there) == 0 {
		err := r.withImage(ctx, info, func(root *os.Root) error {
			place := strings.Trim(filepath.Clean("/"+m.Destination), "/")
			// Through root, so that a link in the image cannot lead to the host.
			dir, err := root.OpenRoot(place)
			if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
				return nil
			}
			if err != nil {
				return err
			}
			defer dir.Close()
			return copyTree(dir, data)
		})
		if err != nil {
			return fmt.Errorf("copy the image's content: %w", err)
		}
	}
	return os.WriteFile(mark, nil, 0o644)
}

// copyTree copies a directory that was opened safely, by the path under which
// this process holds it.
func copyTree(dir *os.Root, to string) error {
	f, err := dir.Open(".")
	if err != nil {
		return err
	}
	defer f.Close()
	return copying.CopyDir(to, fmt.Sprintf("/proc/self/fd/%d/.", f.Fd()))
}
