package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"golang.org/x/sys/unix"
)

func hostVolume(name, path string) types.Volume {
	return types.Volume{Name: &name, Host: &types.HostVolumeProperties{SourcePath: &path}}
}

func mountPoint(volume, path string) types.MountPoint {
	return types.MountPoint{SourceVolume: &volume, ContainerPath: &path}
}

func readOnly(m types.MountPoint) types.MountPoint {
	m.ReadOnly = aws.Bool(true)
	return m
}

// TestHostVolumes: folders of the machine, made where they are missing, read-only where that was asked for.
func TestHostVolumes(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "hello"), []byte("from the host"), 0o644); err != nil {
		t.Fatal(err)
	}
	got := s.alone(t, func(j *job, c *types.ContainerDefinition) {
		j.in.Volumes = []types.Volume{hostVolume("data", dir), hostVolume("new", filepath.Join(dir, "not", "there"))}
		c.MountPoints = []types.MountPoint{mountPoint("data", "/data"), readOnly(mountPoint("data", "/look")), mountPoint("new", "/new")}
	}, "read=/data/hello", "write=/data/answer:from the container", "read=/look/answer", "write=/look/no:x", "write=/new/file:y")
	if text := got.text(t, "read=/data/hello"); text != "from the host" {
		t.Errorf("the container read %q", text)
	}
	if text := got.text(t, "read=/look/answer"); text != "from the container" {
		t.Errorf("the same folder elsewhere has %q", text)
	}
	if one := got.of(t, "write=/look/no:x"); !strings.Contains(one.Error, "read-only") {
		t.Errorf("writing to a read-only mount point: %+v", one)
	}
	for path, want := range map[string]string{"answer": "from the container", "not/there/file": "y"} {
		if text, err := os.ReadFile(filepath.Join(dir, path)); err != nil || string(text) != want {
			t.Errorf("on the host %s holds %q (%v), want %q", path, text, err, want)
		}
	}
}

// TestHostMountsMadeLater: what the host mounts while a container runs is seen in its volumes.
func TestHostMountsMadeLater(t *testing.T) {
	t.Parallel()
	// The machines of continuous integration keep their mounts private; those of users share them, as this folder.
	dir := t.TempDir()
	if err := unix.Mount(dir, dir, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	if err := unix.Mount("", dir, "", unix.MS_SHARED, ""); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "later"), 0o755); err != nil {
		t.Fatal(err)
	}
	s := own(t)
	if _, err := s.gantry("image", "load", sampleTar("probe")); err != nil {
		t.Fatal(err)
	}
	j := s.job(t, s.probe("probe", "list=/data/later", "wait", "list=/data/later/"))
	j.in.Volumes = []types.Volume{hostVolume("data", dir)}
	j.in.ContainerDefinitions[0].MountPoints = []types.MountPoint{mountPoint("data", "/data")}
	j.start().saying("probe", "list=/data/later")
	later := filepath.Join(dir, "later")
	if err := unix.Mount("none", later, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(later, unix.MNT_DETACH) })
	if err := os.WriteFile(filepath.Join(later, "seen"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	j.stop()
	if text := j.said("probe").text(t, "list=/data/later/"); text != "seen" {
		t.Errorf("in what was mounted later the container sees %q", text)
	}
}

// TestTaskVolumes: volumes without a place on the host are shared by a task's containers and end with it.
func TestTaskVolumes(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	for _, volume := range []types.Volume{
		{Name: aws.String("scratch")},
		{Name: aws.String("scratch"), Host: &types.HostVolumeProperties{}},
		{Name: aws.String("scratch"), DockerVolumeConfiguration: &types.DockerVolumeConfiguration{Scope: types.ScopeTask, Driver: aws.String("local")}},
	} {
		j := s.job(t, s.probe("first", "list=/a", "write=/a/x:from the first"), s.probe("second", "read=/b/x", "list=/c", "write=/c/no:x"))
		j.in.Volumes = []types.Volume{volume}
		first, second := &j.in.ContainerDefinitions[0], &j.in.ContainerDefinitions[1]
		first.Essential = aws.Bool(false)
		first.MountPoints = []types.MountPoint{mountPoint("scratch", "/a")}
		second.MountPoints = []types.MountPoint{mountPoint("scratch", "/b"), readOnly(mountPoint("scratch", "/c"))}
		second.DependsOn = []types.ContainerDependency{{ContainerName: aws.String("first"), Condition: types.ContainerConditionSuccess}}
		j.start().stopped()
		if text := j.said("first").text(t, "list=/a"); text != "" {
			t.Errorf("a new task's volume holds %q", text)
		}
		got := j.said("second")
		if text := got.text(t, "read=/b/x"); text != "from the first" {
			t.Errorf("the second container read %q", text)
		}
		if one := got.of(t, "write=/c/no:x"); !strings.Contains(one.Error, "read-only") {
			t.Errorf("writing to a read-only mount point: %+v", one)
		}
	}
}

// TestSharedVolumes: volumes of scope shared outlive their tasks; without autoprovision they must be there.
func TestSharedVolumes(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	shared := func(name string, autoprovision bool) func(*job, *types.ContainerDefinition) {
		return func(j *job, c *types.ContainerDefinition) {
			j.in.Volumes = []types.Volume{{Name: aws.String("v"), DockerVolumeConfiguration: &types.DockerVolumeConfiguration{
				Scope: types.ScopeShared, Autoprovision: &autoprovision, Labels: map[string]string{"made": "by a test"}}}}
			j.in.Volumes[0].Name = &name
			c.MountPoints = []types.MountPoint{mountPoint(name, "/v")}
		}
	}
	name := "e2e-" + id(t.TempDir())
	s.alone(t, shared(name, true), "write=/v/kept:for the next")
	if text := s.alone(t, shared(name, false), "read=/v/kept").text(t, "read=/v/kept"); text != "for the next" {
		t.Errorf("the next task read %q", text)
	}
	j := s.job(t, s.probe("probe"))
	shared("e2e-missing", false)(j, &j.in.ContainerDefinitions[0])
	got := j.start().stopped()
	if got.StopCode != types.TaskStopCodeTaskFailedToStart || !strings.Contains(tell(got), "e2e-missing") {
		t.Errorf("a task whose shared volume is missing: %s", tell(got))
	}
}

// TestVolumesFrom: a container takes over another's mount points.
func TestVolumesFrom(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	j := s.job(t, s.probe("first", "write=/data/x:from the first", "wait"), s.probe("second", "until=read=/data/x", "write=/data/no:x"))
	j.in.Volumes = []types.Volume{{Name: aws.String("scratch")}}
	j.in.ContainerDefinitions[0].MountPoints = []types.MountPoint{mountPoint("scratch", "/data")}
	j.in.ContainerDefinitions[1].VolumesFrom = []types.VolumeFrom{{SourceContainer: aws.String("first"), ReadOnly: aws.Bool(true)}}
	j.start().stopped()
	got := j.said("second")
	if text := got.text(t, "until=read=/data/x"); text != "from the first" {
		t.Errorf("the second container read %q", text)
	}
	if one := got.of(t, "write=/data/no:x"); !strings.Contains(one.Error, "read-only") {
		t.Errorf("volumesFrom readOnly: %+v", one)
	}
}

// TestFilesInMemory: tmpfs with its size and options, the size of /dev/shm, and a root file system that is read-only.
func TestFilesInMemory(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	got := s.alone(t, func(_ *job, c *types.ContainerDefinition) {
		c.ReadonlyRootFilesystem = aws.Bool(true)
		c.LinuxParameters = &types.LinuxParameters{
			SharedMemorySize: aws.Int32(16),
			Tmpfs: []types.Tmpfs{
				{ContainerPath: aws.String("/scratch"), Size: 8, MountOptions: []string{"mode=1750", "noatime"}},
				{ContainerPath: aws.String("/run"), Size: 4},
			},
		}
	}, "report", "write=/scratch/a:x", "write=/run/a:x", "write=/dev/shm/a:x", "write=/tmp/a:x", "write=/a:x")
	r := got.report(t)
	if m := r.Mounts["/scratch"]; !strings.HasPrefix(m, "tmpfs ") || !strings.Contains(m, "size=8192k") || !strings.Contains(m, "noatime") || !strings.Contains(m, "mode=1750") {
		t.Errorf("/scratch is %q", m)
	}
	if r.ShmBytes != 16<<20 {
		t.Errorf("/dev/shm has %d bytes", r.ShmBytes)
	}
	for _, ok := range []string{"write=/scratch/a:x", "write=/run/a:x", "write=/dev/shm/a:x"} {
		got.text(t, ok)
	}
	for _, not := range []string{"write=/tmp/a:x", "write=/a:x"} {
		if one := got.of(t, not); !strings.Contains(one.Error, "read-only") {
			t.Errorf("%s: %+v", not, one)
		}
	}
}
