package placement

import (
	"cmp"
	"fmt"
	"slices"

	"gantry"
)

// Resources is what a container instance offers or has left, without its ports.
// What is left is negative where more was taken than there is.
type Resources struct {
	CPU    int64 // CPU units, 1,024 to a vCPU
	Memory int64 // MiB
	GPUs   int64
	Other  []Amount // further countable resources that were registered, each name once
}

// Demand is what one task takes of an instance. How it follows from a task definition and
// overrides is not decided here: the task's cpu and memory, else the sums over its
// containers, a container's memoryReservation coming before its memory.
type Demand struct {
	CPU    int64 // CPU units; 0 fits everywhere
	Memory int64 // MiB; 0 fits everywhere
	GPUs   int64
	Ports  []Port   // static host ports; a dynamic one (hostPort 0) takes none
	Other  []Amount // further countable resources, by the name they were registered with
}

// An Amount is some of a countable resource that only its name is known of.
type Amount struct {
	Name string
	N    int64
}

// A Port is a host port, which one task takes for the whole instance and protocol.
type Port struct {
	Number   uint16
	Protocol Protocol
}

func (p Port) String() string { return fmt.Sprintf("%d/%s", p.Number, p.Protocol) }

// Protocol is a transport protocol, in the words of a port mapping: tcp or udp.
type Protocol string

const (
	TCP Protocol = "tcp"
	UDP Protocol = "udp"
)

// A portKey is a Port in four bytes, as the index keeps it.
type portKey uint32

func (p Port) key() portKey {
	key := portKey(p.Number) << 1
	if p.Protocol == UDP {
		key |= 1
	}
	return key
}

// PortsOf lists TCP and UDP ports that are kept apart.
func PortsOf(tcp, udp []uint16) []Port {
	ports := make([]Port, 0, len(tcp)+len(udp))
	for _, n := range tcp {
		ports = append(ports, Port{n, TCP})
	}
	for _, n := range udp {
		ports = append(ports, Port{n, UDP})
	}
	return ports
}

// DemandOf is what a task that holds exactly these resources takes.
func DemandOf(r gantry.Resources) Demand {
	return Demand{
		CPU: r.CPU, Memory: r.Memory, GPUs: int64(len(r.GPUs)),
		Ports: PortsOf(r.Ports, r.UDPPorts),
	}
}

// of gives how much there is of a named resource.
func of(amounts []Amount, name string) int64 {
	for _, a := range amounts {
		if a.Name == name {
			return a.N
		}
	}
	return 0
}

// add gives the sum of two lists of amounts, b counted sign times, without changing them.
func add(a, b []Amount, sign int64) []Amount {
	if len(b) == 0 {
		return a
	}
	sum := slices.Clone(a)
	for _, x := range b {
		i := slices.IndexFunc(sum, func(y Amount) bool { return y.Name == x.Name })
		if i < 0 {
			i = len(sum)
			sum = append(sum, Amount{Name: x.Name})
		}
		sum[i].N += sign * x.N
	}
	slices.SortFunc(sum, func(x, y Amount) int { return cmp.Compare(x.Name, y.Name) })
	return sum
}
