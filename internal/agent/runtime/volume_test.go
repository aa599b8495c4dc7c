package runtime

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"
)

func TestVolume(t *testing.T) {
	r, ctx := open(t)
	shared := Volume{Name: "data", Driver: "local", Labels: map[string]string{"a": "b"}}
	must(t, r.CreateVolume(ctx, shared))
	must(t, r.CreateVolume(ctx, shared)) // it may be there
	must(t, r.CreateVolume(ctx, Volume{Name: "mine", Task: "t1"}))

	// The image's content appears in it on first use, with owner and mode.
	s := spec(t, "cat", "/data/sub/file")
	s.Mounts = []Mount{{Volume: "data", Destination: "/data"}}
	if got := run(t, r, ctx, s); got.Stdout != "from the image\n" {
		t.Errorf("got %+v", got)
	}
	info, err := os.Stat(filepath.Join(r.VolumePath("data"), "sub/file"))
	must(t, err)
	if owner := info.Sys().(*syscall.Stat_t).Uid; owner != 1000 || info.Mode().Perm() != 0o640 {
		t.Errorf("owner %d, mode %v", owner, info.Mode())
	}
	// What a container writes stays, and is not written over.
	s = spec(t, "write", "/data/sub/file", "changed")
	s.Mounts = []Mount{{Volume: "data", Destination: "/data"}}
	run(t, r, ctx, s)
	s = spec(t, "cat", "/elsewhere/sub/file")
	s.Mounts = []Mount{{Volume: "data", Destination: "/elsewhere", ReadOnly: true}}
	if got := run(t, r, ctx, s); got.Stdout != "changed" {
		t.Errorf("got %+v", got)
	}
	// A volume emptied by its users stays empty.
	must(t, os.RemoveAll(filepath.Join(r.VolumePath("data"), "sub")))
	s = spec(t, "ls", "/data")
	s.Mounts = []Mount{{Volume: "data", Destination: "/data"}}
	made, err := r.Create(ctx, s)
	must(t, err)
	if diff := cmp.Diff(s.Mounts, made.Mounts); diff != "" {
		t.Error(diff)
	}
	_, err = r.Start(ctx, s.ID)
	must(t, err)
	if got := finish(t, r, ctx, s); got.Stdout != "" {
		t.Errorf("got %+v", got)
	}
	// A place that the image lacks.
	s = spec(t, "ls", "/new/place")
	s.Mounts = []Mount{{Volume: "mine", Destination: "/new/place"}}
	if got := run(t, r, ctx, s); got.Exit.Code != 0 {
		t.Errorf("got %+v", got)
	}

	list, err := r.Volumes()
	must(t, err)
	if diff := cmp.Diff([]Volume{shared, {Name: "mine", Task: "t1"}}, list); diff != "" {
		t.Error(diff)
	}
	must(t, r.RemoveTaskVolumes(ctx, "t1"))
	if _, err := r.Volume("mine"); !errors.Is(err, ErrNotFound) {
		t.Errorf("removed, and yet: %v", err)
	}
	must(t, r.RemoveVolume(ctx, "data"))
	must(t, r.RemoveVolume(ctx, "data"))

	for _, c := range []struct {
		volume Volume
		want   string
	}{
		{Volume{Name: "../up"}, `CannotCreateVolumeError: "../up" is not a volume name…`},
		{Volume{Name: "x", Driver: "rexray"}, `CannotCreateVolumeError: volume driver "rexray" is not supported, only local`},
		{Volume{Name: "x", DriverOptions: map[string]string{"type": "nfs"}}, `CannotCreateVolumeError: missing required option: "device"`},
		{Volume{Name: "x", DriverOptions: map[string]string{"type": "nfs", "device": ":/", "size": "1"}}, `CannotCreateVolumeError: invalid option: "size"`},
	} {
		if err := r.CreateVolume(ctx, c.volume); !like(reason(err), c.want) {
			t.Errorf("%+v: %v", c.volume, reason(err))
		}
	}
}

// TestDeclaredVolumes: what an image declares as VOLUME is one, as in Docker: filled from the image, writable
// beneath a read-only root, handed on by volumesFrom, and gone with its task.
func TestDeclaredVolumes(t *testing.T) {
	r, ctx := open(t)
	const name = "gantry/declares:latest"
	image := probeImage(t, func(c *v1.Config) {
		c.Volumes = map[string]struct{}{"/data": {}, "/made/by/nobody": {}, "/tmp": {}}
	})
	_, err := r.Load(ctx, bytes.NewReader(saveTar(t, name, image)))
	must(t, err)
	inside := func(args ...string) Spec {
		s := spec(t, args...)
		s.Image = name
		s.Security.ReadonlyRootFilesystem = true
		return s
	}
	first := inside("write", "/data/sub/file", "written by the first")
	first.Tmpfs = []Tmpfs{{ContainerPath: "/tmp", SizeBytes: 1 << 20}}
	made, err := r.Create(ctx, first)
	must(t, err)
	if len(made.Mounts) != 2 || made.Mounts[0].Destination != "/data" || made.Mounts[1].Destination != "/made/by/nobody" {
		t.Errorf("mounts: %+v", made.Mounts)
	}
	_, err = r.Start(ctx, first.ID)
	must(t, err)
	if exit, err := r.Wait(ctx, first.ID); err != nil || exit.Code != 0 {
		t.Errorf("writing into a declared volume: %+v, %v", exit, err)
	}
	for _, test := range []struct {
		spec Spec
		want string
		code int
	}{
		{inside("cat", "/data/sub/file"), "from the image\n", 0}, // a volume of its own
		{func() Spec {
			s := spec(t, "cat", "/data/sub/file")
			s.VolumesFrom = []VolumesFrom{{Container: first.ID}}
			return s
		}(), "written by the first", 0},
		{func() Spec {
			s := spec(t, "write", "/data/sub/file", "no")
			s.VolumesFrom = []VolumesFrom{{Container: first.ID, ReadOnly: true}}
			return s
		}(), "", 1},
	} {
		if got := run(t, r, ctx, test.spec); got.Stdout != test.want || (got.Exit.Code == 0) != (test.code == 0) {
			t.Errorf("%v: got %+v", test.spec.Command, got)
		}
	}
	must(t, r.Delete(ctx, first.ID))
	must(t, r.RemoveTaskVolumes(ctx, testTask))
	if list, err := r.Volumes(); err != nil || len(list) != 0 {
		t.Errorf("left: %+v, %v", list, err)
	}
}

// TestMountedVolumes: a volume with options is a mount, as of Docker's local driver. Removing it leaves what was mounted.
func TestMountedVolumes(t *testing.T) {
	r, ctx := open(t)
	source := t.TempDir()
	must(t, os.WriteFile(filepath.Join(source, "precious"), []byte("years of work"), 0o644))
	must(t, r.CreateVolume(ctx, Volume{Name: "there", Task: testTask, DriverOptions: map[string]string{"type": "none", "device": source, "o": "bind"}}))
	must(t, r.CreateVolume(ctx, Volume{Name: "memory", Task: testTask, DriverOptions: map[string]string{"type": "tmpfs", "device": "tmpfs", "o": "size=1m,uid=1000"}}))
	must(t, r.CreateVolume(ctx, Volume{Name: "nowhere", Task: testTask, DriverOptions: map[string]string{"type": "none", "device": "/no/such/place", "o": "bind"}}))
	for range 2 { // mounted by the first that uses it
		s := spec(t, "cat", "/v/precious")
		s.Mounts = []Mount{{Volume: "there", Destination: "/v"}, {Volume: "memory", Destination: "/m"}}
		if got := run(t, r, ctx, s); got.Stdout != "years of work" {
			t.Errorf("got %+v", got)
		}
	}
	var fs unix.Statfs_t
	must(t, unix.Statfs(r.VolumePath("memory"), &fs))
	if fs.Type != unix.TMPFS_MAGIC || fs.Blocks*uint64(fs.Bsize) != 1<<20 {
		t.Errorf("the volume in memory: %+v", fs)
	}
	s := spec(t, "ls", "/v")
	s.Mounts = []Mount{{Volume: "nowhere", Destination: "/v"}}
	if _, err := r.Create(ctx, s); !like(reason(err), `CannotCreateContainerError: volume nowhere: failed to mount local volume: mount source: "/no/such/place"…no such file or directory`) {
		t.Errorf("a mount of nothing: %v", reason(err))
	}
	must(t, r.RemoveTaskVolumes(ctx, testTask))
	if text, err := os.ReadFile(filepath.Join(source, "precious")); err != nil || string(text) != "years of work" {
		t.Errorf("what was mounted is %q, %v", text, err)
	}
	if list, err := r.Volumes(); err != nil || len(list) != 0 {
		t.Errorf("left: %+v, %v", list, err)
	}
}
