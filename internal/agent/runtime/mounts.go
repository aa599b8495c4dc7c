package runtime

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// mounts are the container's, parents before children.
func mounts(b blueprint) ([]specs.Mount, error) {
	sys, cgroup := "ro", "ro"
	if b.spec.Security.Privileged {
		sys, cgroup = "rw", "rw"
	}
	list := []specs.Mount{
		{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
		{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
		{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", sys}},
		{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"nosuid", "noexec", "nodev", "relatime", cgroup}},
		// Of the IPC namespace that the container is in: also the host's, for which the host itself may have no mount.
		{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: []string{"nosuid", "noexec", "nodev"}},
	}
	if shm, ok := sharedMemory(b); ok {
		list = append(list, shm)
	}
	if b.spec.Init {
		list = append(list, bind(b.host.init, initPath, "ro", "nosuid", "nodev"))
	}
	taken := map[string]bool{}
	own := slices.Clone(b.mounts)
	for _, t := range b.spec.Tmpfs {
		m, err := tmpfs(t)
		if err != nil {
			return nil, err
		}
		own = append(own, m)
	}
	for i := range own {
		destination := path.Clean(own[i].Destination)
		if !path.IsAbs(destination) || destination == "/" {
			return nil, fmt.Errorf("container path %q of a mount is not an absolute path below /", own[i].Destination)
		}
		if taken[destination] {
			return nil, fmt.Errorf("container path %s is mounted twice", destination)
		}
		taken[destination] = true
		own[i].Destination = destination
	}
	// What the definition mounts replaces what every container has.
	list = slices.DeleteFunc(list, func(m specs.Mount) bool { return taken[m.Destination] })
	slices.SortStableFunc(own, func(a, b specs.Mount) int {
		return strings.Count(a.Destination, "/") - strings.Count(b.Destination, "/")
	})
	return append(list, own...), nil
}

// sharedMemory is /dev/shm: the host's, the task's, or the container's own.
func sharedMemory(b blueprint) (specs.Mount, bool) {
	switch {
	case b.spec.IPC.None:
		return specs.Mount{}, false
	case b.spec.IPC.Host:
		return bind("/dev/shm", "/dev/shm", "rbind", "nosuid", "noexec", "nodev"), true
	case b.shm != "":
		return bind(b.shm, "/dev/shm", "rbind", "nosuid", "noexec", "nodev"), true
	}
	size := b.spec.Resources.SharedMemoryBytes
	if size == 0 {
		size = defaultShm
	}
	return specs.Mount{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: []string{
		"nosuid", "noexec", "nodev", "mode=1777", "size=" + strconv.FormatInt(size, 10)}}, true
}

func bind(source, destination string, options ...string) specs.Mount {
	if !slices.Contains(options, "rbind") {
		options = append([]string{"bind"}, options...)
	}
	return specs.Mount{Destination: destination, Type: "bind", Source: source, Options: append(options, "rprivate")}
}

// hostBind shows a path of the host. What the host mounts below it later is
// seen (rslave); what the container mounts is not seen by the host.
func hostBind(m Mount, source string) specs.Mount {
	access := "rw"
	if m.ReadOnly {
		access = "ro"
	}
	return specs.Mount{Destination: m.Destination, Type: "bind", Source: source, Options: []string{"rbind", access, "rslave"}}
}

// tmpfsOptions are the flags that ECS allows for a tmpfs; name=value options
// are in tmpfsSettings.
var (
	tmpfsOptions = []string{
		"defaults", "ro", "rw", "suid", "nosuid", "dev", "nodev", "exec", "noexec", "sync", "async", "dirsync",
		"remount", "mand", "nomand", "atime", "noatime", "diratime", "nodiratime", "bind", "rbind", "unbindable",
		"runbindable", "private", "rprivate", "shared", "rshared", "slave", "rslave", "relatime", "norelatime",
		"strictatime", "nostrictatime",
	}
	tmpfsSettings = []string{"mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol", "size"}
	// noTmpfs are options that ECS lists and that mean nothing for a new tmpfs.
	noTmpfs = []string{"remount", "bind", "rbind", "shared", "rshared", "slave", "rslave", "unbindable", "runbindable"}
)

func tmpfs(t Tmpfs) (specs.Mount, error) {
	options := []string{"noexec", "nosuid", "nodev"} // Docker's, the later ones win
	for _, o := range t.Options {
		name, _, valued := strings.Cut(o, "=")
		switch {
		case valued && slices.Contains(tmpfsSettings, name):
		case slices.Contains(noTmpfs, o):
			return specs.Mount{}, fmt.Errorf("tmpfs %s: mount option %q has no meaning for a new tmpfs", t.ContainerPath, o)
		case valued || !slices.Contains(tmpfsOptions, o):
			return specs.Mount{}, fmt.Errorf("tmpfs %s: mount option %q is not known", t.ContainerPath, o)
		}
		options = append(options, o)
	}
	if t.SizeBytes > 0 {
		options = append(options, "size="+strconv.FormatInt(t.SizeBytes, 10))
	}
	return specs.Mount{Destination: t.ContainerPath, Type: "tmpfs", Source: "tmpfs", Options: options}, nil
}
