// Package e2e drives the real gantry with genuine clients: the aws CLI and the AWS
// SDK for Go, against real containers. The tests and everything they start run in a
// network namespace of their own, so that no bridge, rule or sysctl reaches the host.
package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// inNamespace marks the second run of the test program, the one inside.
const inNamespace = "GANTRY_E2E_NAMESPACE"

func TestMain(m *testing.M) {
	if reason := lacking(); reason != "" {
		fmt.Printf("e2e: skipped: %s\n", reason)
		return
	}
	if os.Getenv(inNamespace) == "" {
		fmt.Fprintln(os.Stderr, "e2e:", enter())
		os.Exit(1)
	}
	if err := raiseLoopback(); err != nil {
		fmt.Fprintln(os.Stderr, "e2e: raise lo:", err)
		os.Exit(1)
	}
	code := m.Run()
	if code != 0 && shared.s != nil {
		fmt.Fprintf(os.Stderr, "e2e: the log of the server that tests share ends:\n%s\n", shared.s.logTail())
	}
	if err := stopShared(); err != nil {
		fmt.Fprintln(os.Stderr, "e2e: clean up:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// lacking names what this machine lacks for these tests.
func lacking() string {
	if runtime.GOOS != "linux" {
		return "containers need Linux"
	}
	if os.Geteuid() != 0 {
		return "containers need root"
	}
	if _, err := os.Stat(program()); err != nil {
		return "there is no bin/gantry: run make build"
	}
	return ""
}

// enter starts the test program again in a new network namespace. It returns only
// if that went wrong. (ip netns exec would hide the cgroup mounts.)
func enter() error {
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("make a network namespace: %w", err)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return unix.Exec(self, os.Args, append(os.Environ(), inNamespace+"=1"))
}

// raiseLoopback brings lo up: it is down in a new namespace.
func raiseLoopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	request := struct {
		name  [unix.IFNAMSIZ]byte
		flags uint16
		_     [22]byte
	}{flags: unix.IFF_UP | unix.IFF_RUNNING}
	copy(request.name[:], "lo")
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCSIFFLAGS, uintptr(unsafe.Pointer(&request))); errno != 0 {
		return errno
	}
	return nil
}

// need skips a test that cannot run without a program.
func need(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not on PATH", name)
	}
	return path
}
