// Package alone gives a benchmark a network namespace and a mount namespace of its
// own, so that the bridges, rules, sysctls and mounts of what it starts never reach
// the host, and end with it.
package alone

import (
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// inside marks the second run of the program, the one in the namespace.
const inside = "GANTRY_BENCH_NAMESPACE"

// Lacking names what this machine lacks for running gantry itself; "" if nothing.
func Lacking(program string) string {
	if os.Geteuid() != 0 {
		return "containers need root"
	}
	if _, err := os.Stat(program); err != nil {
		return "there is no " + program + ": run make build"
	}
	return ""
}

// Inside reports whether the program runs in its own namespaces already.
func Inside() bool { return os.Getenv(inside) != "" }

// Enter moves the program into new namespaces by starting it again there; it returns
// in that second run, or with an error. (ip netns exec would hide the cgroup mounts,
// and a running Go program cannot move all of its threads.)
func Enter() error {
	if Inside() {
		return raiseLoopback()
	}
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_FS); err != nil {
		return fmt.Errorf("make namespaces: %w", err)
	}
	// What the host mounts is seen here, and what is mounted here not there.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("keep mounts from the host: %w", err)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return unix.Exec(self, os.Args, append(os.Environ(), inside+"=1"))
}

// raiseLoopback brings lo up: it is down in a new namespace.
func raiseLoopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("raise lo: %w", err)
	}
	defer unix.Close(fd)
	request := struct {
		name  [unix.IFNAMSIZ]byte
		flags uint16
		_     [22]byte
	}{flags: unix.IFF_UP | unix.IFF_RUNNING}
	copy(request.name[:], "lo")
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCSIFFLAGS, uintptr(unsafe.Pointer(&request))); errno != 0 {
		return fmt.Errorf("raise lo: %w", errno)
	}
	return nil
}
