package runtime

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// blueprint looks up everything that a container's specification needs: users,
// devices, volumes, namespaces to join; and writes the files it is to see.
func (r *Runtime) blueprint(ctx context.Context, spec Spec, info *imageInfo, undo *cleanup) (blueprint, error) {
	if len(spec.ID) == 0 || len(spec.Task) == 0 {
		return blueprint{}, fmt.Errorf("container %q of task %q: both need a name", spec.ID, spec.Task)
	}
	b := blueprint{spec: spec, image: info.config, host: r.host, cgroup: r.containerCgroup(spec.Task, spec.ID)}
	known, err := r.accounts(ctx, info)
	if err != nil {
		return b, err
	}
	user := spec.User
	if user == "" {
		user = info.config.User
	}
	if b.user, b.home, err = known.find(user); err != nil {
		return b, err
	}
	b.narrow = known.narrow
	if b.devices, err = findDevices(spec); err != nil {
		return b, err
	}
	if b.pid, err = r.joined(ctx, spec.PID, "pid"); err != nil {
		return b, err
	}
	if b.ipc, err = r.joined(ctx, spec.IPC, "ipc"); err != nil {
		return b, err
	}
	if spec.IPC.Anchor != "" {
		b.shm = r.anchorShm(spec.IPC.Anchor)
	}
	if spec.Resources.SwapBytes != nil || spec.Resources.Swappiness != nil {
		if err := r.cgroups.checkSwap(spec.Resources); err != nil {
			return b, err
		}
	}
	files, err := r.writeFiles(spec, undo)
	if err != nil {
		return b, err
	}
	volumes, err := r.mountSources(ctx, spec, info)
	if err != nil {
		return b, err
	}
	// The definition's own mounts come last and win over our files.
	for _, f := range files {
		if !mountsAt(volumes, f.Destination) {
			b.mounts = append(b.mounts, f)
		}
	}
	b.mounts = append(b.mounts, volumes...)
	return b, nil
}

func mountsAt(list []specs.Mount, destination string) bool {
	for _, m := range list {
		if filepath.Clean(m.Destination) == destination {
			return true
		}
	}
	return false
}

// writeFiles writes /etc/hosts and its like where the container can see them.
func (r *Runtime) writeFiles(spec Spec, undo *cleanup) ([]specs.Mount, error) {
	dir := r.stateDir(spec.ID)
	var list []specs.Mount
	for _, f := range []struct {
		name string
		data []byte
	}{
		{"hosts", spec.Files.Hosts},
		{"resolv.conf", spec.Files.ResolvConf},
		{"hostname", spec.Files.Hostname},
	} {
		if f.data == nil {
			continue
		}
		if list == nil {
			if err := os.MkdirAll(dir, 0o711); err != nil {
				return nil, err
			}
			undo.add(func() error { return os.RemoveAll(dir) })
		}
		path := filepath.Join(dir, f.name)
		if err := os.WriteFile(path, f.data, 0o644); err != nil {
			return nil, err
		}
		list = append(list, bind(path, "/etc/"+f.name))
	}
	return list, nil
}

// newToken is a short name that nothing else has.
func newToken() string {
	b := make([]byte, 8)
	rand.Read(b) // never fails
	return hex.EncodeToString(b)
}
