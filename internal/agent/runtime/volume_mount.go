package runtime

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/mount"
	"golang.org/x/sys/unix"
)

// checkDriverOptions refuses what Docker's local driver would, in its words: a volume
// with options is a mount, and needs to say of what.
func checkDriverOptions(options map[string]string) error {
	if len(options) == 0 {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(options)) {
		if name != "type" && name != "device" && name != "o" {
			return fmt.Errorf("invalid option: %q", name)
		}
	}
	for _, name := range []string{"device", "type"} {
		if options[name] == "" {
			return fmt.Errorf("missing required option: %q", name)
		}
	}
	return nil
}

// mountVolume mounts a volume that has options where its content is, unless it is. It
// stays until the volume is removed, or the machine restarts.
func (r *Runtime) mountVolume(ctx context.Context, name VolumeName) error {
	v, err := r.Volume(name)
	if err != nil || len(v.DriverOptions) == 0 {
		return err
	}
	unlock, err := r.volumes.lock(ctx, string(name))
	if err != nil {
		return err
	}
	defer unlock()
	at := r.VolumePath(name)
	there, err := mountedAt(at)
	if err != nil || there {
		return err
	}
	o, err := resolved(ctx, v.DriverOptions["type"], v.DriverOptions["o"])
	if err != nil {
		return err
	}
	m := mount.Mount{Type: v.DriverOptions["type"], Source: v.DriverOptions["device"]}
	if o != "" {
		m.Options = strings.Split(o, ",")
	}
	if err := m.Mount(at); err != nil {
		return fmt.Errorf("failed to mount local volume: %w", err)
	}
	return nil
}

// unmountVolume takes the mount of a volume away. What was mounted must not be removed with the volume.
func (r *Runtime) unmountVolume(name VolumeName) error {
	at := r.VolumePath(name)
	for {
		there, err := mountedAt(at)
		if err != nil || !there {
			return err
		}
		if err := unix.Unmount(at, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
			return fmt.Errorf("unmount %s: %w", at, err)
		}
	}
}

func mountedAt(path string) (bool, error) {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		return false, err
	}
	info, err := mount.Lookup(path)
	return err == nil && info.Mountpoint == path, err
}

// resolved is a mount's options with the address of an NFS server as the kernel wants it: a number.
func resolved(ctx context.Context, fileSystem, options string) (string, error) {
	if fileSystem != "nfs" && fileSystem != "nfs4" {
		return options, nil
	}
	list := strings.Split(options, ",")
	for i, o := range list {
		host, ok := strings.CutPrefix(o, "addr=")
		if !ok {
			continue
		}
		if _, err := netip.ParseAddr(host); err == nil {
			continue
		}
		found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		if err != nil {
			return "", fmt.Errorf("error resolving passed in network volume address: %w", err)
		}
		list[i] = "addr=" + found[0].Unmap().String()
	}
	return strings.Join(list, ","), nil
}
