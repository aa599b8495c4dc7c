package taskdef

import (
	"slices"
	"strconv"
	"strings"

	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"
)

// capabilities are the names that ECS takes in linuxParameters.capabilities.
var capabilities = strings.Fields(`ALL AUDIT_CONTROL AUDIT_READ AUDIT_WRITE BLOCK_SUSPEND CHOWN DAC_OVERRIDE
	DAC_READ_SEARCH FOWNER FSETID IPC_LOCK IPC_OWNER KILL LEASE LINUX_IMMUTABLE MAC_ADMIN MAC_OVERRIDE MKNOD
	NET_ADMIN NET_BIND_SERVICE NET_BROADCAST NET_RAW SETFCAP SETGID SETPCAP SETUID SYS_ADMIN SYS_BOOT SYS_CHROOT
	SYS_MODULE SYS_NICE SYS_PACCT SYS_PTRACE SYS_RAWIO SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG SYSLOG WAKE_ALARM`)

func checkLinux(c *ecsapi.ContainerDefinition) error {
	p := c.LinuxParameters
	if p == nil {
		return nil
	}
	if p.Capabilities != nil {
		for _, name := range slices.Concat(p.Capabilities.Add, p.Capabilities.Drop) {
			if !slices.Contains(capabilities, name) {
				return client("Invalid linuxParameters for container '%s'. '%s' is not a capability that can be added or dropped.", *c.Name, wire.Shorten(name))
			}
		}
	}
	if p.SharedMemorySize != nil && *p.SharedMemorySize <= 0 {
		return client("Invalid linuxParameters for container '%s'. The sharedMemorySize must be at least 1 MiB.", *c.Name)
	}
	if p.Swappiness != nil && (*p.Swappiness < 0 || *p.Swappiness > 100) {
		return client("Invalid linuxParameters for container '%s'. The swappiness must be between 0 and 100.", *c.Name)
	}
	if p.MaxSwap != nil && *p.MaxSwap < 0 {
		return client("Invalid linuxParameters for container '%s'. The maxSwap must be 0 or more MiB.", *c.Name)
	}
	for _, t := range p.Tmpfs {
		if wire.Value(t.ContainerPath) == "" || wire.Value(t.Size) <= 0 {
			return client("Invalid linuxParameters for container '%s'. A tmpfs needs a containerPath and a size of at least 1 MiB.", *c.Name)
		}
	}
	return nil
}

// checkRequirements checks GPU counts; other types carry a name.
func checkRequirements(c *ecsapi.ContainerDefinition) error {
	for _, r := range c.ResourceRequirements {
		if r.Type != ecsapi.ResourceTypeGpu {
			continue
		}
		if n, err := strconv.Atoi(wire.Value(r.Value)); err != nil || n <= 0 {
			return client("Invalid resourceRequirements for container '%s'. The value of GPU must be the number of GPUs.", *c.Name)
		}
	}
	return nil
}
