package runtime

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	tasksapi "github.com/containerd/containerd/api/services/tasks/v1"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// An AnchorSpec describes the holder of the namespaces that the containers of
// one task share.
type AnchorSpec struct {
	ID   ContainerID
	Task TaskID
	// SharedMemoryBytes is the size of the task's /dev/shm; 0 is 64 MiB.
	SharedMemoryBytes int64
}

// CreateAnchor makes and starts a container that holds a process and an ipc
// namespace and does nothing else, for pidMode and ipcMode task. Containers
// join it by Namespace.Anchor. It has no image, survives gantry, and ends by
// Delete, after the task's containers.
func (r *Runtime) CreateAnchor(ctx context.Context, a AnchorSpec) (err error) {
	ctx = r.in(ctx)
	undo := cleanup{}
	defer func() {
		if err != nil {
			err = failed(CannotCreate, errors.Join(err, undo.run()), "create the shared namespaces of task %s", a.Task)
		}
	}()
	size := a.SharedMemoryBytes
	if size == 0 {
		size = defaultShm
	}
	root := filepath.Join(r.stateDir(a.ID), "root")
	undo.add(func() error { return r.removeState(a.ID) })
	for _, dir := range []string{root, filepath.Join(root, "proc"), filepath.Join(root, "dev"), r.anchorShm(a.ID)} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(root, "init"), nil, 0o755); err != nil {
		return err
	}
	flags := uintptr(unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC)
	if err := unix.Mount("shm", r.anchorShm(a.ID), "tmpfs", flags, "mode=1777,size="+strconv.FormatInt(size, 10)); err != nil {
		return fmt.Errorf("mount the task's shared memory: %w", err)
	}
	oci := &specs.Spec{
		Version: specs.Version,
		Root:    &specs.Root{Path: root, Readonly: true},
		Process: &specs.Process{Args: []string{"/init", "-hold"}, Cwd: "/", Capabilities: &specs.LinuxCapabilities{}, NoNewPrivileges: true},
		Mounts: []specs.Mount{
			{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
			bind(r.programs.init, "/init", "ro", "nosuid", "nodev"),
		},
		Linux: &specs.Linux{
			CgroupsPath: r.containerCgroup(a.Task, a.ID),
			Resources:   &specs.LinuxResources{CPU: &specs.LinuxCPU{Shares: new(uint64(minCPUShares))}},
			Namespaces: []specs.LinuxNamespace{{Type: specs.MountNamespace}, {Type: specs.PIDNamespace}, {Type: specs.IPCNamespace},
				{Type: specs.UTSNamespace}, {Type: specs.NetworkNamespace}},
			MaskedPaths: maskedPaths, ReadonlyPaths: readonlyPaths,
		},
	}
	if _, err := r.launch(ctx, launch{id: a.ID, oci: oci, kept: record{Task: a.Task, StopSignal: "SIGTERM", Anchor: true}}, &undo); err != nil {
		return err
	}
	if _, err := r.client.TaskService().Start(ctx, &tasksapi.StartRequest{ContainerID: string(a.ID)}); err != nil {
		return errors.Join(plain(err), r.Delete(ctx, a.ID))
	}
	return nil
}

func (r *Runtime) anchorShm(id ContainerID) string {
	return filepath.Join(r.stateDir(id), "shm")
}

// removeState removes a container's files, and what an anchor has mounted there.
func (r *Runtime) removeState(id ContainerID) error {
	err := unix.Unmount(r.anchorShm(id), unix.MNT_DETACH)
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("unmount the task's shared memory: %w", err)
	}
	return os.RemoveAll(r.stateDir(id))
}

// joined is the path of an anchor's namespace, empty if none is joined.
func (r *Runtime) joined(ctx context.Context, n Namespace, kind string) (string, error) {
	if n.Anchor == "" {
		return "", nil
	}
	got, err := r.client.TaskService().Get(ctx, &tasksapi.GetRequest{ContainerID: string(n.Anchor)})
	if err != nil {
		return "", fmt.Errorf("join the %s namespace of the task: %w", kind, plain(err))
	}
	if got.Process.Pid == 0 {
		return "", fmt.Errorf("join the %s namespace of the task: its anchor %s has ended", kind, n.Anchor)
	}
	return fmt.Sprintf("/proc/%d/ns/%s", got.Process.Pid, kind), nil
}
