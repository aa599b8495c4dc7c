package network

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	// containerLink is what a container calls its interface.
	containerLink = "eth0"
	// defaultMTU is used where the host has no default route to take it from.
	defaultMTU = 1500
	// carrierWait is longer than the second that the kernel may take to notice a link, and than a busy one may: it has one
	// queue and one lock for all interfaces, also for those of namespaces that end.
	carrierWait = 30 * time.Second
	// carrierPoll is how often an older kernel is asked meanwhile.
	carrierPoll = time.Millisecond
)

// hostLink names the host's end of a container's veth pair: the same after a restart, and this gantry's by its
// beginning.
func (c *Config) hostLink(id SandboxID) string {
	return c.linkPrefix() + hashName(c.ID+"/"+string(id), hostLinkLength-len(c.linkPrefix()))
}

// linkPrefix is what the names of all host's ends begin with, and those of no other gantry.
func (c *Config) linkPrefix() string { return "gv" + hashName(c.ID, 4) }

// hostLinkLength is the longest name that an interface may have.
const hostLinkLength = unix.IFNAMSIZ - 1

// hashName is as many letters and digits made from a text: each holds five bits.
func hashName(text string, length int) string {
	sum := sha256.Sum256([]byte(text))
	return strings.ToLower(base32.HexEncoding.EncodeToString(sum[:])[:length])
}

// hardwareAddr derives an interface's address from its IP, so that an IP that is used again keeps it and no neighbour
// needs to learn anew. 02 marks it as locally administered.
func hardwareAddr(ip netip.Addr) net.HardwareAddr {
	b := ip.As4()
	return net.HardwareAddr{0x02, 0x67, b[0], b[1], b[2], b[3]}
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// openBridge finds or makes the bridge with its addresses. A new range is chosen if there is none yet, or if the recorded
// one has come to overlap another network while no container (inUse) depends on it.
func (n *Network) openBridge(ctx context.Context, inUse bool) error {
	unlock, err := lockChoice(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if n.prefix, err = n.cfg.readRange(); err != nil {
		return err
	}
	used, err := usedRanges(n.host, n.cfg.bridgeName())
	if err != nil {
		return err
	}
	if !n.prefix.IsValid() || !inUse && overlapsAny(n.prefix, used) {
		if n.prefix, err = chooseRange(n.cfg.Pool, n.cfg.ID, used); err != nil {
			return err
		}
		if err := n.cfg.writeRange(n.prefix); err != nil {
			return err
		}
	}
	n.mtu = hostMTU(n.host)
	if n.bridge, err = ensureBridge(n.host, n.cfg.bridgeName(), n.Gateway(), n.mtu); err != nil {
		return err
	}
	return n.setBridgeAddresses()
}

// setBridgeAddresses gives the bridge its two addresses, and no other.
func (n *Network) setBridgeAddresses() error {
	wanted := []netip.Prefix{netip.PrefixFrom(n.Gateway(), n.prefix.Bits()), netip.PrefixFrom(MetadataIP, 32)}
	have, err := undisturbed(func() ([]netlink.Addr, error) { return n.host.AddrList(n.bridge, netlink.FAMILY_V4) })
	if err != nil {
		return fmt.Errorf("list the addresses of %s: %w", n.bridge.Name, err)
	}
	for _, a := range have {
		if a.IPNet.String() != wanted[0].String() && a.IPNet.String() != wanted[1].String() {
			if err := n.host.AddrDel(n.bridge, &a); err != nil {
				return fmt.Errorf("remove address %s from %s: %w", a.IPNet, n.bridge.Name, err)
			}
		}
	}
	for _, p := range wanted {
		if err := n.host.AddrAdd(n.bridge, &netlink.Addr{IPNet: ipNet(p)}); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("give %s the address %s: %w", n.bridge.Name, p, err)
		}
	}
	return nil
}

// ensureBridge finds or makes the bridge and lets it forward.
func ensureBridge(host *netlink.Handle, name string, gateway netip.Addr, mtu int) (*netlink.Bridge, error) {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU, attrs.HardwareAddr = name, mtu, hardwareAddr(gateway)
	if err := host.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil && !errors.Is(err, unix.EEXIST) {
		return nil, fmt.Errorf("create bridge: %w", err)
	}
	link, err := host.LinkByName(name)
	if err != nil {
		return nil, fmt.Errorf("find bridge: %w", err)
	}
	bridge, ok := link.(*netlink.Bridge)
	if !ok {
		return nil, fmt.Errorf("an interface of that name exists and is a %s, not a bridge", link.Type())
	}
	for _, s := range []struct{ path, value string }{
		// Containers reach the outside.
		{"ipv4/ip_forward", "1"},
		// A host port answers on 127.0.0.1 too. The table keeps containers from the host's own loopback.
		{"ipv4/conf/" + name + "/route_localnet", "1"},
		// A container that calls a neighbour by host port goes in and out by the bridge; it needs no advice about that.
		{"ipv4/conf/" + name + "/send_redirects", "0"},
	} {
		if err := setSysctl("/proc/sys/net/"+s.path, s.value); err != nil {
			return nil, err
		}
	}
	disableIPv6(name)
	if err := host.LinkSetUp(bridge); err != nil {
		return nil, fmt.Errorf("bring bridge up: %w", err)
	}
	return bridge, nil
}

// setSysctl writes a setting unless it is so already: it may then be read-only, and writing ip_forward resets others.
func setSysctl(path, value string) error {
	if now, err := os.ReadFile(path); err == nil && string(bytes.TrimSpace(now)) == value {
		return nil
	}
	return os.WriteFile(path, []byte(value), 0)
}

// disableIPv6 saves an interface of the host the work of announcing addresses nobody asks for. Where the kernel has no
// IPv6 there is nothing to do, and where it cannot be disabled nothing depends on it.
func disableIPv6(link string) {
	_ = os.WriteFile("/proc/sys/net/ipv6/conf/"+link+"/disable_ipv6", []byte("1"), 0)
}

// hostMTU is the largest packet that leaves by the host's default route: containers should not send larger ones.
func hostMTU(host *netlink.Handle) int {
	routes, err := undisturbed(func() ([]netlink.Route, error) { return host.RouteList(nil, netlink.FAMILY_V4) })
	if err != nil {
		return defaultMTU
	}
	for _, r := range routes {
		if r.Dst != nil && !r.Dst.IP.IsUnspecified() {
			continue
		}
		if link, err := host.LinkByIndex(r.LinkIndex); err == nil && link.Attrs().MTU > 0 {
			return link.Attrs().MTU
		}
	}
	return defaultMTU
}

// plug connects the namespace at path, in which inside acts, to the bridge.
func (n *Network) plug(ctx context.Context, id SandboxID, path string, inside *netlink.Handle, ip netip.Addr) error {
	ns, err := os.Open(path)
	if err != nil {
		return err
	}
	defer ns.Close()
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU, attrs.MasterIndex = n.cfg.hostLink(id), n.mtu, n.bridge.Index
	veth := netlink.NewVeth(attrs)
	veth.PeerName, veth.PeerHardwareAddr, veth.PeerMTU = containerLink, hardwareAddr(ip), uint32(n.mtu)
	veth.PeerNamespace = netlink.NsFd(ns.Fd())
	if err := n.host.LinkAdd(veth); err != nil {
		return fmt.Errorf("create veth: %w", err)
	}
	disableIPv6(attrs.Name)
	if err := n.host.LinkSetUp(veth); err != nil {
		return fmt.Errorf("bring %s up: %w", attrs.Name, err)
	}
	// A container that calls its own host port is sent back by the bridge port it came from.
	if err := n.host.LinkSetHairpin(veth, true); err != nil {
		return fmt.Errorf("let %s send back: %w", attrs.Name, err)
	}
	peer, err := inside.LinkByName(containerLink)
	if err != nil {
		return fmt.Errorf("find %s inside: %w", containerLink, err)
	}
	if err := inside.AddrAdd(peer, &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(ip, n.prefix.Bits()))}); err != nil {
		return fmt.Errorf("give %s the address %s: %w", containerLink, ip, err)
	}
	if err := inside.LinkSetUp(peer); err != nil {
		return fmt.Errorf("bring %s up: %w", containerLink, err)
	}
	route := &netlink.Route{LinkIndex: peer.Attrs().Index, Gw: n.Gateway().AsSlice()}
	if err := inside.RouteAdd(route); err != nil {
		return fmt.Errorf("add default route: %w", err)
	}
	return n.awaitCarrier(ctx, inside, veth.Index, peer.Attrs().Index)
}

// awaitCarrier waits until packets pass: an interface that was brought up drops what it is given until the kernel has
// noticed, in a queue of its own, that its other end is up too, and the first connection then takes a second. To ask for
// an interface makes newer kernels (6.8) notice at once, so the order matters: the bridge has a carrier when a port has.
func (n *Network) awaitCarrier(ctx context.Context, inside *netlink.Handle, port, peer int) error {
	for _, link := range []struct {
		handle *netlink.Handle
		index  int
	}{{n.host, port}, {n.host, n.bridge.Index}, {inside, peer}} {
		for deadline := time.Now().Add(carrierWait); ; {
			l, err := link.handle.LinkByIndex(link.index)
			if err != nil {
				return fmt.Errorf("wait for the link: %w", err)
			}
			if l.Attrs().OperState == netlink.OperUp {
				break
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("interface %s did not come up within %s", l.Attrs().Name, carrierWait)
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(carrierPoll):
			}
		}
	}
	return nil
}

// hostLinks names the host's ends that are there, by their names: a gantry that is killed while it makes one may leave
// it without a bridge.
func (c *Config) hostLinks(host *netlink.Handle) ([]string, error) {
	links, err := undisturbed(host.LinkList)
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	var names []string
	for _, l := range links {
		if strings.HasPrefix(l.Attrs().Name, c.linkPrefix()) && l.Type() == "veth" {
			names = append(names, l.Attrs().Name)
		}
	}
	return names, nil
}

// listTries is how often the kernel may say that what it lists has changed meanwhile, which is rare.
const listTries = 20

// undisturbed lists until nothing has changed meanwhile: else something may be missing.
func undisturbed[T any](list func() ([]T, error)) (all []T, err error) {
	for range listTries {
		if all, err = list(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			return all, err
		}
	}
	return all, err
}
