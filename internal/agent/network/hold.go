package network

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// fallbackDynamic is where dynamic host ports come from if the host does not tell its own range: what Docker and the ECS
// agent fall back to.
var fallbackDynamic = PortRange{49153, 65535}

// dynamicPorts is where ECS finds dynamic host ports: the host's ephemeral range, on Linux usually 32768 to 60999.
func dynamicPorts() PortRange {
	data, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		return fallbackDynamic
	}
	var r PortRange
	if _, err := fmt.Sscan(string(data), &r.First, &r.Last); err != nil || r.First == 0 || r.Last < r.First {
		return fallbackDynamic
	}
	return r
}

// unassignablePorts is what the host's owner took out of automatic assignment (sysctl ip_local_reserved_ports).
func unassignablePorts() []uint16 {
	data, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_reserved_ports")
	if err != nil {
		return nil
	}
	return parsePortList(string(data))
}

// parsePortList reads "8080,9000-9002" into its ports and passes over what it cannot read.
func parsePortList(s string) []uint16 {
	var ports []uint16
	for field := range strings.SplitSeq(strings.TrimSpace(s), ",") {
		if !strings.Contains(field, "-") {
			field += "-" + field
		}
		r, err := ParsePortRange(field)
		if err != nil {
			continue
		}
		for i := range r.Len() {
			ports = append(ports, r.First+uint16(i))
		}
	}
	return ports
}

// socket is an open socket that does nothing but exist.
type socket int

func (s socket) Close() error { return unix.Close(int(s)) }

// holdPort keeps a port on all of the host's addresses from being taken, until it is closed. The socket never listens,
// so nobody connects to it by mistake, with one exception: a port whose former connections have not quite ended can only
// be had by listening.
func holdPort(protocol Protocol, port uint16) (io.Closer, error) {
	if protocol == UDP {
		return bindSocket(unix.SOCK_DGRAM, port, keepExclusive)
	}
	s, err := bindSocket(unix.SOCK_STREAM, port, keepExclusive)
	if errors.Is(err, unix.EADDRINUSE) {
		s, err = bindSocket(unix.SOCK_STREAM, port, listenToo)
	}
	return s, err
}

// bindHow says what keeps others off a bound port.
type bindHow int

const (
	keepExclusive bindHow = iota // an address that may not be shared
	listenToo                    // a listener, which may be had beside connections that are about to end
)

func bindSocket(kind int, port uint16, how bindHow) (socket, error) {
	fd, err := unix.Socket(unix.AF_INET, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	if how == listenToo {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	} else if kind == unix.SOCK_DGRAM {
		// Datagrams that come when no container has the port yet are not kept.
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 0)
	}
	if err == nil {
		err = os.NewSyscallError("bind", unix.Bind(fd, &unix.SockaddrInet4{Port: int(port)}))
	}
	if err == nil && how == listenToo {
		err = os.NewSyscallError("listen", unix.Listen(fd, 0))
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return socket(fd), nil
}
