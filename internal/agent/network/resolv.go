package network

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"unicode"
)

// A Resolver is what a container definition says about names.
type Resolver struct {
	Mode    Mode
	Servers []string // dnsServers; none means those of the instance
	Search  []string // dnsSearchDomains; none means those of the instance
}

// publicServers answer where the instance has no name server that a container could reach: those that Docker uses then.
var publicServers = []string{"8.8.8.8", "8.8.4.4"}

const (
	resolvConf = "/etc/resolv.conf"
	// systemdResolvConf is where systemd-resolved tells the servers behind its own on 127.0.0.53.
	systemdResolvConf = "/run/systemd/resolve/resolv.conf"
	systemdStub       = "127.0.0.53"
)

// HostResolvConf reads how the instance resolves names, past systemd's server on loopback for containers that have a
// loopback of their own. An instance without the file resolves nothing, which is no error.
func HostResolvConf(mode Mode) []byte {
	conf, _ := os.ReadFile(resolvConf) // not there, or not readable: as if empty
	if servers := nameservers(conf); mode != ModeHost && slices.Equal(servers, []string{systemdStub}) {
		if behind, err := os.ReadFile(systemdResolvConf); err == nil {
			return behind
		}
	}
	return conf
}

// ResolvConf writes a container's /etc/resolv.conf from the instance's, as Docker does. In host mode without wishes it is
// the instance's as it is. In the other modes servers on the instance's loopback, and those with IPv6 addresses, which
// nothing leads to, are left out; if none remain, public ones serve.
func ResolvConf(host []byte, r Resolver) ([]byte, error) {
	if r.Mode == ModeHost && len(r.Servers) == 0 && len(r.Search) == 0 {
		return bytes.Clone(host), nil
	}
	servers := r.Servers
	if len(servers) == 0 {
		servers = reachable(nameservers(host), r.Mode)
	}
	for _, s := range servers {
		if _, err := netip.ParseAddr(s); err != nil {
			return nil, fmt.Errorf("dnsServers: %q is not an IP address", s)
		}
	}
	search := r.Search
	if len(search) == 0 {
		search = lastSearch(host)
	}
	for _, s := range search {
		if s == "" || strings.ContainsFunc(s, unicode.IsSpace) {
			return nil, fmt.Errorf("dnsSearchDomains: %q is not a domain", s)
		}
	}
	var out bytes.Buffer
	for _, s := range servers {
		fmt.Fprintf(&out, "nameserver %s\n", s)
	}
	// A lone dot means that nothing is searched.
	if len(search) > 0 && !slices.Equal(search, []string{"."}) {
		fmt.Fprintf(&out, "search %s\n", strings.Join(search, " "))
	}
	if options := values(host, "options"); len(options) > 0 {
		fmt.Fprintf(&out, "options %s\n", strings.Join(options, " "))
	}
	return out.Bytes(), nil
}

// reachable leaves the servers that a container can ask.
func reachable(servers []string, mode Mode) []string {
	if mode == ModeHost {
		return servers
	}
	var kept []string
	for _, s := range servers {
		if ip, err := netip.ParseAddr(s); err == nil && !ip.IsLoopback() && ip.Is4() {
			kept = append(kept, s)
		}
	}
	if len(kept) == 0 {
		return publicServers
	}
	return kept
}

// values collects the words after each line's keyword.
func values(conf []byte, keyword string) []string {
	var all []string
	for line := range strings.Lines(string(conf)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == keyword {
			all = append(all, fields[1:]...)
		}
	}
	return all
}

// nameservers is the first word of each such line; what follows it is not read (resolv.conf(5)).
func nameservers(conf []byte) []string {
	var all []string
	for line := range strings.Lines(string(conf)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "nameserver" {
			all = append(all, fields[1])
		}
	}
	return all
}

// lastSearch is the domains in force: of several search or domain lines the last one counts (resolv.conf(5)).
func lastSearch(conf []byte) []string {
	var last []string
	for line := range strings.Lines(string(conf)) {
		if fields := strings.Fields(line); len(fields) > 1 && (fields[0] == "search" || fields[0] == "domain") {
			last = fields[1:]
		}
	}
	return last
}
