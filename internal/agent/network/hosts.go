package network

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"unicode"
)

// A HostEntry is one of a container definition's extraHosts.
type HostEntry struct {
	Hostname string
	// IPAddress is an address, or "host-gateway" for the instance as the container knows it.
	IPAddress string
}

// A Link is a container that another one has in its links.
type Link struct {
	IP    netip.Addr
	Names []string // the alias first
}

// A HostsFile is what decides the contents of a container's /etc/hosts.
type HostsFile struct {
	// Base is the instance's own file, which containers in host mode go on from. Without it there is Docker's beginning.
	Base     []byte
	Hostname string
	// IP is the container's address; not valid if it has none of its own.
	IP      netip.Addr
	Gateway netip.Addr
	Extra   []HostEntry
	Links   []Link
}

// dockerHosts is how every container's file begins under Docker.
const dockerHosts = `127.0.0.1	localhost
::1	localhost ip6-localhost ip6-loopback
fe00::	ip6-localnet
ff00::	ip6-mcastprefix
ff02::1	ip6-allnodes
ff02::2	ip6-allrouters
`

// hostGateway stands for the instance's address in extraHosts.
const hostGateway = "host-gateway"

// Hosts writes /etc/hosts in Docker's order: extra hosts, links, the container itself. It refuses an entry that would not
// stay on its line or has no address.
func Hosts(f HostsFile) ([]byte, error) {
	out := bytes.NewBufferString(dockerHosts)
	if f.Base != nil {
		out = bytes.NewBuffer(endWithNewline(f.Base))
	}
	for _, e := range f.Extra {
		ip, err := netip.ParseAddr(e.IPAddress)
		if e.IPAddress == hostGateway && f.Gateway.IsValid() {
			ip, err = f.Gateway, nil
		}
		if err != nil {
			return nil, fmt.Errorf("extraHosts %s: %q is not an IP address", e.Hostname, e.IPAddress)
		}
		if err := writeHost(out, ip, e.Hostname); err != nil {
			return nil, fmt.Errorf("extraHosts: %w", err)
		}
	}
	for _, l := range f.Links {
		if err := writeHost(out, l.IP, l.Names...); err != nil {
			return nil, fmt.Errorf("links: %w", err)
		}
	}
	if f.IP.IsValid() && f.Hostname != "" {
		names := []string{f.Hostname}
		if short, _, ok := strings.Cut(f.Hostname, "."); ok {
			names = append(names, short)
		}
		if err := writeHost(out, f.IP, names...); err != nil {
			return nil, fmt.Errorf("hostname: %w", err)
		}
	}
	return out.Bytes(), nil
}

func writeHost(out *bytes.Buffer, ip netip.Addr, names ...string) error {
	for _, n := range names {
		if n == "" || strings.ContainsFunc(n, unicode.IsSpace) || strings.ContainsAny(n, "#\x00") {
			return fmt.Errorf("%q is not a host name", n)
		}
	}
	names = slices.Compact(slices.Clone(names))
	fmt.Fprintf(out, "%s\t%s\n", ip, strings.Join(names, " "))
	return nil
}

func endWithNewline(b []byte) []byte {
	b = bytes.Clone(b)
	if len(b) > 0 && b[len(b)-1] != '\n' {
		b = append(b, '\n')
	}
	return b
}

// shortIDLength is how much of its id a container without a hostname is called by, as under Docker.
const shortIDLength = 12

// Hostname is what a container is called: what its definition says, else the beginning of its id.
func Hostname(defined string, id SandboxID) string {
	if defined != "" {
		return defined
	}
	return string(id[:min(shortIDLength, len(id))])
}

// HostnameFile writes /etc/hostname.
func HostnameFile(hostname string) []byte { return []byte(hostname + "\n") }
