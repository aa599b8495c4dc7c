//go:build linux

package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A report is what a process can find out about its container.
type report struct {
	PID        int                  `json:"pid"`
	UID        int                  `json:"uid"`
	GID        int                  `json:"gid"`
	Groups     []int                `json:"groups"`
	Dir        string               `json:"dir"`
	Args       []string             `json:"args"`
	Env        map[string]string    `json:"env"`
	Hostname   string               `json:"hostname"`
	Addresses  map[string]string    `json:"addresses"` // of network interfaces
	Mounts     map[string]string    `json:"mounts"`    // path: type and options
	CapEff     string               `json:"capEff"`
	NoNewPrivs bool                 `json:"noNewPrivs"`
	Seccomp    string               `json:"seccomp"` // 0 none, 2 filter
	Limits     map[string][2]uint64 `json:"limits"`
	Processes  []string             `json:"processes"` // "pid command"
	Namespaces map[string]string    `json:"namespaces"`
	ShmBytes   uint64               `json:"shmBytes"`
	Terminal   bool                 `json:"terminal"`
	Stdin      string               `json:"stdin"` // "closed", "open"
}

func look() *report {
	r := &report{
		PID: os.Getpid(), UID: os.Getuid(), GID: os.Getgid(), Args: os.Args,
		Env: map[string]string{}, Addresses: addresses(), Mounts: mounts(), Limits: limits(),
		Processes: processes(), Namespaces: namespaces(), Stdin: stdin(),
	}
	r.Groups, _ = os.Getgroups()
	r.Dir, _ = os.Getwd()
	r.Hostname, _ = os.Hostname()
	for _, e := range os.Environ() {
		name, value, _ := strings.Cut(e, "=")
		r.Env[name] = value
	}
	status := fields("/proc/self/status")
	r.CapEff, r.Seccomp, r.NoNewPrivs = status["CapEff"], status["Seccomp"], status["NoNewPrivs"] == "1"
	var fs unix.Statfs_t
	if unix.Statfs("/dev/shm", &fs) == nil {
		r.ShmBytes = fs.Blocks * uint64(fs.Bsize)
	}
	_, err := unix.IoctlGetTermios(1, unix.TCGETS)
	r.Terminal = err == nil
	return r
}

// fields reads "Name:	value" lines.
func fields(path string) map[string]string {
	out := map[string]string{}
	text, _ := os.ReadFile(path)
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		out[name] = strings.TrimSpace(value)
	}
	return out
}

func addresses() map[string]string {
	out := map[string]string{}
	interfaces, _ := net.Interfaces()
	for _, i := range interfaces {
		list, _ := i.Addrs()
		var text []string
		for _, a := range list {
			text = append(text, a.String())
		}
		out[i.Name] = strings.Join(text, " ")
	}
	return out
}

func mounts() map[string]string {
	out := map[string]string{}
	text, _ := os.ReadFile("/proc/self/mounts")
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 3 {
			out[f[1]] = f[2] + " " + f[3]
		}
	}
	return out
}

func limits() map[string][2]uint64 {
	out := map[string][2]uint64{}
	for name, number := range map[string]int{
		"core": unix.RLIMIT_CORE, "cpu": unix.RLIMIT_CPU, "data": unix.RLIMIT_DATA, "fsize": unix.RLIMIT_FSIZE,
		"memlock": unix.RLIMIT_MEMLOCK, "nofile": unix.RLIMIT_NOFILE, "nproc": unix.RLIMIT_NPROC, "stack": unix.RLIMIT_STACK,
	} {
		// The soft limit of files is always as the hard one: Go raises its own at the start.
		var l unix.Rlimit
		if unix.Prlimit(0, number, nil, &l) == nil {
			out[name] = [2]uint64{l.Cur, l.Max}
		}
	}
	return out
}

func processes() []string {
	var out []string
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		text, err := os.ReadFile(dir + "/cmdline")
		if err == nil {
			command := strings.TrimRight(strings.ReplaceAll(string(text), "\x00", " "), " ")
			out = append(out, filepath.Base(dir)+" "+command)
		}
	}
	slices.SortFunc(out, func(a, b string) int { return pid(a) - pid(b) })
	return out
}

func pid(process string) int {
	text, _, _ := strings.Cut(process, " ")
	n, _ := strconv.Atoi(text)
	return n
}

func namespaces() map[string]string {
	out := map[string]string{}
	for _, name := range []string{"ipc", "mnt", "net", "pid", "uts"} {
		out[name], _ = os.Readlink("/proc/self/ns/" + name)
	}
	return out
}

// stdin tells whether somebody could still write to it.
func stdin() string {
	poll := []unix.PollFd{{Fd: 0, Events: unix.POLLIN}}
	n, err := unix.Poll(poll, 0)
	if err != nil {
		return fmt.Sprint(err)
	}
	if n == 0 {
		return "open"
	}
	return "closed"
}
