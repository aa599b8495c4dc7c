package parts

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"gantry"
	"gantry/internal/agent/engine"
	"gantry/internal/agent/network"
	"gantry/internal/agent/runtime"
)

// spec is a container in the runtime's words.
func (m Machine) spec(s *engine.Spec) (runtime.Spec, error) {
	stdout, stderr := OutputFiles(m.OutputDir, s.ID)
	out := runtime.Spec{
		ID: runtime.ContainerID(s.ID), Task: runtime.TaskID(s.TaskID), Image: s.Image, Labels: s.Labels,
		EntryPoint: s.EntryPoint, Command: s.Command, Environment: s.Env,
		WorkingDirectory: s.WorkingDir, User: s.User, Terminal: s.TTY, Interactive: s.OpenStdin,
		StopSignal: s.StopSignal, Init: s.Init,
		Log: runtime.Log{Stdout: stdout, Stderr: stderr},
		Resources: runtime.Resources{
			CPUShares: uint64(s.CPUShares), MemoryBytes: s.Memory, MemoryReservationBytes: s.MemoryReservation,
			PidsLimit: s.PIDsLimit, SharedMemoryBytes: s.ShmSize,
		},
		Security: runtime.Security{
			Privileged: s.Privileged, ReadonlyRootFilesystem: s.ReadonlyRoot, CapAdd: s.CapAdd, CapDrop: s.CapDrop,
		},
		Network: runtime.Network{Host: s.HostNetwork, Path: s.Namespace, Hostname: s.Hostname},
		PID:     namespace(s.PIDMode, s.TaskID),
		IPC:     namespace(s.IPCMode, s.TaskID),
		Sysctls: s.Sysctls,
	}
	if s.NoNewPrivileges {
		out.Security.Options = append(out.Security.Options, "no-new-privileges")
	}
	if s.SeccompUnconfined {
		out.Security.Options = append(out.Security.Options, "seccomp=unconfined")
	}
	if s.MemorySwap > 0 {
		out.Resources.SwapBytes = new(max(0, s.MemorySwap-s.Memory))
	}
	if s.Swappiness != nil {
		out.Resources.Swappiness = new(uint64(max(0, *s.Swappiness)))
	}
	for _, d := range s.Devices {
		out.Devices = append(out.Devices, runtime.Device{HostPath: d.HostPath, ContainerPath: d.ContainerPath, Permissions: d.Permissions})
	}
	for _, u := range s.Ulimits {
		out.Ulimits = append(out.Ulimits, runtime.Ulimit{Name: u.Name, Soft: uint64(u.Soft), Hard: uint64(u.Hard)})
	}
	for _, path := range slices.Sorted(maps.Keys(s.Tmpfs)) {
		t, err := tmpfs(path, s.Tmpfs[path])
		if err != nil {
			return out, err
		}
		out.Tmpfs = append(out.Tmpfs, t)
	}
	for _, mount := range s.Mounts {
		r := runtime.Mount{Source: mount.Source, Destination: mount.Path, ReadOnly: mount.ReadOnly}
		if mount.Volume != nil {
			r.Volume = volumeName(s.TaskID, mount.Volume)
		}
		out.Mounts = append(out.Mounts, r)
	}
	for _, from := range s.VolumesFrom {
		out.VolumesFrom = append(out.VolumesFrom, runtime.VolumesFrom{Container: runtime.ContainerID(from.ID), ReadOnly: from.ReadOnly})
	}
	files, err := m.files(s)
	out.Files = files
	return out, err
}

func namespace(mode string, task gantry.TaskID) runtime.Namespace {
	switch mode {
	case "host":
		return runtime.Namespace{Host: true}
	case "task":
		return runtime.Namespace{Anchor: anchorID(task)}
	case "none":
		return runtime.Namespace{None: true}
	}
	return runtime.Namespace{}
}

// anchorID names the holder of a task's shared namespaces.
func anchorID(task gantry.TaskID) runtime.ContainerID { return runtime.ContainerID("anchor-" + task) }

// volumeName keeps the volumes of tasks apart; shared ones are named as their users name them.
func volumeName(task gantry.TaskID, v *engine.Volume) runtime.VolumeName {
	if v.Shared {
		return runtime.VolumeName(v.Name)
	}
	return runtime.VolumeName("ecs-" + string(task) + "-" + v.Name)
}

// tmpfs reads Docker's options of a tmpfs, of which size is one.
func tmpfs(path, options string) (runtime.Tmpfs, error) {
	t := runtime.Tmpfs{ContainerPath: path}
	for _, o := range strings.Split(options, ",") {
		size, ok := strings.CutPrefix(o, "size=")
		switch {
		case ok:
			bytes, err := readSize(size)
			if err != nil {
				return t, fmt.Errorf("HostConfigError: tmpfs %s: %w", path, err)
			}
			t.SizeBytes = bytes
		case o != "":
			t.Options = append(t.Options, o)
		}
	}
	return t, nil
}

// readSize reads "64m": a number with a unit of 1,024.
func readSize(text string) (int64, error) {
	number, shift := strings.ToLower(text), 0
	number = strings.TrimSuffix(number, "b")
	for unit, by := range map[string]int{"k": 10, "m": 20, "g": 30} {
		if rest, ok := strings.CutSuffix(number, unit); ok {
			number, shift = rest, by
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > 1<<32 {
		return 0, fmt.Errorf("%q is not a size", text)
	}
	return n << shift, nil
}

// files writes /etc/hosts, /etc/resolv.conf and /etc/hostname as Docker does.
func (m Machine) files(s *engine.Spec) (runtime.Files, error) {
	mode := network.ModeBridge
	switch {
	case s.HostNetwork:
		mode = network.ModeHost
	case !s.IP.IsValid():
		mode = network.ModeNone
	}
	hostname := s.Hostname
	if s.Domainname != "" {
		hostname += "." + s.Domainname
	}
	hosts := network.HostsFile{Hostname: hostname, IP: s.IP, Gateway: m.Network.Gateway()}
	if mode == network.ModeHost {
		base, err := readHostsFile()
		if err != nil {
			return runtime.Files{}, fmt.Errorf("CannotCreateContainerError: %w", err)
		}
		hosts.Base = base
	}
	for _, h := range s.Hosts {
		if ip, err := netip.ParseAddr(h.Address); err == nil && len(h.Names) > 1 {
			hosts.Links = append(hosts.Links, network.Link{IP: ip, Names: h.Names})
			continue
		}
		for _, name := range h.Names {
			hosts.Extra = append(hosts.Extra, network.HostEntry{Hostname: name, IPAddress: h.Address})
		}
	}
	var f runtime.Files
	var err error
	if f.Hosts, err = network.Hosts(hosts); err != nil {
		return f, fmt.Errorf("HostConfigError: %w", err)
	}
	f.ResolvConf, err = network.ResolvConf(network.HostResolvConf(mode), network.Resolver{Mode: mode, Servers: s.DNS.Servers, Search: s.DNS.Search})
	if err != nil {
		return f, fmt.Errorf("HostConfigError: %w", err)
	}
	for _, option := range s.DNS.Options {
		f.ResolvConf = append(f.ResolvConf, "options "+option+"\n"...)
	}
	if mode != network.ModeHost {
		f.Hostname = network.HostnameFile(cmp.Or(s.Hostname, network.Hostname("", network.SandboxID(s.ID))))
	}
	return f, nil
}
