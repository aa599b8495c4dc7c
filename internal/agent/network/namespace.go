package network

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// inNamespace is how far a namespace is from a fresh one: what Docker gives a container too.
var namespaceSysctls = []struct{ path, value string }{
	// A container's processes listen below 1024 without being root: the ports are its own.
	{"/proc/sys/net/ipv4/ip_unprivileged_port_start", "0"},
	// ping works without a capability.
	{"/proc/sys/net/ipv4/ping_group_range", "0 2147483647"},
	// Only IPv4 is offered, so that no program waits for an IPv6 that leads nowhere. ::1 stays.
	{"/proc/sys/net/ipv6/conf/default/disable_ipv6", "1"},
}

// makeNamespace makes a network namespace with its loopback up, pins it at path, and returns a netlink handle that acts
// inside it, for the caller to close. On error nothing is left.
func makeNamespace(path string) (*netlink.Handle, error) {
	pin, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL, 0o444)
	if err != nil {
		return nil, err
	}
	pin.Close()
	var handle *netlink.Handle
	result := make(chan error, 1)
	// The namespace is made by a thread that ends with it: a thread that could not come back must run nothing else.
	go func() {
		runtime.LockOSThread()
		home, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			runtime.UnlockOSThread()
			result <- err
			return
		}
		defer home.Close()
		handle, err = enterNewNamespace(path)
		if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
		result <- err
	}()
	if err := <-result; err != nil {
		return nil, errors.Join(fmt.Errorf("make network namespace: %w", err), removeNamespace(path))
	}
	return handle, nil
}

// enterNewNamespace moves the calling thread into a new namespace and sets that up.
func enterNewNamespace(path string) (_ *netlink.Handle, err error) {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return nil, os.NewSyscallError("unshare", err)
	}
	if err := unix.Mount("/proc/thread-self/ns/net", path, "", unix.MS_BIND, ""); err != nil {
		return nil, fmt.Errorf("pin at %s: %w", path, err)
	}
	for _, s := range namespaceSysctls {
		if err := os.WriteFile(s.path, []byte(s.value), 0); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	handle, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open netlink: %w", err)
	}
	if err := handle.LinkSetUp(&netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: loopbackIndex}}); err != nil {
		handle.Close()
		return nil, fmt.Errorf("bring up loopback: %w", err)
	}
	return handle, nil
}

// loopbackIndex is the number of lo, the first interface of every namespace.
const loopbackIndex = 1

// isNamespace says whether a namespace is pinned at path.
func isNamespace(path string) bool {
	var s unix.Statfs_t
	return unix.Statfs(path, &s) == nil && s.Type == unix.NSFS_MAGIC
}

// removeNamespace takes the pin away. The namespace ends with its last process.
func removeNamespace(path string) error {
	if err := unix.Unmount(path, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("unpin network namespace %s: %w", path, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// removePins takes away the pins of all that keep does not want.
func (c *Config) removePins(keep func(SandboxID) bool) error {
	ids, err := listFiles(c.pinDir(), "")
	errs := []error{err}
	for _, id := range ids {
		if !keep(id) {
			errs = append(errs, removeNamespace(c.pin(id)))
		}
	}
	return errors.Join(errs...)
}
