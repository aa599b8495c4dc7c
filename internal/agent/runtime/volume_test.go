package runtime

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
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
		{Volume{Name: "x", DriverOptions: map[string]string{"type": "nfs"}}, "CannotCreateVolumeError: options of the local volume driver are not supported"},
	} {
		if err := r.CreateVolume(ctx, c.volume); !like(reason(err), c.want) {
			t.Errorf("%+v: %v", c.volume, reason(err))
		}
	}
}
