package network

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// A SandboxID names whatever has a network namespace of its own: in bridge mode and mode none that is a container. An id
// is used once; the next container of the same name has another.
type SandboxID string

// check refuses ids that would not do as the name of a file.
func (id SandboxID) check() error {
	ok := len(id) > 0 && len(id) <= 200 && id[0] != '.' && strings.IndexFunc(string(id), func(r rune) bool {
		return notIDRune(r) && r != '-' && r != '_' && r != '.'
	}) < 0
	if !ok {
		return fmt.Errorf("container id %q cannot name a network", string(id))
	}
	return nil
}

// A Mode is a task definition's networkMode.
type Mode string

// The modes built so far. awsvpc is not among them yet.
const (
	ModeBridge Mode = "bridge"
	ModeHost   Mode = "host"
	ModeNone   Mode = "none"
)

// A Protocol is a port mapping's protocol.
type Protocol string

// The protocols of ECS. An empty one means TCP.
const (
	TCP Protocol = "tcp"
	UDP Protocol = "udp"
)

// A PortRange is some consecutive ports, both ends included.
type PortRange struct{ First, Last uint16 }

// Len is how many ports there are.
func (r PortRange) Len() int { return int(r.Last) - int(r.First) + 1 }

// String writes it as ECS does in containerPortRange: "8080-8085".
func (r PortRange) String() string { return fmt.Sprintf("%d-%d", r.First, r.Last) }

// MarshalText writes the form of String.
func (r PortRange) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads the form of String.
func (r *PortRange) UnmarshalText(text []byte) (err error) {
	*r, err = ParsePortRange(string(text))
	return err
}

// ParsePortRange reads a containerPortRange such as "8080-8085".
func ParsePortRange(s string) (PortRange, error) {
	first, last, ok := strings.Cut(s, "-")
	a, err1 := strconv.ParseUint(first, 10, 16)
	b, err2 := strconv.ParseUint(last, 10, 16)
	if !ok || err1 != nil || err2 != nil || a == 0 || b < a {
		return PortRange{}, fmt.Errorf("port range %q: want two ports from 1 to 65535, such as 8080-8085", s)
	}
	return PortRange{uint16(a), uint16(b)}, nil
}

// A PortRequest is one port mapping of a container definition. Either ContainerPort or ContainerPortRange is set.
type PortRequest struct {
	ContainerPort uint16
	// ContainerPortRange asks for as many consecutive dynamic host ports; HostPort must then be 0.
	ContainerPortRange PortRange
	// HostPort is the port on the instance; 0 means a dynamic one.
	HostPort uint16
	Protocol Protocol
}

// A Request asks for one container's network.
type Request struct {
	ID    SandboxID
	Mode  Mode
	Ports []PortRequest
}

func (r *Request) check() error {
	if err := r.ID.check(); err != nil {
		return err
	}
	switch r.Mode {
	case ModeBridge, ModeHost:
	case ModeNone:
		if len(r.Ports) > 0 {
			return fmt.Errorf("networkMode none allows no port mappings")
		}
	default:
		return fmt.Errorf("networkMode %q is not supported", r.Mode)
	}
	for _, p := range r.Ports {
		if p.Protocol != "" && p.Protocol != TCP && p.Protocol != UDP {
			return fmt.Errorf("port mapping protocol %q: want tcp or udp", p.Protocol)
		}
		ranged := p.ContainerPortRange != PortRange{}
		switch {
		case ranged == (p.ContainerPort != 0):
			return fmt.Errorf("a port mapping needs either a container port or a container port range")
		case ranged && (p.HostPort != 0 || p.ContainerPortRange.First == 0 || p.ContainerPortRange.Len() < 1):
			return fmt.Errorf("container port range %s: its ports must rise from 1 and it takes no host port", p.ContainerPortRange)
		case r.Mode == ModeHost && p.HostPort != 0 && p.HostPort != p.ContainerPort:
			return fmt.Errorf("host port %d and container port %d must be the same in networkMode host", p.HostPort, p.ContainerPort)
		}
	}
	return nil
}

// A Binding is a port mapping in force, in the shape of ECS's NetworkBinding: either the two ports or the two ranges are set.
type Binding struct {
	BindIP             netip.Addr `json:"bindIP"`
	ContainerPort      uint16     `json:"containerPort,omitzero"`
	HostPort           uint16     `json:"hostPort,omitzero"`
	ContainerPortRange PortRange  `json:"containerPortRange,omitzero"`
	HostPortRange      PortRange  `json:"hostPortRange,omitzero"`
	Protocol           Protocol   `json:"protocol"`
}

// hostPorts is the binding's ports on the instance, a single one as a range of one.
func (b Binding) hostPorts() PortRange {
	if b.HostPort != 0 {
		return PortRange{b.HostPort, b.HostPort}
	}
	return b.HostPortRange
}

// containerPorts is the ports inside the container, as many as hostPorts and in the same order.
func (b Binding) containerPorts() PortRange {
	if b.ContainerPort != 0 {
		return PortRange{b.ContainerPort, b.ContainerPort}
	}
	return b.ContainerPortRange
}

// An Attachment is a container's network as it now is.
type Attachment struct {
	ID   SandboxID `json:"id"`
	Mode Mode      `json:"mode"`
	// NamespacePath is the pinned network namespace the container has to join; empty in host mode, where it has none.
	NamespacePath string `json:"namespacePath,omitzero"`
	// IP is the container's address; not valid in modes host and none.
	IP netip.Addr `json:"ip,omitzero"`
	// Bindings tells the port mappings in the order of the request. In host mode a container port is its own host port.
	Bindings []Binding `json:"bindings,omitzero"`
}
