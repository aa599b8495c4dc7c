package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
)

// crash leaves the host as a killed gantry does: its sockets are gone, everything else stays.
func crash(t *testing.T, n *Network) {
	t.Helper()
	n.background.Wait()
	n.ports.close()
}

func TestAKilledGantryFindsItsOwn(t *testing.T) {
	world(t)
	cfg := testConfig(t, "crash")
	before, err := Open(t.Context(), cfg)
	must(t, err)
	kept := attach(t, before, Request{ID: "kept", Mode: ModeBridge, Ports: []PortRequest{{ContainerPort: 80}, {ContainerPort: 80, Protocol: UDP}}})
	ended := attach(t, before, Request{ID: "ended", Mode: ModeBridge, Ports: []PortRequest{{ContainerPort: 80}}})
	attach(t, before, Request{ID: "lonely", Mode: ModeNone})
	serve(t, kept.NamespacePath, TCP, 80, "kept")
	// A kill in the middle of an Attach leaves everything but the record; one in the middle of a Detach likewise.
	half := attach(t, before, Request{ID: "half", Mode: ModeBridge, Ports: []PortRequest{{ContainerPort: 80}}})
	must(t, cfg.removeRecord("half"))
	crash(t, before)
	expect(t, "while gantry is dead", call(TCP, at("127.0.0.1", kept.Bindings[0].HostPort)), "kept "+before.Gateway().String())

	n := open(t, cfg)
	if got, want := n.Attached(), []SandboxID{"ended", "kept", "lonely"}; !slices.Equal(got, want) {
		t.Errorf("attached after the restart: %v, want %v", got, want)
	}
	if isNamespace(half.NamespacePath) {
		t.Error("the namespace without a record is still there")
	}
	again := attach(t, n, Request{ID: "kept", Mode: ModeBridge})
	if diff := cmp.Diff(kept, again, cmp.Comparer(sameAddr)); diff != "" {
		t.Errorf("attachment after the restart: %s", diff)
	}
	expect(t, "after the restart", call(TCP, at("127.0.0.1", kept.Bindings[0].HostPort)), "kept "+n.Gateway().String())
	if l, err := net.Listen("tcp4", at("", kept.Bindings[0].HostPort)); err == nil {
		l.Close()
		t.Error("the host port is not held again")
	}
	if fresh := attach(t, n, Request{ID: "fresh", Mode: ModeBridge, Ports: []PortRequest{{ContainerPort: 80}}}); fresh.IP == kept.IP || fresh.IP == ended.IP {
		t.Errorf("address %s was given twice", fresh.IP)
	}

	must(t, n.Reconcile(t.Context(), []SandboxID{"kept"}))
	must(t, n.Close())
	if got := n.Attached(); !slices.Equal(got, []SandboxID{"kept"}) {
		t.Errorf("attached after the reconciliation: %v", got)
	}
	links, err := cfg.hostLinks(&netlink.Handle{})
	must(t, err)
	if !slices.Equal(links, []string{cfg.hostLink("kept")}) {
		t.Errorf("interfaces after the reconciliation: %q, want that of one container", links)
	}
	expect(t, "after the reconciliation", call(TCP, at("127.0.0.1", kept.Bindings[0].HostPort)), "kept "+n.Gateway().String())
	expect(t, "ended container's port", call(TCP, at("127.0.0.1", ended.Bindings[0].HostPort)), "no answer")
}

// TestAnInterfaceThatWasHalfMade: the kernel is asked twice for an interface, once to make it and once to put it on the
// bridge, and gantry may be killed in between.
func TestAnInterfaceThatWasHalfMade(t *testing.T) {
	world(t)
	cfg, other := testConfig(t, "half"), testConfig(t, "other")
	for name, c := range map[string]Config{"a": cfg, "b": cfg, "theirs": other} {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = c.hostLink(SandboxID(name))
		must(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "peer-" + name}))
	}
	n, err := Open(t.Context(), cfg)
	must(t, err)
	attach(t, n, Request{ID: "a", Mode: ModeBridge})
	if _, err := netlink.LinkByName(cfg.hostLink("b")); !isMissing(err) {
		t.Errorf("the interface that belongs to no container is there: %v", err)
	}
	if _, err := netlink.LinkByName(other.hostLink("theirs")); err != nil {
		t.Errorf("another gantry's interface: %v", err)
	}
	must(t, n.Close())
	must(t, Remove(t.Context(), cfg))
	must(t, Remove(t.Context(), other))
	if _, err := netlink.LinkByName(cfg.hostLink("a")); !isMissing(err) {
		t.Errorf("after Remove: %v", err)
	}
}

func TestARebootForgetsContainersAndKeepsTheRange(t *testing.T) {
	world(t)
	cfg := testConfig(t, "reboot")
	before, err := Open(t.Context(), cfg)
	must(t, err)
	a := attach(t, before, Request{ID: "a", Mode: ModeBridge})
	crash(t, before)
	must(t, removeNamespace(a.NamespacePath)) // the record alone came through
	n := open(t, cfg)
	if got := n.Attached(); len(got) != 0 {
		t.Errorf("attached: %v", got)
	}
	if n.Range() != before.Range() {
		t.Errorf("range %s became %s", before.Range(), n.Range())
	}
}

func TestARangeThatCollidesIsChosenAnew(t *testing.T) {
	world(t)
	cfg := testConfig(t, "moved")
	before, err := Open(t.Context(), cfg)
	must(t, err)
	a := attach(t, before, Request{ID: "a", Mode: ModeBridge})
	uplink, err := netlink.LinkByName("uplink")
	must(t, err)
	vpn := &netlink.Route{LinkIndex: uplink.Attrs().Index, Dst: ipNet(before.Range()), Priority: 50}
	must(t, netlink.RouteAdd(vpn))
	defer netlink.RouteDel(vpn)

	crash(t, before)
	with, err := Open(t.Context(), cfg)
	must(t, err)
	if with.Range() != before.Range() {
		t.Errorf("range moved from %s to %s under a container", before.Range(), with.Range())
	}
	must(t, with.Detach(t.Context(), a.ID))
	crash(t, with)
	n := open(t, cfg)
	if n.Range().Overlaps(before.Range()) {
		t.Errorf("range %s stayed where another network is", n.Range())
	}
	b := attach(t, n, Request{ID: "b", Mode: ModeBridge})
	serve(t, b.NamespacePath, TCP, 80, "moved")
	expect(t, "container in the new range", call(TCP, at(b.IP, 80)), "moved "+n.Gateway().String())
}

func TestRulesThatWereFlushedComeBack(t *testing.T) {
	world(t)
	n := open(t, testConfig(t, "flush"))
	flush := func() {
		conn, err := openNftables()
		must(t, err)
		conn.FlushRuleset()
		must(t, conn.Flush())
	}
	a := attach(t, n, Request{ID: "a", Mode: ModeBridge, Ports: []PortRequest{{ContainerPort: 80}}})
	serve(t, a.NamespacePath, TCP, 80, "a")
	for _, mend := range []struct {
		name string
		do   func()
	}{
		{"reconcile", func() { must(t, n.Reconcile(t.Context(), []SandboxID{"a"})) }},
		{"attach", func() { attach(t, n, Request{ID: "b", Mode: ModeBridge, Ports: []PortRequest{{ContainerPort: 80}}}) }},
		{"detach", func() { must(t, n.Detach(t.Context(), "b")) }},
	} {
		flush()
		expect(t, "flushed before "+mend.name, call(TCP, at(hostIP, a.Bindings[0].HostPort)), "no answer")
		mend.do()
		expect(t, "after "+mend.name, call(TCP, at(hostIP, a.Bindings[0].HostPort)), "a "+hostIP)
	}
}

func TestAnotherFirewallLetsContainersThrough(t *testing.T) {
	world(t)
	for _, family := range []nftables.TableFamily{nftables.TableFamilyIPv4, nftables.TableFamilyINet} {
		t.Run(fmt.Sprint("family ", family), func(t *testing.T) { testFirewall(t, family) })
	}
}

// testFirewall runs containers beside a firewall that drops all it does not know.
func testFirewall(t *testing.T, family nftables.TableFamily) {
	conn, err := openNftables()
	must(t, err)
	docker := conn.AddTable(&nftables.Table{Name: "filter", Family: family})
	var chains []*nftables.Chain
	for name, hook := range map[string]*nftables.ChainHook{"FORWARD": nftables.ChainHookForward, "INPUT": nftables.ChainHookInput} {
		chains = append(chains, conn.AddChain(&nftables.Chain{Name: name, Table: docker, Type: nftables.ChainTypeFilter,
			Hooknum: hook, Priority: nftables.ChainPriorityFilter, Policy: new(nftables.ChainPolicyDrop)}))
	}
	must(t, conn.Flush())
	defer func() { conn.DelTable(docker); must(t, conn.Flush()) }()
	ours := func() (n int) {
		for _, c := range chains {
			rules, err := conn.GetRules(docker, c)
			must(t, err)
			n += len(rules)
		}
		return n
	}

	n := open(t, testConfig(t, "docker"))
	a := attach(t, n, Request{ID: "a", Mode: ModeBridge, Ports: []PortRequest{{ContainerPort: 80}}})
	serve(t, a.NamespacePath, TCP, 80, "a")
	expect(t, "to the container", callFromOutside(t, TCP, at(hostIP, a.Bindings[0].HostPort)), "a "+outsideIP)
	expect(t, "from the container", callFrom(t, a.NamespacePath, TCP, listenOutside(t)), "outside "+hostIP)
	answerOn(t, n.MetadataAddress().String(), "metadata")
	expect(t, "metadata", callFrom(t, a.NamespacePath, TCP, "169.254.170.2:80"), "metadata "+a.IP.String())
	answerOn(t, n.Gateway().String()+":9999", "private")
	expect(t, "the host's own", blockedFrom(t, a.NamespacePath, TCP, at(n.Gateway(), 9999)), "no answer")
	must(t, n.Reconcile(t.Context(), []SandboxID{"a"}))
	if got := ours(); got != 3 {
		t.Errorf("%d rules in the other firewall, want 3", got)
	}
	must(t, n.Remove(context.Background()))
	if got := ours(); got != 0 {
		t.Errorf("%d rules left in the other firewall", got)
	}
}

func TestConnectionsOutliveARebuild(t *testing.T) {
	world(t)
	n := open(t, testConfig(t, "rebuild"))
	a := attach(t, n, Request{ID: "a", Mode: ModeBridge, Ports: []PortRequest{{ContainerPort: 80}}})
	var l net.Listener
	var err error
	in(t, a.NamespacePath, func() { l, err = net.Listen("tcp4", ":80") })
	must(t, err)
	defer l.Close()
	client, err := net.DialTimeout("tcp4", at("127.0.0.1", a.Bindings[0].HostPort), patience)
	must(t, err)
	defer client.Close()
	server, err := l.Accept()
	must(t, err)
	defer server.Close()
	for range 3 {
		must(t, n.Reconcile(t.Context(), []SandboxID{"a"}))
		for _, way := range [][2]net.Conn{{client, server}, {server, client}} {
			_, err := way[0].Write([]byte("x"))
			must(t, err)
			must(t, way[1].SetReadDeadline(deadline()))
			_, err = way[1].Read(make([]byte, 1))
			must(t, err)
		}
	}
}

func TestUDPSenderFollowsTheContainer(t *testing.T) {
	world(t)
	n := open(t, testConfig(t, "udp"))
	client, err := net.ListenPacket("udp4", hostIP+":0")
	must(t, err)
	defer client.Close()
	to := &net.UDPAddr{IP: net.ParseIP(hostIP), Port: 5353}
	for _, id := range []SandboxID{"first", "second"} {
		// What the sender sends while nobody is there must not decide where later datagrams go.
		_, err := client.WriteTo([]byte("early"), to)
		must(t, err)
		a := attach(t, n, Request{ID: id, Mode: ModeBridge, Ports: []PortRequest{{ContainerPort: 53, HostPort: 5353, Protocol: UDP}}})
		serve(t, a.NamespacePath, UDP, 53, string(id))
		expect(t, "same sender", ask(t, client, to), string(id)+" "+hostIP)
		must(t, n.Detach(t.Context(), id))
	}
}

// ask sends a datagram from a socket that was used before.
func ask(t *testing.T, client net.PacketConn, to net.Addr) string {
	t.Helper()
	must(t, client.SetReadDeadline(deadline()))
	_, err := client.WriteTo([]byte("?"), to)
	must(t, err)
	buf := make([]byte, 100)
	n, _, err := client.ReadFrom(buf)
	if err != nil {
		return "no answer"
	}
	return string(buf[:n])
}

func TestTwoGantriesLiveSideBySide(t *testing.T) {
	world(t)
	one, two := open(t, testConfig(t, "one")), open(t, testConfig(t, "two"))
	if one.Range().Overlaps(two.Range()) {
		t.Fatalf("ranges %s and %s overlap", one.Range(), two.Range())
	}
	ports := []PortRequest{{ContainerPort: 80}}
	a := attach(t, one, Request{ID: "same", Mode: ModeBridge, Ports: ports})
	b := attach(t, two, Request{ID: "same", Mode: ModeBridge, Ports: ports})
	serve(t, a.NamespacePath, TCP, 80, "one's")
	serve(t, b.NamespacePath, TCP, 80, "two's")
	expect(t, "first", call(TCP, at("127.0.0.1", a.Bindings[0].HostPort)), "one's "+one.Gateway().String())
	expect(t, "second", call(TCP, at("127.0.0.1", b.Bindings[0].HostPort)), "two's "+two.Gateway().String())
	expect(t, "across, host port", callFrom(t, a.NamespacePath, TCP, at(hostIP, b.Bindings[0].HostPort)), "two's "+two.Gateway().String())
	expect(t, "across, container's address", blockedFrom(t, a.NamespacePath, TCP, at(b.IP, 80)), "no answer")
	must(t, two.Reconcile(t.Context(), nil))
	must(t, two.Remove(context.Background()))
	expect(t, "first without the second", call(TCP, at("127.0.0.1", a.Bindings[0].HostPort)), "one's "+one.Gateway().String())
}

// TestStoppedGantryKeepsItsPorts: no other gantry takes a host port of a container that runs on while its own gantry is
// stopped, so that the container still has it after the restart.
func TestStoppedGantryKeepsItsPorts(t *testing.T) {
	world(t)
	cfg := testConfig(t, "one")
	stopped, err := Open(t.Context(), cfg)
	must(t, err)
	kept := attach(t, stopped, Request{ID: "kept", Mode: ModeBridge, Ports: []PortRequest{{ContainerPort: 80}, {ContainerPort: 53, Protocol: UDP}}})
	serve(t, kept.NamespacePath, TCP, 80, "kept")
	port := kept.Bindings[0].HostPort
	must(t, stopped.Close())
	conn, err := openNftables()
	must(t, err)
	conn.AddTable(&nftables.Table{Name: "gantry-odd", Family: nftables.TableFamilyIPv4}) // somebody else's, whatever it is for
	must(t, conn.Flush())

	other := open(t, testConfig(t, "two"))
	ports := []PortRequest{{ContainerPort: 80}, {ContainerPort: 53, Protocol: UDP}}
	if got := attach(t, other, Request{ID: "dynamic", Mode: ModeBridge, Ports: ports}); got.Bindings[0].HostPort == port || got.Bindings[1].HostPort == kept.Bindings[1].HostPort {
		t.Errorf("it got %+v, of which the stopped gantry has %+v", got.Bindings, kept.Bindings)
	}
	_, err = other.Attach(t.Context(), Request{ID: "fixed", Mode: ModeBridge, Ports: []PortRequest{{ContainerPort: 80, HostPort: port}}})
	if inUse, ok := errors.AsType[*PortInUseError](err); !ok || inUse.Port != port || inUse.Table != cfg.bridgeName() {
		t.Errorf("asked for the stopped gantry's port: %v", err)
	}
	again := open(t, cfg)
	expect(t, "after the restart", call(TCP, at("127.0.0.1", port)), "kept "+again.Gateway().String())
	must(t, again.Reconcile(t.Context(), nil))
	must(t, again.Remove(context.Background()))
	attach(t, other, Request{ID: "later", Mode: ModeBridge, Ports: []PortRequest{{ContainerPort: 80, HostPort: port}}})
}

// traces is all on the host that networks could leave behind.
func traces(t *testing.T) (all []string) {
	t.Helper()
	links, err := netlink.LinkList()
	must(t, err)
	for _, l := range links {
		all = append(all, "interface "+l.Attrs().Name)
	}
	conn, err := openNftables()
	must(t, err)
	tables, err := conn.ListTables()
	must(t, err)
	for _, table := range tables {
		all = append(all, "table "+table.Name)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	must(t, err)
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, "nsfs") {
			all = append(all, "mount "+line)
		}
	}
	fds, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	return append(all, fmt.Sprint("open files: ", len(fds)))
}

func TestRemoveLeavesNothing(t *testing.T) {
	world(t)
	settle(t)
	before := traces(t)
	cfg := testConfig(t, "gone")
	for _, how := range []string{"alive", "dead"} {
		n, err := Open(t.Context(), cfg)
		must(t, err)
		for i := range 5 {
			attach(t, n, Request{ID: SandboxID(fmt.Sprint("c", i)), Mode: ModeBridge, Ports: []PortRequest{{ContainerPort: 80}}})
		}
		attach(t, n, Request{ID: "none", Mode: ModeNone})
		must(t, n.Detach(t.Context(), "c1"))
		if how == "alive" {
			must(t, n.Remove(t.Context()))
		} else {
			crash(t, n)
			n.host.Close()
			must(t, n.table.close())
			must(t, Remove(t.Context(), cfg))
		}
		settle(t)
		if diff := cmp.Diff(before, traces(t)); diff != "" {
			t.Errorf("%s: left behind: %s", how, diff)
		}
		for _, dir := range []string{cfg.Dir, cfg.RunDir} {
			if files, err := os.ReadDir(dir); err != nil || len(files) > 0 {
				t.Errorf("%s: files left in %s: %v %v", how, dir, files, err)
			}
		}
		must(t, Remove(t.Context(), cfg)) // again, with nothing there
	}
}

func TestManyAtOnce(t *testing.T) {
	world(t)
	n := open(t, testConfig(t, "many"))
	results := make(chan Attachment)
	for i := range 20 {
		go func() {
			a, err := n.Attach(t.Context(), Request{ID: SandboxID(fmt.Sprint("c", i)), Mode: ModeBridge, Ports: []PortRequest{{ContainerPort: 80}}})
			if err != nil {
				t.Error(err)
			}
			results <- a
		}()
	}
	ips, ports := map[netip.Addr]bool{}, map[uint16]bool{}
	for range 20 {
		a := <-results
		if len(a.Bindings) == 1 {
			ips[a.IP], ports[a.Bindings[0].HostPort] = true, true
		}
	}
	if len(ips) != 20 || len(ports) != 20 {
		t.Errorf("20 containers have %d addresses and %d ports", len(ips), len(ports))
	}
	must(t, n.Reconcile(t.Context(), nil))
}
