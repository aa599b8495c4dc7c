package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// checkMachine says in one sentence what this machine lacks for running containers.
func checkMachine() error {
	if os.Geteuid() != 0 {
		return errors.New("gantry runs containers, which needs root: start it with sudo")
	}
	for _, ns := range []string{"mnt", "net", "pid", "ipc", "uts"} {
		if _, err := os.Stat("/proc/self/ns/" + ns); err != nil {
			return fmt.Errorf("this kernel has no %s namespaces (or /proc is not mounted): containers need them", ns)
		}
	}
	if err := checkOverlay(); err != nil {
		return err
	}
	if err := checkNetfilter(); err != nil {
		return err
	}
	return checkCgroups()
}

// checkOverlay asks the kernel for an overlay mount without layers: it says
// EINVAL where it knows overlayfs, after loading the module if need be.
func checkOverlay() error {
	dir, err := os.MkdirTemp("", "gantry-probe-")
	if err != nil {
		return fmt.Errorf("look for overlayfs: %w", err)
	}
	defer os.Remove(dir)
	switch err := unix.Mount("overlay", dir, "overlay", 0, ""); {
	case err == nil:
		return unix.Unmount(dir, 0)
	case errors.Is(err, unix.ENODEV):
		return errors.New("this kernel has no overlayfs, which images are unpacked with: load the module (modprobe overlay), or use another kernel")
	case errors.Is(err, unix.EPERM):
		return errors.New("mounting is not permitted here: gantry cannot run in an unprivileged container, start that one with --privileged")
	}
	return nil
}

// checkNetfilter asks nf_tables for its generation, as nft does first.
func checkNetfilter() error {
	lacks := errors.New("this kernel has no nf_tables, which host ports are mapped with: load the module (modprobe nf_tables), or use another kernel")
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return lacks
	}
	defer unix.Close(fd)
	request := []byte{
		20, 0, 0, 0, // length: a netlink header and a netfilter header
		unix.NFT_MSG_GETGEN, unix.NFNL_SUBSYS_NFTABLES, // type
		unix.NLM_F_REQUEST, 0, // flags
		1, 0, 0, 0, 0, 0, 0, 0, // sequence, port
		unix.AF_UNSPEC, 0, 0, 0, // netfilter header
	}
	if err := unix.Sendto(fd, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return lacks
	}
	answer := make([]byte, 4096)
	n, _, err := unix.Recvfrom(fd, answer, 0)
	if err != nil || n < 6 || answer[4] == unix.NLMSG_ERROR && answer[5] == 0 {
		return lacks
	}
	return nil
}

// checkCgroups looks for the controllers by which tasks are limited, in either version of cgroups.
func checkCgroups() error {
	have := map[string]bool{}
	if text, err := os.ReadFile("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		for _, c := range strings.Fields(string(text)) {
			have[c] = true
		}
	}
	mounts, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return fmt.Errorf("look for cgroups: %w", err)
	}
	defer mounts.Close()
	for lines := bufio.NewScanner(mounts); lines.Scan(); {
		_, after, _ := strings.Cut(lines.Text(), " - ")
		if f := strings.Fields(after); len(f) == 3 && f[0] == "cgroup" {
			for _, c := range strings.Split(f[2], ",") {
				have[c] = true
			}
		}
	}
	for _, c := range []string{"cpu", "memory", "pids"} {
		if !have[c] {
			return fmt.Errorf("the cgroup controller %q is not mounted, which tasks are limited with: mount cgroups, or boot with cgroup_enable=%s", c, c)
		}
	}
	return nil
}
