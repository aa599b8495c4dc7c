package parts

import (
	"context"
	"errors"
	"fmt"

	"gantry"
	"gantry/internal/agent/engine"
	"gantry/internal/agent/runtime"
)

type sandboxes struct{ Machine }

func (m sandboxes) Prepare(ctx context.Context, t engine.TaskSandbox) error {
	limits := runtime.TaskLimits{CPUs: t.VCPU, CPUShares: uint64(t.CPUShares), MemoryMiB: t.Memory / engine.MiB}
	if err := m.Runtime.CreateTaskCgroup(ctx, runtime.TaskID(t.ID), limits); err != nil {
		return initialization(err)
	}
	if t.SharePID || t.ShareIPC {
		// One that a killed agent made may hold namespaces of a task whose cgroup is new: it is made anew. No container
		// of the task runs yet.
		if err := m.Runtime.Delete(ctx, anchorID(t.ID)); err != nil {
			return initialization(err)
		}
		if err := m.Runtime.CreateAnchor(ctx, runtime.AnchorSpec{
			ID: anchorID(t.ID), Task: runtime.TaskID(t.ID), SharedMemoryBytes: t.SharedMemory,
		}); err != nil {
			return initialization(err)
		}
	}
	for _, v := range t.Volumes {
		if err := m.prepareVolume(ctx, t.ID, v); err != nil {
			return err
		}
	}
	return nil
}

func (m sandboxes) prepareVolume(ctx context.Context, task gantry.TaskID, v engine.Volume) error {
	name := volumeName(task, &v)
	if v.MustExist {
		_, err := m.Runtime.Volume(name)
		if errors.Is(err, runtime.ErrNotFound) {
			return fmt.Errorf("CannotCreateVolumeError: the shared volume %s does not exist on this instance, and its autoprovision is false", v.Name)
		}
		return asReason(err)
	}
	volume := runtime.Volume{Name: name, Driver: "local", DriverOptions: v.DriverOpts, Labels: v.Labels}
	if !v.Shared {
		volume.Task = runtime.TaskID(task)
	}
	return asReason(m.Runtime.CreateVolume(ctx, volume))
}

func (m sandboxes) Release(ctx context.Context, id gantry.TaskID) error {
	if err := m.Runtime.Delete(ctx, anchorID(id)); err != nil {
		return err
	}
	return m.Runtime.RemoveTaskCgroup(ctx, runtime.TaskID(id))
}

func (m sandboxes) RemoveVolumes(ctx context.Context, id gantry.TaskID) error {
	return m.Runtime.RemoveTaskVolumes(ctx, runtime.TaskID(id))
}

// initialization says that a task could not be set up.
func initialization(err error) error {
	return &reasonError{text: "ResourceInitializationError: " + err.Error(), err: err}
}
