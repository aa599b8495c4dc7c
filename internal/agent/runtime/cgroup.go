package runtime

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// cgroups knows where this host's control groups are: on version 1 a tree per
// controller, on version 2 one tree. A hybrid host counts as version 1, as it
// does for runc.
type cgroups struct {
	// trees holds the mount point of every version 1 tree, by controller.
	trees map[string]string
	// unified is the mount point of version 2, empty on version 1.
	unified string
	// hybrid is the mount point of the version 2 tree beside version 1's, empty
	// if there is none. It limits nothing; runc makes groups there all the same.
	hybrid string
}

// detectCgroups reads the mounts of the system whose root directory is given.
func detectCgroups(root string) (cgroups, error) {
	f, err := os.Open(filepath.Join(root, "proc/self/mountinfo"))
	if err != nil {
		return cgroups{}, fmt.Errorf("find the control groups: %w", err)
	}
	defer f.Close()
	found := cgroups{trees: map[string]string{}}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		// "36 35 98:0 / /mnt rw,noatime master:1 - ext3 /dev/root rw,errors=continue"
		before, after, ok := strings.Cut(lines.Text(), " - ")
		fields, kind := strings.Fields(before), strings.Fields(after)
		if !ok || len(fields) < 5 || len(kind) < 3 {
			continue
		}
		at := filepath.Join(root, fields[4])
		switch {
		case kind[0] == "cgroup2" && fields[4] == "/sys/fs/cgroup":
			found.unified = at
		case kind[0] == "cgroup2" && strings.HasPrefix(fields[4], "/sys/fs/cgroup/"):
			found.hybrid = at
		case kind[0] == "cgroup" && strings.HasPrefix(fields[4], "/sys/fs/cgroup/"):
			for option := range strings.SplitSeq(kind[2], ",") {
				if option != "rw" && option != "ro" && option != "xattr" && option != "clone_children" && !strings.HasPrefix(option, "release_agent") {
					found.trees[option] = at
				}
			}
		}
	}
	if err := lines.Err(); err != nil {
		return cgroups{}, fmt.Errorf("find the control groups: %w", err)
	}
	if found.unified == "" && found.trees["memory"] == "" {
		return cgroups{}, errors.New("this host has no control groups at /sys/fs/cgroup: mount cgroup2 there, or the memory and cpu controllers of version 1")
	}
	return found, nil
}

// TaskLimits bound all containers of a task together. Zero is no limit.
type TaskLimits struct {
	// CPUs is the task's cpu in vCPU, a hard limit.
	CPUs float64
	// CPUShares is the task's weight beside others.
	CPUShares uint64
	// MemoryMiB is the task's memory, a hard limit.
	MemoryMiB int64
}

// CreateTaskCgroup makes the control group that a task's containers live
// under. Making it again sets the limits anew.
func (r *Runtime) CreateTaskCgroup(_ context.Context, id TaskID, limits TaskLimits) error {
	if err := r.cgroups.create(r.taskCgroup(id), limits); err != nil {
		return failed(CannotCreate, err, "create the control group of task %s", id)
	}
	return nil
}

// RemoveTaskCgroup removes it again, after the task's containers. Removing one
// that is not there is fine.
func (r *Runtime) RemoveTaskCgroup(ctx context.Context, id TaskID) error {
	if err := r.cgroups.remove(ctx, r.taskCgroup(id)); err != nil {
		return failed(CannotRemove, err, "remove the control group of task %s", id)
	}
	return nil
}

func (r *Runtime) taskCgroup(id TaskID) string {
	return filepath.Join(r.config.CgroupParent, string(id))
}

func (r *Runtime) containerCgroup(task TaskID, id ContainerID) string {
	return filepath.Join(r.taskCgroup(task), string(id))
}

func (c cgroups) create(group string, limits TaskLimits) error {
	if c.unified != "" {
		return c.createUnified(group, limits)
	}
	write := func(controller, file string, value int64) error {
		tree := c.trees[controller]
		if tree == "" {
			return fmt.Errorf("this host has no %s controller", controller)
		}
		if err := os.MkdirAll(filepath.Join(tree, group), 0o755); err != nil {
			return err
		}
		return writeControl(filepath.Join(tree, group, file), strconv.FormatInt(value, 10))
	}
	// Without a limit the group is made by runc, along with the container's.
	if limits.CPUs > 0 {
		if err := write("cpu", "cpu.cfs_period_us", cpuPeriod); err != nil {
			return err
		}
		if err := write("cpu", "cpu.cfs_quota_us", int64(math.Round(limits.CPUs*cpuPeriod))); err != nil {
			return err
		}
	}
	if limits.CPUShares > 0 {
		if err := write("cpu", "cpu.shares", int64(min(max(limits.CPUShares, minCPUShares), maxCPUShares))); err != nil {
			return err
		}
	}
	if limits.MemoryMiB > 0 {
		return write("memory", "memory.limit_in_bytes", limits.MemoryMiB<<20)
	}
	return nil
}

// createUnified makes a version 2 group. Controllers have to be handed down
// level by level.
func (c cgroups) createUnified(group string, limits TaskLimits) error {
	offered, err := os.ReadFile(filepath.Join(c.unified, "cgroup.controllers"))
	if err != nil {
		return err
	}
	var hand []string
	for _, name := range []string{"cpu", "cpuset", "io", "memory", "pids"} {
		if slices.Contains(strings.Fields(string(offered)), name) {
			hand = append(hand, "+"+name)
		}
	}
	dir := c.unified
	for part := range strings.SplitSeq(strings.Trim(group, "/"), "/") {
		if err := writeControl(filepath.Join(dir, "cgroup.subtree_control"), strings.Join(hand, " ")); err != nil {
			return err
		}
		dir = filepath.Join(dir, part)
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	values := map[string]string{}
	if limits.CPUs > 0 {
		values["cpu.max"] = fmt.Sprintf("%d %d", int64(math.Round(limits.CPUs*cpuPeriod)), cpuPeriod)
	}
	if limits.CPUShares > 0 {
		values["cpu.weight"] = strconv.FormatUint(weight(limits.CPUShares), 10)
	}
	if limits.MemoryMiB > 0 {
		values["memory.max"] = strconv.FormatInt(limits.MemoryMiB<<20, 10)
	}
	for _, file := range slices.Sorted(maps.Keys(values)) {
		if err := writeControl(filepath.Join(dir, file), values[file]); err != nil {
			return err
		}
	}
	return nil
}

// weight turns CPU shares, 2 to 262144 with 1024 in the middle, into version
// 2's weight, 1 to 10000 with 100 in the middle, as runc 1.5 does.
func weight(shares uint64) uint64 {
	shares = min(max(shares, minCPUShares), maxCPUShares)
	l := math.Log2(float64(shares))
	return uint64(math.Ceil(math.Pow(10, (l*l+125*l)/612-7.0/34)))
}

// checkSwap says what of maxSwap and swappiness this host cannot enforce.
func (c cgroups) checkSwap(limits Resources) error {
	if c.unified != "" {
		if limits.Swappiness != nil {
			return errors.New("swappiness cannot be set per container on a host with control groups version 2")
		}
		return nil
	}
	if limits.SwapBytes == nil {
		return nil
	}
	if limits.MemoryBytes == 0 {
		return errors.New("maxSwap needs a memory limit for the container")
	}
	if _, err := os.Stat(filepath.Join(c.trees["memory"], "memory.memsw.limit_in_bytes")); err != nil {
		return errors.New("maxSwap cannot be enforced: this host's kernel does not account swap (swapaccount=1)")
	}
	return nil
}

// cgroupPatience is how long a group may stay busy after its last process was
// seen to end: the kernel empties it a moment later, on a busy machine some moments.
const cgroupPatience = 20 * time.Second

// remove takes away a group and the empty groups below it, in every tree.
func (c cgroups) remove(ctx context.Context, group string) error {
	trees := slices.Compact(slices.Sorted(maps.Values(c.trees)))
	if c.unified != "" {
		trees = []string{c.unified}
	} else if c.hybrid != "" {
		trees = append(trees, c.hybrid)
	}
	ctx, cancel := context.WithTimeout(ctx, cgroupPatience)
	defer cancel()
	for _, tree := range trees {
		if err := removeGroup(ctx, filepath.Join(tree, group)); err != nil {
			return err
		}
	}
	return nil
}

func removeGroup(ctx context.Context, dir string) error {
	below, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, entry := range below {
		if entry.IsDir() {
			if err := removeGroup(ctx, filepath.Join(dir, entry.Name())); err != nil {
				return err
			}
		}
	}
	const firstWait = time.Millisecond
	for wait := firstWait; ; wait *= 2 {
		err := os.Remove(dir)
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(wait):
		}
	}
}

// writeControl writes a control file in one piece, as the kernel wants it.
func writeControl(path, value string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}
