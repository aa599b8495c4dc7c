package engine

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"gantry/internal/wire/acsapi"
)

// Ports is one port mapping as the network is asked for it: Count consecutive ports from Container on. HostPort 0
// leaves the choice to the network.
type Ports struct {
	Container uint16
	Count     int
	// Ranged says that the mapping was given as a range, and is to be told as one.
	Ranged   bool
	HostPort uint16
	Protocol string // tcp or udp
}

// mostPort is the largest port number.
const mostPort = 65535

// readPorts reads a port mapping of a payload.
func readPorts(m acsapi.PortMapping) (Ports, error) {
	p := Ports{Protocol: cmp.Or(m.Protocol, "tcp"), Count: 1}
	if p.Protocol != "tcp" && p.Protocol != "udp" {
		return p, fmt.Errorf("port mapping with protocol %q: tcp and udp are known", m.Protocol)
	}
	if m.HostPort < 0 || m.HostPort > mostPort {
		return p, fmt.Errorf("host port %d is not between 0 and %d", m.HostPort, mostPort)
	}
	p.HostPort = uint16(m.HostPort)
	first, last := m.ContainerPort, m.ContainerPort
	if m.ContainerPortRange != "" {
		a, b, ok := strings.Cut(m.ContainerPortRange, "-")
		var err1, err2 error
		first, err1 = strconv.ParseInt(a, 10, 32)
		last, err2 = strconv.ParseInt(b, 10, 32)
		if !ok || err1 != nil || err2 != nil {
			return p, fmt.Errorf("container port range %q is not first-last", m.ContainerPortRange)
		}
		if m.HostPort != 0 {
			return p, fmt.Errorf("container port range %s takes no host port", m.ContainerPortRange)
		}
		p.Ranged = true
	}
	if first < 1 || last > mostPort || last < first {
		return p, fmt.Errorf("container ports %d-%d do not rise from 1 to at most %d", first, last, mostPort)
	}
	p.Container, p.Count = uint16(first), int(last-first)+1
	return p, nil
}

// portsOf is a container's port mappings, which were checked when the payload was read.
func portsOf(c *ContainerDefinition) []Ports {
	var out []Ports
	for _, m := range c.PortMappings {
		if p, err := readPorts(m); err == nil {
			out = append(out, p)
		}
	}
	return out
}
