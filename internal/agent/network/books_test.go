package network

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// fakeHost is a host on which some ports are taken by other programs, and some lead to another gantry's containers.
type fakeHost struct {
	foreign   map[hostPort]bool
	elsewhere map[hostPort]string
	held      map[hostPort]bool
}

func (h *fakeHost) neighbours() (map[hostPort]string, error) { return h.elsewhere, nil }

func (h *fakeHost) hold(protocol Protocol, port uint16) (io.Closer, error) {
	p := hostPort{protocol, port}
	if h.foreign[p] || h.held[p] {
		return nil, errors.New("address already in use")
	}
	h.held[p] = true
	return closer(func() error { delete(h.held, p); return nil }), nil
}

type closer func() error

func (c closer) Close() error { return c() }

// Whatever is asked for and given back: no host port has two owners, what is given is held and nothing else is, a
// refusal changes nothing, and a dynamic port is refused only when there is none.
func TestPortBook(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		host := &fakeHost{foreign: map[hostPort]bool{}, elsewhere: map[hostPort]string{}, held: map[hostPort]bool{}}
		dynamic := PortRange{100, 119}
		protocols := rapid.SampledFrom([]Protocol{"", TCP, UDP})
		ports := rapid.Uint16Range(95, 125)
		for range rapid.IntRange(0, 10).Draw(t, "foreign") {
			host.foreign[hostPort{rapid.SampledFrom([]Protocol{TCP, UDP}).Draw(t, "protocol"), ports.Draw(t, "port")}] = true
		}
		for range rapid.IntRange(0, 5).Draw(t, "elsewhere") {
			host.elsewhere[hostPort{rapid.SampledFrom([]Protocol{TCP, UDP}).Draw(t, "protocol"), ports.Draw(t, "port")}] = "gantry-other"
		}
		reserved := rapid.SliceOfN(ports, 0, 3).Draw(t, "reserved")
		book := newPortBook(portHost{host.hold, host.neighbours}, dynamic, reserved)
		owned := map[SandboxID][]Binding{}
		t.Repeat(map[string]func(*rapid.T){
			"bind": func(t *rapid.T) {
				owner := SandboxID(fmt.Sprint(len(owned), rapid.Int().Draw(t, "owner")))
				if owned[owner] != nil {
					t.Skip("has ports")
				}
				requests := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) PortRequest {
					r := PortRequest{Protocol: protocols.Draw(t, "protocol")}
					switch rapid.IntRange(0, 2).Draw(t, "kind") {
					case 0:
						r.ContainerPort = 80
					case 1:
						r.ContainerPort, r.HostPort = 80, ports.Draw(t, "host port")
					case 2:
						r.ContainerPortRange = PortRange{9000, 9000 + rapid.Uint16Range(0, 7).Draw(t, "more")}
					}
					return r
				}), 1, 4).Draw(t, "requests")
				before := len(book.taken)
				bindings, err := book.bind(owner, requests)
				if err != nil {
					if len(book.taken) != before {
						t.Fatalf("refusal %q left ports behind", err)
					}
					if len(requests) == 1 && requests[0].HostPort == 0 {
						need := unbound(requests[0])
						if run := longestRun(host, reserved, need.Protocol, dynamic); run >= need.containerPorts().Len() {
							t.Fatalf("%q, though %d ports in a row are free", err, run)
						}
					}
					return
				}
				for i, b := range bindings {
					if b.hostPorts().Len() != b.containerPorts().Len() {
						t.Fatalf("%d host ports for %d container ports", b.hostPorts().Len(), b.containerPorts().Len())
					}
					if requests[i].HostPort != 0 && b.HostPort != requests[i].HostPort {
						t.Fatalf("asked for host port %d, got %d", requests[i].HostPort, b.HostPort)
					}
					if r := b.hostPorts(); requests[i].HostPort == 0 && (r.First < dynamic.First || r.Last > dynamic.Last ||
						slices.ContainsFunc(reserved, func(p uint16) bool { return p >= r.First && p <= r.Last })) {
						t.Fatalf("dynamic ports %v are outside %v or reserved", r, dynamic)
					}
				}
				owned[owner] = bindings
			},
			"release": func(t *rapid.T) {
				for owner := range owned {
					book.release(owner)
					delete(owned, owner)
					break
				}
			},
			"": func(t *rapid.T) {
				all := map[hostPort]bool{}
				for _, bindings := range owned {
					for _, b := range bindings {
						for i := range b.hostPorts().Len() {
							p := hostPort{b.Protocol, b.hostPorts().First + uint16(i)}
							if all[p] || host.foreign[p] || host.elsewhere[p] != "" {
								t.Fatalf("%v has two owners", p)
							}
							all[p] = true
						}
					}
				}
				if diff := cmp.Diff(all, host.held, cmp.AllowUnexported(hostPort{})); diff != "" {
					t.Fatalf("held ports are not those given out: %s", diff)
				}
			},
		})
	})
}

func longestRun(h *fakeHost, reserved []uint16, protocol Protocol, r PortRange) (longest int) {
	run := 0
	for i := range r.Len() {
		p := hostPort{protocol, r.First + uint16(i)}
		run++
		if h.foreign[p] || h.elsewhere[p] != "" || h.held[p] || slices.Contains(reserved, p.port) {
			run = 0
		}
		longest = max(longest, run)
	}
	return longest
}

func TestAddressesAreGivenOnceAndAllOfThem(t *testing.T) {
	book := newAddressBook(netip.MustParsePrefix("10.0.0.0/28"))
	seen := map[netip.Addr]bool{}
	for i := range 13 { // 16 less network, bridge and broadcast
		a, err := book.take(SandboxID(fmt.Sprint(i)))
		must(t, err)
		if seen[a] || !book.assignable(a) {
			t.Fatalf("address %s was given twice or is not a container's", a)
		}
		seen[a] = true
	}
	if a, err := book.take("late"); err == nil {
		t.Fatalf("got %s out of a full range", a)
	}
	free := netip.MustParseAddr("10.0.0.7")
	book.release(free, "somebody else")
	if _, err := book.take("late"); err == nil {
		t.Fatal("an address was given back by somebody who does not have it")
	}
	book.release(free, "5")
	if a, err := book.take("late"); err != nil || a != free {
		t.Fatalf("got %s, %v, want the free one", a, err)
	}
}

func TestAddressesComeUpAgainLast(t *testing.T) {
	book := newAddressBook(netip.MustParsePrefix("10.0.0.0/29"))
	var got []string
	for i := range 7 {
		owner := SandboxID(fmt.Sprint(i))
		a, err := book.take(owner)
		must(t, err)
		book.release(a, owner)
		got = append(got, a.String()[len("10.0.0."):])
	}
	expect(t, "order", strings.Join(got, " "), "2 3 4 5 6 2 3")
}

func TestAddressClaim(t *testing.T) {
	book := newAddressBook(netip.MustParsePrefix("10.0.0.0/28"))
	for _, c := range []struct {
		addr string
		want bool
	}{
		{"10.0.0.9", true}, {"10.0.0.9", false}, {"10.0.0.1", false}, {"10.0.0.0", false}, {"10.0.0.15", false}, {"10.0.1.2", false},
	} {
		if got := book.claim(netip.MustParseAddr(c.addr), "x"); got != c.want {
			t.Errorf("claim %s: %v", c.addr, got)
		}
	}
}

func TestChooseRange(t *testing.T) {
	pool := netip.MustParsePrefix("10.208.0.0/12")
	prefixes := func(s ...string) (all []netip.Prefix) {
		for _, p := range s {
			all = append(all, netip.MustParsePrefix(p))
		}
		return all
	}
	rapid.Check(t, func(t *rapid.T) {
		var used []netip.Prefix
		for range rapid.IntRange(0, 20).Draw(t, "count") {
			n := rapid.Uint32Range(0, 255).Draw(t, "which")
			used = append(used, netip.PrefixFrom(numberAddr(addrNumber(pool.Addr())+n<<12), rapid.IntRange(14, 30).Draw(t, "bits")).Masked())
		}
		p, err := chooseRange(pool, rapid.String().Draw(t, "id"), used)
		if err != nil {
			for i := range uint32(256) {
				if c := netip.PrefixFrom(numberAddr(addrNumber(pool.Addr())+i<<12), 20); !overlapsAny(c, used) {
					t.Fatalf("%v, though %s is free", err, c)
				}
			}
			return
		}
		if p.Bits() != 20 || p != p.Masked() || !pool.Contains(p.Addr()) || overlapsAny(p, used) {
			t.Fatalf("chose %s with %v in use", p, used)
		}
	})
	if _, err := chooseRange(pool, "x", prefixes("10.0.0.0/8")); err == nil || !strings.Contains(err.Error(), "10.208.0.0/12 overlaps") {
		t.Errorf("a full pool: %v", err)
	}
	small, err := chooseRange(netip.MustParsePrefix("192.168.7.0/24"), "x", nil)
	if err != nil || small.String() != "192.168.7.0/24" {
		t.Errorf("a small pool: %s %v", small, err)
	}
}

func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		r    Request
		want string
	}{
		{Request{ID: "../x", Mode: ModeBridge}, "cannot name a network"},
		{Request{ID: "", Mode: ModeBridge}, "cannot name a network"},
		{Request{ID: "x", Mode: ModeNone, Ports: []PortRequest{{ContainerPort: 1}}}, "allows no port mappings"},
		{Request{ID: "x", Mode: ModeBridge, Ports: []PortRequest{{}}}, "needs either"},
		{Request{ID: "x", Mode: ModeBridge, Ports: []PortRequest{{ContainerPort: 1, Protocol: "sctp"}}}, "want tcp or udp"},
		{Request{ID: "x", Mode: ModeBridge, Ports: []PortRequest{{ContainerPortRange: PortRange{9, 8}}}}, "must rise"},
		{Request{ID: "x", Mode: ModeBridge, Ports: []PortRequest{{ContainerPortRange: PortRange{8, 9}, HostPort: 1}}}, "takes no host port"},
		{Request{ID: "x", Mode: ModeHost, Ports: []PortRequest{{ContainerPort: 80, HostPort: 81}}}, "must be the same"},
	} {
		if err := c.r.check(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.r, err, c.want)
		}
	}
	for _, s := range []string{"", "1", "0-1", "2-1", "1-65536", "a-b", "1-2-3"} {
		if r, err := ParsePortRange(s); err == nil {
			t.Errorf("port range %q became %v", s, r)
		}
	}
	for _, id := range []string{"", "123456789", "a-b", "a/b"} {
		c := Config{ID: id, Dir: "/a", RunDir: "/b"}
		if err := c.check(); err == nil {
			t.Errorf("id %q was accepted", id)
		}
	}
}

func TestParsePortList(t *testing.T) {
	if diff := cmp.Diff([]uint16{8080, 9000, 9001, 9002}, parsePortList("8080,9000-9002\n")); diff != "" {
		t.Error(diff)
	}
	if got := parsePortList("\n"); len(got) != 0 {
		t.Errorf("empty list: %v", got)
	}
}
