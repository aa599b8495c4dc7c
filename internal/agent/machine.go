package agent

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// hostCPU is the machine's CPU in units, 1,024 to a core.
func hostCPU() int64 { return int64(runtime.NumCPU()) * 1024 }

// HostMemory is the machine's memory in MiB.
func HostMemory() (int64, error) {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0, fmt.Errorf("find out how much memory the machine has: %w", err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if rest, ok := strings.CutPrefix(lines.Text(), "MemTotal:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			if err != nil {
				return 0, fmt.Errorf("find out how much memory the machine has: %w", err)
			}
			return kib / 1024, nil
		}
	}
	return 0, fmt.Errorf("find out how much memory the machine has: /proc/meminfo does not say")
}

// bootID tells one boot of the machine from the next.
func bootID() (string, error) {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("find out when the machine was started: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

// A diskOf is the file system that holds a folder.
type diskOf string

// Free is how many bytes an unprivileged process could still write there.
func (d diskOf) Free() (uint64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(string(d), &s); err != nil {
		return 0, fmt.Errorf("look at the file system of %s: %w", string(d), err)
	}
	return s.Bavail * uint64(s.Bsize), nil
}
