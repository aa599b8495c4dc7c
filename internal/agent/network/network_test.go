package network

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
)

func expect(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

func at(ip any, port uint16) string { return fmt.Sprintf("%v:%d", ip, port) }

func TestHostPortIsReachedFromEverywhere(t *testing.T) {
	world(t)
	n := open(t, testConfig(t, "reach"))
	for _, protocol := range []Protocol{TCP, UDP} {
		t.Run(string(protocol), func(t *testing.T) {
			web := attach(t, n, Request{ID: SandboxID("web-" + protocol), Mode: ModeBridge, Ports: []PortRequest{
				{ContainerPort: 80, Protocol: protocol}, {ContainerPort: 81, HostPort: 8081, Protocol: protocol},
			}})
			other := attach(t, n, Request{ID: SandboxID("other-" + protocol), Mode: ModeBridge})
			serve(t, web.NamespacePath, protocol, 80, "eighty")
			serve(t, web.NamespacePath, protocol, 81, "eightyone")
			gateway := n.Gateway().String()

			dynamic := web.Bindings[0].HostPort
			expect(t, "own machine, loopback", call(protocol, at("127.0.0.1", dynamic)), "eighty "+gateway)
			expect(t, "own machine, static port", call(protocol, at("127.0.0.1", 8081)), "eightyone "+gateway)
			expect(t, "own machine, own address", call(protocol, at(hostIP, dynamic)), "eighty "+hostIP)
			expect(t, "own machine, container's address", call(protocol, at(web.IP, 80)), "eighty "+gateway)
			expect(t, "another machine", callFromOutside(t, protocol, at(hostIP, dynamic)), "eighty "+outsideIP)
			expect(t, "neighbour, container's address", callFrom(t, other.NamespacePath, protocol, at(web.IP, 80)), "eighty "+other.IP.String())
			expect(t, "neighbour, host port", callFrom(t, other.NamespacePath, protocol, at(hostIP, dynamic)), "eighty "+gateway)
			expect(t, "neighbour, host port on the bridge", callFrom(t, other.NamespacePath, protocol, at(gateway, dynamic)), "eighty "+gateway)
			expect(t, "itself, host port", callFrom(t, web.NamespacePath, protocol, at(hostIP, dynamic)), "eighty "+gateway)
			expect(t, "itself, loopback", callFrom(t, web.NamespacePath, protocol, at("127.0.0.1", 80)), "eighty 127.0.0.1")

			must(t, n.Detach(t.Context(), web.ID))
			expect(t, "after detach", call(protocol, at("127.0.0.1", dynamic)), "no answer")
		})
	}
}

func TestContainerReachesTheOutside(t *testing.T) {
	world(t)
	n := open(t, testConfig(t, "outside"))
	a := attach(t, n, Request{ID: "a", Mode: ModeBridge})
	l := listenOutside(t)
	expect(t, "outside", callFrom(t, a.NamespacePath, TCP, l), "outside "+hostIP)

	c, ok, err := n.Counters("a")
	if err != nil || !ok || c.TxPackets == 0 || c.RxBytes == 0 {
		t.Errorf("counters after traffic: %+v %v %v", c, ok, err)
	}
}

// listenOutside serves on another machine and says where.
func listenOutside(t *testing.T) string {
	t.Helper()
	var l net.Listener
	var err error
	inHandle(t, outsideNamespace, func() { l, err = net.Listen("tcp4", outsideIP+":0") })
	must(t, err)
	answer(t, l, "outside")
	return l.Addr().String()
}

func TestModes(t *testing.T) {
	world(t)
	n := open(t, testConfig(t, "modes"))
	none := attach(t, n, Request{ID: "none", Mode: ModeNone})
	serve(t, none.NamespacePath, TCP, 80, "none")
	expect(t, "loopback in mode none", callFrom(t, none.NamespacePath, TCP, "127.0.0.1:80"), "none 127.0.0.1")
	expect(t, "outside in mode none", callFrom(t, none.NamespacePath, TCP, listenOutside(t)), "no answer")

	want := Attachment{ID: "host", Mode: ModeHost, Bindings: []Binding{
		{BindIP: netip.IPv4Unspecified(), ContainerPort: 80, HostPort: 80, Protocol: TCP},
	}}
	if diff := cmp.Diff(want, attach(t, n, Request{ID: "host", Mode: ModeHost, Ports: []PortRequest{{ContainerPort: 80}}}), cmp.Comparer(sameAddr)); diff != "" {
		t.Error(diff)
	}
	if _, err := n.Attach(t.Context(), Request{ID: "x", Mode: "awsvpc"}); err == nil || !strings.Contains(err.Error(), "not supported") {
		t.Errorf("awsvpc: %v", err)
	}
	again := attach(t, n, Request{ID: "none", Mode: ModeNone})
	if diff := cmp.Diff(none, again, cmp.Comparer(sameAddr)); diff != "" {
		t.Errorf("attached twice: %s", diff)
	}
}

func sameAddr(a, b netip.Addr) bool { return a == b }

func TestPortsAreHeldOnTheHost(t *testing.T) {
	world(t)
	n := open(t, testConfig(t, "held"))
	a := attach(t, n, Request{ID: "a", Mode: ModeBridge, Ports: []PortRequest{
		{ContainerPort: 80}, {ContainerPort: 53, Protocol: UDP}, {ContainerPortRange: PortRange{9000, 9004}},
	}})
	tcp, udp, ranged := a.Bindings[0].HostPort, a.Bindings[1].HostPort, a.Bindings[2].HostPortRange
	if ranged.Len() != 5 {
		t.Fatalf("host port range %v for five container ports", ranged)
	}
	if l, err := net.Listen("tcp4", at("", tcp)); err == nil {
		l.Close()
		t.Errorf("tcp port %d could be had by another program", tcp)
	}
	if l, err := net.ListenPacket("udp4", at("", udp)); err == nil {
		l.Close()
		t.Errorf("udp port %d could be had by another program", udp)
	}
	serve(t, a.NamespacePath, TCP, 9003, "three")
	expect(t, "fourth port of the range", call(TCP, at("127.0.0.1", ranged.First+3)), "three "+n.Gateway().String())

	_, err := n.Attach(t.Context(), Request{ID: "b", Mode: ModeBridge, Ports: []PortRequest{{ContainerPort: 80, HostPort: tcp}}})
	var inUse *PortInUseError
	if !errors.As(err, &inUse) || inUse.Owner != "a" || !strings.Contains(err.Error(), "port is already in use by container a") {
		t.Errorf("port of another container: %v", err)
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	foreign := netip.MustParseAddrPort(l.Addr().String()).Port()
	_, err = n.Attach(t.Context(), Request{ID: "b", Mode: ModeBridge, Ports: []PortRequest{{ContainerPort: 80, HostPort: foreign}}})
	if !errors.As(err, &inUse) || !strings.Contains(err.Error(), "port is already in use on this host") {
		t.Errorf("port of another program: %v", err)
	}
	if got := n.Attached(); len(got) != 1 {
		t.Errorf("attached after refusals: %v", got)
	}

	must(t, n.Detach(t.Context(), "a"))
	back, err := net.Listen("tcp4", at("", tcp))
	must(t, err)
	back.Close()
}

func TestLargeRange(t *testing.T) {
	world(t)
	cfg := testConfig(t, "large")
	n, err := Open(t.Context(), cfg)
	must(t, err)
	a := attach(t, n, Request{ID: "a", Mode: ModeBridge, Ports: []PortRequest{{ContainerPortRange: PortRange{20000, 21999}}}})
	serve(t, a.NamespacePath, TCP, 21999, "last")
	last := at("127.0.0.1", a.Bindings[0].HostPortRange.Last)
	expect(t, "last port", call(TCP, last), "last "+n.Gateway().String())
	crash(t, n)
	n = open(t, cfg) // writes the whole table in one transaction
	expect(t, "last port after a restart", call(TCP, last), "last "+n.Gateway().String())
	must(t, n.Detach(t.Context(), "a"))
	expect(t, "last port after detach", call(TCP, last), "no answer")
}

func TestMetadataAddress(t *testing.T) {
	world(t)
	n, other := open(t, testConfig(t, "meta1")), open(t, testConfig(t, "meta2"))
	answerOn(t, n.MetadataAddress().String(), "one")
	answerOn(t, other.MetadataAddress().String(), "two")
	a := attach(t, n, Request{ID: "a", Mode: ModeBridge})
	b := attach(t, other, Request{ID: "a", Mode: ModeBridge})
	expect(t, "first gantry's container", callFrom(t, a.NamespacePath, TCP, "169.254.170.2:80"), "one "+a.IP.String())
	expect(t, "second gantry's container", callFrom(t, b.NamespacePath, TCP, "169.254.170.2:80"), "two "+b.IP.String())
	if got := call(TCP, "169.254.170.2:80"); !strings.HasPrefix(got, "one ") && !strings.HasPrefix(got, "two ") {
		t.Errorf("host mode: %q", got)
	}
	if id, ok := n.LookupIP(a.IP); !ok || id != "a" {
		t.Errorf("who has %s: %q %v", a.IP, id, ok)
	}
	showTheWay(t, n)
	expect(t, "outside", blockedOutside(t, TCP, n.MetadataAddress().String()), "no answer")
}

func TestHostLoopbackIsClosedToContainers(t *testing.T) {
	world(t)
	n := open(t, testConfig(t, "guard"))
	a := attach(t, n, Request{ID: "a", Mode: ModeBridge})
	port := answerOn(t, "127.0.0.1:0", "secret").Port()
	expect(t, "host itself", call(TCP, at("127.0.0.1", port)), "secret 127.0.0.1")
	// A privileged container could send its own 127.0.0.0/8 to the host.
	in(t, a.NamespacePath, func() {
		must(t, os.WriteFile("/proc/sys/net/ipv4/conf/eth0/route_localnet", []byte("1"), 0))
		link, err := netlink.LinkByName("eth0")
		must(t, err)
		must(t, netlink.AddrDel(&netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: 1}}, &netlink.Addr{IPNet: ipNet(netip.MustParsePrefix("127.0.0.1/8"))}))
		must(t, netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: n.Gateway().AsSlice(), Dst: ipNet(netip.MustParsePrefix("127.0.0.0/8"))}))
		expect(t, "container", callFor(silence, TCP, at("127.0.0.1", port)), "no answer")
	})
}

func TestContainersAreReachedByHostPortsOnly(t *testing.T) {
	world(t)
	n := open(t, testConfig(t, "closed"))
	a := attach(t, n, Request{ID: "a", Mode: ModeBridge})
	serve(t, a.NamespacePath, TCP, 80, "open")
	showTheWay(t, n)
	expect(t, "another machine that knows the way", blockedOutside(t, TCP, at(a.IP, 80)), "no answer")
}

// showTheWay lets the other machine know that the range is behind this host.
func showTheWay(t *testing.T, n *Network) {
	t.Helper()
	route := &netlink.Route{Gw: net.ParseIP(hostIP), Dst: ipNet(n.Range())}
	inHandle(t, outsideNamespace, func() { must(t, netlink.RouteAdd(route)) })
	t.Cleanup(func() { inHandle(t, outsideNamespace, func() { must(t, netlink.RouteDel(route)) }) })
}

func TestContainersCannotPretendToBeOthers(t *testing.T) {
	world(t)
	n := open(t, testConfig(t, "spoof"))
	a := attach(t, n, Request{ID: "a", Mode: ModeBridge})
	l, err := net.ListenPacket("udp4", at(n.Gateway(), 0))
	must(t, err)
	defer l.Close()
	const foreign = "192.0.2.77" // the host would take this one for a neighbour on its uplink
	in(t, a.NamespacePath, func() {
		link, err := netlink.LinkByName(containerLink)
		must(t, err)
		must(t, netlink.AddrAdd(link, &netlink.Addr{IPNet: ipNet(netip.MustParsePrefix(foreign + "/32"))}))
		for _, from := range []string{foreign, a.IP.String()} {
			c, err := net.DialUDP("udp4", &net.UDPAddr{IP: net.ParseIP(from)}, l.LocalAddr().(*net.UDPAddr))
			must(t, err)
			_, err = c.Write([]byte(from))
			must(t, err)
			c.Close()
		}
	})
	// The honest datagram was sent last, so that a pretended one would have come before it.
	must(t, l.SetReadDeadline(deadline()))
	buf := make([]byte, 100)
	size, _, err := l.ReadFrom(buf)
	must(t, err)
	expect(t, "first datagram to arrive", string(buf[:size]), a.IP.String())
}
