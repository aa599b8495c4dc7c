package network

import (
	"fmt"
	"io"
	"net/netip"
	"sync"
)

// A PortInUseError says that a host port cannot be had.
type PortInUseError struct {
	Port     uint16
	Protocol Protocol
	// Owner is the container of this gantry that has it; empty if something else on the host does.
	Owner SandboxID
	// Table is the nftables table of another gantry, a container of which has it.
	Table string
	// Err is the host's own refusal, if it was the host that refused.
	Err error
}

func (e *PortInUseError) Error() string {
	switch {
	case e.Owner != "":
		return fmt.Sprintf("host port %d/%s: port is already in use by container %s", e.Port, e.Protocol, e.Owner)
	case e.Table != "":
		return fmt.Sprintf("host port %d/%s: port is already in use by a container of another gantry on this host (nftables table %s)", e.Port, e.Protocol, e.Table)
	}
	return fmt.Sprintf("host port %d/%s: port is already in use on this host", e.Port, e.Protocol)
}

func (e *PortInUseError) Unwrap() error { return e.Err }

// hostPort is one port of one protocol: TCP and UDP have separate ports.
type hostPort struct {
	protocol Protocol
	port     uint16
}

// held is a host port in somebody's hands.
type held struct {
	owner SandboxID
	hold  io.Closer // keeps others on the host from taking the port; nil if it could not be had again after a restart
}

// A portBook knows which container has which host ports and finds free ones. Each port it gives is also held on the
// host, since an address translation alone does not keep another program from listening there.
type portBook struct {
	host     portHost
	dynamic  PortRange
	reserved map[uint16]bool // never dynamic

	mu    sync.Mutex
	taken map[hostPort]held   // guarded by mu
	next  map[Protocol]uint16 // guarded by mu; where the search for a dynamic port goes on
	// elsewhere is what neighbours said when bind began: their tables by port. Guarded by mu.
	elsewhere map[hostPort]string
}

// A portHost is what a book asks of the host.
type portHost struct {
	// hold keeps others on the host from taking the port, until it is closed.
	hold func(Protocol, uint16) (io.Closer, error)
	// neighbours is the ports that lead to containers of other gantrys, with the names of their tables.
	neighbours func() (map[hostPort]string, error)
}

func newPortBook(host portHost, dynamic PortRange, reserved []uint16) *portBook {
	b := &portBook{
		host:     host,
		dynamic:  dynamic,
		reserved: map[uint16]bool{},
		taken:    map[hostPort]held{},
		next:     map[Protocol]uint16{TCP: dynamic.First, UDP: dynamic.First},
	}
	for _, p := range reserved {
		b.reserved[p] = true
	}
	return b
}

// bind gives owner a host port, or as many as the range has, for each request: all of them or none.
// Fixed ports are taken first, so that a dynamic one never lands on them.
func (b *portBook) bind(owner SandboxID, requests []PortRequest) (_ []Binding, err error) {
	if len(requests) == 0 {
		return nil, nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.elsewhere, err = b.host.neighbours(); err != nil {
		return nil, fmt.Errorf("find free host ports: %w", err)
	}
	defer func() {
		if err != nil {
			b.releaseLocked(owner)
		}
	}()
	bindings := make([]Binding, len(requests))
	for i, r := range requests {
		bindings[i] = unbound(r)
		if r.HostPort == 0 {
			continue
		}
		if err := b.takeLocked(owner, hostPort{bindings[i].Protocol, r.HostPort}); err != nil {
			return nil, err
		}
		bindings[i].HostPort = r.HostPort
	}
	for i := range bindings {
		found := &bindings[i]
		if found.HostPort != 0 {
			continue
		}
		ports, err := b.findLocked(owner, found.Protocol, found.containerPorts().Len())
		if err != nil {
			return nil, err
		}
		if found.ContainerPort != 0 {
			found.HostPort = ports.First
		} else {
			found.HostPortRange = ports
		}
	}
	return bindings, nil
}

// unbound is what a request says of its binding before a host port is chosen.
func unbound(r PortRequest) Binding {
	protocol := r.Protocol
	if protocol == "" {
		protocol = TCP
	}
	return Binding{
		BindIP:             netip.IPv4Unspecified(),
		ContainerPort:      r.ContainerPort,
		ContainerPortRange: r.ContainerPortRange,
		Protocol:           protocol,
	}
}

// retake claims the ports of a container that outlived an earlier gantry. A port that something else took meanwhile
// stays the container's, because the port map comes before any listener, and is reported.
func (b *portBook) retake(owner SandboxID, bindings []Binding) (problems []error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.elsewhere = nil
	for _, binding := range bindings {
		ports := binding.hostPorts()
		for i := range ports.Len() {
			p := hostPort{binding.Protocol, ports.First + uint16(i)}
			if err := b.takeLocked(owner, p); err != nil {
				problems = append(problems, err)
				if _, ok := b.taken[p]; !ok {
					b.taken[p] = held{owner: owner}
				}
			}
		}
	}
	return problems
}

// takeLocked takes one port or says who has it. A container may not have a port twice either.
func (b *portBook) takeLocked(owner SandboxID, p hostPort) error {
	if h, ok := b.taken[p]; ok {
		return &PortInUseError{Port: p.port, Protocol: p.protocol, Owner: h.owner}
	}
	if table, ok := b.elsewhere[p]; ok {
		return &PortInUseError{Port: p.port, Protocol: p.protocol, Table: table}
	}
	hold, err := b.host.hold(p.protocol, p.port)
	if err != nil {
		return &PortInUseError{Port: p.port, Protocol: p.protocol, Err: err}
	}
	b.taken[p] = held{owner, hold}
	return nil
}

// findLocked takes count consecutive dynamic ports, looking from where the last search ended so that a port that was
// just given back is not at once somebody else's.
func (b *portBook) findLocked(owner SandboxID, protocol Protocol, count int) (PortRange, error) {
	total := b.dynamic.Len()
	first := int(b.next[protocol])
	for tried := 0; tried < total; {
		if first+count-1 > int(b.dynamic.Last) {
			tried += int(b.dynamic.Last) - first + 1
			first = int(b.dynamic.First)
			if count > total {
				break
			}
		}
		got := b.takeRunLocked(owner, protocol, first, count)
		if got == count {
			b.next[protocol] = uint16(int(b.dynamic.First) + (first+count-int(b.dynamic.First))%total)
			return PortRange{uint16(first), uint16(first + count - 1)}, nil
		}
		tried += got + 1
		first += got + 1
	}
	return PortRange{}, fmt.Errorf("no %d consecutive free %s ports are left between %d and %d",
		count, protocol, b.dynamic.First, b.dynamic.Last)
}

// takeRunLocked takes the ports from first on until one cannot be had. Short of count it gives them back and says how
// many it had, so that the search goes on behind the one in the way.
func (b *portBook) takeRunLocked(owner SandboxID, protocol Protocol, first, count int) int {
	for i := range count {
		p := hostPort{protocol, uint16(first + i)}
		if b.reserved[p.port] || b.takeLocked(owner, p) != nil {
			for j := range i {
				b.giveLocked(hostPort{protocol, uint16(first + j)})
			}
			return i
		}
	}
	return count
}

// release takes back every port of owner.
func (b *portBook) release(owner SandboxID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.releaseLocked(owner)
}

func (b *portBook) releaseLocked(owner SandboxID) {
	for p, h := range b.taken {
		if h.owner == owner {
			b.giveLocked(p)
		}
	}
}

func (b *portBook) giveLocked(p hostPort) {
	if h := b.taken[p]; h.hold != nil {
		h.hold.Close()
	}
	delete(b.taken, p)
}

// close gives up every hold and forgets all owners.
func (b *portBook) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for p := range b.taken {
		b.giveLocked(p)
	}
}
