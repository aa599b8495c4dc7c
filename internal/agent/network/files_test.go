package network

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestHosts(t *testing.T) {
	got, err := Hosts(HostsFile{
		Hostname: "web.example.com",
		IP:       netip.MustParseAddr("10.208.0.5"),
		Gateway:  netip.MustParseAddr("10.208.0.1"),
		Extra:    []HostEntry{{"db", "192.0.2.7"}, {"instance", "host-gateway"}, {"six", "2001:db8::1"}},
		Links:    []Link{{netip.MustParseAddr("10.208.0.4"), []string{"cache", "redis", "0123456789ab"}}},
	})
	must(t, err)
	want := dockerHosts + "192.0.2.7\tdb\n10.208.0.1\tinstance\n2001:db8::1\tsix\n" +
		"10.208.0.4\tcache redis 0123456789ab\n10.208.0.5\tweb.example.com web\n"
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}

	got, err = Hosts(HostsFile{Base: []byte("127.0.0.1 localhost thishost"), Extra: []HostEntry{{"db", "192.0.2.7"}}})
	must(t, err)
	expect(t, "host mode", string(got), "127.0.0.1 localhost thishost\n192.0.2.7\tdb\n")

	for _, c := range []struct {
		f    HostsFile
		want string
	}{
		{HostsFile{Extra: []HostEntry{{"db", "nowhere"}}}, `"nowhere" is not an IP address`},
		{HostsFile{Extra: []HostEntry{{"db", "host-gateway"}}}, "not an IP address"},
		{HostsFile{Extra: []HostEntry{{"db\n6.6.6.6 bank", "192.0.2.7"}}}, "is not a host name"},
		{HostsFile{Hostname: "a b", IP: netip.MustParseAddr("10.0.0.1")}, `hostname: "a b" is not a host name`},
	} {
		if _, err := Hosts(c.f); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.f, err, c.want)
		}
	}
}

func TestHostname(t *testing.T) {
	expect(t, "by default", Hostname("", "0123456789abcdef"), "0123456789ab")
	expect(t, "short id", Hostname("", "abc"), "abc")
	expect(t, "defined", Hostname("web", "0123456789abcdef"), "web")
	expect(t, "file", string(HostnameFile("web")), "web\n")
}

func TestResolvConf(t *testing.T) {
	const host = "# made by hand\nsearch old.example\nsearch example.com corp\nnameserver 127.0.0.53 # stub\nnameserver 192.0.2.53\nnameserver fd00::53\noptions ndots:2\noptions rotate\n"
	for _, c := range []struct {
		name, host string
		r          Resolver
		want       string
	}{
		{"bridge", host, Resolver{Mode: ModeBridge}, "nameserver 192.0.2.53\nsearch example.com corp\noptions ndots:2 rotate\n"},
		{"host", host, Resolver{Mode: ModeHost}, host},
		{"host with a search domain", host, Resolver{Mode: ModeHost, Search: []string{"x"}},
			"nameserver 127.0.0.53\nnameserver 192.0.2.53\nnameserver fd00::53\nsearch x\noptions ndots:2 rotate\n"},
		{"own servers", host, Resolver{Mode: ModeBridge, Servers: []string{"127.0.0.1", "2001:db8::1"}, Search: []string{"."}},
			"nameserver 127.0.0.1\nnameserver 2001:db8::1\noptions ndots:2 rotate\n"},
		{"loopback only", "nameserver 127.0.0.1\n", Resolver{Mode: ModeBridge}, "nameserver 8.8.8.8\nnameserver 8.8.4.4\n"},
		{"no file", "", Resolver{Mode: ModeNone}, "nameserver 8.8.8.8\nnameserver 8.8.4.4\n"},
	} {
		got, err := ResolvConf([]byte(c.host), c.r)
		must(t, err)
		if diff := cmp.Diff(c.want, string(got)); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
	for _, r := range []Resolver{{Mode: ModeBridge, Servers: []string{"dns.example"}}, {Mode: ModeBridge, Search: []string{"a\nnameserver 6.6.6.6"}}} {
		if got, err := ResolvConf(nil, r); err == nil {
			t.Errorf("%+v became %q", r, got)
		}
	}
}
