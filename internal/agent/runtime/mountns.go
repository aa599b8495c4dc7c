package runtime

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// insideEnv tells the re-executed gantry which namespace it should find itself
// in, and under which descriptor it holds the one it came from.
const insideEnv = "GANTRY_MOUNT_NAMESPACE"

// nsfsMagic is the file system type of a pinned namespace.
const nsfsMagic = 0x6e736673

// EnterMountNamespace moves this process into the mount namespace that belongs
// to a data directory, making it if there is none: the mounts of containers
// stay out of the host's table, while what the host mounts later is seen in it.
// The namespace is pinned at DIR/run/mnt/namespace, so that it outlives gantry
// and the next start, or gantry down, finds the mounts that were made in it.
//
// Call it first thing in main, before other threads matter: it replaces this
// process by itself, same pid, same arguments, inside the namespace, and
// returns nil there. Where the host's mounts do not propagate (the root is
// "private", as in some containers), later host mounts are not seen; that is
// reported by HostMountsSeen.
func EnterMountNamespace(dir string) error {
	if mark := os.Getenv(insideEnv); mark != "" {
		return arrive(mark)
	}
	pin := pinPath(dir)
	pinned, err := isPinned(pin)
	if err != nil {
		return fmt.Errorf("enter the mount namespace of %s: %w", dir, err)
	}
	if !pinned {
		if err := makePin(pin); err != nil {
			return fmt.Errorf("make the mount namespace of %s: %w", dir, err)
		}
	}
	if err := join(pin); err != nil {
		return fmt.Errorf("enter the mount namespace of %s: %w", dir, err)
	}
	return nil
}

// outside is the descriptor of the mount namespace this process came from; -1
// if it never left. It is set once, by arrive, before anything else runs.
var outside = -1

// arrive checks that the re-executed process is where it should be.
func arrive(mark string) error {
	inode, descriptor, ok := strings.Cut(mark, ":")
	fd, err := strconv.Atoi(descriptor)
	if !ok || err != nil {
		return fmt.Errorf("%s=%q is not gantry's: unset it", insideEnv, mark)
	}
	here, err := namespaceInode("/proc/self/ns/mnt")
	if err != nil {
		return err
	}
	if inode != here {
		return fmt.Errorf("%s names another namespace than this process is in: unset it", insideEnv)
	}
	unix.CloseOnExec(fd)
	outside = fd
	// Children are none of this.
	return os.Unsetenv(insideEnv)
}

// ReleaseMountNamespace unpins the namespace of a data directory, from inside or
// outside. It goes, with every mount in it, when the last process in it ends.
// Releasing what is not there is fine.
func ReleaseMountNamespace(dir string) error {
	done := make(chan error)
	go func() {
		// The thread that leaves the namespace ends with this goroutine.
		runtime.LockOSThread()
		done <- release(pinPath(dir))
	}()
	if err := <-done; err != nil {
		return fmt.Errorf("release the mount namespace of %s: %w", dir, err)
	}
	return nil
}

func release(pin string) error {
	if outside >= 0 {
		if err := unix.Unshare(unix.CLONE_FS); err != nil {
			return err
		}
		if err := unix.Setns(outside, unix.CLONE_NEWNS); err != nil {
			return err
		}
	}
	for _, path := range []string{pin, filepath.Dir(pin)} {
		err := unix.Unmount(path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
		if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("unmount %s: %w", path, err)
		}
	}
	return os.RemoveAll(filepath.Dir(pin))
}

// HostMountsSeen is whether the host passes on what it mounts from now on.
func HostMountsSeen() (bool, error) {
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return false, err
	}
	for line := range strings.Lines(string(table)) {
		before, _, _ := strings.Cut(line, " - ")
		if fields := strings.Fields(before); len(fields) > 4 && fields[4] == "/" {
			return strings.Contains(before, " master:") || strings.Contains(before, " shared:"), nil
		}
	}
	return false, errors.New("the mount table has no root")
}

func pinPath(dir string) string { return filepath.Join(dir, "run", "mnt", "namespace") }

func isPinned(pin string) (bool, error) {
	var s unix.Statfs_t
	err := unix.Statfs(pin, &s)
	if errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	return err == nil && s.Type == nsfsMagic, err
}

// makePin makes a namespace in a thread that is then given up, and pins it from
// outside: the kernel refuses a namespace's file within that same namespace,
// and a place from which the pin would propagate there.
func makePin(pin string) error {
	place := filepath.Dir(pin)
	if err := os.MkdirAll(place, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(pin, nil, 0o600); err != nil {
		return err
	}
	// A killed predecessor may have come this far.
	_ = unix.Unmount(place, unix.MNT_DETACH)
	if err := unix.Mount(place, place, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind %s: %w", place, err)
	}
	if err := unix.Mount("", place, "", unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make %s private: %w", place, err)
	}
	var allowed unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil {
		return err
	}
	var err error = unix.EINVAL
	for cpu := 0; cpu < maxCPUs && err == unix.EINVAL; cpu++ {
		if allowed.IsSet(cpu) {
			err = makeNamespace(place, pin, cpu)
		}
	}
	return err
}

// maxCPUs is how many a unix.CPUSet can tell apart.
const maxCPUs = 1024

// makeNamespace makes a namespace in a thread on the given CPU and pins it. The
// kernel lets a namespace be pinned only from one with a smaller number, and
// since Linux 6.18 each CPU hands out numbers from a batch of its own: from a
// namespace that is itself not the host's first it takes the right CPU, and
// unix.EINVAL says that this was another.
func makeNamespace(place, pin string, cpu int) error {
	made, pinned := make(chan error), make(chan struct{})
	var thread int
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends here
		thread = unix.Gettid()
		made <- separate(place, cpu)
		<-pinned
	}()
	defer close(pinned)
	if err := <-made; err != nil {
		return err
	}
	source := fmt.Sprintf("/proc/self/task/%d/ns/mnt", thread)
	err := unix.Mount(source, pin, "", unix.MS_BIND, "")
	if err != nil && err != unix.EINVAL {
		return fmt.Errorf("pin it at %s: %w", pin, err)
	}
	return err
}

// separate puts the calling thread into a mount namespace of its own that
// hears of the host's mounts and tells nothing back.
func separate(place string, cpu int) error {
	var only unix.CPUSet
	only.Set(cpu)
	if err := unix.SchedSetaffinity(0, &only); err != nil {
		return fmt.Errorf("move to CPU %d: %w", cpu, err)
	}
	if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("stop propagation to the host: %w", err)
	}
	// The copy of the pin's place serves nobody in here.
	return unix.Unmount(place, unix.MNT_DETACH)
}

// join moves the calling thread into the pinned namespace and executes this
// program anew from it: the new process image is in it as a whole.
func join(pin string) error {
	runtime.LockOSThread()
	target, err := unix.Open(pin, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(target)
	// Kept open across the execution, for ReleaseMountNamespace.
	home, err := unix.Open("/proc/thread-self/ns/mnt", unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	program, err := os.Executable()
	if err != nil {
		return err
	}
	directory, err := os.Getwd()
	if err != nil {
		return err
	}
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	if err := unix.Setns(target, unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("join %s: %w", pin, err)
	}
	// Joining put the thread at the namespace's root directory.
	if err := unix.Chdir(directory); err != nil {
		return fmt.Errorf("return to %s: %w", directory, err)
	}
	inode, err := namespaceInode("/proc/thread-self/ns/mnt")
	if err != nil {
		return err
	}
	env := append(os.Environ(), fmt.Sprintf("%s=%s:%d", insideEnv, inode, home))
	return fmt.Errorf("execute %s: %w", program, unix.Exec(program, os.Args, env))
}

// namespaceInode is what tells one namespace from another.
func namespaceInode(path string) (string, error) {
	var s unix.Stat_t
	if err := unix.Stat(path, &s); err != nil {
		return "", fmt.Errorf("stat %s: %w", path, err)
	}
	return strconv.FormatUint(s.Ino, 10), nil
}
