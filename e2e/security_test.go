package e2e

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"golang.org/x/sys/unix"
)

// rights are the steps that try what needs a right.
var rights = []string{"report", "call=chroot", "call=mknod", "call=ping", "call=mount", "call=keyctl"}

// allowed checks which of the calls go well, in the order of rights.
func allowed(t *testing.T, got steps, want ...string) {
	t.Helper()
	var went []string
	for _, call := range rights[1:] {
		if got.of(t, call).Error == "" {
			went = append(went, strings.TrimPrefix(call, "call="))
		}
	}
	if strings.Join(went, " ") != strings.Join(want, " ") {
		t.Errorf("the container may %q, want %q", went, want)
	}
}

func has(t *testing.T, r report, capability int) bool {
	t.Helper()
	bits, err := strconv.ParseUint(r.CapEff, 16, 64)
	if err != nil {
		t.Fatalf("capabilities %q: %v", r.CapEff, err)
	}
	return bits&(1<<capability) != 0
}

// TestRights: Docker's default capabilities and seccomp profile, and what changes them.
func TestRights(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	t.Run("default", func(t *testing.T) {
		t.Parallel()
		got := s.alone(t, nil, rights...)
		allowed(t, got, "chroot", "mknod", "ping")
		if r := got.report(t); r.CapEff != "00000000a80425fb" || r.Seccomp != "2" || r.NoNewPrivs {
			t.Errorf("capabilities %s, seccomp %s, no new privileges %v", r.CapEff, r.Seccomp, r.NoNewPrivs)
		}
	})
	t.Run("changed", func(t *testing.T) {
		t.Parallel()
		r := s.alone(t, func(_ *job, c *types.ContainerDefinition) {
			c.LinuxParameters = &types.LinuxParameters{Capabilities: &types.KernelCapabilities{Add: []string{"NET_ADMIN"}, Drop: []string{"MKNOD", "CHOWN"}}}
		}, rights...)
		allowed(t, r, "chroot", "ping")
		if r := r.report(t); !has(t, r, unix.CAP_NET_ADMIN) || has(t, r, unix.CAP_CHOWN) || !has(t, r, unix.CAP_SETUID) {
			t.Errorf("capabilities %s", r.CapEff)
		}
	})
	t.Run("all dropped", func(t *testing.T) {
		t.Parallel()
		got := s.alone(t, func(_ *job, c *types.ContainerDefinition) {
			c.LinuxParameters = &types.LinuxParameters{Capabilities: &types.KernelCapabilities{Drop: []string{"ALL"}, Add: []string{"SYS_CHROOT"}}}
		}, rights...)
		allowed(t, got, "chroot")
	})
	t.Run("of a user", func(t *testing.T) {
		t.Parallel()
		got := s.alone(t, func(_ *job, c *types.ContainerDefinition) { c.User = aws.String("1000") }, rights...)
		allowed(t, got)
		if r := got.report(t); r.UID != 1000 || strings.Trim(r.CapEff, "0") != "" {
			t.Errorf("user %d, capabilities %s", r.UID, r.CapEff)
		}
	})
	t.Run("privileged", func(t *testing.T) {
		t.Parallel()
		got := s.alone(t, func(_ *job, c *types.ContainerDefinition) { c.Privileged = aws.Bool(true) },
			append([]string{"write=/proc/sys/net/ipv4/ip_default_ttl:65"}, rights...)...)
		allowed(t, got, "chroot", "mknod", "ping", "mount", "keyctl")
		if r := got.report(t); r.Seccomp != "0" || !has(t, r, unix.CAP_SYS_ADMIN) {
			t.Errorf("capabilities %s, seccomp %s", r.CapEff, r.Seccomp)
		}
		got.text(t, "write=/proc/sys/net/ipv4/ip_default_ttl:65") // of its own network namespace
	})
	t.Run("security options", func(t *testing.T) {
		t.Parallel()
		got := s.alone(t, func(_ *job, c *types.ContainerDefinition) {
			c.DockerSecurityOptions = []string{"no-new-privileges", "seccomp=unconfined"}
		}, rights...)
		allowed(t, got, "chroot", "mknod", "ping", "keyctl")
		if r := got.report(t); r.Seccomp != "0" || !r.NoNewPrivs {
			t.Errorf("seccomp %s, no new privileges %v", r.Seccomp, r.NoNewPrivs)
		}
	})
	t.Run("security option that is not offered", func(t *testing.T) {
		t.Parallel()
		d := must(t, s.sdk().RegisterTaskDefinition, &ecs.RegisterTaskDefinitionInput{Family: aws.String(family(t)), ContainerDefinitions: []types.ContainerDefinition{{
			Name: aws.String("probe"), Image: aws.String(probeImage), Memory: aws.Int32(16), DockerSecurityOptions: []string{"label:type:svirt_apache"},
		}}}).TaskDefinition
		out := must(t, s.sdk().RunTask, &ecs.RunTaskInput{TaskDefinition: d.TaskDefinitionArn})
		if len(out.Failures) != 1 || *out.Failures[0].Reason != "ATTRIBUTE" || !strings.Contains(aws.ToString(out.Failures[0].Detail), "selinux") {
			t.Errorf("a label of SELinux, which this instance does not have: %+v", out)
		}
	})
}

// TestMaskedFiles: what a container must not see of the machine, nor write.
func TestMaskedFiles(t *testing.T) {
	t.Parallel()
	got := gantry(t).alone(t, nil, "read=/proc/timer_list", "list=/sys/firmware", "write=/proc/sysrq-trigger:h", "write=/sys/kernel/x:y", "open=/proc/kcore")
	for _, what := range []string{"read=/proc/timer_list", "list=/sys/firmware"} {
		if one := got.of(t, what); one.Text != "" {
			t.Errorf("%s: %q", what, one.Text)
		}
	}
	for _, what := range []string{"write=/proc/sysrq-trigger:h", "write=/sys/kernel/x:y", "open=/proc/kcore"} {
		if one := got.of(t, what); one.Error == "" {
			t.Errorf("%s went well", what)
		}
	}
}

// TestDevices: a device of the machine under a name of its own, with the permissions that were given.
func TestDevices(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	const device = "/dev/loop-control" // not among those that every container has
	if _, err := os.Stat(device); err != nil {
		t.Skipf("this machine has no %s", device)
	}
	got := s.alone(t, func(_ *job, c *types.ContainerDefinition) {
		c.LinuxParameters = &types.LinuxParameters{Devices: []types.Device{
			{HostPath: aws.String("/dev/full"), ContainerPath: aws.String("/dev/mine"), Permissions: []types.DeviceCgroupPermission{types.DeviceCgroupPermissionRead}},
			{HostPath: aws.String(device)},
		}}
	}, "open=/dev/mine", "list=/dev", "open=/dev/mem")
	got.text(t, "open=/dev/mine")
	if names := " " + got.text(t, "list=/dev") + " "; !strings.Contains(names, " loop-control ") || !strings.Contains(names, " mine ") {
		t.Errorf("/dev has %s", names)
	}
	if one := got.of(t, "open=/dev/mem"); one.Error == "" {
		t.Error("a device that was not given can be opened")
	}
	j := s.job(t, s.probe("probe"))
	j.in.ContainerDefinitions[0].LinuxParameters = &types.LinuxParameters{Devices: []types.Device{{HostPath: aws.String("/dev/nothing-there")}}}
	if text := tell(j.start().stopped()); !strings.Contains(text, "CannotCreateContainerError") || !strings.Contains(text, "/dev/nothing-there") {
		t.Error(text)
	}
}

// TestSharedNamespaces: pidMode and ipcMode, of the host and of the task.
func TestSharedNamespaces(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	t.Run("task", func(t *testing.T) {
		t.Parallel()
		j := s.job(t, s.probe("first", "write=/dev/shm/x:from the first", "report", "wait"), s.probe("second", "until=read=/dev/shm/x", "report"))
		j.in.PidMode, j.in.IpcMode = types.PidModeTask, types.IpcModeTask
		j.start().stopped()
		first, second := j.said("first").report(t), j.said("second")
		for _, kind := range []string{"pid", "ipc"} {
			if a, b := first.Namespaces[kind], second.report(t).Namespaces[kind]; a != b {
				t.Errorf("%s namespaces %s and %s", kind, a, b)
			}
		}
		if all := strings.Join(second.report(t).Processes, "\n"); !strings.Contains(all, "from the first") {
			t.Errorf("the second container sees the processes\n%s", all)
		}
		if text := second.text(t, "until=read=/dev/shm/x"); text != "from the first" {
			t.Errorf("shared memory holds %q", text)
		}
	})
	t.Run("host", func(t *testing.T) {
		t.Parallel()
		r := s.alone(t, func(j *job, _ *types.ContainerDefinition) {
			j.in.PidMode, j.in.IpcMode = types.PidModeHost, types.IpcModeHost
		}).report(t)
		for _, kind := range []string{"pid", "ipc"} {
			if own, err := os.Readlink("/proc/self/ns/" + kind); err != nil || own != r.Namespaces[kind] {
				t.Errorf("%s namespace %s, and the machine's is %s (%v)", kind, r.Namespaces[kind], own, err)
			}
		}
	})
	t.Run("none", func(t *testing.T) {
		t.Parallel()
		got := s.alone(t, func(j *job, _ *types.ContainerDefinition) { j.in.IpcMode = types.IpcModeNone }, "report")
		if m, ok := got.report(t).Mounts["/dev/shm"]; ok {
			t.Errorf("with ipcMode none there is /dev/shm: %s", m)
		}
	})
	t.Run("own", func(t *testing.T) {
		t.Parallel()
		j := s.job(t, s.probe("first", "report", "write=/data/x:told", "wait"), s.probe("second", "until=read=/data/x", "report"))
		j.in.Volumes = []types.Volume{{Name: aws.String("scratch")}}
		for i := range j.in.ContainerDefinitions {
			j.in.ContainerDefinitions[i].MountPoints = []types.MountPoint{mountPoint("scratch", "/data")}
		}
		j.start().stopped()
		first, second := j.said("first").report(t), j.said("second").report(t)
		for kind, name := range first.Namespaces {
			if name == second.Namespaces[kind] {
				t.Errorf("two containers share the %s namespace", kind)
			}
		}
	})
}
